//! Helpers that compilers call for 64-bit and floating-point arithmetic (libgcc in the ROM).
//!
//! Rust's `f32` and `f64` follow IEEE 754 as the soft-float helpers do.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "the conversions are what these functions are for"
)]

use super::{Call, Flow};
use crate::{guest::memory::Fault, spi::SpiDevice};

type Step = Result<Flow, Fault>;

/// Two 32-bit arguments.
pub(super) fn words<F: SpiDevice>(
    call: &mut Call<'_, F>,
    function: fn(u32, u32) -> Option<u32>,
) -> Step {
    let value = function(call.argument(0)?, call.argument(1)?);
    value.map(Flow::Return).ok_or(Fault::division())
}

/// Two 64-bit arguments.
pub(super) fn wides<F: SpiDevice>(
    call: &mut Call<'_, F>,
    function: fn(u64, u64) -> Option<u64>,
) -> Step {
    let value = function(call.wide_argument(0)?, call.wide_argument(2)?);
    value.map(Flow::ReturnWide).ok_or(Fault::division())
}

/// A 64-bit and a 32-bit argument.
pub(super) fn shift<F: SpiDevice>(call: &mut Call<'_, F>, function: fn(u64, u32) -> u64) -> Step {
    Ok(Flow::ReturnWide(function(call.wide_argument(0)?, call.argument(2)?)))
}

/// One 32-bit argument.
pub(super) fn word<F: SpiDevice>(call: &mut Call<'_, F>, function: fn(u32) -> u32) -> Step {
    Ok(Flow::Return(function(call.argument(0)?)))
}

/// One 64-bit argument, 32-bit result.
pub(super) fn narrow<F: SpiDevice>(call: &mut Call<'_, F>, function: fn(u64) -> u32) -> Step {
    Ok(Flow::Return(function(call.wide_argument(0)?)))
}

/// One 32-bit argument, 64-bit result.
pub(super) fn widen<F: SpiDevice>(call: &mut Call<'_, F>, function: fn(u32) -> u64) -> Step {
    Ok(Flow::ReturnWide(function(call.argument(0)?)))
}

/// One 64-bit argument and result.
pub(super) fn wide<F: SpiDevice>(call: &mut Call<'_, F>, function: fn(u64) -> u64) -> Step {
    Ok(Flow::ReturnWide(function(call.wide_argument(0)?)))
}

/// Two 64-bit arguments, 32-bit result.
pub(super) fn judge<F: SpiDevice>(call: &mut Call<'_, F>, function: fn(u64, u64) -> u32) -> Step {
    Ok(Flow::Return(function(call.wide_argument(0)?, call.wide_argument(2)?)))
}

/// `__udivmoddi4(n, d, *remainder)`.
pub(super) fn udivmoddi4<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let (n, d, place) = (call.wide_argument(0)?, call.wide_argument(2)?, call.argument(4)?);
    let quotient = n.checked_div(d).ok_or(Fault::division())?;
    if place != 0 {
        call.store(place, &(n % d).to_le_bytes())?;
    }
    Ok(Flow::ReturnWide(quotient))
}

/// `__umulsidi3(a, b)`: the whole product.
pub(super) fn umulsidi3<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    Ok(Flow::ReturnWide(u64::from(call.argument(0)?) * u64::from(call.argument(1)?)))
}

pub(super) fn divsi3(a: u32, b: u32) -> Option<u32> {
    (b != 0).then(|| a.cast_signed().wrapping_div(b.cast_signed()).cast_unsigned())
}

pub(super) fn modsi3(a: u32, b: u32) -> Option<u32> {
    (b != 0).then(|| a.cast_signed().wrapping_rem(b.cast_signed()).cast_unsigned())
}

pub(super) fn divdi3(a: u64, b: u64) -> Option<u64> {
    (b != 0).then(|| a.cast_signed().wrapping_div(b.cast_signed()).cast_unsigned())
}

pub(super) fn moddi3(a: u64, b: u64) -> Option<u64> {
    (b != 0).then(|| a.cast_signed().wrapping_rem(b.cast_signed()).cast_unsigned())
}

/// 64-bit shifts use the low six bits of their count.
pub(super) fn ashldi3(value: u64, by: u32) -> u64 {
    value.wrapping_shl(by)
}

pub(super) fn ashrdi3(value: u64, by: u32) -> u64 {
    value.cast_signed().wrapping_shr(by).cast_unsigned()
}

pub(super) fn lshrdi3(value: u64, by: u32) -> u64 {
    value.wrapping_shr(by)
}

/// 0, 1 or 2 for less, equal or greater (libgcc's `__cmpdi2`).
pub(super) fn order<T: Ord + Copy>(a: T, b: T) -> u32 {
    match a.cmp(&b) {
        std::cmp::Ordering::Less => 0,
        std::cmp::Ordering::Equal => 1,
        std::cmp::Ordering::Greater => 2,
    }
}

/// `find first set`: 1 for bit 0, 0 for none.
pub(super) fn ffs(value: u64) -> u32 {
    if value == 0 { 0 } else { value.trailing_zeros() + 1 }
}

/// An operation on two `f32`.
pub(super) fn singles(a: u32, b: u32, function: fn(f32, f32) -> f32) -> u32 {
    function(f32::from_bits(a), f32::from_bits(b)).to_bits()
}

/// An operation on two `f64`.
pub(super) fn doubles(a: u64, b: u64, function: fn(f64, f64) -> f64) -> u64 {
    function(f64::from_bits(a), f64::from_bits(b)).to_bits()
}

/// Three-way comparison with libgcc's results; `unordered` is what a NaN gives.
pub(super) fn compare(a: f64, b: f64, unordered: u32) -> u32 {
    match a.partial_cmp(&b) {
        Some(std::cmp::Ordering::Less) => u32::MAX,
        Some(std::cmp::Ordering::Equal) => 0,
        Some(std::cmp::Ordering::Greater) => 1,
        None => unordered,
    }
}

pub(super) fn compare_doubles(a: u64, b: u64, unordered: u32) -> u32 {
    compare(f64::from_bits(a), f64::from_bits(b), unordered)
}

pub(super) fn compare_singles(a: u32, b: u32, unordered: u32) -> u32 {
    compare(f32::from_bits(a).into(), f32::from_bits(b).into(), unordered)
}

pub(super) fn fixdfsi(value: u64) -> u32 {
    (f64::from_bits(value) as i32).cast_unsigned()
}

pub(super) fn fixunsdfsi(value: u64) -> u32 {
    f64::from_bits(value) as u32
}

pub(super) fn fixsfsi(value: u32) -> u32 {
    (f32::from_bits(value) as i32).cast_unsigned()
}

pub(super) fn fixunssfsi(value: u32) -> u32 {
    f32::from_bits(value) as u32
}

pub(super) fn fixdfdi(value: u64) -> u64 {
    (f64::from_bits(value) as i64).cast_unsigned()
}

pub(super) fn fixsfdi(value: u32) -> u64 {
    (f32::from_bits(value) as i64).cast_unsigned()
}

pub(super) fn fixunssfdi(value: u32) -> u64 {
    f32::from_bits(value) as u64
}

pub(super) fn floatsidf(value: u32) -> u64 {
    f64::from(value.cast_signed()).to_bits()
}

pub(super) fn floatunsidf(value: u32) -> u64 {
    f64::from(value).to_bits()
}

pub(super) fn floatsisf(value: u32) -> u32 {
    (value.cast_signed() as f32).to_bits()
}

pub(super) fn floatunsisf(value: u32) -> u32 {
    (value as f32).to_bits()
}

pub(super) fn floatdidf(value: u64) -> u64 {
    (value.cast_signed() as f64).to_bits()
}

pub(super) fn floatundidf(value: u64) -> u64 {
    (value as f64).to_bits()
}

pub(super) fn floatdisf(value: u64) -> u32 {
    (value.cast_signed() as f32).to_bits()
}

pub(super) fn floatundisf(value: u64) -> u32 {
    (value as f32).to_bits()
}

pub(super) fn extendsfdf2(value: u32) -> u64 {
    f64::from(f32::from_bits(value)).to_bits()
}

pub(super) fn truncdfsf2(value: u64) -> u32 {
    (f64::from_bits(value) as f32).to_bits()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integer_helpers() {
        assert_eq!(divsi3(7u32.wrapping_neg(), 2), Some(3u32.wrapping_neg()));
        assert_eq!(modsi3(7u32.wrapping_neg(), 2), Some(1u32.wrapping_neg()));
        assert_eq!(divsi3(0x8000_0000, u32::MAX), Some(0x8000_0000));
        assert_eq!(divdi3(1, 0), None);
        assert_eq!(ashrdi3(1 << 63, 63), u64::MAX);
        assert_eq!(lshrdi3(1 << 63, 63), 1);
        assert_eq!((ffs(0), ffs(8)), (0, 4));
        assert_eq!([order(1, 2), order(2, 2), order(3, 2)], [0, 1, 2]);
    }

    #[test]
    fn comparisons_with_nan_make_every_relation_false() {
        let nan = f64::NAN.to_bits();
        let one = 1.0_f64.to_bits();
        // a < b is result < 0; a > b is result > 0; a == b is result == 0.
        assert!(compare_doubles(nan, one, 1).cast_signed() > 0);
        assert!(compare_doubles(nan, one, u32::MAX).cast_signed() < 0);
        assert_eq!(compare_doubles(one, one, 1), 0);
        assert_eq!(fixdfsi((-2.9_f64).to_bits()), 2u32.wrapping_neg());
        assert_eq!(doubles(one, one, |a, b| a + b), 2.0_f64.to_bits());
    }
}

//! Memory and string functions of the ROM's C library (newlib).

use super::{Call, Flow};
use crate::{guest::memory::Fault, spi::SpiDevice};

type Step = Result<Flow, Fault>;

/// `memcpy(d, s, n)` and `memmove(d, s, n)`.
pub(super) fn memmove<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let (to, from, len) = (call.argument(0)?, call.argument(1)?, call.argument(2)?);
    let data = call.bytes(from, len)?;
    call.store(to, &data)?;
    Ok(Flow::Return(to))
}

/// `xthal_bcopy(s, d, n)`.
pub(super) fn bcopy<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let (from, to, len) = (call.argument(0)?, call.argument(1)?, call.argument(2)?);
    let data = call.bytes(from, len)?;
    call.store(to, &data)?;
    Ok(Flow::Return(to))
}

/// `memset(d, c, n)`.
pub(super) fn memset<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let (to, value, len) = (call.argument(0)?, call.argument(1)?, call.argument(2)?);
    call.fill(to, value.to_le_bytes()[0], len)?;
    Ok(Flow::Return(to))
}

/// `bzero(d, n)`.
pub(super) fn bzero<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let (to, len) = (call.argument(0)?, call.argument(1)?);
    call.fill(to, 0, len)?;
    Ok(Flow::Return(0))
}

/// `memcmp(a, b, n)`: the difference of the first bytes that differ.
pub(super) fn memcmp<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let (a, b, len) = (call.argument(0)?, call.argument(1)?, call.argument(2)?);
    for at in 0..len {
        let (x, y) = (call.byte(a.wrapping_add(at))?, call.byte(b.wrapping_add(at))?);
        if x != y {
            return Ok(Flow::Return(difference(x, y)));
        }
    }
    Ok(Flow::Return(0))
}

/// `memchr(s, c, n)`.
pub(super) fn memchr<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let (from, wanted, len) = (call.argument(0)?, call.argument(1)?, call.argument(2)?);
    for at in (0..len).map(|at| from.wrapping_add(at)) {
        if call.byte(at)? == wanted.to_le_bytes()[0] {
            return Ok(Flow::Return(at));
        }
    }
    Ok(Flow::Return(0))
}

/// `memrchr(s, c, n)`.
pub(super) fn memrchr<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let (from, wanted, len) = (call.argument(0)?, call.argument(1)?, call.argument(2)?);
    let data = call.bytes(from, len)?;
    let found = data.iter().rposition(|byte| *byte == wanted.to_le_bytes()[0]);
    Ok(Flow::Return(found.map_or(0, |at| offset(from, at))))
}

/// `memccpy(d, s, c, n)`: copies up to and with `c`.
pub(super) fn memccpy<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let (to, from, stop) = (call.argument(0)?, call.argument(1)?, call.argument(2)?);
    let len = call.argument(3)?;
    for at in 0..len {
        let byte = call.byte(from.wrapping_add(at))?;
        call.store(to.wrapping_add(at), &[byte])?;
        if byte == stop.to_le_bytes()[0] {
            return Ok(Flow::Return(to.wrapping_add(at + 1)));
        }
    }
    Ok(Flow::Return(0))
}

/// `strlen(s)`.
pub(super) fn strlen<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let text = call.argument(0)?;
    Ok(Flow::Return(count(&call.string(text)?)))
}

/// `strnlen(s, n)`.
pub(super) fn strnlen<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let (text, most) = (call.argument(0)?, call.argument(1)?);
    Ok(Flow::Return(count(&call.string_within(text, most)?)))
}

/// `strcmp(a, b)`.
pub(super) fn strcmp<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    compare(call, u32::MAX, false)
}

/// `strncmp(a, b, n)`.
pub(super) fn strncmp<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let most = call.argument(2)?;
    compare(call, most, false)
}

/// `strcasecmp(a, b)`.
pub(super) fn strcasecmp<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    compare(call, u32::MAX, true)
}

/// `strncasecmp(a, b, n)`.
pub(super) fn strncasecmp<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let most = call.argument(2)?;
    compare(call, most, true)
}

fn compare<F: SpiDevice>(call: &mut Call<'_, F>, most: u32, fold: bool) -> Step {
    let (a, b) = (call.argument(0)?, call.argument(1)?);
    for at in 0..most {
        let (mut x, mut y) = (call.byte(a.wrapping_add(at))?, call.byte(b.wrapping_add(at))?);
        if fold {
            (x, y) = (x.to_ascii_lowercase(), y.to_ascii_lowercase());
        }
        if x != y || x == 0 {
            return Ok(Flow::Return(difference(x, y)));
        }
    }
    Ok(Flow::Return(0))
}

/// `strcpy(d, s)`.
pub(super) fn strcpy<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let (to, from) = (call.argument(0)?, call.argument(1)?);
    let mut text = call.string(from)?;
    text.push(0);
    call.store(to, &text)?;
    Ok(Flow::Return(to))
}

/// `strncpy(d, s, n)`: pads with zeros, no terminator if there is no room.
pub(super) fn strncpy<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let (to, from, len) = (call.argument(0)?, call.argument(1)?, call.argument(2)?);
    let text = call.string_within(from, len)?;
    call.store(to, &text)?;
    call.fill(offset(to, text.len()), 0, len - count(&text))?;
    Ok(Flow::Return(to))
}

/// `strcat(d, s)`.
pub(super) fn strcat<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    concatenate(call, u32::MAX)
}

/// `strncat(d, s, n)`.
pub(super) fn strncat<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let most = call.argument(2)?;
    concatenate(call, most)
}

fn concatenate<F: SpiDevice>(call: &mut Call<'_, F>, most: u32) -> Step {
    let (to, from) = (call.argument(0)?, call.argument(1)?);
    let end = offset(to, call.string(to)?.len());
    let mut text = call.string_within(from, most)?;
    text.push(0);
    call.store(end, &text)?;
    Ok(Flow::Return(to))
}

/// `strlcpy(d, s, size)`: the length of `s`.
pub(super) fn strlcpy<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let (to, from, size) = (call.argument(0)?, call.argument(1)?, call.argument(2)?);
    let text = call.string(from)?;
    store_limited(call, to, &text, size)?;
    Ok(Flow::Return(count(&text)))
}

/// `strlcat(d, s, size)`: the length that it tried to make.
pub(super) fn strlcat<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let (to, from, size) = (call.argument(0)?, call.argument(1)?, call.argument(2)?);
    let before = count(&call.string_within(to, size)?);
    let text = call.string(from)?;
    if before < size {
        store_limited(call, to.wrapping_add(before), &text, size - before)?;
    }
    Ok(Flow::Return(before.saturating_add(count(&text))))
}

fn store_limited<F: SpiDevice>(
    call: &mut Call<'_, F>,
    to: u32,
    text: &[u8],
    size: u32,
) -> Result<(), Fault> {
    let Some(room) = size.checked_sub(1) else { return Ok(()) };
    let mut kept = text[..text.len().min(room as usize)].to_vec();
    kept.push(0);
    call.store(to, &kept)
}

/// `strchr(s, c)`; also finds the terminator.
pub(super) fn strchr<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let (from, wanted) = (call.argument(0)?, call.argument(1)?);
    let mut text = call.string(from)?;
    text.push(0);
    let found = text.iter().position(|byte| *byte == wanted.to_le_bytes()[0]);
    Ok(Flow::Return(found.map_or(0, |at| offset(from, at))))
}

/// `strrchr(s, c)`; also finds the terminator.
pub(super) fn strrchr<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let (from, wanted) = (call.argument(0)?, call.argument(1)?);
    let mut text = call.string(from)?;
    text.push(0);
    let found = text.iter().rposition(|byte| *byte == wanted.to_le_bytes()[0]);
    Ok(Flow::Return(found.map_or(0, |at| offset(from, at))))
}

/// `strstr(s, wanted)`.
pub(super) fn strstr<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let (from, wanted) = (call.argument(0)?, call.argument(1)?);
    let (text, wanted) = (call.string(from)?, call.string(wanted)?);
    let found = if wanted.is_empty() {
        Some(0)
    } else {
        text.windows(wanted.len()).position(|window| window == wanted)
    };
    Ok(Flow::Return(found.map_or(0, |at| offset(from, at))))
}

/// `strspn(s, set)`.
pub(super) fn strspn<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    span(call, true)
}

/// `strcspn(s, set)`.
pub(super) fn strcspn<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    span(call, false)
}

fn span<F: SpiDevice>(call: &mut Call<'_, F>, inside: bool) -> Step {
    let (from, set) = (call.argument(0)?, call.argument(1)?);
    let (text, set) = (call.string(from)?, call.string(set)?);
    let run = text.iter().take_while(|byte| set.contains(byte) == inside);
    Ok(Flow::Return(u32::try_from(run.count()).unwrap_or(u32::MAX)))
}

/// `atoi(s)` and `atol(s)`.
pub(super) fn atoi<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let text = call.argument(0)?;
    let parsed = parse(&call.string(text)?, 10);
    Ok(Flow::Return(parsed.signed()))
}

/// `strtol(s, end, base)`.
pub(super) fn strtol<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    parse_call(call, Parsed::signed)
}

/// `strtoul(s, end, base)`.
pub(super) fn strtoul<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    parse_call(call, Parsed::unsigned)
}

fn parse_call<F: SpiDevice>(call: &mut Call<'_, F>, value: fn(&Parsed) -> u32) -> Step {
    let (text, end, base) = (call.argument(0)?, call.argument(1)?, call.argument(2)?);
    let parsed = parse(&call.string(text)?, base);
    if end != 0 {
        call.store(end, &offset(text, parsed.len).to_le_bytes())?;
    }
    Ok(Flow::Return(value(&parsed)))
}

/// A number in text.
struct Parsed {
    negative: bool,
    /// Saturates.
    magnitude: u64,
    /// Bytes that belong to it, with the white space before.
    len: usize,
}

impl Parsed {
    fn signed(&self) -> u32 {
        let value = i64::try_from(self.magnitude).unwrap_or(i64::MAX);
        let value = if self.negative { -value } else { value };
        let limited = value.clamp(i64::from(i32::MIN), i64::from(i32::MAX));
        i32::try_from(limited).unwrap_or(0).cast_unsigned()
    }

    fn unsigned(&self) -> u32 {
        match u32::try_from(self.magnitude) {
            Ok(value) if self.negative => value.wrapping_neg(),
            Ok(value) => value,
            Err(_) => u32::MAX,
        }
    }
}

fn parse(text: &[u8], base: u32) -> Parsed {
    let blank = text.iter().take_while(|byte| byte.is_ascii_whitespace() || **byte == 0x0B).count();
    let mut at = blank;
    let negative = text.get(at) == Some(&b'-');
    if matches!(text.get(at), Some(b'+' | b'-')) {
        at += 1;
    }
    let hex = matches!(text.get(at..at + 2), Some(b"0x" | b"0X"))
        && text.get(at + 2).is_some_and(u8::is_ascii_hexdigit);
    let base = match base {
        0 if hex => 16,
        0 if text.get(at) == Some(&b'0') => 8,
        0 => 10,
        base => base.clamp(2, 36),
    };
    if hex && base == 16 {
        at += 2;
    }
    let digit = |byte: &u8| char::from(*byte).to_digit(base);
    let digits: Vec<u32> = text.get(at..).unwrap_or_default().iter().map_while(digit).collect();
    let step =
        |sum: u64, digit: &u32| sum.saturating_mul(base.into()).saturating_add((*digit).into());
    let magnitude = digits.iter().fold(0, step);
    let len = if digits.is_empty() { 0 } else { at + digits.len() };
    Parsed { negative, magnitude, len }
}

/// `abs(n)` and `labs(n)`.
pub(super) fn abs<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    Ok(Flow::Return(call.argument(0)?.cast_signed().wrapping_abs().cast_unsigned()))
}

/// `itoa(value, buffer, base)`; only base 10 shows a sign.
pub(super) fn itoa<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let value = call.argument(0)?.cast_signed();
    let negative = value < 0 && call.argument(2)? == 10;
    let magnitude = if negative { value.unsigned_abs() } else { value.cast_unsigned() };
    digits(call, magnitude, negative)
}

/// `utoa(value, buffer, base)`.
pub(super) fn utoa<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let value = call.argument(0)?;
    digits(call, value, false)
}

fn digits<F: SpiDevice>(call: &mut Call<'_, F>, value: u32, negative: bool) -> Step {
    let (buffer, base) = (call.argument(1)?, call.argument(2)?);
    if !(2..=36).contains(&base) {
        call.store(buffer, &[0])?;
        return Ok(Flow::Return(0));
    }
    let mut text = vec![0];
    let mut rest = value;
    loop {
        let digit = char::from_digit(rest % base, base).unwrap_or('0');
        text.push(u8::try_from(digit).unwrap_or(b'0'));
        rest /= base;
        if rest == 0 {
            break;
        }
    }
    if negative {
        text.push(b'-');
    }
    text.reverse();
    call.store(buffer, &text)?;
    Ok(Flow::Return(buffer))
}

/// `isdigit(c)` and its kin: non-zero for yes. Takes what it asks for from the table's row.
pub(super) fn is<F: SpiDevice>(call: &mut Call<'_, F>, class: fn(&u8) -> bool) -> Step {
    let code = u8::try_from(call.argument(0)?);
    Ok(Flow::Return(u32::from(code.is_ok_and(|code| class(&code)))))
}

/// `tolower(c)`.
pub(super) fn tolower<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let code = call.argument(0)?;
    Ok(Flow::Return(u8::try_from(code).map_or(code, |code| code.to_ascii_lowercase().into())))
}

/// `toupper(c)`.
pub(super) fn toupper<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let code = call.argument(0)?;
    Ok(Flow::Return(u8::try_from(code).map_or(code, |code| code.to_ascii_uppercase().into())))
}

/// `srand(seed)`.
pub(super) fn srand<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    call.rom.random = u64::from(call.argument(0)?);
    Ok(Flow::Return(0))
}

/// `rand()`: newlib's linear congruential generator.
pub(super) fn rand<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    call.rom.random = call.rom.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    call.cpu.note_effect();
    Ok(Flow::Return(u32::try_from(call.rom.random >> 32).unwrap_or(0) & 0x7FFF_FFFF))
}

fn difference(x: u8, y: u8) -> u32 {
    (i32::from(x) - i32::from(y)).cast_unsigned()
}

fn count(text: &[u8]) -> u32 {
    u32::try_from(text.len()).unwrap_or(u32::MAX)
}

fn offset(base: u32, at: usize) -> u32 {
    base.wrapping_add(u32::try_from(at).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_text() {
        let cases: &[(&[u8], u32, u32, usize)] = &[
            (b" -12x", 10, 12u32.wrapping_neg(), 4),
            (b"0x1fz", 0, 31, 4),
            (b"0x1f", 16, 31, 4),
            (b"017", 0, 15, 3),
            (b"9999999999", 10, 0x7FFF_FFFF, 10),
            (b"-9999999999", 10, 0x8000_0000, 11),
            (b"0xg", 0, 0, 1),
            (b"abc", 10, 0, 0),
            (b"", 0, 0, 0),
        ];
        for &(text, base, value, len) in cases {
            let parsed = parse(text, base);
            assert_eq!((parsed.signed(), parsed.len), (value, len), "{text:?}");
        }
        assert_eq!(parse(b"4294967295", 10).unsigned(), u32::MAX);
        assert_eq!(parse(b"-1", 10).unsigned(), u32::MAX);
    }
}

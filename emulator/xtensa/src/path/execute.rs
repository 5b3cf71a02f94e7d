//! Running along a path.

use super::{
    alu::{alu, shift_amount},
    compile::Path,
    step::{Do, Micro, Span},
    values::{SLOT_MASK, SLOTS},
};
use crate::{
    access::{Side, is_inside, load_from},
    bus::{Bus, Width},
    exception::Trap,
    memory::Memory,
};

/// How a path was left.
#[derive(Debug)]
pub(super) enum Leave {
    /// At this exit.
    At(u32),
    /// At this exit, behind a store after which interrupts are looked at.
    Attention(u32),
    /// At this exit, by an exception of its instruction.
    Trap(u32, Trap),
}

const NO_SPAN: Span = Span { first: 0, bytes: 0, pages: 0 };
const WIDTHS: [Width; 4] = [Width::Byte, Width::Half, Width::Word, Width::Half];

/// Runs along `path` as often as `left` instructions allow, but at least once. Gives how often it
/// was run along to its end, and how it was left.
#[inline(never)]
#[expect(clippy::too_many_lines, reason = "one arm an operation, in one jump table")]
#[expect(clippy::cast_possible_truncation, reason = "registers are cut to bytes on purpose")]
pub(super) fn execute<B: Bus>(
    path: &Path,
    ar: &mut [u32; SLOTS],
    sar: &mut u32,
    mem: &mut Memory,
    side: &mut Side<'_>,
    bus: &mut B,
    left: u32,
) -> (u32, Leave) {
    let length = u32::try_from(path.steps.len()).unwrap_or(u32::MAX);
    let times_max = left / length.max(1);
    let mut times = 0;
    let mut ops: &[Micro] = &path.first;
    loop {
        for micro in ops {
            macro_rules! a {
                () => {
                    ar[usize::from(micro.a & SLOT_MASK)]
                };
            }
            macro_rules! b {
                () => {
                    ar[usize::from(micro.b & SLOT_MASK)]
                };
            }
            macro_rules! d {
                ($value:expr) => {{
                    let value = $value;
                    ar[usize::from(micro.d & SLOT_MASK)] = value;
                }};
            }
            macro_rules! expect {
                ($holds:expr) => {
                    if !$holds {
                        return (times, Leave::At(micro.x));
                    }
                };
            }
            macro_rules! load {
                ($number:ty, $width:expr) => {{
                    let at = a!().wrapping_add(micro.imm);
                    match mem.backed(at) {
                        Some(bytes) if is_inside(at, size_of::<$number>(), micro.x) => {
                            u32::from(<$number>::from_le_bytes(bytes))
                        }
                        _ => match mem.load_elsewhere(bus, micro.x, at, $width) {
                            Ok(value) => value,
                            Err(trap) => return (times, Leave::Trap(micro.y, trap)),
                        },
                    }
                }};
            }
            macro_rules! load_at {
                ($number:ty) => {
                    // The place was found when the path was compiled, and memory does not shrink.
                    mem.backed(micro.imm).map_or(0, |bytes| <$number>::from_le_bytes(bytes).into())
                };
            }
            macro_rules! load_and_expect {
                ($number:ty, $is_it:expr) => {{
                    let value: u32 = load_at!($number);
                    d!(value);
                    expect!((value == micro.y) == $is_it);
                }};
            }
            macro_rules! store {
                ($number:ty, $width:expr, $base:expr) => {{
                    let at = u32::wrapping_add($base, micro.imm);
                    let value = ar[usize::from(micro.d & SLOT_MASK)];
                    let span = path.spans.get(micro.x as usize).copied().unwrap_or(NO_SPAN);
                    if !(span.has(at, size_of::<$number>())
                        && mem.set_backed(at, (value as $number).to_le_bytes()))
                    {
                        let place = [span.pages, at];
                        let result = mem.store_elsewhere(bus, side, place, $width, value);
                        // It may be what the path keeps in its slots.
                        return match result {
                            Err(trap) => (times, Leave::Trap(micro.y, trap)),
                            Ok(()) => (times, Leave::Attention(micro.y)),
                        };
                    }
                }};
            }
            macro_rules! store_at {
                ($number:ty) => {{
                    let value = ar[usize::from(micro.d & SLOT_MASK)];
                    mem.set_backed(micro.imm, (value as $number).to_le_bytes());
                }};
            }
            macro_rules! load_bus {
                ($found:expr) => {
                    match $found {
                        Ok(value) if micro.x == 3 => d!(sign_extend_half(value)),
                        // A bus load that is masked has its count of bits in b, others 0.
                        Ok(value) => d!(value & (u32::MAX >> ((32 - micro.b) % 32))),
                        Err(trap) => return (times, Leave::Trap(micro.y, trap)),
                    }
                };
            }
            macro_rules! expect_neither {
                () => {{
                    let value = a!();
                    if value == micro.imm {
                        return (times, Leave::At(micro.x & 0xffff));
                    }
                    if value == micro.y {
                        return (times, Leave::At(micro.x >> 16));
                    }
                }};
            }
            match micro.op {
                Do::Const => d!(micro.imm),
                Do::Mov => d!(a!()),
                Do::And => d!(a!() & b!()),
                Do::AndI => d!(a!() & micro.imm),
                Do::Or => d!(a!() | b!()),
                Do::OrI => d!(a!() | micro.imm),
                Do::Xor => d!(a!() ^ b!()),
                Do::XorI => d!(a!() ^ micro.imm),
                Do::Add => d!(a!().wrapping_add(b!())),
                Do::AddI => d!(a!().wrapping_add(micro.imm)),
                Do::Addx2 => d!((a!() << 1).wrapping_add(b!())),
                Do::Addx4 => d!((a!() << 2).wrapping_add(b!())),
                Do::Addx8 => d!((a!() << 3).wrapping_add(b!())),
                Do::Sub => d!(a!().wrapping_sub(b!())),
                Do::ShiftAddI => d!((a!() << (micro.b & 31)).wrapping_add(micro.imm)),
                Do::Slli => d!(a!().checked_shl(micro.imm).unwrap_or(0)),
                Do::Srli => d!(a!() >> (micro.imm & 31)),
                Do::Srai => d!((a!().cast_signed() >> (micro.imm & 31)).cast_unsigned()),
                Do::Extui => d!(a!() >> (micro.b & 31) & micro.imm),
                Do::Sext => {
                    let by = micro.imm & 31;
                    d!(((a!() << by).cast_signed() >> by).cast_unsigned());
                }
                Do::Mull => d!(a!().wrapping_mul(b!())),
                Do::MovIfZero => {
                    if b!() == 0 {
                        d!(a!());
                    }
                }
                Do::MovIfNot => {
                    if b!() != 0 {
                        d!(a!());
                    }
                }
                Do::MovIfNegative => {
                    if b!().cast_signed() < 0 {
                        d!(a!());
                    }
                }
                Do::MovIfPositive => {
                    if b!().cast_signed() >= 0 {
                        d!(a!());
                    }
                }
                Do::Alu => {
                    if let Some(step) = path.steps.get(micro.x as usize) {
                        d!(alu(step.insn, a!(), b!(), *sar));
                    }
                }
                Do::Sar => *sar = micro.imm,
                Do::SarOf => {
                    if let Some(step) = path.steps.get(micro.x as usize) {
                        *sar = shift_amount(step.insn.op, a!());
                    }
                }
                Do::Load8 => d!(load!(u8, Width::Byte)),
                Do::Load16 => d!(load!(u16, Width::Half)),
                Do::Load16Signed => d!(sign_extend_half(load!(u16, Width::Half))),
                Do::Load32 => d!(load!(u32, Width::Word)),
                Do::Load8At => d!(load_at!(u8)),
                Do::Load16At => d!(load_at!(u16)),
                Do::Load16SignedAt => d!(sign_extend_half(load_at!(u16))),
                Do::Load32At => d!(load_at!(u32)),
                Do::LoadAny => {
                    let width = WIDTHS[(micro.x & 3) as usize];
                    load_bus!(mem.load_any(bus, a!().wrapping_add(micro.imm), width));
                }
                Do::LoadBus => {
                    load_bus!(load_from(bus, micro.imm, WIDTHS[(micro.x & 3) as usize]));
                }
                Do::Store8 => store!(u8, Width::Byte, a!()),
                Do::Store16 => store!(u16, Width::Half, a!()),
                Do::Store32 => store!(u32, Width::Word, a!()),
                Do::Store8At => store_at!(u8),
                Do::Store16At => store_at!(u16),
                Do::Store32At => store_at!(u32),
                Do::StoreAny => {
                    let (addr, width) =
                        (a!().wrapping_add(micro.imm), WIDTHS[(micro.x & 3) as usize]);
                    let value = ar[usize::from(micro.d & SLOT_MASK)];
                    if let Err(trap) = mem.store_any(bus, side, addr, width, value) {
                        return (times, Leave::Trap(micro.y, trap));
                    }
                    if *side.attention || mem.is_stale() {
                        return (times, Leave::Attention(micro.y));
                    }
                }
                Do::AddMask => d!(a!().wrapping_add(micro.imm) & micro.y),
                Do::AddIfNe => {
                    let sum = a!().wrapping_add(micro.imm);
                    d!(sum);
                    expect!(sum != micro.y);
                }
                Do::AddIfEq => {
                    let sum = a!().wrapping_add(micro.imm);
                    d!(sum);
                    expect!(sum == micro.y);
                }
                Do::AddIfLt => {
                    let sum = a!().wrapping_add(micro.imm);
                    d!(sum);
                    expect!(sum.cast_signed() < b!().cast_signed());
                }
                Do::Load8Sum => {
                    let sum = a!().wrapping_add(b!());
                    let at = sum.wrapping_add(micro.imm);
                    let value = match mem.backed(at) {
                        Some([byte]) if is_inside(at, 1, micro.x) => Ok(u32::from(byte)),
                        _ => mem.load_elsewhere(bus, micro.x, at, Width::Byte),
                    };
                    match value {
                        Ok(value) => d!(value),
                        Err(trap) => {
                            d!(sum);
                            return (times, Leave::Trap(micro.y, trap));
                        }
                    }
                }
                Do::IfNeither => expect_neither!(),
                Do::MovIfNeither => {
                    d!(b!());
                    expect_neither!();
                }
                Do::KeepLoadBus => {
                    ar[usize::from(micro.a & SLOT_MASK)] = ar[usize::from(micro.d & SLOT_MASK)];
                    load_bus!(load_from(bus, micro.imm, WIDTHS[(micro.x & 3) as usize]));
                }
                Do::KeepAddMaskStore16 => {
                    let number = a!();
                    ar[usize::from(micro.b & SLOT_MASK)] = number;
                    let sum = a!().wrapping_add(micro.imm) & micro.y;
                    d!(sum);
                    mem.set_backed(micro.x, (sum as u16).to_le_bytes());
                }
                Do::AddStore8 => {
                    let sum = a!().wrapping_add(b!());
                    ar[usize::from(micro.b & SLOT_MASK)] = sum;
                    store!(u8, Width::Byte, sum);
                }
                Do::IfNeICount => {
                    if a!() == micro.imm {
                        return (times, Leave::At(micro.x & 0xffff));
                    }
                    let sum = ar[usize::from(micro.d & SLOT_MASK)].wrapping_add(micro.y);
                    d!(sum);
                    if sum == micro.y {
                        return (times, Leave::At(micro.x >> 16));
                    }
                }
                Do::XorAddIfLt => {
                    let [to, one, other, _] = micro.y.to_le_bytes();
                    ar[usize::from(to & SLOT_MASK)] =
                        ar[usize::from(one & SLOT_MASK)] ^ ar[usize::from(other & SLOT_MASK)];
                    let sum = a!().wrapping_add(micro.imm);
                    d!(sum);
                    expect!(sum.cast_signed() < b!().cast_signed());
                }
                Do::Load8IfNe => load_and_expect!(u8, false),
                Do::Load16IfNe => load_and_expect!(u16, false),
                Do::Load32IfNe => load_and_expect!(u32, false),
                Do::Load8IfEq => load_and_expect!(u8, true),
                Do::Load16IfEq => load_and_expect!(u16, true),
                Do::Load32IfEq => load_and_expect!(u32, true),
                Do::IfEq => expect!(a!() == b!()),
                Do::IfNe => expect!(a!() != b!()),
                Do::IfLt => expect!(a!().cast_signed() < b!().cast_signed()),
                Do::IfGe => expect!(a!().cast_signed() >= b!().cast_signed()),
                Do::IfLtu => expect!(a!() < b!()),
                Do::IfGeu => expect!(a!() >= b!()),
                Do::IfAny => expect!(a!() & b!() != 0),
                Do::IfNone => expect!(a!() & b!() == 0),
                Do::IfAll => expect!(!a!() & b!() == 0),
                Do::IfNotAll => expect!(!a!() & b!() != 0),
                Do::IfBitSet => expect!(a!() >> (b!() & 31) & 1 != 0),
                Do::IfBitClear => expect!(a!() >> (b!() & 31) & 1 == 0),
                Do::Leave => return (times, Leave::At(micro.x)),
                Do::IfEqI => expect!(a!() == micro.imm),
                Do::IfNeI => expect!(a!() != micro.imm),
                Do::IfLtI => expect!(a!().cast_signed() < micro.imm.cast_signed()),
                Do::IfGeI => expect!(a!().cast_signed() >= micro.imm.cast_signed()),
                Do::IfLtuI => expect!(a!() < micro.imm),
                Do::IfGeuI => expect!(a!() >= micro.imm),
                Do::IfAnyI => expect!(a!() & micro.imm != 0),
                Do::IfNoneI => expect!(a!() & micro.imm == 0),
            }
        }
        times += 1;
        match &path.again {
            Some(again) if times < times_max => ops = again,
            _ => return (times - 1, Leave::At(path.ends[usize::from(times > 1)])),
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a half word is wanted")]
fn sign_extend_half(value: u32) -> u32 {
    i32::from((value as u16).cast_signed()).cast_unsigned()
}

//! Neighbours that are one operation.
//!
//! While a path is made, [`push`] joins what belongs together as a value and its comparison do. When it is
//! ready, [`pairs`] joins two operations that are often neighbours to one that does both one after the other.

use super::step::{Do, Micro};

/// Appends `micro`, or makes one of it and what is before it.
pub(super) fn push(ops: &mut Vec<Micro>, micro: Micro) {
    let fused = match micro.op {
        Do::IfNeI | Do::IfEqI => test(ops, micro),
        Do::IfLt => compare(ops, micro),
        Do::Extui if micro.b == 0 && micro.d == micro.a => mask(ops, micro),
        Do::Load8 if micro.d == micro.a => sum(ops, micro),
        _ => false,
    };
    if !fused {
        ops.push(micro);
    }
}

/// The comparison of a sum or of what was loaded from a known place.
fn test(ops: &mut Vec<Micro>, micro: Micro) -> bool {
    let Some(&last) = ops.last() else { return false };
    if (last.op, micro.op, last.a) == (Do::IfNeI, Do::IfNeI, micro.a)
        && let Some(x) = exits(last, micro)
    {
        ops.pop();
        ops.push(Micro { op: Do::IfNeither, x, y: micro.imm, ..last });
        return true;
    }
    if let Some(op) = with_test(last, micro) {
        ops.pop();
        ops.push(Micro { op, x: micro.x, y: micro.imm, ..last });
        return true;
    }
    // A load may as well be made behind what has nothing to do with it.
    let Some(&before) = ops.len().checked_sub(2).and_then(|at| ops.get(at)) else { return false };
    let is_apart = is_of_one(last.op) && last.d != before.d && last.a != before.d;
    match with_test(before, micro).filter(|_| is_apart && before.op != Do::AddI) {
        Some(op) => {
            ops.truncate(ops.len() - 2);
            ops.push(last);
            ops.push(Micro { op, x: micro.x, y: micro.imm, ..before });
            true
        }
        None => false,
    }
}

/// The comparison of a sum that was made one operation before the last, or right before.
fn compare(ops: &mut Vec<Micro>, micro: Micro) -> bool {
    let counts = |add: &Micro| {
        add.op == Do::AddI && (add.d, add.a) == (micro.a, micro.a) && micro.b != add.d
    };
    let fused = |add: Micro| Micro { op: Do::AddIfLt, b: micro.b, x: micro.x, ..add };
    let Some(&last) = ops.last() else { return false };
    if counts(&last) {
        ops.pop();
        ops.push(fused(last));
        return true;
    }
    let Some(&before) = ops.len().checked_sub(2).and_then(|at| ops.get(at)) else { return false };
    let touches = [last.d, last.a, last.b].contains(&before.d) || last.d == micro.b;
    if counts(&before) && last.op == Do::Xor && !touches {
        ops.truncate(ops.len() - 2);
        ops.push(last);
        ops.push(fused(before));
        return true;
    }
    false
}

/// A load from the sum of two registers, which it takes the place of.
fn sum(ops: &mut [Micro], load: Micro) -> bool {
    match ops.last_mut() {
        Some(last) if last.op == Do::Add && last.d == load.a => {
            *last = Micro { op: Do::Load8Sum, a: last.a, b: last.b, ..load };
            true
        }
        _ => false,
    }
}

/// What `first` with the comparison `test` of its result is.
fn with_test(first: Micro, test: Micro) -> Option<Do> {
    if first.d != test.a {
        return None;
    }
    Some(match (first.op, test.op) {
        (Do::AddI, Do::IfNeI) => Do::AddIfNe,
        (Do::AddI, Do::IfEqI) => Do::AddIfEq,
        (Do::Load8At, Do::IfNeI) => Do::Load8IfNe,
        (Do::Load8At, Do::IfEqI) => Do::Load8IfEq,
        (Do::Load16At, Do::IfNeI) => Do::Load16IfNe,
        (Do::Load16At, Do::IfEqI) => Do::Load16IfEq,
        (Do::Load32At, Do::IfNeI) => Do::Load32IfNe,
        (Do::Load32At, Do::IfEqI) => Do::Load32IfEq,
        _ => return None,
    })
}

/// Operations that read and write registers a and d alone.
fn is_of_one(op: Do) -> bool {
    matches!(
        op,
        Do::Const | Do::Mov | Do::AddI | Do::AndI | Do::Extui | Do::Slli | Do::Srli | Do::Srai
    )
}

/// The low bits of a sum, or of what the bus has.
fn mask(ops: &mut [Micro], micro: Micro) -> bool {
    match ops.last_mut() {
        Some(last) if last.op == Do::LoadBus && last.d == micro.a && last.x != 3 => {
            let count = micro.imm.trailing_ones();
            last.b = u8::try_from(count).unwrap_or(0);
            true
        }
        Some(last) if last.op == Do::AddI && last.d == micro.a => {
            (last.op, last.y) = (Do::AddMask, micro.imm);
            true
        }
        _ => false,
    }
}

/// The operations of a path with those neighbours joined that [`pair`] knows.
pub(super) fn pairs(ops: Vec<Micro>) -> Box<[Micro]> {
    let mut joined: Vec<Micro> = Vec::with_capacity(ops.len());
    for mut micro in ops {
        while let Some(both) = joined.last().and_then(|last| pair(*last, micro)) {
            joined.pop();
            micro = both;
        }
        joined.push(micro);
    }
    joined.into()
}

/// One operation that does what `first` and then `second` do.
fn pair(first: Micro, second: Micro) -> Option<Micro> {
    match (first.op, second.op) {
        (Do::Mov, Do::LoadBus) if first.a == second.d => {
            Some(Micro { op: Do::KeepLoadBus, a: first.d, ..second })
        }
        (Do::Mov, Do::IfNeither) => {
            Some(Micro { op: Do::MovIfNeither, d: first.d, b: first.a, ..second })
        }
        (Do::AddMask, Do::Store16At) if first.d == second.d => {
            Some(Micro { op: Do::KeepAddMaskStore16, b: first.a, x: second.imm, ..first })
        }
        (Do::Mov, Do::KeepAddMaskStore16) if second.b == second.a && first.a == second.a => {
            Some(Micro { b: first.d, ..second })
        }
        (Do::Add, Do::Store8) if first.d == second.a && first.d == first.b => {
            Some(Micro { op: Do::AddStore8, a: first.a, b: first.b, ..second })
        }
        (Do::IfNeI, Do::AddIfNe) if second.a == second.d && second.imm == second.y => {
            let x = exits(first, second)?;
            Some(Micro { op: Do::IfNeICount, d: second.d, x, y: second.y, ..first })
        }
        (Do::Xor, Do::AddIfLt) => {
            let y = u32::from_le_bytes([first.d, first.a, first.b, 0]);
            Some(Micro { op: Do::XorAddIfLt, y, ..second })
        }
        _ => None,
    }
}

/// Two exits in one number.
fn exits(first: Micro, second: Micro) -> Option<u32> {
    let [low, high] = [u16::try_from(first.x).ok()?, u16::try_from(second.x).ok()?];
    Some(u32::from(high) << 16 | u32::from(low))
}

#[cfg(test)]
mod tests;

//! Neighbours that are one operation.

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
        && let (Ok(first), Ok(second)) = (u16::try_from(last.x), u16::try_from(micro.x))
    {
        ops.pop();
        let x = u32::from(second) << 16 | u32::from(first);
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

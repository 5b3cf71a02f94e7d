//! Neighbours that are one operation.

use super::step::{Do, Micro};

/// Appends `micro`, or makes one of it and what is before it.
pub(super) fn push(ops: &mut Vec<Micro>, micro: Micro) {
    let fused = match micro.op {
        Do::IfNeI | Do::IfEqI => test(ops, micro),
        Do::Extui if micro.b == 0 && micro.d == micro.a => mask(ops, micro),
        _ => false,
    };
    if !fused {
        ops.push(micro);
    }
}

/// The comparison of a sum or of what was loaded from a known place.
fn test(ops: &mut Vec<Micro>, micro: Micro) -> bool {
    let Some(&last) = ops.last() else { return false };
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

/// The low bits of a sum.
fn mask(ops: &mut [Micro], micro: Micro) -> bool {
    match ops.last_mut() {
        Some(last) if last.op == Do::AddI && last.d == micro.a => {
            (last.op, last.y) = (Do::AddMask, micro.imm);
            true
        }
        _ => false,
    }
}

//! Why a program is paused, as the debugger is told, and what it may be paused by.

use super::{
    packet::number,
    session::{ERROR, OK},
    target::{Scope, Target},
};
use crate::board::{Pause, Probe, ProgramEnd, Watch, Watchpoint};

const SIGINT: u8 = 2;
const SIGILL: u8 = 4;
const SIGTRAP: u8 = 5;
const SIGFPE: u8 = 8;
const SIGSEGV: u8 = 11;
/// EXCCAUSE numbers with signals of their own; all others are SIGSEGV.
const ILLEGAL_INSTRUCTION: u8 = 0;
const DIVIDE_BY_ZERO: u8 = 6;
/// Breakpoints, and watchpoints, of each kind. Silicon has two of either in hardware.
const STOPS_MAX: usize = 4096;

/// Which reasons of a stop a debugger understands (`qSupported`). Watchpoints need no asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Reasons {
    software: bool,
    hardware: bool,
}

impl Reasons {
    /// What the debugger's `qSupported` says.
    pub(super) fn of(text: &str) -> Self {
        let has = |name| text.split([':', ';']).any(|part| part == name);
        Self { software: has("swbreak+"), hardware: has("hwbreak+") }
    }
}

/// Why the program is paused, or how it ended.
pub(super) fn stop_reply(board: &dyn Target, scope: Scope, reasons: Reasons) -> Vec<u8> {
    if board.core().is_none() && scope == Scope::Program {
        return match board.program_end() {
            Some(ProgramEnd::Returned | ProgramEnd::Reset { .. }) => b"W00".to_vec(),
            _ => format!("X{SIGSEGV:02x}").into_bytes(),
        };
    }
    let pause = board.probe().and_then(Probe::pause);
    let signal = match pause {
        Some(Pause::Interrupted) => SIGINT,
        Some(Pause::Fault { cause: ILLEGAL_INSTRUCTION, .. }) => SIGILL,
        Some(Pause::Fault { cause: DIVIDE_BY_ZERO, .. }) => SIGFPE,
        Some(Pause::Fault { .. }) => SIGSEGV,
        _ => SIGTRAP,
    };
    let pc = board.core().map_or(0, |cpu| cpu.pc);
    let is_hardware = board.probe().is_some_and(|probe| probe.hardware_breakpoints.contains(&pc));
    let reason = match pause {
        Some(Pause::Breakpoint) if is_hardware && reasons.hardware => "hwbreak:;".to_owned(),
        Some(Pause::Breakpoint) if !is_hardware && reasons.software => "swbreak:;".to_owned(),
        Some(Pause::Watchpoint { kind, address }) => {
            let name = match kind {
                Watch::Write => "watch",
                Watch::Read => "rwatch",
                Watch::Access => "awatch",
            };
            format!("{name}:{address:x};")
        }
        _ => String::new(),
    };
    format!("T{signal:02x}{reason}thread:1;").into_bytes()
}

/// `type,address,kind` of `Z` and `z`: breakpoints, and watchpoints, whose kind is their length.
pub(super) fn breakpoint(text: &str, board: &mut dyn Target, set: bool) -> Vec<u8> {
    let mut parts = text.split([',', ';']);
    let kind = parts.next();
    let address = parts.next().and_then(number);
    let length = parts.next().and_then(number).filter(|length| *length > 0);
    let watch = match kind {
        Some("0" | "1") => None,
        Some("2") => Some(Watch::Write),
        Some("3") => Some(Watch::Read),
        Some("4") => Some(Watch::Access),
        _ => return Vec::new(),
    };
    let (Some(address), Some(probe)) = (address, board.probe_mut()) else {
        return ERROR.to_vec();
    };
    let done = match (watch, length) {
        (None, _) if kind == Some("0") => change(&mut probe.breakpoints, address, set),
        (None, _) => change(&mut probe.hardware_breakpoints, address, set),
        (Some(kind), Some(length)) => {
            change(&mut probe.watchpoints, Watchpoint { address, length, kind }, set)
        }
        (Some(_), None) => false,
    };
    if done { OK.to_vec() } else { ERROR.to_vec() }
}

fn change<T: Ord>(set: &mut std::collections::BTreeSet<T>, item: T, add: bool) -> bool {
    if !add {
        set.remove(&item);
    } else if set.len() < STOPS_MAX {
        set.insert(item);
    } else {
        return false;
    }
    true
}

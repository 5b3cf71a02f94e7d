//! The seam to uploaded code.
//!
//! [`call`] gets the machine and the entry address when the ROM would `CALLX8` it: after MEM_END
//! with flag 0, or after flash boot. State at entry: XTENSA 4.2. An interpreter goes here; until
//! then only code that returns at once is understood.

use crate::{
    soc::Machine,
    spi::SpiDevice,
    trace::{Event, Hang},
};

/// How a call of uploaded code ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guest {
    /// It returned to the ROM.
    Returned,
    /// It cannot be run.
    Stopped(Hang),
}

/// `ENTRY` of any register and frame size: low byte 36h.
const ENTRY: u8 = 0x36;
/// `RETW.N` and `RETW`.
const RETW_N: [u8; 2] = [0x1D, 0xF0];
const RETW: [u8; 3] = [0x90, 0x00, 0x00];

/// Calls uploaded code.
pub(super) fn call<F: SpiDevice>(machine: &mut Machine<F>, entry: u32) -> Guest {
    let code = machine.soc.memory.bytes(entry, 6).unwrap_or_default();
    let outcome = match code {
        [ENTRY, _, _, rest @ ..] if rest.starts_with(&RETW_N) || rest.starts_with(&RETW) => {
            Guest::Returned
        }
        _ => Guest::Stopped(Hang::Guest),
    };
    let what = match outcome {
        Guest::Returned => format!("code at {entry:#010x} was called and returned"),
        Guest::Stopped(_) => format!("code at {entry:#010x} was called; nothing here can run it"),
    };
    machine.trace.push(machine.now, Event::Guest { what });
    outcome
}

//! A whole board at one instant, to go back to.
//!
//! The copy has everything that decides what the board does next: RAM and registers, the processor
//! with the native functions' state, both directions of the UART with what is on the line, the SPI
//! controllers, eFuses, the loader in the middle of a transfer, straps, control lines, flash with its
//! volatile state, and the time. A board that is put back goes on bit for bit. What looks at the board
//! is not part of it: the trace goes on, and a debugger or probe stays.

use super::{Activity, Board};
use crate::{soc::Machine, spi::SpiDevice, trace::Trace};

/// A board at one instant. Flash sectors are shared with the board until either writes.
#[derive(Debug)]
pub struct BoardSnapshot<F>(Board<F>);

impl<F: SpiDevice> BoardSnapshot<F> {
    /// The flash.
    #[must_use]
    pub fn flash(&self) -> &F {
        self.0.flash()
    }
}

impl<F: SpiDevice + Clone> Board<F> {
    /// A copy of everything that decides what happens next.
    #[must_use]
    pub fn snapshot(&self) -> BoardSnapshot<F> {
        BoardSnapshot(self.copy())
    }

    /// Puts the board back to the instant of `snapshot`, its time included. Gives the flash that it had
    /// until now, for whoever keeps it on a disk.
    pub fn restore(&mut self, snapshot: &BoardSnapshot<F>) -> F {
        let mut board = snapshot.0.copy();
        std::mem::swap(self, &mut board);
        self.machine.trace = board.machine.trace;
        self.probe = board.probe;
        self.machine.soc.efuse.replaces(&board.machine.soc.efuse);
        board.machine.flash
    }

    fn copy(&self) -> Self {
        let Machine { now, soc, flash, connection, trace: _ } = &self.machine;
        Self {
            setup: self.setup.clone(),
            strap: self.strap,
            host_now: self.host_now,
            host_baud: self.host_baud,
            host_format: self.host_format,
            auto_baud: self.auto_baud,
            lines: self.lines,
            rise: self.rise,
            machine: Machine {
                now: *now,
                soc: soc.clone(),
                flash: flash.clone(),
                connection: *connection,
                trace: Trace::default(),
            },
            activity: Activity::clone(&self.activity),
            reset_cause: self.reset_cause,
            probe: None,
            program_end: self.program_end,
            ended_instructions: self.ended_instructions,
            receives_one_by_one: self.receives_one_by_one,
            rom: self.rom.clone(),
        }
    }
}

#[cfg(test)]
mod tests;

//! The SPI bus: the seam between a controller and a flash part.
//!
//! A transaction is one chip select. The part sees the bytes that the host shifts out (command,
//! address, dummy and data phases in a row, whatever the controller called them) and then answers
//! with bytes. So a controller that forgets its command phase makes the part take the first
//! address byte as an opcode, as on silicon (ROM-FACTS section 10).

use crate::{time::Instant, trace::Trace};

/// One chip select.
#[derive(Debug)]
pub struct Transaction<'a> {
    /// Bytes shifted out by the host, opcode first.
    pub mosi: &'a [u8],
    /// Bytes answered by the part after `mosi`. The part fills them; what it does not drive reads
    /// as the pull level.
    pub miso: &'a mut [u8],
    /// How many lines carry the command.
    pub command_lines: CommandLines,
}

/// Lines that carry the command byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CommandLines {
    /// One line: ordinary SPI.
    #[default]
    One,
    /// Four lines: QPI.
    Four,
}

/// A part on the bus. It owns what it is made of.
pub trait SpiDevice: 'static {
    /// Runs one chip select that begins at `now`.
    fn transfer(&mut self, now: Instant, transaction: &mut Transaction<'_>, trace: &mut Trace);

    /// When the running program, erase or register write ends; `None` if the part is ready.
    ///
    /// A poller may jump its clock here instead of polling in between: nothing else on the part
    /// changes before.
    fn busy_until(&self) -> Option<Instant>;

    /// The supply went away and came back at `now` (QUIRKS Q35): volatile state returns to its
    /// power-up values. Decorators pass it on.
    fn power_cycle(&mut self, now: Instant) {
        let _ = now;
    }

    /// The register writes of the firmware's start-up begin or end. A part does not notice; a
    /// decorator may let a fault of the board happen then. Decorators pass it on.
    fn set_boot_writes(&mut self, running: bool) {
        let _ = running;
    }

    /// The supply went away in the middle of whatever the part did at `now`, and came back. What is
    /// left of a running operation follows from `seed`. Decorators pass it on.
    fn power_cut(&mut self, now: Instant, seed: u64) {
        let _ = seed;
        self.power_cycle(now);
    }
}

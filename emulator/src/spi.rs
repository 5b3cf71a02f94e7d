//! The SPI bus: the seam between a controller and a flash part.
//!
//! A transaction is one chip select. The part sees the bytes that the host shifts out (command,
//! address, dummy and data phases in a row, whatever the controller called them) and then answers
//! with bytes. So a controller that forgets its command phase makes the part take the first
//! address byte as an opcode, as on silicon (ROM-FACTS section 10).

use serde::Deserialize;

use crate::{flash::NorFlash, time::Instant, trace::Trace};

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

/// GPIO numbers of the five lines to a flash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SpiPins {
    /// Clock.
    pub clk: u8,
    /// Data from the part.
    pub q: u8,
    /// Data to the part.
    pub d: u8,
    /// HOLD#, or the fourth data line.
    pub hd: u8,
    /// Chip select.
    pub cs: u8,
}

impl SpiPins {
    /// The pins of the flash in a module.
    pub const SPI: Self = Self { clk: 6, q: 7, d: 8, hd: 9, cs: 11 };
    /// The pins of HSPI.
    pub const HSPI: Self = Self { clk: 14, q: 12, d: 13, hd: 4, cs: 15 };

    /// Whether a part on these pins hears a controller on `other`. On one data line HOLD# is only
    /// pulled up.
    #[must_use]
    pub fn reaches(self, other: Self) -> bool {
        (self.clk, self.q, self.d, self.cs) == (other.clk, other.q, other.d, other.cs)
    }
}

/// The pins that the flash controllers drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SpiConnection {
    /// None: the pads have their reset functions. The loader attaches the flash only when it is
    /// told to (`SPI_ATTACH`), flash boot by itself.
    #[default]
    Nothing,
    /// Those of the board's main flash, as the chip's package and eFuses have them.
    Default,
    /// These.
    Pins(SpiPins),
}

impl SpiConnection {
    /// What the first word of `SPI_ATTACH` asks for (ROM-FACTS 5.7): 0 = default, 1 = HSPI, else
    /// five 6-bit pin numbers, CLK lowest, then Q, D, CS and HD.
    #[must_use]
    pub fn from_attach_word(word: u32) -> Self {
        let pin = |shift: u32| (word >> shift & 0x3F) as u8;
        match word {
            0 => Self::Default,
            1 => Self::Pins(SpiPins::HSPI),
            _ => {
                Self::Pins(SpiPins { clk: pin(0), q: pin(6), d: pin(12), cs: pin(18), hd: pin(24) })
            }
        }
    }
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

    /// The part, where every chip select reaches it as it is and every answer comes back as it is:
    /// then runs of them may be taken at once. A decorator that changes, counts or watches chip
    /// selects has nothing to add to this.
    fn undisturbed(&mut self) -> Option<&mut NorFlash> {
        None
    }

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

    /// The controllers drive these pins from now on. A part that is wired to the controllers for
    /// good does not notice; a board with pins routes. Decorators pass it on.
    fn connect(&mut self, connection: SpiConnection) {
        let _ = connection;
    }

    /// The supply went away in the middle of whatever the part did at `now`, and came back. What is
    /// left of a running operation follows from `seed`. Decorators pass it on.
    fn power_cut(&mut self, now: Instant, seed: u64) {
        let _ = seed;
        self.power_cycle(now);
    }
}

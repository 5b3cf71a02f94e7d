//! Conclusions in words.

use std::fmt;

use super::{Cause, Confidence, Finding, Open, Pattern, Remedy};

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RegisterBits => "status register bits write-protect the flash",
            Self::IndividualLocks => "individual block locks write-protect the flash",
            Self::HiddenProtection => {
                "the flash is write protected by something that its registers do not show"
            }
            Self::RegistersLocked => "the status registers are locked and cannot be changed",
            Self::UnsupportedPart => "this flash part needs commands that the loader does not give",
            Self::Supply => {
                "the flash's supply, or the line to it, is not good enough; this is no \
                             write protection"
            }
            Self::Wiring => {
                "erases arrive and programs do not: wiring or flash mode pins; this is \
                             no write protection"
            }
            Self::NothingFound => "nothing wrong was found",
            Self::Open => "something is wrong that this evidence does not explain",
        })
    }
}

impl fmt::Display for Confidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blank => f.write_str("is blank: it was erased and not programmed"),
            Self::OldContent => f.write_str("holds its old content: nothing was changed"),
            Self::Anded => f.write_str("was programmed without having been erased"),
            Self::Elsewhere { belongs } => {
                write!(f, "holds what belongs to {belongs:#x}: a wrong flash size or bad address")
            }
            Self::Varying => f.write_str("reads differently every time"),
            Self::Partly { right } => write!(f, "is partly right ({right} bytes)"),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReadsVary => f.write_str("the same range reads differently every time"),
            Self::RegistersVary => f.write_str("the status registers read differently each time"),
            Self::NoWriteEnable => f.write_str("write enable (06h) does not set its latch"),
            Self::SupplyStrap { needs_mv } => write!(
                f,
                "GPIO12 was high at reset, which sets the flash supply to 1.8 V; the part needs \
                 {needs_mv} mV"
            ),
            Self::RegistersIgnoreWrites => {
                f.write_str("a status register ignored a write that nothing locks")
            }
            Self::RegistersTakeWrites => f.write_str("the status registers take writes"),
            Self::ByteProgram { part } => {
                write!(f, "{part} programs one byte an instruction; the loader sends up to 32")
            }
            Self::BitsProtect { part, registers, bits, range } => write!(
                f,
                "on {part}, {registers} ({}) protects {:#08x} to {:#08x}",
                bits.join(", "),
                range.start,
                range.end
            ),
            Self::LocksRule { part, registers, locked } => {
                let lock = match locked {
                    Some(true) => "and the one that was read is closed",
                    Some(false) => "and the one that was read is open",
                    None => "and cannot be read",
                };
                write!(f, "on {part}, {registers}: individual locks decide, {lock}")
            }
            Self::NothingProtected { part, registers } => {
                write!(f, "on {part}, {registers} protects nothing")
            }
            Self::RegistersLocked { for_ever: true } => {
                f.write_str("SRP0 and SRP1 are set: the registers are locked for good")
            }
            Self::RegistersLocked { for_ever: false } => {
                f.write_str("SRP1 is set: the registers are locked until the next power cycle")
            }
            Self::LockObeysPin { part, refused } => write_pin(f, part, *refused),
            Self::Holds { pattern, ranges } => {
                write!(f, "the flash {pattern}")?;
                write_ranges(f, ranges)
            }
            Self::EraseRefused { sector, latch_kept } => {
                let latch = if *latch_kept { "; the write enable latch stayed set" } else { "" };
                write!(f, "sector {sector:#x} did not erase and took no time{latch}")
            }
            Self::ProgramLost { sector } => {
                write!(f, "sector {sector:#x} erased and did not program")
            }
            Self::SectorWorks { sector } => write!(f, "sector {sector:#x} erased and programmed"),
            Self::CureTried { sector, works } => write_trial(f, *sector, *works),
            Self::RomEntersQpi { part } => write!(
                f,
                "on {part}, 35h enters the four-line mode, so the ROM loader's own write would hang; \
                 `flasher write` goes around it"
            ),
            Self::UnknownPart => f.write_str("the part is not in the catalogue"),
        }
    }
}

/// How the cure went in the volatile registers.
fn write_trial(f: &mut fmt::Formatter<'_>, sector: u32, works: bool) -> fmt::Result {
    if works {
        return write!(
            f,
            "with the protection lifted in the volatile registers only, sector {sector:#x} erased \
             and programmed: the cure works"
        );
    }
    write!(
        f,
        "with the protection lifted in the volatile registers, sector {sector:#x} still did not \
         take a write"
    )
}

/// What SRP0 makes of WP#.
fn write_pin(f: &mut fmt::Formatter<'_>, part: &str, refused: bool) -> fmt::Result {
    if refused {
        return write!(
            f,
            "on {part}, SRP0 is set, and the registers ignored a write: WP# of the flash is low"
        );
    }
    write!(
        f,
        "on {part}, SRP0 is set: the registers take writes only while WP# of the flash is high, and \
         the wire does not show that pin"
    )
}

fn write_ranges(f: &mut fmt::Formatter<'_>, ranges: &[std::ops::Range<u32>]) -> fmt::Result {
    const SHOWN: usize = 4;
    for range in ranges.iter().take(SHOWN) {
        write!(f, ", {:#x} to {:#x}", range.start, range.end)?;
    }
    if ranges.len() > SHOWN {
        write!(f, " and {} more ranges", ranges.len() - SHOWN)?;
    }
    Ok(())
}

impl Remedy {
    /// In words.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::ProtectClear => "flasher protect clear",
            Self::ProtectClearIfPinHigh => {
                "flasher protect clear; SRP0 is set, so WP# of the flash may lock the registers: it \
                 must be high meanwhile (GPIO10, SWP/SD3 on a module)"
            }
            Self::RaiseWriteProtectPin => {
                "pull WP# of the flash up to its supply (GPIO10, SWP/SD3 on a module; look \
                 for what holds it low), then flasher protect clear"
            }
            Self::StatusRewrite => {
                "flasher protect clear --search ADDRESS finds the bit by trying, with a sector whose \
                 content is put back; or flasher status write 0 --burst as people did. Then flash \
                 again; if the board boots in QIO mode its next boot sets QE again"
            }
            Self::ReplaceFlash => {
                "power the board off and on and look again; if the lock stays, only another flash \
                 chip helps"
            }
            Self::CheckSupply => {
                "check the 3.3 V at the flash, the strap GPIO12 (it must be low at reset), cable \
                 and hub"
            }
            Self::CheckWiring => {
                "check what hangs on GPIO6 to GPIO11, the flash mode, and the solder joints"
            }
            Self::OtherProgrammer => "use a programmer that knows this part, or another part",
            Self::Probe => "flasher doctor --probe ADDRESS, with the address of a spare sector",
            Self::None => "nothing has to be done",
        }
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl fmt::Display for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WhichPart => "which of the parts with this id it is; they differ here",
            Self::WritesUntried => "whether erase and program work: nothing was tried",
            Self::SupplyOrMisreading => {
                "whether the supply is below the write level, or the status reads wrong"
            }
            Self::HiddenMechanism => {
                "which hidden state it is: a bit with another meaning, a damaged status row, or a \
                 lock register"
            }
            Self::LockDuration => "whether the lock ends with a power cycle on this lot",
            Self::WriteProtectPin => "whether WP# of the flash is high",
            Self::SupplyOrLine => "whether it is the supply or a data line",
            Self::WhichWire => "whether a wire is bad, or something else uses a flash pin",
            Self::PartRules => "what the part's register bits mean",
        })
    }
}

//! Why flashing fails: evidence from the wire, and what it says.
//!
//! [`Session::examine`] and [`Session::compare`] collect; [`decide`] concludes from [`Evidence`]
//! alone. It knows the part's data and what the chip answered, nothing else.
//!
//! ```
//! use esp32_flasher::{
//!     chip::Chip, diagnose::{Cause, Remedy, decide}, identity::Identity, port,
//!     reset::ResetStrategy, session::Session,
//! };
//!
//! let mut session = Session::new(port::open("virtual:wps-locked", 115_200)?);
//! session.connect(&[ResetStrategy::classic()], 7)?;
//! let chip = Chip::read(&mut session)?;
//! let identity = Identity::of(session.attach_flash()?);
//! let diagnosis = decide(&session.examine(&chip, &identity, None, None)?);
//! assert_eq!((diagnosis.cause, diagnosis.remedy), (Cause::IndividualLocks, Remedy::ProtectClear));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Session::examine`]: crate::session::Session::examine
//! [`Session::compare`]: crate::session::Session::compare

mod collect;
mod compare;
mod decide;
mod words;

use std::ops::Range;

use serde::Serialize;

pub use compare::{Differences, Pattern};
pub use decide::decide;

use crate::{flash::ScratchReport, preflight::PartState};

/// What the wire showed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "independent observations")]
pub struct Evidence {
    /// GPIO12 was high at reset: the flash supply is 1.8 V unless eFuses say otherwise.
    pub strap_vdd_1v8: bool,
    /// The lowest supply, in millivolts, that any of the parts is made for.
    pub supply_min_mv: Option<u16>,
    /// While SRP0 is set, a register did not take a changed bit in its volatile copy; none if that was
    /// not tried.
    #[serde(skip)]
    pub pin_refused: Option<bool>,
    /// A register took a changed bit, in its volatile copy and for a moment only; none if that was
    /// not tried or the part has no volatile copy.
    pub registers_writable: Option<bool>,
    /// Names of the parts that this can be.
    pub candidates: Vec<String>,
    /// A candidate programs one byte an instruction only.
    pub byte_program: bool,
    /// Registers and what they protect, one for each candidate.
    pub parts: Vec<PartState>,
    /// Register 1 of a part that is not in the catalogue.
    pub status: Option<u8>,
    /// SRP1 is set on a candidate; true: SRP0 as well.
    pub registers_locked: Option<bool>,
    /// Write enable sets its latch.
    pub write_enable: bool,
    /// The part on which the ROM loader's 35h enters the four-line mode.
    pub rom_enters_qpi: Option<String>,
    /// Two readings of the registers differ.
    pub registers_vary: bool,
    /// Digests of the same range differ.
    pub reads_vary: bool,
    /// What was written and what is there.
    pub differences: Option<Differences>,
    /// The range that was to be written.
    pub written: Option<Range<u32>>,
    /// What a scratch sector did.
    pub scratch: Option<ScratchReport>,
    /// With the protection lifted in the volatile registers only, the scratch sector erased and
    /// programmed; none if that was not tried or the part has no volatile copy.
    pub cure: Option<bool>,
}

/// Class of a cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// BP, CMP or other visible register bits protect the array.
    RegisterBits,
    /// Individual locks protect it while the block-protect bits may look clean.
    IndividualLocks,
    /// Something protects it that the registers as read do not show.
    HiddenProtection,
    /// The status registers cannot be written any more.
    RegistersLocked,
    /// The part needs other commands than the loader gives.
    UnsupportedPart,
    /// Flash supply too low or unstable, or a bad line.
    Supply,
    /// Erases arrive and programs do not: wiring or flash mode pins.
    Wiring,
    /// Nothing wrong was found.
    NothingFound,
    /// Something is wrong, and this evidence does not say what.
    Open,
}

/// How sure a diagnosis is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// One of several that fit.
    Low,
    /// It fits everything, but so could something rarer.
    Medium,
    /// Seen directly.
    High,
}

/// One observation that counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "finding", rename_all = "kebab-case")]
pub enum Finding {
    /// The same range read differently.
    ReadsVary,
    /// The same registers read differently.
    RegistersVary,
    /// Write enable does not set its latch.
    NoWriteEnable,
    /// Strap for 1.8 V, and a part made for more.
    SupplyStrap {
        /// The lowest supply that the part is made for, in millivolts.
        needs_mv: u16,
    },
    /// A register did not take a bit that nothing locks.
    RegistersIgnoreWrites,
    /// A register took a bit, so the flash hears and obeys.
    RegistersTakeWrites,
    /// One byte an instruction.
    ByteProgram {
        /// The part.
        part: String,
    },
    /// Register bits protect a range.
    BitsProtect {
        /// The part.
        part: String,
        /// Registers as read.
        registers: String,
        /// Bits that are 1.
        bits: Vec<String>,
        /// The addresses.
        range: Range<u32>,
    },
    /// Individual locks rule.
    LocksRule {
        /// The part.
        part: String,
        /// Registers as read.
        registers: String,
        /// The lock that was read is set; none if it cannot be read.
        locked: Option<bool>,
    },
    /// The registers as read protect nothing.
    NothingProtected {
        /// The part.
        part: String,
        /// Registers as read.
        registers: String,
    },
    /// SRP1, and perhaps SRP0.
    RegistersLocked {
        /// Both: for good.
        for_ever: bool,
    },
    /// SRP0 alone is set: WP# decides whether the registers take writes.
    LockObeysPin {
        /// The part.
        part: String,
        /// They ignored one, so the pin is low (or the supply is).
        refused: bool,
    },
    /// What the flash holds instead of the file.
    Holds {
        /// How it relates to the file.
        pattern: Pattern,
        /// Where it differs.
        ranges: Vec<Range<u32>>,
    },
    /// A scratch sector took no erase.
    EraseRefused {
        /// Its address.
        sector: u32,
        /// Write enable latch left set.
        latch_kept: bool,
    },
    /// A scratch sector erased and did not program.
    ProgramLost {
        /// Its address.
        sector: u32,
    },
    /// A scratch sector erased and programmed.
    SectorWorks {
        /// Its address.
        sector: u32,
    },
    /// The cure was tried in the volatile registers, on a scratch sector.
    CureTried {
        /// The sector's address.
        sector: u32,
        /// It erased and programmed.
        works: bool,
    },
    /// The part is not in the catalogue.
    UnknownPart,
    /// 35h enters the four-line mode: the ROM loader cannot write this part.
    RomEntersQpi {
        /// The part.
        part: String,
    },
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Remedy {
    /// `flasher protect clear`.
    ProtectClear,
    /// The same, and it works only while WP# of the flash is high.
    ProtectClearIfPinHigh,
    /// WP# of the flash is low; pulled up, `flasher protect clear` works.
    RaiseWriteProtectPin,
    /// `flasher protect clear --search ADDRESS`, or the status write of the threads.
    StatusRewrite,
    /// Nothing can be done about the registers.
    ReplaceFlash,
    /// Look at the supply, the strap GPIO12, cable and hub.
    CheckSupply,
    /// Look at the flash's pins, its mode, and what else hangs on GPIO6 to GPIO11.
    CheckWiring,
    /// The part needs another programmer.
    OtherProgrammer,
    /// Let the doctor try a sector.
    Probe,
    /// Nothing has to be done.
    None,
}

/// What could not be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Open {
    /// Several parts share the id and differ in what they protect.
    WhichPart,
    /// Whether erase and program work: nothing was tried.
    WritesUntried,
    /// Whether it is the supply or registers that read wrong and are locked by WP#.
    SupplyOrMisreading,
    /// Which hidden state protects: another meaning of a bit, a damaged row, a lock register.
    HiddenMechanism,
    /// Whether SRP1 ends with the next power cycle on this lot.
    LockDuration,
    /// The level of WP#, which the wire does not show.
    WriteProtectPin,
    /// Supply or data line.
    SupplyOrLine,
    /// A wire, a solder joint, or pins that something else uses.
    WhichWire,
    /// The rules of the part.
    PartRules,
}

/// The conclusion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// Class of the cause.
    pub cause: Cause,
    /// How sure.
    pub confidence: Confidence,
    /// The array can be written all the same, as far as the registers say.
    pub array_open: bool,
    /// What it rests on.
    pub evidence: Vec<Finding>,
    /// What to do.
    pub remedy: Remedy,
    /// What could not be told.
    pub open: Vec<Open>,
}

impl Diagnosis {
    /// It blames write protection.
    #[must_use]
    pub const fn is_protection(&self) -> bool {
        matches!(self.cause, Cause::RegisterBits | Cause::IndividualLocks | Cause::HiddenProtection)
    }
}

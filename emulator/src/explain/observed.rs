//! The schema of an observation file: what somebody did to a board and what he saw, in order.
//!
//! What was not looked at is left out: a step without an observation is only played. See
//! `emulator explain --help` for the keys in short, and the files in `emulator/observations`.

mod values;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use spi_nor::part::HexBytes;

use super::ExplainError;
use crate::case::{Level, SupplyMillivolts, boot::Flavour, key_line, read_text};

pub use values::{IdPattern, Md5, NotAllowed, Relation, Took};

/// Most steps of a file.
const STEPS_MAX: usize = 64;
/// Largest address that a step may touch: 16 MiB, all that three address bytes reach.
const ADDRESSES: u32 = 0x0100_0000;
/// Most bytes of a raw chip select, each way.
const SELECT_BYTES_MAX: usize = 64;

/// What was done and seen.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Observed {
    /// One line.
    pub title: String,
    /// Where it is told.
    #[serde(default)]
    pub sources: Vec<String>,
    /// Anything else worth knowing; nothing reads it.
    #[serde(default)]
    pub notes: String,
    /// What is known of the flash before the first step.
    #[serde(default)]
    pub flash: KnownFlash,
    /// What was done, in order.
    pub steps: Vec<Step>,
}

/// What is known of the flash.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct KnownFlash {
    /// JEDEC id as 9Fh answers it; `??` for a byte that is not known.
    pub id: Option<IdPattern>,
    /// Part number, where the chip can be read.
    pub part: Option<String>,
    /// A part file of the user's own, relative to the observation file, in place of the catalogue.
    pub part_file: Option<PathBuf>,
    /// Size of the array.
    pub capacity_bytes: Option<u32>,
    /// Size that the tool was told or guessed, where that differs from the part's.
    pub size_setting_bytes: Option<u32>,
    /// What is in the array before the first step.
    pub before: Content,
}

/// What is in the array.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// An older firmware.
    #[default]
    Data,
    /// 0xFF everywhere.
    Blank,
}

/// One step. Fields that say `seen` in their description are observations, all others are inputs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Step {
    /// Flash an image; erase before.
    Write(Write),
    /// Erase sectors.
    Erase(Erase),
    /// Erase the chip.
    EraseChip(EraseChip),
    /// Read status registers (05h, 35h, 15h).
    Status(Status),
    /// `write_flash_status`: every form of a register write in a row (QUIRKS Q6).
    WriteFlashStatus(WriteFlashStatus),
    /// One register write in one form.
    WriteRegister(WriteRegister),
    /// One chip select, with or without 06h before it.
    Select(Select),
    /// Boot from flash.
    Boot(Boot),
    /// Supply off and on.
    PowerCycle {},
    /// EN pulsed: the flash keeps all that it holds.
    HostReset {},
    /// Another flash supply from here on (a pull-up removed, a regulator replaced).
    Supply(Supply),
    /// Levels on WP# and HOLD# from here on.
    Pins(PinLevels),
}

/// Flash an image.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Write {
    /// First address, a multiple of 4096.
    pub at: u32,
    /// Length in bytes.
    pub bytes: u32,
    /// Who writes: that decides what is sent to the status registers first.
    pub loader: Loader,
    /// Which image: the same number is the same image.
    pub image: u8,
    /// One byte of the image is changed.
    pub changed_byte: bool,
    /// The session ends with `FLASH_END` through the ROM (ROM-FACTS 5.4).
    pub flash_end: bool,
    /// Seen: what the MD5 of the region equals afterwards.
    pub md5: Option<Md5>,
    /// Seen: what the tool said before the MD5.
    pub says: Option<Says>,
}

impl Default for Write {
    fn default() -> Self {
        Self {
            at: 0x1000,
            bytes: 0x2_0000,
            loader: Loader::default(),
            image: 1,
            changed_byte: false,
            flash_end: false,
            md5: None,
            says: None,
        }
    }
}

/// Who writes to the flash.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loader {
    /// The ROM loader (`--no-stub`): mode set-up and unlock of ROM-FACTS 6.3.
    #[default]
    Rom,
    /// The stub of esptool up to 5.2: keeps status bit 9, one 01h with two bytes (QUIRKS Q2).
    LegacyStub,
    /// The stub of esptool 5.4 to 5.6: no unlock.
    Stub,
    /// The application or a debugger: no unlock.
    Application,
}

/// Erase sectors.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Erase {
    /// First address, a multiple of 4096.
    pub at: u32,
    /// Length in bytes, a multiple of 4096.
    #[serde(default = "sector")]
    pub bytes: u32,
    /// Who erases: the legacy stub unlocks first. A chip erase is the same with everybody.
    #[serde(default)]
    pub loader: Loader,
    /// Seen: how long it took.
    #[serde(default)]
    pub took: Option<Took>,
}

const fn sector() -> u32 {
    4096
}

/// Erase the chip.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct EraseChip {
    /// Seen: how long it took.
    pub took: Option<Took>,
}

/// Read status registers; a register that was not read is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Status {
    /// Seen: answer of 05h.
    pub sr1: Option<u8>,
    /// Seen: answer of 35h.
    pub sr2: Option<u8>,
    /// Seen: answer of 15h.
    pub sr3: Option<u8>,
    /// How many registers are read where nothing is said of what was seen.
    pub bytes: Option<u8>,
    /// WIP and WEL count as well. They say how an operation ended rather than how the part is set
    /// up, and what WEL does after a refusal is a recalled fact of most parts.
    pub latches: bool,
}

/// `write_flash_status`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WriteFlashStatus {
    /// The value, SR1 in the low byte.
    pub value: u32,
    /// `--bytes`.
    #[serde(default = "two")]
    pub bytes: u8,
    /// `--non-volatile`.
    #[serde(default = "yes")]
    pub non_volatile: bool,
}

const fn two() -> u8 {
    2
}

const fn yes() -> bool {
    true
}

/// One register write.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WriteRegister {
    /// 01h, 31h, 11h, ...
    pub opcode: u8,
    /// Data bytes.
    pub data: Vec<u8>,
    /// 06h, or 50h for the volatile copy.
    #[serde(default = "write_enable")]
    pub enable: u8,
}

const fn write_enable() -> u8 {
    0x06
}

/// One chip select.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Select {
    /// Bytes to the part, as hex.
    pub out: HexBytes,
    /// 06h goes first.
    #[serde(default)]
    pub write_enable: bool,
    /// Bytes to read behind them; as many as `answer` has if left out.
    #[serde(default)]
    pub read: Option<u8>,
    /// Seen: what was read, as hex.
    #[serde(default)]
    pub answer: Option<HexBytes>,
}

/// Boot from flash.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Boot {
    /// What its start-up does to the status registers; everything that ESP-IDF may do to the part
    /// is tried where this is left out.
    pub flavour: Option<Flavour>,
}

/// Another flash supply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Supply {
    /// In millivolts.
    pub mv: SupplyMillivolts,
}

/// Levels on the flash's pins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[derive(Default)]
pub struct PinLevels {
    /// WP#.
    pub wp: Level,
    /// HOLD#.
    pub hold: Level,
}

/// What the tool said before the MD5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Says {
    /// No error.
    Nothing,
    /// The ROM's read-back of a block differed (error 0x08 of ROM-FACTS 5.3).
    Error,
    /// The loader did not answer any more.
    Hangs,
}

impl Observed {
    /// Reads an observation file.
    ///
    /// # Errors
    ///
    /// The file cannot be read or is not what the schema allows.
    pub fn load(path: &Path) -> Result<Self, ExplainError> {
        let mut observed = Self::parse(&path.display().to_string(), &read_text(path)?)?;
        if let Some(part_file) = &mut observed.flash.part_file {
            *part_file = path.parent().unwrap_or(Path::new(".")).join(&*part_file);
        }
        Ok(observed)
    }

    /// Reads the text of an observation file; `origin` names it in messages.
    ///
    /// # Errors
    ///
    /// The text is not what the schema allows; with line, column and what was allowed.
    pub fn parse(origin: &str, text: &str) -> Result<Self, ExplainError> {
        let observed: Self = toml::from_str(text).map_err(|cause| ExplainError::Schema {
            file: origin.to_owned(),
            cause: Box::new(cause),
        })?;
        let wrong = |step: usize, problem| ExplainError::Step {
            file: origin.to_owned(),
            line: key_line::of(text, &format!("steps[{step}]")),
            step,
            problem,
        };
        if !(1..=STEPS_MAX).contains(&observed.steps.len()) {
            let steps = observed.steps.len();
            return Err(wrong(0, StepProblem::Count { steps, allowed: STEPS_MAX }));
        }
        for (number, step) in observed.steps.iter().enumerate() {
            step.check().map_err(|problem| wrong(number, problem))?;
        }
        Ok(observed)
    }
}

/// Why a step makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StepProblem {
    /// No step, or too many.
    #[error("{steps} steps, allowed: 1 to {allowed}")]
    Count {
        /// Steps in the file.
        steps: usize,
        /// The most.
        allowed: usize,
    },
    /// A region that does not begin and end as it must.
    #[error(
        "{bytes} bytes at {at:#x}; allowed: from a multiple of 4096, at least 4 bytes, \
         up to {end:#x}"
    )]
    Region {
        /// First address.
        at: u32,
        /// Length.
        bytes: u32,
        /// The largest end.
        end: u32,
    },
    /// A number of bytes out of bounds.
    #[error("`{key}` stands for {bytes} bytes, allowed: {least} to {most}")]
    Bytes {
        /// Key in the step.
        key: &'static str,
        /// How many.
        bytes: usize,
        /// The fewest.
        least: usize,
        /// The most.
        most: usize,
    },
    /// Something was seen of a loader that cannot be seen there.
    #[error("only loader = \"rom\" can say \"error\"")]
    SaysError,
}

impl Step {
    fn check(&self) -> Result<(), StepProblem> {
        let count = |key, bytes, least, most| {
            let problem = StepProblem::Bytes { key, bytes, least, most };
            if (least..=most).contains(&bytes) { Ok(()) } else { Err(problem) }
        };
        match self {
            Self::Write(write) => {
                if write.says == Some(Says::Error) && write.loader != Loader::Rom {
                    return Err(StepProblem::SaysError);
                }
                region(write.at, write.bytes)
            }
            Self::Erase(erase) => region(erase.at, erase.bytes),
            Self::Status(status) => count("bytes", usize::from(status.count()), 1, 3),
            Self::WriteFlashStatus(write) => count("bytes", usize::from(write.bytes), 1, 3),
            Self::WriteRegister(write) => count("data", write.data.len(), 1, 3),
            Self::Select(select) => {
                count("out", select.out.0.len(), 1, SELECT_BYTES_MAX)?;
                count("read", select.answer_bytes(), 0, SELECT_BYTES_MAX)
            }
            _ => Ok(()),
        }
    }
}

fn region(at: u32, bytes: u32) -> Result<(), StepProblem> {
    let end = at.checked_add(bytes).filter(|end| *end <= ADDRESSES);
    if end.is_none() || bytes < 4 || !at.is_multiple_of(4096) {
        return Err(StepProblem::Region { at, bytes, end: ADDRESSES });
    }
    Ok(())
}

impl Status {
    /// Registers that were read: up to the last one of which something is said.
    pub(super) fn count(&self) -> u8 {
        let said = match (self.sr1, self.sr2, self.sr3) {
            (_, _, Some(_)) => 3,
            (Some(_), None, None) => 1,
            _ => 2,
        };
        self.bytes.unwrap_or(said)
    }
}

impl Select {
    /// Bytes to read.
    pub(super) fn answer_bytes(&self) -> usize {
        let seen = self.answer.as_ref().map_or(0, |answer| answer.0.len());
        self.read.map_or(seen, usize::from)
    }
}

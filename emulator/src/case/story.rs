//! What a public thread reports, as data: where it is, what was seen, what cured it.

use serde::{Deserialize, Serialize};

use super::Inconsistency;

/// One public report.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Story {
    /// Name of the case wherever the project names it.
    pub name: String,
    /// Short name: `S` and a number where protection was the cause, `N` where it was not, `P` where
    /// it is open, `H` for a hypothesis of esptool issue 915.
    #[serde(default)]
    pub label: Option<String>,
    /// One line.
    pub title: String,
    /// Where it is told, or how it was measured.
    pub sources: Vec<String>,
    /// The board as the thread names it.
    pub board: String,
    /// What was seen, in words.
    pub seen: String,
    /// The cause in one sentence, as far as it is known.
    pub cause: String,
    /// Class of the cause.
    pub class: Class,
    /// What the thread says about the cure.
    pub cure: Cure,
    /// What this board assumes beyond the thread; empty if nothing.
    #[serde(default)]
    pub assumed: String,
    /// The hypothesis that `[flash]`, `[boot]` and so on stand for, if there are others.
    #[serde(default)]
    pub default_hypothesis: Option<String>,
    /// The report as steps with what must be observed, in order.
    pub play: Vec<Step>,
}

/// Class of a cause. A diagnosis is right if it names the class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// BP, CMP or other visible register bits protect the array.
    RegisterBits,
    /// Individual locks protect it while the block-protect bits look clean.
    IndividualLocks,
    /// Something protects it that the registers as read do not show.
    HiddenProtection,
    /// The part's own family needs other commands.
    UnsupportedPart,
    /// The status registers cannot be written any more.
    RegistersLocked,
    /// Flash supply too low or unstable.
    Supply,
    /// Wiring or flash mode pins.
    Wiring,
    /// The registers look odd and are harmless.
    Harmless,
    /// Open in public.
    Open,
}

/// What cured it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cure {
    /// A status register write.
    StatusWrite,
    /// Unlocking the individual locks.
    GlobalUnlock,
    /// Something outside the flash: a strap, a supply, a wire.
    Hardware,
    /// Nothing can.
    None,
    /// Nothing has to: writes work.
    NotNeeded,
    /// Unknown in public.
    Unknown,
}

/// One step of a report. Fields named `expect…` are observations; all others are inputs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Step {
    /// Flash an image and verify it by MD5.
    #[serde(rename_all = "kebab-case")]
    Write(WriteStep),
    /// Boot from flash: the ROM, then the board's boot personality.
    Boot(BootStep),
    /// Cut and restore the supply.
    PowerCycle(Nothing),
    /// Pulse EN.
    HostReset(Nothing),
    /// Read JEDEC id.
    FlashId(FlashIdStep),
    /// Read the status registers.
    ReadStatus(ReadStatusStep),
    /// `write_flash_status`: the burst of QUIRKS Q6.
    WriteStatus(WriteStatusStep),
    /// Erase the chip.
    EraseChip(EraseStep),
    /// 06h, then this instruction, no data: 98h is the global unlock.
    Instruction(InstructionStep),
    /// Change the flash supply.
    Supply(SupplyStep),
    /// Read a few bytes of the array.
    ReadFlash(ReadFlashStep),
}

/// No part of the catalogue is larger; a step that writes more is a mistake.
const LARGEST_ARRAY: u32 = 0x1000_0000;

impl Step {
    /// A value that no part can take.
    pub(super) fn problem(&self) -> Option<Inconsistency> {
        match self {
            Self::Write(write) => {
                let end = u64::from(write.at) + u64::from(write.bytes);
                (end > u64::from(LARGEST_ARRAY))
                    .then_some(Inconsistency::BeyondArray { end, capacity: LARGEST_ARRAY })
            }
            Self::ReadStatus(ReadStatusStep { bytes, .. })
            | Self::WriteStatus(WriteStatusStep { bytes, .. }) => {
                (!(1..=3).contains(bytes)).then_some(Inconsistency::StatusBytes { bytes: *bytes })
            }
            Self::ReadFlash(read) => {
                let bytes = read.expect.0.len();
                (!(1..=READ_FLASH_BYTES_MAX).contains(&bytes))
                    .then_some(Inconsistency::ReadBytes { bytes, allowed: READ_FLASH_BYTES_MAX })
            }
            _ => None,
        }
    }
}

/// A step without inputs: `boot = {}`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// Boot from flash.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct BootStep {
    /// Text that the board prints; with it the boot need not come to the firmware.
    pub expect: Option<String>,
}

/// Flash an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WriteStep {
    /// First address.
    #[serde(default = "image_offset")]
    pub at: u32,
    /// Length in bytes.
    #[serde(default = "image_bytes")]
    pub bytes: u32,
    /// Seed of the pseudo-random image; the same seed is the same image.
    pub seed: u64,
    /// Offset of one byte of the image that is changed.
    #[serde(default)]
    pub changed_byte: Option<u32>,
    /// What unlocks the part before the erase.
    #[serde(default)]
    pub session: Session,
    /// End the ROM's flash session with `FLASH_END`, as a tool must not.
    #[serde(default)]
    pub flash_end: bool,
    /// What the verification shows.
    pub expect: WriteOutcome,
}

/// Whose writes these are. They differ in what they do to the status registers first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Session {
    /// The ROM loader: `FLASH_BEGIN` with the ROM's mode set-up and unlock (ROM-FACTS 6.3).
    #[default]
    Rom,
    /// The flasher stub up to esptool 5.2: 35h, keep bit 9, one 01h with two bytes (QUIRKS Q2);
    /// then erases and programs, here through the SPI controller's registers.
    LegacyStub,
    /// No status write at all, as the stub of esptool 5.4 to 5.6, a debugger or an application;
    /// through the SPI controller's registers.
    NoUnlock,
}

/// The place where the field's images go: the second stage bootloader's offset.
const fn image_offset() -> u32 {
    0x1000
}

/// Enough for several blocks and quick to flash.
const fn image_bytes() -> u32 {
    0x2_0000
}

/// What a write ends in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WriteOutcome {
    /// MD5 equal to the file's.
    Verifies,
    /// Mismatch: MD5 of what was there before.
    OldContent,
    /// Mismatch: MD5 of all 0xFF; the erase worked, the program did not.
    Blank,
    /// Mismatch: another MD5 at every reading.
    Varies,
    /// Mismatch: another content, the same at every reading.
    OtherContent,
    /// Mismatch; the thread does not say of what kind.
    Mismatch,
}

/// Read a few bytes of the array.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ReadFlashStep {
    /// First address.
    pub at: u32,
    /// What is there, 1 to 32 bytes as hex digits.
    pub expect: spi_nor::part::HexBytes,
}

/// Longest read of [`Step::ReadFlash`], in bytes.
const READ_FLASH_BYTES_MAX: usize = 32;

/// Read JEDEC id.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FlashIdStep {
    /// What 9Fh answers.
    pub expect: spi_nor::part::HexBytes,
}

/// Read the status registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ReadStatusStep {
    /// How many registers: 05h, 35h, 15h.
    #[serde(default = "two")]
    pub bytes: u8,
    /// The value as `read_flash_status` prints it, SR1 in the low byte.
    pub expect: u32,
    /// Bits that are not compared, such as WEL after a refused operation where the part's rule for
    /// it is not known.
    #[serde(default)]
    pub ignore: u32,
}

/// `write_flash_status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WriteStatusStep {
    /// `--bytes`.
    #[serde(default = "two")]
    pub bytes: u8,
    /// The value.
    pub value: u32,
    /// `--non-volatile`.
    #[serde(default = "yes")]
    pub non_volatile: bool,
}

/// Erase the chip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct EraseStep {
    /// How long it took.
    pub expect: EraseOutcome,
    /// Seconds that it took, within a quarter.
    #[serde(default)]
    pub seconds: Option<u32>,
}

/// How an erase ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EraseOutcome {
    /// It returned at once (under 100 ms for 4 MiB or more): refused.
    NoTime,
    /// It took the part's time, and the array reads 0xFF.
    Erases,
}

/// One instruction after 06h.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct InstructionStep {
    /// Opcode.
    pub opcode: u8,
}

/// Change the flash supply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SupplyStep {
    /// New supply in millivolts.
    pub mv: super::values::SupplyMillivolts,
}

const fn two() -> u8 {
    2
}

const fn yes() -> bool {
    true
}

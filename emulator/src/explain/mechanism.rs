//! The mechanisms that are tried, as data.

use serde::{Deserialize, Serialize};
use spi_nor::part::{Part, Protection};

use crate::case::{BoardFile, Class};

/// One way to get the observations.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Mechanism {
    /// Short name.
    pub name: String,
    /// One line.
    pub title: String,
    /// Class of the cause, as in the cases.
    pub class: Class,
    /// Which parts can have it.
    #[serde(default)]
    pub(super) needs: Needs,
    /// What is enumerated from the part's data.
    pub(super) vary: Vary,
    /// Lock bits of the registers that are set besides.
    #[serde(default)]
    pub(super) lock: Option<RegisterLock>,
    /// When it begins.
    #[serde(default)]
    pub(super) onset: Onset,
    /// The board that has it, before anything is enumerated.
    #[serde(default)]
    pub(super) board: BoardFile,
    /// What has to be believed.
    pub assumes: Vec<Assumption>,
}

/// Something that has to be believed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Assumption {
    /// In words.
    pub what: String,
    /// How much there is to believe: each step halves the weight of the mechanism.
    pub weight: u8,
}

/// Which parts can have a mechanism.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Needs {
    /// Parts that hold the region.
    #[default]
    Any,
    /// Parts that hold the region, and that the loaders know.
    Ordinary,
    /// Parts that are smaller than the region.
    SmallerThanRegion,
    /// Parts that power up locked, or take less than the loaders' 32 bytes in a program.
    UnknownFamily,
    /// Parts on which 35h enters the four-line mode.
    #[serde(rename = "qpi-by-35h")]
    QpiBy35h,
}

/// What is enumerated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Vary {
    /// Nothing.
    Once,
    /// Every value of the bits that decide the protected range.
    ProtectionBits,
    /// The bit that selects the individual locks.
    LockSelect,
    /// The same with each register write that may clear it.
    LockSelectSideEffect,
    /// Each other bit that a register write reaches.
    HiddenBit,
    /// Each bit outside of the first two registers, with each write that may clear it.
    ThirdRegisterBit,
    /// The damaged status row.
    DamagedRow,
    /// Wrong answers of 35h.
    StatusReadGlitch,
    /// Everything protected, and the registers read as they were first seen.
    Misread,
    /// The place of the dead cells: where the first region begins.
    DeadCells,
    /// The instruction that enters OTP mode.
    EnterOtp,
    /// The instruction that enters the four-line mode.
    EnterQpi,
    /// An erase and its suspension.
    Suspend,
    /// The instructions of the ultra-deep power-down.
    UltraPowerDown,
}

/// Lock bits of the registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RegisterLock {
    /// SRP0.
    WpEnable,
    /// SRP1.
    PowerLock,
    /// Both.
    Both,
}

/// When a mechanism begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Onset {
    /// Before the first step.
    #[default]
    Start,
    /// At the first boot.
    Boot,
}

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mechanisms {
    mechanism: Vec<Mechanism>,
}

/// Bytes that the loaders put into one program (ROM-FACTS 6.3 d).
const LOADER_PROGRAM_BYTES: u16 = 32;

/// All mechanisms in the order of their file; the tests check that it can be read.
pub(super) fn all() -> Vec<Mechanism> {
    let file: Result<Mechanisms, _> = toml::from_str(include_str!("mechanisms.toml"));
    file.map_or_else(|_| Vec::new(), |file| file.mechanism)
}

impl Mechanism {
    /// The part as it is, without anything that happened to it.
    pub(super) fn is_plain(&self) -> bool {
        self.vary == Vary::Once
            && self.needs != Needs::SmallerThanRegion
            && self.board == BoardFile::default()
    }

    /// How much there is to believe in all.
    #[must_use]
    pub fn weight(&self) -> u32 {
        self.assumes.iter().map(|assumption| u32::from(assumption.weight)).sum()
    }
}

impl Needs {
    /// Whether `part` can have it, where the steps reach up to `end`.
    pub(super) fn fits(self, part: &Part, end: u32) -> bool {
        let holds = part.capacity_bytes >= end;
        let enters_qpi = part.instructions.enter_qpi.contains(&0x35);
        match self {
            Self::Any => holds,
            Self::Ordinary => holds && !is_unknown_family(part) && !enters_qpi,
            Self::SmallerThanRegion => !holds,
            Self::UnknownFamily => holds && is_unknown_family(part),
            Self::QpiBy35h => holds && enters_qpi,
        }
    }
}

/// The part powers up with something locked, or wants smaller programs than the loaders send.
fn is_unknown_family(part: &Part) -> bool {
    matches!(part.protection, Protection::BlockProtectionRegister { .. })
        || part.program.max_bytes < LOADER_PROGRAM_BYTES
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_file_can_be_read_and_its_names_are_unique() {
        let text = include_str!("mechanisms.toml");
        let file: super::Mechanisms = toml::from_str(text).expect("the built-in file is right");
        let mut names: Vec<_> = file.mechanism.iter().map(|it| it.name.clone()).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), file.mechanism.len());
        assert!(names.len() >= 25);
    }
}

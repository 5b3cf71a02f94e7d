//! Boards and public cases as data.
//!
//! A *board file* describes one virtual board ([`BoardFile`]). A *case* is a board file that plays
//! a public thread: it cites it, says what was seen and lists the steps with the observations
//! ([`Story`]). Nothing here does anything but read, check and describe; the board plays it.

mod assemble;
mod board_file;
mod board_flash;
pub mod boot;
mod efuse;
mod error;
mod image;
mod second_flash;
mod story;
mod values;

#[cfg(test)]
mod tests;

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
};

pub use assemble::CaseBoard;
pub use board_file::{
    BoardFile, Chip, Crystal, Faults, FlashPins, FlashSetup, HiddenLock, Hypothesis, Image,
    ImageFile, Level, Lock, Package, PartOverrides, Pattern, Piece, Pins, Power, ReadNoise,
    RegisterReadFault, Revision, SecondFlash, WriteForm,
};
pub use board_flash::BoardFlash;
pub use boot::{Boot, Flavour};
pub use efuse::{Coding, EfuseSetup};
pub use error::{CaseError, Inconsistency};
pub use image::bootable;
pub use story::{
    Class, Cure, EraseOutcome, EraseStep, FlashIdStep, InstructionStep, Nothing, ReadFlashStep,
    ReadStatusStep, Session, Step, Story, SupplyStep, WriteOutcome, WriteStatusStep, WriteStep,
};
pub use values::{MacAddress, Percent, StrapValue, SupplyMillivolts};

/// Name, label and text of each built-in case.
macro_rules! cases {
    ($($name:literal = $label:literal),+ $(,)?) => {
        &[$(($name, $label, include_str!(concat!("../../cases/", $name, ".toml")))),+]
    };
}

/// The cases of the field, in the order of their list.
const CASES: &[(&str, &str, &str)] = cases![
    "esptool-915" = "S1",
    "esptool-220" = "S2",
    "arduino-1890" = "S3",
    "by25q64as-cmp" = "S4",
    "nodemcu-523" = "S5",
    "xmc-7994" = "S6",
    "puya-7bfc" = "S7",
    "rom-flash-end" = "S0",
    "sr1-bp" = "S12",
    "gd-16bit-wrsr" = "H5",
    "wps-locked" = "H3",
    "sst-a25bf" = "S11",
    "kincony-2535" = "P1",
    "srp-locked" = "P2",
    "m5stack-2931" = "P3",
    "otp-lb" = "N1",
    "status-clean" = "N2",
    "reads-ff" = "N3",
    "supply" = "N4",
    "vdd-sdio" = "N5",
];

/// A board file with the folder that its relative paths start from.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadedBoard {
    /// File, or name of the built-in case, for messages.
    pub origin: String,
    /// Folder of the file; relative paths in it start here.
    pub folder: PathBuf,
    /// What it says.
    pub file: BoardFile,
}

/// Names of the built-in cases.
#[must_use]
pub fn list() -> impl ExactSizeIterator<Item = &'static str> {
    CASES.iter().map(|(name, ..)| *name)
}

/// Loads a built-in case by its name or its label (`S1`, `N5`, ...), letter case ignored.
///
/// # Errors
///
/// [`CaseError::UnknownCase`]; the built-in files themselves are checked by tests.
pub fn load(name: &str) -> Result<LoadedBoard, CaseError> {
    let (name, _, text) = CASES
        .iter()
        .find(|(case, label, _)| {
            case.eq_ignore_ascii_case(name) || label.eq_ignore_ascii_case(name)
        })
        .ok_or_else(|| CaseError::UnknownCase { name: name.to_owned() })?;
    parse(name, text, Path::new("."))
}

/// Loads a board file of the user's own.
///
/// # Errors
///
/// The file cannot be read, or is not what the schema allows.
pub fn load_file(path: &Path) -> Result<LoadedBoard, CaseError> {
    let text = read_text(path)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    parse(&path.display().to_string(), &text, folder)
}

/// Longest board or part file, in bytes.
const LONGEST_FILE: usize = 256 * 1024;

/// Reads a text file of reasonable length.
fn read_text(path: &Path) -> Result<String, CaseError> {
    let fail = |cause| CaseError::Read { path: path.to_owned(), cause };
    let bytes = read_at_most(path, LONGEST_FILE).map_err(fail)?;
    if bytes.len() > LONGEST_FILE {
        let what = format!("longer than {LONGEST_FILE} bytes, the most that is allowed");
        return Err(fail(io::Error::new(io::ErrorKind::FileTooLarge, what)));
    }
    String::from_utf8(bytes)
        .map_err(|error| fail(io::Error::new(io::ErrorKind::InvalidData, error)))
}

/// The file, or one byte more than `limit` of a longer one.
fn read_at_most(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    std::fs::File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads the text of a board file; `origin` names it in messages.
///
/// # Errors
///
/// The text is not what the schema allows.
pub fn parse(origin: &str, text: &str, folder: &Path) -> Result<LoadedBoard, CaseError> {
    let file: BoardFile = toml::from_str(text)
        .map_err(|cause| CaseError::Schema { file: origin.to_owned(), cause: Box::new(cause) })?;
    let board = LoadedBoard { origin: origin.to_owned(), folder: folder.to_owned(), file };
    board.check()?;
    Ok(board)
}

impl LoadedBoard {
    /// A board with one part, blank, factory state.
    #[must_use]
    pub fn with_part(name: &str) -> Self {
        let flash = FlashSetup { part: Some(name.to_owned()), ..FlashSetup::default() };
        Self {
            origin: format!("--part {name}"),
            folder: PathBuf::from("."),
            file: BoardFile { flash, ..BoardFile::default() },
        }
    }

    /// Puts a hypothesis in the place of the default mechanism.
    ///
    /// # Errors
    ///
    /// [`CaseError::UnknownHypothesis`].
    pub fn assume(mut self, name: &str) -> Result<Self, CaseError> {
        let Some(hypothesis) = self.file.hypotheses.get(name).cloned() else {
            return Err(CaseError::UnknownHypothesis {
                name: name.to_owned(),
                known: self.file.hypotheses.keys().cloned().collect(),
            });
        };
        let file = &mut self.file;
        replace(&mut file.flash, hypothesis.flash);
        replace(&mut file.power, hypothesis.power);
        replace(&mut file.pins, hypothesis.pins);
        replace(&mut file.boot, hypothesis.boot);
        replace(&mut file.faults, hypothesis.faults);
        if let Some(story) = &mut file.case {
            story.default_hypothesis = Some(name.to_owned());
            replace(&mut story.play, hypothesis.play);
        }
        Ok(self)
    }

    /// What the parser cannot see: values that contradict each other.
    fn check(&self) -> Result<(), CaseError> {
        let wrong =
            |key, problem| Err(CaseError::Inconsistent { file: self.origin.clone(), key, problem });
        let hypotheses = self.file.hypotheses.values().filter_map(|other| other.flash.as_ref());
        let second = self.file.second_flash.as_ref().map(|second| &second.flash);
        for flash in std::iter::once(&self.file.flash).chain(hypotheses).chain(second) {
            if flash.part.is_some() == flash.part_file.is_some() {
                return wrong("flash", Inconsistency::PartOrFile);
            }
        }
        if let Some((key, most)) = self.file.efuse.too_long() {
            return wrong(key, Inconsistency::EfuseBytes { most });
        }
        let plays = self.file.hypotheses.values().filter_map(|other| other.play.as_ref());
        let own = self.file.case.as_ref().map(|story| &story.play);
        for step in own.into_iter().chain(plays).flatten() {
            if let Some(problem) = step.problem() {
                return wrong("play", problem);
            }
        }
        if let Some(name) = self.file.case.as_ref().and_then(|case| case.default_hypothesis.clone())
            && !self.file.hypotheses.contains_key(&name)
        {
            return wrong("case.default-hypothesis", Inconsistency::NoSuchHypothesis(name));
        }
        Ok(())
    }
}

/// Replaces a table where the hypothesis has one.
fn replace<T>(table: &mut T, other: Option<T>) {
    if let Some(other) = other {
        *table = other;
    }
}

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
pub(crate) mod key_line;
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
    BoardFile, Chip, Crystal, DeadCells, Faults, FlashPins, FlashSetup, HiddenLock, Hypothesis,
    Image, ImageFile, Level, Lock, Package, PartOverrides, Pattern, Piece, Pins, Power, ReadNoise,
    RegisterReadFault, Revision, SecondFlash, WriteForm,
};
pub use board_flash::BoardFlash;
pub use boot::{Boot, Flavour};
pub use efuse::{Coding, EfuseSetup};
pub use error::{CaseError, Inconsistency};
pub use image::bootable;
pub use story::{
    BootStep, Class, Cure, EraseOutcome, EraseStep, FlashIdStep, InstructionStep, Nothing,
    ReadFlashStep, ReadStatusStep, Session, Step, Story, SupplyStep, WriteOutcome, WriteStatusStep,
    WriteStep,
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
    /// Its text, to find lines; empty where there is none.
    text: String,
    /// Tables that a hypothesis has replaced, and its name.
    replaced: Vec<(&'static str, String)>,
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
pub(crate) fn read_text(path: &Path) -> Result<String, CaseError> {
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
    let (origin, folder, text) = (origin.to_owned(), folder.to_owned(), text.to_owned());
    let board = LoadedBoard { origin, folder, file, text, replaced: Vec::new() };
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
            text: String::new(),
            replaced: Vec::new(),
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
        let tables = [
            ("flash", hypothesis.flash.is_some()),
            ("power", hypothesis.power.is_some()),
            ("pins", hypothesis.pins.is_some()),
            ("boot", hypothesis.boot.is_some()),
            ("faults", hypothesis.faults.is_some()),
        ];
        let replaced = tables.into_iter().filter(|(_, is_there)| *is_there);
        self.replaced.extend(replaced.map(|(table, _)| (table, name.to_owned())));
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
        let own = [("flash".to_owned(), &self.file.flash)];
        let second = self.file.second_flash.as_ref().map(|second| &second.flash);
        let second = second.map(|flash| ("second-flash".to_owned(), flash));
        let others = self.file.hypotheses.iter().filter_map(|(name, other)| {
            Some((format!("hypotheses.{name}.flash"), other.flash.as_ref()?))
        });
        for (key, flash) in own.into_iter().chain(second).chain(others) {
            if flash.part.is_some() == flash.part_file.is_some() {
                return Err(self.wrong(&key, Inconsistency::PartOrFile));
            }
        }
        if let Some((key, most)) = self.file.efuse.too_long() {
            return Err(self.wrong(key, Inconsistency::EfuseBytes { most }));
        }
        let own = self.file.case.as_ref().map(|story| ("case.play".to_owned(), &story.play));
        let others = self.file.hypotheses.iter().filter_map(|(name, other)| {
            Some((format!("hypotheses.{name}.play"), other.play.as_ref()?))
        });
        for (key, play) in own.into_iter().chain(others) {
            for (number, step) in play.iter().enumerate() {
                if let Some(problem) = step.problem() {
                    return Err(self.wrong(&format!("{key}[{number}]"), problem));
                }
            }
        }
        if let Some(name) = self.file.case.as_ref().and_then(|case| case.default_hypothesis.clone())
            && !self.file.hypotheses.contains_key(&name)
        {
            let problem = Inconsistency::NoSuchHypothesis(name);
            return Err(self.wrong("case.default-hypothesis", problem));
        }
        Ok(())
    }

    /// A contradiction at a key.
    fn wrong(&self, key: &str, problem: Inconsistency) -> CaseError {
        let table = key.split('.').next().unwrap_or_default();
        let by = self.replaced.iter().rev().find(|(replaced, _)| *replaced == table);
        let key = match by {
            Some((_, name)) => format!("hypotheses.{name}.{key}"),
            None => key.to_owned(),
        };
        CaseError::Inconsistent {
            file: self.origin.clone(),
            line: key_line::of(&self.text, &key),
            key,
            problem: Box::new(problem),
        }
    }
}

/// Replaces a table where the hypothesis has one.
fn replace<T>(table: &mut T, other: Option<T>) {
    if let Some(other) = other {
        *table = other;
    }
}

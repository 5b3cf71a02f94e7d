//! Which virtual board a transcript is to be graded against.

use serde::{Deserialize, Serialize};

use crate::case::{self, CaseError, LoadedBoard};

/// A board as the header of a transcript names it. Exactly one of `case`, `part` and `file` is
/// there.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BoardHint {
    /// A built-in case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub case: Option<String>,
    /// Another mechanism of that case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hypothesis: Option<String>,
    /// A blank part of the catalogue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// A whole board, with the keys of a board file. It must not name other files: a transcript
    /// does not get to read them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<serde_json::Value>,
}

/// A hint that gives no board.
#[derive(Debug, thiserror::Error)]
pub enum HintError {
    /// None of the three, or more than one.
    #[error("the transcript's board must be one of case, part and file")]
    One,
    /// Not a board file.
    #[error("the transcript's board is no board file: {0}")]
    File(#[from] serde_json::Error),
    /// It names a file.
    #[error("the transcript's board names a file of this machine, which it may not")]
    Path,
    /// The case, or what the file says.
    #[error(transparent)]
    Case(#[from] CaseError),
}

impl BoardHint {
    /// The hint for a case, a case with a hypothesis, or a part, by name; `None` if there is no such
    /// thing.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let (case, hypothesis) =
            name.split_once('/').map_or((name, None), |(case, other)| (case, Some(other)));
        if case::load(case).is_ok() {
            let hypothesis = hypothesis.map(str::to_owned);
            return Some(Self { case: Some(case.to_owned()), hypothesis, ..Self::default() });
        }
        let is_part = hypothesis.is_none() && spi_nor::catalog::part(case).is_some();
        is_part.then(|| Self { part: Some(case.to_owned()), ..Self::default() })
    }

    /// The board.
    ///
    /// # Errors
    ///
    /// See [`HintError`].
    pub fn load(&self) -> Result<LoadedBoard, HintError> {
        let board = match (&self.case, &self.part, &self.file) {
            (Some(case), None, None) => case::load(case)?,
            (None, Some(part), None) => LoadedBoard::with_part(part),
            (None, None, Some(file)) => {
                let file: case::BoardFile = serde_json::from_value(file.clone())?;
                if file.flash.part_file.is_some() || file.flash.image.file.is_some() {
                    return Err(HintError::Path);
                }
                let mut board = LoadedBoard::with_part("");
                "transcript".clone_into(&mut board.origin);
                board.file = file;
                board
            }
            _ => return Err(HintError::One),
        };
        match &self.hypothesis {
            Some(name) => Ok(board.assume(name)?),
            None => Ok(board),
        }
    }
}

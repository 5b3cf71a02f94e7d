//! A board that outlives the process: its flash in an image, burned eFuses beside it.
//!
//! `IMAGE.efuses` appears with the first eFuse that a client burns. From then on it is the chip: a
//! later process takes all its eFuses from there, not from the board file.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{ImageStore, PersistError, beside, replace_file};
use crate::{case::CaseBoard, soc::EfuseCells};

/// Words of block 0, and of the others.
const WORDS: [usize; 4] = [7, 8, 8, 8];

/// Where a board is kept.
#[derive(Debug)]
pub struct BoardStore {
    image: ImageStore,
    efuse_path: PathBuf,
}

/// The eFuse file: all words of each block as hex digits, word 0 first, as they are in silicon.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedEfuses {
    block0: Vec<String>,
    block1: Vec<String>,
    block2: Vec<String>,
    block3: Vec<String>,
}

impl BoardStore {
    /// Opens the image at `path` and what is beside it, and puts them on `board`; makes the image
    /// from the board's flash if it is not there.
    ///
    /// # Errors
    ///
    /// The files cannot be used, or belong to another part.
    pub fn open(path: &Path, board: &mut CaseBoard) -> Result<Self, PersistError> {
        let image = ImageStore::open(path, board.flash_mut().nor_mut())?;
        let store = Self { image, efuse_path: beside(path, ".efuses") };
        if let Some(cells) = store.load_efuses()? {
            board.set_efuses(cells);
        }
        Ok(store)
    }

    /// Stores what has changed on `board` since the last call.
    ///
    /// # Errors
    ///
    /// The disk is full or broken.
    pub fn store(&self, board: &mut CaseBoard) -> Result<(), PersistError> {
        if board.take_unsaved_efuses() {
            self.save_efuses(board.efuses())?;
        }
        self.image.store(board.flash_mut().nor_mut())
    }

    fn load_efuses(&self) -> Result<Option<EfuseCells>, PersistError> {
        let path = &self.efuse_path;
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(PersistError::Io { path: path.clone(), cause }),
        };
        let wrong = |problem| PersistError::State { path: path.clone(), problem };
        let saved: SavedEfuses =
            serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
        saved.cells().map(Some).map_err(wrong)
    }

    fn save_efuses(&self, cells: &EfuseCells) -> Result<(), PersistError> {
        let fail = |cause| PersistError::Io { path: self.efuse_path.clone(), cause };
        let text = serde_json::to_vec_pretty(&SavedEfuses::of(cells))
            .map_err(|error| fail(error.into()))?;
        replace_file(&self.efuse_path, &text).map_err(fail)
    }
}

impl SavedEfuses {
    fn of(cells: &EfuseCells) -> Self {
        let block = |block: usize| {
            (0..WORDS[block]).map(|word| format!("{:08x}", cells.word(block, word))).collect()
        };
        Self { block0: block(0), block1: block(1), block2: block(2), block3: block(3) }
    }

    fn cells(&self) -> Result<EfuseCells, String> {
        let mut cells = EfuseCells::BLANK;
        let blocks = [&self.block0, &self.block1, &self.block2, &self.block3];
        for (block, words) in blocks.into_iter().enumerate() {
            if words.len() != WORDS[block] {
                return Err(format!(
                    "block {block} has {} words, not {}",
                    words.len(),
                    WORDS[block]
                ));
            }
            for (index, text) in words.iter().enumerate() {
                let word = u32::from_str_radix(text, 16)
                    .map_err(|error| format!("block {block}: {text:?}: {error}"))?;
                cells.set_word(block, index, word);
            }
        }
        Ok(cells)
    }
}

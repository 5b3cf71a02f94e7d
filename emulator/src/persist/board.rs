//! A board that outlives the process: its flashes in images, burned eFuses in a file.
//!
//! `IMAGE.efuses` appears with the first eFuse that a client burns. From then on it is the chip: a
//! later process takes all its eFuses from there, not from the board file.

use std::path::Path;

use super::{ImageStore, PersistError, beside, efuses::EfuseFile};
use crate::case::CaseBoard;

/// Files that a board is kept in; all are optional.
#[derive(Debug, Clone, Copy, Default)]
pub struct BoardFiles<'a> {
    /// Image of the flash. Beside it, with `.efuses` at its end, are the eFuses, unless they have a
    /// file of their own.
    pub flash: Option<&'a Path>,
    /// Image of the second flash.
    pub second_flash: Option<&'a Path>,
    /// The eFuses as 124 raw bytes (what Espressif's QEMU has as a drive); the file must exist.
    pub raw_efuses: Option<&'a Path>,
}

/// Where a board is kept.
#[derive(Debug)]
pub struct BoardStore {
    image: Option<ImageStore>,
    second: Option<ImageStore>,
    efuses: Option<EfuseFile>,
}

impl BoardStore {
    /// Opens the image at `path` and what is beside it, and puts them on `board`; makes the image
    /// from the board's flash if it is not there.
    ///
    /// # Errors
    ///
    /// The files cannot be used, or belong to another part.
    pub fn open(path: &Path, board: &mut CaseBoard) -> Result<Self, PersistError> {
        Self::open_files(BoardFiles { flash: Some(path), ..BoardFiles::default() }, board)
    }

    /// Opens `files` and puts what they hold on `board`; images that are not there are made from the
    /// board's flashes.
    ///
    /// # Errors
    ///
    /// The files cannot be used, or belong to another part; the board has no second flash.
    pub fn open_files(files: BoardFiles<'_>, board: &mut CaseBoard) -> Result<Self, PersistError> {
        let second = match files.second_flash {
            Some(path) => {
                let nor = board.flash_mut().second_part_mut();
                let nor = nor.ok_or_else(|| PersistError::NoSecond { path: path.to_owned() })?;
                Some(ImageStore::open(path, nor)?)
            }
            None => None,
        };
        let open = |path| ImageStore::open(path, board.flash_mut().nor_mut());
        let image = files.flash.map(open).transpose()?;
        let efuses = match (files.raw_efuses, files.flash) {
            (Some(path), _) => Some(EfuseFile::Raw(path.to_owned())),
            (None, Some(image)) => Some(EfuseFile::Json(beside(image, ".efuses"))),
            (None, None) => None,
        };
        if let Some(cells) = efuses.as_ref().map(EfuseFile::load).transpose()?.flatten() {
            board.set_efuses(cells);
        }
        Ok(Self { image, second, efuses })
    }

    /// Stores what has changed on `board` since the last call.
    ///
    /// # Errors
    ///
    /// The disk is full or broken.
    pub fn store(&self, board: &mut CaseBoard) -> Result<(), PersistError> {
        if let Some(file) = &self.efuses
            && board.take_unsaved_efuses()
        {
            file.save(board.efuses())?;
        }
        if let (Some(store), Some(second)) = (&self.second, board.flash_mut().second_part_mut()) {
            store.store(second)?;
        }
        self.image.iter().try_for_each(|image| image.store(board.flash_mut().nor_mut()))
    }
}

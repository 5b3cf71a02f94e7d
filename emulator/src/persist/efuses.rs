//! The eFuses of a board in a file of their own.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{PersistError, replace_file};
use crate::soc::EfuseCells;

/// Words of block 0, and of the others.
const WORDS: [usize; 4] = [7, 8, 8, 8];
/// Bytes of all words.
const RAW_BYTES: usize = (7 + 3 * 8) * 4;

/// A file with all eFuses, as they are in silicon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum EfuseFile {
    /// Words as hex digits in JSON; made when the first eFuse is burned.
    Json(PathBuf),
    /// 124 bytes: the words of blocks 0 to 3 one behind the other, little-endian, as the eFuse drive
    /// of Espressif's QEMU.
    Raw(PathBuf),
}

/// The JSON file: all words of each block as hex digits, word 0 first.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    block0: Vec<String>,
    block1: Vec<String>,
    block2: Vec<String>,
    block3: Vec<String>,
}

impl EfuseFile {
    fn path(&self) -> &Path {
        match self {
            Self::Json(path) | Self::Raw(path) => path,
        }
    }

    /// What the file holds; `None` where a JSON file is not there yet.
    pub(super) fn load(&self) -> Result<Option<EfuseCells>, PersistError> {
        let path = self.path();
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.may_be_missing() => {
                return Ok(None);
            }
            Err(cause) => return Err(PersistError::Io { path: path.to_owned(), cause }),
        };
        let cells = match self {
            Self::Json(_) => serde_json::from_slice(&bytes)
                .map_err(|error| error.to_string())
                .and_then(|saved: Saved| saved.cells()),
            Self::Raw(_) => from_raw(&bytes),
        };
        let wrong = |problem| PersistError::State { path: path.to_owned(), problem };
        cells.map(Some).map_err(wrong)
    }

    const fn may_be_missing(&self) -> bool {
        matches!(self, Self::Json(_))
    }

    /// Replaces the file: it is the old one or the new one at any moment.
    pub(super) fn save(&self, cells: &EfuseCells) -> Result<(), PersistError> {
        let fail = |cause| PersistError::Io { path: self.path().to_owned(), cause };
        let bytes = match self {
            Self::Json(_) => {
                serde_json::to_vec_pretty(&Saved::of(cells)).map_err(|error| fail(error.into()))?
            }
            Self::Raw(_) => words(cells).flat_map(u32::to_le_bytes).collect(),
        };
        replace_file(self.path(), &bytes).map_err(fail)
    }
}

/// All words, block after block.
fn words(cells: &EfuseCells) -> impl Iterator<Item = u32> {
    let places = (0..).zip(WORDS).flat_map(|(block, count)| (0..count).map(move |at| (block, at)));
    places.map(|(block, at)| cells.word(block, at))
}

fn from_raw(bytes: &[u8]) -> Result<EfuseCells, String> {
    if bytes.len() != RAW_BYTES {
        return Err(format!("{} bytes, and the eFuses of an ESP32 are {RAW_BYTES}", bytes.len()));
    }
    let mut cells = EfuseCells::BLANK;
    let (values, _) = bytes.as_chunks();
    let mut values = values.iter().map(|value| u32::from_le_bytes(*value));
    for (block, count) in (0..).zip(WORDS) {
        for (at, value) in (0..count).zip(values.by_ref()) {
            cells.set_word(block, at, value);
        }
    }
    Ok(cells)
}

impl Saved {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What QEMU's documents give for a chip of revision 3: bit 15 of word 3 and bit 20 of word 5.
    fn revision_3() -> Vec<u8> {
        let mut bytes = vec![0; 124];
        (bytes[13], bytes[22]) = (0x80, 0x10);
        bytes
    }

    #[test]
    fn the_raw_file_is_the_blocks_words_in_order() {
        let cells = from_raw(&revision_3()).unwrap();
        assert_eq!((cells.word(0, 3), cells.word(0, 5)), (1 << 15, 1 << 20));
        let mut bytes = vec![0; 124];
        (bytes[28], bytes[60], bytes[92], bytes[123]) = (1, 2, 3, 4);
        let cells = from_raw(&bytes).unwrap();
        let first: Vec<_> = (1..4).map(|block| cells.word(block, 0)).collect();
        assert_eq!((first, cells.word(3, 7)), (vec![1, 2, 3], 0x0400_0000));
    }

    #[test]
    fn a_raw_file_is_written_through_and_must_be_there_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("efuse.bin");
        let file = EfuseFile::Raw(path.clone());
        assert!(matches!(file.load(), Err(PersistError::Io { .. })));
        fs::write(&path, [0; 100]).unwrap();
        let error = file.load().unwrap_err().to_string();
        assert!(error.ends_with("100 bytes, and the eFuses of an ESP32 are 124"), "{error}");
        fs::write(&path, revision_3()).unwrap();
        let mut cells = file.load().unwrap().unwrap();
        cells.set_word(3, 7, 0x1234_5678);
        file.save(&cells).unwrap();
        let bytes = fs::read(&path).unwrap();
        assert_eq!(bytes[..120], revision_3()[..120]);
        assert_eq!(bytes[120..], [0x78, 0x56, 0x34, 0x12]);
        assert_eq!(file.load().unwrap(), Some(cells));
    }
}

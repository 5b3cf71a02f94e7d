//! What was there before the suite changed anything, on disk until it is there again.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use esp32_emulator::transcript::format::hex;
use esp32_flasher::chip::Mac;
use serde::{Deserialize, Serialize};

/// A board before a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Journal {
    /// Whose it is.
    pub(crate) mac: String,
    /// First address of the scratch range.
    pub(crate) scratch: u32,
    /// Its content as hex.
    pub(crate) content: String,
    /// Answers to 05h, 35h, 15h; none where it was not read.
    pub(crate) status: [Option<u8>; 3],
}

impl Journal {
    /// Of a board that nothing has been done to.
    pub(crate) fn of(mac: Mac, scratch: u32, content: &[u8], status: [Option<u8>; 3]) -> Self {
        Self { mac: mac.to_string(), scratch, content: hex(content), status }
    }

    /// Where the journal of a board is kept.
    fn path(folder: &Path, mac: Mac) -> PathBuf {
        folder.join(format!("{}.journal.json", mac.to_string().replace(':', "")))
    }

    /// Whether any board has one.
    pub(crate) fn any(folder: &Path) -> bool {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.into_iter().any(|it| it.file_name().to_string_lossy().ends_with(".journal.json"))
    }

    /// Of a run that could not put everything back.
    pub(crate) fn left_over(folder: &Path, mac: Mac) -> io::Result<Option<Self>> {
        let path = Self::path(folder, mac);
        match fs::read(&path) {
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(journal) => Ok(Some(journal)),
                Err(error) => Err(io::Error::other(format!("{}: {error}", path.display()))),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Keeps it; it is on disk when this returns, whole or not at all.
    pub(crate) fn keep(&self, folder: &Path, mac: Mac) -> io::Result<()> {
        let path = Self::path(folder, mac);
        let draft = path.with_extension("draft");
        let mut file = File::create(&draft)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        fs::rename(draft, path)
    }

    /// Everything is as it was.
    pub(crate) fn discard(folder: &Path, mac: Mac) -> io::Result<()> {
        fs::remove_file(Self::path(folder, mac))
    }

    /// The bytes of the scratch range.
    pub(crate) fn bytes(&self) -> Option<Vec<u8>> {
        let digits = self.content.as_bytes();
        let pairs = digits.chunks(2).map(|pair| {
            let text = std::str::from_utf8(pair).ok()?;
            u8::from_str_radix(text, 16).ok()
        });
        pairs.collect()
    }
}

#[test]
fn a_journal_survives_the_disk() {
    let folder = tempfile::tempdir().expect("a folder");
    let mac = Mac([1, 2, 3, 4, 5, 6]);
    assert_eq!(Journal::left_over(folder.path(), mac).expect("readable"), None);
    let journal = Journal::of(mac, 0x1000, &[0, 0xc0, 0xff], [Some(0), None, None]);
    journal.keep(folder.path(), mac).expect("writable");
    let read = Journal::left_over(folder.path(), mac).expect("readable").expect("it is there");
    assert_eq!(read.bytes(), Some(vec![0, 0xc0, 0xff]));
    assert_eq!(read, journal);
    fs::write(Journal::path(folder.path(), mac), "{").expect("writable");
    let error = Journal::left_over(folder.path(), mac).expect_err("it is cut");
    assert!(error.to_string().contains("010203040506.journal.json: EOF"), "{error}");
    Journal::discard(folder.path(), mac).expect("removable");
    assert_eq!(Journal::left_over(folder.path(), mac).expect("readable"), None);
}

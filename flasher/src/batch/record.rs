//! Records of boards: one file for each MAC.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

use super::{BatchError, Outcome, Serials};
use crate::{chip::Mac, protect::Journal};

const JOURNALS_MAX: u32 = 1000;

/// What is kept of a board.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Version of this form: 1.
    pub version: u32,
    /// Port that it was on.
    pub port: String,
    /// Its MAC, if it got so far.
    pub mac: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, if not well.
    pub message: Option<String>,
    /// Its serial number.
    pub serial: Option<u64>,
    /// Digest over addresses and digests of what it was to get.
    pub content: Option<String>,
    /// The diagnosis, if protection is in the way or the flash did not take the data: as `flasher doctor --json` gives it.
    pub diagnosis: Option<serde_json::Value>,
    /// Time that it took, in seconds.
    pub elapsed_s: f64,
}

/// The folder of the records, and the serial numbers that it rules.
pub(super) struct Keeper {
    folder: Option<PathBuf>,
    next_serial: Mutex<Option<u64>>,
}

impl Keeper {
    /// Opens the folder and finds the next free serial number.
    pub(super) fn open(
        folder: Option<&Path>,
        serials: Option<Serials>,
    ) -> Result<Self, BatchError> {
        let mut next_serial = serials.map(|serials| serials.first);
        if let Some(folder) = folder {
            let at = |cause| BatchError::Record { path: folder.to_owned(), cause };
            fs::create_dir_all(folder).map_err(at)?;
            for entry in fs::read_dir(folder).map_err(at)? {
                let used = read(&entry.map_err(at)?.path()).and_then(|record| record.serial);
                if let (Some(next), Some(used)) = (&mut next_serial, used) {
                    *next = (*next).max(used.saturating_add(1));
                }
            }
        }
        let folder = folder.map(Path::to_owned);
        Ok(Self { folder, next_serial: Mutex::new(next_serial) })
    }

    /// What is known of a board.
    pub(super) fn find(&self, mac: Mac) -> Option<Record> {
        read(&self.folder.as_ref()?.join(format!("{}.json", plain(mac))))
    }

    /// A serial number that no other board has.
    pub(super) fn take_serial(&self) -> Option<u64> {
        let mut next = self.next_serial.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = *next;
        *next = taken.map(|serial| serial.saturating_add(1));
        taken
    }

    /// Keeps a record; it is there in full or not at all.
    pub(super) fn keep(&self, record: &Record, mac: Option<Mac>) -> Result<(), BatchError> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let port = record.port.replace(|c: char| !c.is_alphanumeric(), "_");
        let name = mac.map_or_else(|| format!("port-{port}"), plain);
        let path = folder.join(format!("{name}.json"));
        // By the port, because chips with one MAC exist: clones, and boards in process.
        let new = folder.join(format!("{port}.new"));
        write_synced(&new, record)
            .and_then(|()| fs::rename(&new, &path))
            .map_err(|cause| BatchError::Record { path, cause })
    }

    /// Keeps the register values before a change; never over older ones.
    pub(super) fn keep_journal(&self, mac: Mac, journal: &Journal) -> io::Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        for number in 1..JOURNALS_MAX {
            let path = folder.join(format!("{}.protect-{number}.journal", plain(mac)));
            match File::create_new(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
                Ok(mut file) => {
                    serde_json::to_writer_pretty(&mut file, journal)?;
                    writeln!(file)?;
                    return file.sync_all();
                }
            }
        }
        Err(io::Error::other("too many journals of this board"))
    }
}

fn plain(mac: Mac) -> String {
    mac.to_string().replace(':', "")
}

fn read(path: &Path) -> Option<Record> {
    if path.extension()? != "json" {
        return None;
    }
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn write_synced(path: &Path, record: &Record) -> io::Result<()> {
    let mut file = File::create(path)?;
    serde_json::to_writer_pretty(&mut file, record)?;
    writeln!(file)?;
    file.sync_all()
}

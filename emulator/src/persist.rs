//! A flash that outlives the process: the array in an image file, everything else beside it.
//!
//! `IMAGE` holds the array byte for byte, as `esptool read_flash` would. `IMAGE.state` is a small
//! JSON file with the non-volatile registers. Changed sectors are written before the client hears
//! of them, so a process that is killed loses nothing that the chip had finished. The state file is
//! replaced by rename, so that it is the old one or the new one at any moment. The image is synced
//! to the disk when the store is dropped.

mod board;
mod efuses;

pub use board::{BoardFiles, BoardStore};

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt::Write as _,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use spi_nor::part::{HexBytes, RegisterName};

use crate::{
    flash::{Cells, FlashState, NorFlash, SECTOR_BYTES},
    time::Instant,
};

/// An image file and its state file.
#[derive(Debug)]
pub struct ImageStore {
    image: File,
    state_path: PathBuf,
}

impl Drop for ImageStore {
    fn drop(&mut self) {
        // Against a power failure only; a killed process needs none of it.
        let _ = self.image.sync_all();
    }
}

/// The state file.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    /// Part that it belongs to.
    part: String,
    /// Non-volatile registers by name.
    registers: BTreeMap<String, u8>,
    /// Hidden protection of a damaged status row.
    damaged_row: bool,
    /// Security registers: used sectors as hex digits, by number.
    #[serde(default)]
    security: BTreeMap<u32, String>,
    /// The OTP sector behind 3Ah, if it is not blank.
    #[serde(default)]
    otp_sector: BTreeMap<u32, String>,
    /// Lock bits of the OTP sector.
    #[serde(default)]
    otp_lock: u8,
    /// Numbers of the individual locks that are permanent. All other ones are volatile: they are
    /// back in their power-up state when the process starts anew (QUIRKS Q14).
    #[serde(default)]
    locked_for_ever: Vec<u32>,
}

/// Why an image could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PersistError {
    /// The system refused.
    #[error("{}: {cause}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The image is not as large as the array.
    #[error("{}: {bytes} bytes, but the part has {capacity}", path.display())]
    Size {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
        /// The part's capacity in bytes.
        capacity: u32,
    },
    /// There is nothing to be kept in the file.
    #[error("{}: the board has no second flash ([second-flash] in its file)", path.display())]
    NoSecond {
        /// The file.
        path: PathBuf,
    },
    /// The state file is damaged or of another part.
    #[error("{}: {problem}", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

impl ImageStore {
    /// Opens `path` and loads it into `flash`; makes it from what is in `flash` if it is not there.
    ///
    /// # Errors
    ///
    /// The files cannot be used, or belong to another part.
    pub fn open(path: &Path, flash: &mut NorFlash) -> Result<Self, PersistError> {
        let fail = |cause| PersistError::Io { path: path.to_owned(), cause };
        if !path.exists() {
            create(path, flash).map_err(fail)?;
        }
        let image = OpenOptions::new().read(true).write(true).open(path).map_err(fail)?;
        let bytes = image.metadata().map_err(fail)?.len();
        let capacity = flash.part().capacity_bytes;
        if bytes != u64::from(capacity) {
            return Err(PersistError::Size { path: path.to_owned(), bytes, capacity });
        }
        let store = Self { image, state_path: beside(path, ".state") };
        store.load_array(capacity, flash).map_err(fail)?;
        store.load_state(flash)?;
        // What was just loaded is stored already; the state file may not be.
        let _ = flash.take_dirty();
        store.save_state(flash)?;
        Ok(store)
    }

    /// Stores what has changed in `flash` since the last call.
    ///
    /// # Errors
    ///
    /// The disk is full or broken.
    pub fn store(&self, flash: &mut NorFlash) -> Result<(), PersistError> {
        let dirty = flash.take_dirty();
        for number in &dirty.sectors {
            if let Some(sector) = flash.state().cells.sector(*number) {
                let offset = u64::from(*number) * SECTOR_BYTES as u64;
                self.image.write_all_at(sector, offset).map_err(|cause| self.failed(cause))?;
            }
        }
        if dirty.registers {
            self.save_state(flash)?;
        }
        Ok(())
    }

    fn failed(&self, cause: io::Error) -> PersistError {
        PersistError::Io { path: self.state_path.with_extension(""), cause }
    }

    fn load_array(&self, capacity: u32, flash: &mut NorFlash) -> io::Result<()> {
        let mut sector = [0; SECTOR_BYTES];
        for number in 0..capacity / 4096 {
            let address = number * 4096;
            self.image.read_exact_at(&mut sector, address.into())?;
            flash.load_image(address, &sector);
        }
        Ok(())
    }

    fn load_state(&self, flash: &mut NorFlash) -> Result<(), PersistError> {
        let wrong =
            |problem: String| PersistError::State { path: self.state_path.clone(), problem };
        let text = match fs::read(&self.state_path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(cause) => return Err(PersistError::Io { path: self.state_path.clone(), cause }),
        };
        let saved: Saved =
            serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
        if saved.part != flash.part().name {
            return Err(wrong(format!("of a {}, not a {}", saved.part, flash.part().name)));
        }
        let mut state = flash.snapshot();
        let names: Vec<RegisterName> = flash.part().registers.keys().copied().collect();
        for name in names {
            if let Some(value) = saved.registers.get(&key(name)) {
                state.set_register(name, *value);
            }
        }
        for (cells, sectors) in
            [(&mut state.security, saved.security), (&mut state.otp_sector, saved.otp_sector)]
        {
            for (number, text) in sectors {
                let bytes = HexBytes::try_from(text).map_err(|error| wrong(error.to_string()))?.0;
                let end = (u64::from(number) + 1) * SECTOR_BYTES as u64;
                if bytes.len() != SECTOR_BYTES || end > u64::from(cells.capacity_bytes()) {
                    return Err(wrong(format!("no sector {number} of {} bytes", bytes.len())));
                }
                cells.load(number * 4096, &bytes);
            }
        }
        state.otp_lock = saved.otp_lock;
        // No unit is smaller than a sector.
        let mut permanent = vec![false; (flash.part().capacity_bytes / 4096) as usize];
        for number in saved.locked_for_ever {
            let slot = permanent.get_mut(number as usize);
            *slot.ok_or_else(|| wrong(format!("no lock {number}")))? = true;
        }
        state.locked_for_ever = permanent;
        state.damaged_row = saved.damaged_row.then(|| 0..flash.part().capacity_bytes);
        flash.restore(state, Instant::ZERO).map_err(|error| wrong(error.to_string()))
    }

    fn save_state(&self, flash: &NorFlash) -> Result<(), PersistError> {
        let fail = |cause| PersistError::Io { path: self.state_path.clone(), cause };
        let saved =
            Saved::of(flash.part().name.clone(), flash.part().registers.keys(), flash.state());
        let text = serde_json::to_vec_pretty(&saved).map_err(|error| fail(error.into()))?;
        replace_file(&self.state_path, &text).map_err(fail)
    }
}

impl Saved {
    fn of<'a>(
        part: String,
        names: impl Iterator<Item = &'a RegisterName>,
        state: &FlashState,
    ) -> Self {
        let registers = names.map(|name| (key(*name), state.register(*name))).collect();
        Self {
            part,
            registers,
            damaged_row: state.damaged_row.is_some(),
            security: used(&state.security),
            otp_sector: used(&state.otp_sector),
            otp_lock: state.otp_lock,
            locked_for_ever: (0..)
                .zip(&state.locked_for_ever)
                .filter_map(|(number, locked)| locked.then_some(number))
                .collect(),
        }
    }
}

fn used(cells: &Cells) -> BTreeMap<u32, String> {
    let sectors = cells.used_sectors().filter_map(|number| Some((number, cells.sector(number)?)));
    let hex = |bytes: &[u8]| {
        bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    };
    sectors.map(|(number, bytes)| (number, hex(bytes))).collect()
}

fn key(name: RegisterName) -> String {
    format!("{name:?}").to_lowercase()
}

/// The path with more at its end.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut path = OsString::from(path);
    path.push(suffix);
    path.into()
}

/// Replaces a small file by rename: it is the old one or the new one at any moment.
fn replace_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = beside(path, ".tmp");
    fs::write(&temporary, content)?;
    fs::rename(&temporary, path)
}

/// Makes the image in one step: a half-written one is never seen under its name.
fn create(path: &Path, flash: &NorFlash) -> io::Result<()> {
    let temporary = beside(path, ".tmp");
    let file = File::create(&temporary)?;
    for (sector, offset) in flash.state().cells.sectors().zip((0_u64..).step_by(SECTOR_BYTES)) {
        file.write_all_at(sector, offset)?;
    }
    fs::rename(temporary, path)
}

#[cfg(test)]
mod tests;

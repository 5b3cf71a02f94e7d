//! Writing images: prepared data, raw and compressed transfer, digests.
//!
//! ```
//! use esp32_flasher::{
//!     port, reset::ResetStrategy, session::Session, write::{Image, WriteOptions},
//! };
//!
//! let mut session = Session::new(port::open("virtual:W25Q32JV", 115_200)?);
//! session.connect(&[ResetStrategy::classic()], 7)?;
//! session.attach_flash()?;
//! let image = Image { name: "app.bin".into(), offset: 0x1_0000, data: vec![0x5a; 5000] };
//! let report = session.write_image(&image, WriteOptions::default(), &mut |_| {})?;
//! assert_eq!((report.bytes, report.restarts), (5000, 0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Why the tail of a compressed write to the ROM goes raw
//!
//! The ROM inflates into a window of 32 KiB and programs the window when it is full, and once more,
//! in full length, after the last announced block. So a plain compressed write programs up to
//! 32 KiB behind the image, with leftovers of the window, over cells that it did not erase
//! (ROM-FACTS 5.5). Here the ROM never sees a last block: one block more is announced than is
//! sent, only whole windows are compressed, and the remainder, shorter than a window, is written
//! raw. The stream carries one byte more than its windows, so that it is a full window and not the
//! end of the stream that makes the ROM program the last one. Every programmed byte is one of the
//! image, and every erased sector holds one.
//!
//! Nor does the ROM ever get `FLASH_END` or `FLASH_DEFL_END`, after which it would protect the
//! whole chip (ROM-FACTS 5.4).

mod image;
mod plainly;
mod prepared;
#[cfg(test)]
mod tests;
mod transfer;

use std::fmt;

use esp_protocol::MD5_BYTES;
use serde::{Serialize, Serializer};

pub use image::{Check, Compression, Skip, Transfer, WriteOptions};
pub use prepared::{Image, Prepared};
pub use transfer::WriteReport;

use crate::{
    flash::ReadError,
    session::{Session, SessionError},
};

/// An MD5 that prints as hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest(pub [u8; MD5_BYTES]);

impl Digest {
    /// Of bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(md5::compute(bytes).0)
    }

    /// Of `len` bytes of erased flash.
    #[must_use]
    pub fn of_erased(len: u32) -> Self {
        const CHUNK: [u8; 4096] = [0xff; 4096];
        let (chunks, rest) = (len as usize / CHUNK.len(), len as usize % CHUNK.len());
        let mut context = md5::Context::new();
        (0..chunks).for_each(|_| context.consume(CHUNK));
        context.consume(&CHUNK[..rest]);
        Self(context.finalize().0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The flash does not hold what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Mismatch {
    /// First byte of the compared range.
    pub offset: u32,
    /// Bytes compared.
    pub len: u32,
    /// Digest of the file.
    pub file: Digest,
    /// Digest of the flash.
    pub flash: Digest,
    /// Digest of as many bytes of 0xFF: what the flash holds if it was erased but not programmed.
    pub erased: Digest,
}

impl Mismatch {
    /// The range is blank: the erase worked and the program did not.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.flash == self.erased
    }
}

/// A write or a comparison failed.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The session failed.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The digest of the flash is another than that of the file.
    #[error("the flash at {:#x} does not hold the {} bytes of the file", .0.offset, .0.len)]
    Mismatch(Mismatch),
    /// The loader read back something else than it wrote (ROM-FACTS 5.3).
    #[error("the flash did not take the data at {offset:#x}")]
    NotTaken {
        /// First byte of the refused block.
        offset: u32,
    },
    /// The flash could not be read back.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The line is too bad.
    #[error("gave up after {restarts} restarts: {last}")]
    TooManyRestarts {
        /// Restarts tried.
        restarts: u32,
        /// What the last one ended with.
        last: SessionError,
    },
}

impl Session {
    /// Compares the flash with prepared data, by digest.
    ///
    /// # Errors
    ///
    /// [`WriteError::Mismatch`], [`WriteError::Session`].
    pub fn verify(&mut self, prepared: &Prepared) -> Result<(), WriteError> {
        let look = |session: &mut Self| {
            session.look(|session| session.flash_md5(prepared.offset, prepared.len)).map(Digest)
        };
        let mut flash = look(self)?;
        if flash == prepared.digest && prepared.is_blank {
            // What the loader reads as well if its requests do not reach the flash.
            self.prove_loader_reads()?;
            flash = look(self)?;
        }
        if flash == prepared.digest {
            return Ok(());
        }
        Err(WriteError::Mismatch(Mismatch {
            offset: prepared.offset,
            len: prepared.len,
            file: prepared.digest,
            flash,
            erased: Digest::of_erased(prepared.len),
        }))
    }
}

//! Programs for the chip's RAM as files: ESP images, stubs in JSON or TOML, ELF files.

mod elf;
mod stub;
mod symbols;

use esp_protocol::image::{self, Image, ImageError};

pub use elf::ElfError;
pub use stub::StubError;
pub use symbols::Symbols;

/// A program: what goes where, and where it begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Program {
    /// Address of the first function.
    pub entry: u32,
    /// Addresses and contents.
    pub segments: Vec<(u32, Vec<u8>)>,
    /// Names of its functions, where the file has them.
    pub symbols: Symbols,
}

/// Why a file is no program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// An ESP image with a fault.
    #[error("the image: {0}")]
    Image(#[from] ImageError),
    /// An ESP image whose checksum is wrong.
    #[error("the image's checksum is {stored:#04x}, its data have {computed:#04x}")]
    Checksum {
        /// In the image.
        stored: u8,
        /// Of its data.
        computed: u8,
    },
    /// An ELF file with a fault.
    #[error("the ELF file: {0}")]
    Elf(#[from] ElfError),
    /// A stub file with a fault.
    #[error("the stub: {0}")]
    Stub(#[from] StubError),
    /// None of the formats.
    #[error("neither an ESP image (e9), an ELF file, nor a stub in JSON or TOML")]
    Format,
}

impl Program {
    /// Reads any of the formats.
    ///
    /// # Errors
    ///
    /// [`ProgramError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ProgramError> {
        match bytes.first() {
            Some(&image::MAGIC) => Self::from_image(bytes),
            Some(0x7F) => Ok(elf::program(bytes)?),
            _ => match std::str::from_utf8(bytes) {
                Ok(text) if text.contains("text_start") => Ok(stub::program(text)?),
                _ => Err(ProgramError::Format),
            },
        }
    }

    fn from_image(bytes: &[u8]) -> Result<Self, ProgramError> {
        let image = Image::parse(bytes)?;
        if !image.checksum_ok() {
            let (stored, computed) = (image.checksum_stored, image.checksum_computed);
            return Err(ProgramError::Checksum { stored, computed });
        }
        let segments = image.segments.iter().map(|segment| {
            let data = bytes.get(segment.data.clone()).unwrap_or_default();
            (segment.load_address, data.to_vec())
        });
        Ok(Self {
            entry: image.header.entry,
            segments: segments.collect(),
            symbols: Symbols::default(),
        })
    }
}

#[cfg(test)]
mod tests;

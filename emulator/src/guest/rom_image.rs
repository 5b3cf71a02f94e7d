//! A user's own dump of the mask ROM, to run in place of the native one.
//!
//! None is shipped and none was at hand. With programs of our own in its place the loading, the reset
//! state and the vectors are tested, and that code reaches SYNC, `SPI_ATTACH`, a flash write and its
//! digest over the registers alone: straps, reset cause, UART0 with its rate detector, SPI1. What
//! the real ROM needs beyond those and SPI0 and eFuse, and finds as registers that only keep what is
//! written: RTC clocks and the software reset in `RTC_CNTL_OPTIONS0`, the watchdogs and timers, the
//! flash cache, the second core.

use std::ops::Range;

use crate::program::{Program, ProgramError};

/// ROM 0 and behind it ROM 1, as code.
const CODE: Range<u32> = 0x4000_0000..0x4007_0000;
/// ROM 1 as data.
const DATA: Range<u32> = 0x3FF9_0000..0x3FFA_0000;
/// Where ROM 1 is in `CODE`: behind 384 KiB.
const DATA_OFFSET: usize = 384 << 10;
/// 384 KiB and 64 KiB.
const CODE_BYTES: usize = 448 << 10;

/// A dump.
#[derive(Clone, PartialEq, Eq)]
pub struct RomImage {
    code: Vec<u8>,
    data: Vec<u8>,
}

impl std::fmt::Debug for RomImage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RomImage").field("bytes", &self.code.len()).finish_non_exhaustive()
    }
}

/// Why a file is no dump of the ROM.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RomImageError {
    /// Neither an ELF file nor as long as the ROM.
    #[error("{bytes} bytes are no dump of the ROM, which has 458752 (384 KiB and 64 KiB)")]
    Length {
        /// Its length.
        bytes: usize,
    },
    /// An ELF file with a fault.
    #[error(transparent)]
    Elf(#[from] ProgramError),
    /// An ELF file without anything for the reset vector.
    #[error("the ELF file has nothing at the reset vector 0x40000400")]
    NoResetVector,
}

impl RomImage {
    /// Where the processor begins.
    pub const RESET_VECTOR: u32 = 0x4000_0400;

    /// Reads a raw dump (ROM 0, then ROM 1), or the parts of an ELF file that lie in the ROM.
    ///
    /// # Errors
    ///
    /// [`RomImageError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, RomImageError> {
        if bytes.len() == CODE_BYTES {
            let data = bytes.get(DATA_OFFSET..).unwrap_or_default().to_vec();
            return Ok(Self { code: bytes.to_vec(), data });
        }
        if !bytes.starts_with(b"\x7fELF") {
            return Err(RomImageError::Length { bytes: bytes.len() });
        }
        let mut image = Self { code: vec![0; CODE_BYTES], data: vec![0; CODE_BYTES - DATA_OFFSET] };
        let mut has_reset_vector = false;
        for (address, bytes) in Program::parse(bytes)?.segments {
            image.put(address, &bytes);
            has_reset_vector |=
                (bytes.len() as u64) > u64::from(Self::RESET_VECTOR.wrapping_sub(address));
        }
        if has_reset_vector { Ok(image) } else { Err(RomImageError::NoResetVector) }
    }

    /// The part of a segment that lies in the ROM; RAM is filled by the ROM's own code.
    fn put(&mut self, address: u32, bytes: &[u8]) {
        for (range, target) in [(CODE, &mut self.code), (DATA, &mut self.data)] {
            if range.contains(&address) {
                let place = target.get_mut((address - range.start) as usize..).unwrap_or_default();
                for (target, byte) in place.iter_mut().zip(bytes) {
                    *target = *byte;
                }
            }
        }
    }

    /// Address, bytes, and whether it is code.
    pub(super) fn regions(&self) -> [(u32, &[u8], bool); 2] {
        [(CODE.start, self.code.as_slice(), true), (DATA.start, self.data.as_slice(), false)]
    }
}

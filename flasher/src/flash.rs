//! The flash through the loader: identity, digests, reading, erasing.

mod erase;
mod read;
mod scratch;

use std::time::Duration;

use esp_protocol::{
    MD5_BYTES,
    command::{Request, SpiParameters},
    response::Dialect,
};
use serde::Serialize;

pub use erase::{EraseError, EraseReport};
pub use read::ReadError;
pub use scratch::ScratchReport;

use crate::{
    session::{COMMAND_TIMEOUT, Cause, Session, SessionError, Step},
    spi::{DATA_BYTES_MAX, Instruction, opcode},
};

/// Sector in bytes: what the smallest erase clears.
pub const SECTOR_BYTES: u32 = 0x1000;
/// Block in bytes: what the largest erase clears.
pub const BLOCK_BYTES: u32 = 0x1_0000;
/// Size that the ROM assumes until it is told (ROM-FACTS 5.7).
pub const ROM_DEFAULT_BYTES: u32 = 2 << 20;
/// SFDP bytes read at most.
const SFDP_BYTES_MAX: usize = 256;
/// Digests take the ROM so long for each MiB, at most.
const MD5_TIMEOUT_PER_MIB: Duration = Duration::from_secs(8);

/// A flash as it identifies itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FlashId {
    /// Answer of 9Fh: manufacturer, memory type, capacity.
    pub jedec: [u8; 3],
    /// Size in bytes by the capacity byte, if it is a usual one.
    pub bytes_by_id: Option<u32>,
    /// First bytes of SFDP, if the flash has it.
    pub sfdp: Option<Sfdp>,
}

/// What SFDP tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sfdp {
    /// Minor and major revision.
    pub revision: [u8; 2],
    /// Density of the basic table, in bytes.
    pub bytes: Option<u32>,
    /// The bytes read, from address 0.
    #[serde(skip)]
    pub raw: Vec<u8>,
}

impl FlashId {
    /// All ones or all zeros: nothing answers.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        is_absent(self.jedec)
    }

    /// Size in bytes: by SFDP, else by the id.
    #[must_use]
    pub fn bytes(&self) -> Option<u32> {
        self.sfdp.as_ref().and_then(|sfdp| sfdp.bytes).or(self.bytes_by_id)
    }
}

/// Whether a JEDEC id is that of an empty or dead bus: all ones or all zeros.
#[must_use]
pub fn is_absent(jedec: [u8; 3]) -> bool {
    jedec == [0xff; 3] || jedec == [0; 3]
}

/// Size by the capacity byte of the JEDEC id: a power of two on most parts; some count on from
/// 20h after 19h.
#[must_use]
pub const fn bytes_by_capacity(code: u8) -> Option<u32> {
    match code {
        0x10..=0x1b => Some(1 << code),
        0x20..=0x22 => Some(1 << (code - 6)),
        // Parts that set a flag in the upper nibble (1.8 V lines): 32h is 256 KiB.
        0x32..=0x39 => Some(1 << (code - 0x20)),
        _ => None,
    }
}

impl Session {
    /// Connects the flash to the loader and reads its id.
    ///
    /// # Errors
    ///
    /// As [`Session::command`].
    pub fn attach_flash(&mut self) -> Result<FlashId, SessionError> {
        let legacy = (self.dialect() == Dialect::Rom).then_some(0);
        self.command(&Request::SpiAttach { pins: 0, legacy }, COMMAND_TIMEOUT)?;
        // The ROM has set the controller up anew.
        self.spi_idle = None;
        let id = self.flash_id()?;
        if let Some(bytes) = id.bytes() {
            self.set_flash_bytes(bytes)?;
        }
        Ok(id)
    }

    /// Tells the loader the size of the flash: until then the ROM refuses what lies beyond 2 MiB.
    ///
    /// # Errors
    ///
    /// As [`Session::command`].
    pub fn set_flash_bytes(&mut self, bytes: u32) -> Result<(), SessionError> {
        let parameters = SpiParameters::of_size(bytes);
        self.command(&Request::SpiSetParams(parameters), COMMAND_TIMEOUT)?;
        self.flash_bytes = Some(bytes);
        Ok(())
    }

    /// Size of the flash as told to the loader, in bytes.
    #[must_use]
    pub fn flash_bytes(&self) -> u32 {
        self.flash_bytes.unwrap_or(ROM_DEFAULT_BYTES)
    }

    /// Reads id and SFDP.
    ///
    /// # Errors
    ///
    /// As [`Session::spi`].
    pub fn flash_id(&mut self) -> Result<FlashId, SessionError> {
        let jedec = self.jedec_id()?;
        Ok(FlashId { jedec, bytes_by_id: bytes_by_capacity(jedec[2]), sfdp: self.read_sfdp()? })
    }

    /// Reads the id alone: manufacturer, memory type, capacity.
    ///
    /// # Errors
    ///
    /// As [`Session::spi`].
    pub fn jedec_id(&mut self) -> Result<[u8; 3], SessionError> {
        let id = self.spi(&Instruction::new(opcode::READ_ID).reading(3))?;
        Ok(id.try_into().unwrap_or_default())
    }

    fn read_sfdp(&mut self) -> Result<Option<Sfdp>, SessionError> {
        let mut raw = self.sfdp_part(0)?;
        if !raw.starts_with(b"SFDP") {
            return Ok(None);
        }
        // The first parameter header is that of the basic table; its pointer has three bytes.
        let table = u32::from_le_bytes([raw[12], raw[13], raw[14], 0]) as usize;
        for address in (raw.len()..(table + 8).min(SFDP_BYTES_MAX)).step_by(DATA_BYTES_MAX) {
            raw.extend(self.sfdp_part(u32::try_from(address).unwrap_or_default())?);
        }
        let density = raw.get(table + 4..table + 8).and_then(|word| word.try_into().ok());
        let bytes = density.map(u32::from_le_bytes).and_then(density_bytes);
        Ok(Some(Sfdp { revision: [raw[4], raw[5]], bytes, raw }))
    }

    fn sfdp_part(&mut self, address: u32) -> Result<Vec<u8>, SessionError> {
        let read = Instruction::new(opcode::READ_SFDP).at(address).dummy(8);
        self.spi(&read.reading(DATA_BYTES_MAX))
    }

    /// MD5 of a range of flash, computed by the loader.
    ///
    /// # Errors
    ///
    /// As [`Session::command`]; [`Cause::Payload`] if the answer is no digest.
    pub fn flash_md5(&mut self, offset: u32, len: u32) -> Result<[u8; MD5_BYTES], SessionError> {
        self.flash_md5_while(offset, len, || {})
    }

    /// The same, with `meanwhile` done while the loader computes.
    pub(crate) fn flash_md5_while(
        &mut self,
        offset: u32,
        len: u32,
        meanwhile: impl FnOnce(),
    ) -> Result<[u8; MD5_BYTES], SessionError> {
        let request = Request::SpiFlashMd5 { offset, len };
        let timeout = COMMAND_TIMEOUT + MD5_TIMEOUT_PER_MIB * len.div_ceil(1 << 20);
        let response = self.command_while(&request, timeout, meanwhile)?;
        digest(&response.payload, self.dialect()).ok_or(SessionError {
            step: Step::Command(request.opcode()),
            cause: Cause::Payload {
                expected: self.dialect().digest_bytes(),
                got: response.payload.len(),
            },
        })
    }
}

/// Density word of the SFDP basic table in bytes.
fn density_bytes(word: u32) -> Option<u32> {
    if word & 0x8000_0000 != 0 {
        let exponent = (word & 0x7fff_ffff).checked_sub(3)?;
        return 1_u32.checked_shl(exponent).filter(|bytes| *bytes >= SECTOR_BYTES);
    }
    let bytes = u32::try_from((u64::from(word) + 1) / 8).ok()?;
    (bytes.is_power_of_two() && bytes >= SECTOR_BYTES).then_some(bytes)
}

fn digest(payload: &[u8], dialect: Dialect) -> Option<[u8; MD5_BYTES]> {
    match dialect {
        Dialect::Stub => payload.try_into().ok(),
        Dialect::Rom => {
            let text = std::str::from_utf8(payload).ok().filter(|text| text.len() == 32)?;
            let number = u128::from_str_radix(text, 16).ok()?;
            Some(number.to_be_bytes())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacity_codes() {
        let sizes = [
            (0x0f, None),
            (0x10, Some(64 << 10)),
            (0x16, Some(4 << 20)),
            (0x18, Some(16 << 20)),
            (0x1b, Some(128 << 20)),
            (0x1c, None),
            (0x1f, None),
            (0x20, Some(64 << 20)),
            (0x22, Some(256 << 20)),
            (0x23, None),
            (0x31, None),
            (0x32, Some(256 << 10)),
            (0x39, Some(32 << 20)),
            (0x3a, None),
            (0xff, None),
        ];
        for (code, bytes) in sizes {
            assert_eq!(bytes_by_capacity(code), bytes, "{code:#04x}");
        }
    }

    #[test]
    fn an_id_of_an_empty_bus_is_none() {
        let is_absent = |jedec| FlashId { jedec, bytes_by_id: None, sfdp: None }.is_absent();
        assert!(is_absent([0xff; 3]) && is_absent([0; 3]));
        assert!(!is_absent([0xef, 0x40, 0x16]) && !is_absent([0xff, 0xff, 0]));
    }

    #[test]
    fn a_digest_may_take_eight_seconds_for_each_begun_mebibyte() {
        for (len, seconds) in [(1, 8), (1 << 20, 8), ((1 << 20) + 1, 16), (16 << 20, 128)] {
            let (port, _) = crate::session::fake::FakePort::new(Box::new(|_| Vec::new()));
            let error = Session::new(Box::new(port)).flash_md5(0, len).unwrap_err();
            let Cause::NoAnswer { after, .. } = error.cause else { panic!("{error}") };
            assert_eq!(after, COMMAND_TIMEOUT + Duration::from_secs(seconds), "{len}");
        }
    }

    #[test]
    fn density_words() {
        assert_eq!(density_bytes(0x07ff_ffff), Some(16 << 20));
        assert_eq!(density_bytes(0x8000_0020), Some(1 << 29));
        assert_eq!(density_bytes(0xffff_ffff), None);
        assert_eq!(density_bytes(0), None);
        assert_eq!(density_bytes(8 * (3 << 20) - 1), None, "3 MiB are no size of a flash");
        assert_eq!(density_bytes(8 * 0x800 - 1), None, "less than a sector");
        assert_eq!(density_bytes(8 * 0x1000 - 1), Some(0x1000));
    }

    #[test]
    fn digests_of_both_dialects() {
        let expected =
            [0xd4, 0x1d, 0x8c, 0xd9, 0x8f, 0, 0xb2, 4, 0xe9, 0x80, 9, 0x98, 0xec, 0xf8, 0x42, 0x7e];
        assert_eq!(digest(b"d41d8cd98f00b204e9800998ecf8427e", Dialect::Rom), Some(expected));
        assert_eq!(digest(&expected, Dialect::Stub), Some(expected));
        assert_eq!(digest(b"d41d", Dialect::Rom), None);
    }
}

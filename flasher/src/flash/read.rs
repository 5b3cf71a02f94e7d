//! Reading flash.

use std::time::Duration;

use esp_protocol::{
    command::{READ_SLOW_BYTES_MAX, ReadFlash, Request},
    response::Dialect,
};

use super::SECTOR_BYTES;
use crate::{
    progress::{Observer, Phase, Progress},
    session::{COMMAND_TIMEOUT, Cause, Session, SessionError, Step},
};

/// Packets of a stub's read.
const STUB_PACKET_BYTES: u32 = 0x1000;
const PACKET_TIMEOUT: Duration = Duration::from_secs(3);

/// Reading failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The session failed.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The range ends behind the flash.
    #[error("the range {offset:#x}+{len:#x} ends behind the flash of {flash_bytes:#x} bytes")]
    Range {
        /// First byte.
        offset: u32,
        /// Bytes.
        len: u32,
        /// Size of the flash in bytes.
        flash_bytes: u32,
    },
    /// The chip's digest is not that of the bytes received: the line is bad, or the flash reads
    /// differently every time.
    #[error("the bytes that arrived do not have the digest that the chip computes; read again")]
    Damaged,
    /// The flash does not answer any more, so what was read is the level of a dead line.
    #[error("the flash does not answer: its id reads as {0:02x?}")]
    Absent([u8; 3]),
}

impl Session {
    /// Reads `len` bytes from `offset`: in steps of 64 bytes from the ROM, as a stream from a stub.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub fn read_flash(
        &mut self,
        offset: u32,
        len: u32,
        observer: Observer<'_>,
    ) -> Result<Vec<u8>, ReadError> {
        let flash_bytes = self.flash_bytes();
        if offset.checked_add(len).is_none_or(|end| end > flash_bytes) {
            return Err(ReadError::Range { offset, len, flash_bytes });
        }
        match self.dialect() {
            Dialect::Rom => self.read_slow(offset, len, observer),
            Dialect::Stub => self.read_stream(offset, len, observer),
        }
    }

    /// As [`Self::read_flash`], proven by digests piece by piece, each read again if need be.
    ///
    /// # Errors
    ///
    /// [`ReadError`]; [`ReadError::Damaged`] if a piece does not read twice alike.
    pub fn read_flash_surely(
        &mut self,
        offset: u32,
        len: u32,
        observer: Observer<'_>,
    ) -> Result<Vec<u8>, ReadError> {
        let flash_bytes = self.flash_bytes();
        let end = offset.checked_add(len).filter(|end| *end <= flash_bytes);
        let end = end.ok_or(ReadError::Range { offset, len, flash_bytes })?;
        let mut data = Vec::with_capacity(len as usize);
        let mut at = offset;
        while at < end {
            let next = (at / SECTOR_BYTES + 1).saturating_mul(SECTOR_BYTES).min(end);
            data.extend(self.read_proven(at, next - at)?);
            at = next;
            report(observer, offset, data.len(), len);
        }
        Ok(data)
    }

    fn read_slow(
        &mut self,
        offset: u32,
        len: u32,
        observer: Observer<'_>,
    ) -> Result<Vec<u8>, ReadError> {
        let total = len as usize;
        let mut data = Vec::with_capacity(total);
        while data.len() < total {
            let done = u32::try_from(data.len()).unwrap_or(len);
            let part = READ_SLOW_BYTES_MAX.min(len - done);
            let request = Request::ReadFlashSlow { offset: offset + done, len: part };
            let response = self.repeat(|session| session.command(&request, COMMAND_TIMEOUT))?;
            let bytes = response.payload.get(..part as usize).ok_or(SessionError {
                step: Step::Command(request.opcode()),
                cause: Cause::Payload { expected: part as usize, got: response.payload.len() },
            })?;
            data.extend_from_slice(bytes);
            report(observer, offset, data.len(), len);
        }
        Ok(data)
    }

    fn read_stream(
        &mut self,
        offset: u32,
        len: u32,
        observer: Observer<'_>,
    ) -> Result<Vec<u8>, ReadError> {
        let request = Request::ReadFlash(ReadFlash {
            offset,
            len,
            packet_size: STUB_PACKET_BYTES,
            in_flight_max: 1,
        });
        let step = Step::Command(request.opcode());
        self.command(&request, COMMAND_TIMEOUT)?;
        let mut data: Vec<u8> = Vec::with_capacity(len as usize);
        while data.len() < len as usize {
            let packet = self.expect_packet(step)?;
            data.extend_from_slice(&packet);
            let received = u32::try_from(data.len()).unwrap_or(u32::MAX);
            self.send_payload(&received.to_le_bytes(), step)?;
            report(observer, offset, data.len(), len);
        }
        let digest = self.expect_packet(step)?;
        if digest != md5::compute(&data).0 || data.len() != len as usize {
            return Err(ReadError::Damaged);
        }
        Ok(data)
    }

    fn expect_packet(&mut self, step: Step) -> Result<Vec<u8>, SessionError> {
        let deadline = self.port().now() + PACKET_TIMEOUT;
        self.receive(deadline, step)?.ok_or(SessionError {
            step,
            cause: Cause::NoAnswer { after: PACKET_TIMEOUT, damaged: 0 },
        })
    }
}

fn report(observer: &mut dyn FnMut(Progress), offset: u32, done: usize, total: u32) {
    let (done, total) = (done as u64, u64::from(total));
    observer(Progress { phase: Phase::Read, offset, done, total });
}

//! Sending prepared data.

use std::{borrow::Cow, time::Duration};

use esp_protocol::{
    command::{Begin, Data, Request},
    response::{Dialect, ErrorCode},
};
use serde::Serialize;

use super::{
    Digest, Prepared, WriteError,
    prepared::{Body, Piece},
};
use crate::{
    flash::SECTOR_BYTES,
    progress::{Observer, Phase, Progress},
    session::{COMMAND_TIMEOUT, Cause, Session, SessionError, Wire},
};

/// Erasing and programming take so long for each MiB, at most.
const ERASE_TIMEOUT_PER_MIB: Duration = Duration::from_secs(30);
const PROGRAM_TIMEOUT_PER_MIB: Duration = Duration::from_secs(10);
/// Restarts without progress before the line counts as too bad.
const RESTARTS_MAX: u32 = 3;
const RESYNC_TRIES: u32 = 5;

/// What a write did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct WriteReport {
    /// Bytes of flash written.
    pub bytes: u64,
    /// Bytes of them that were right already and were not written.
    pub skipped: u64,
    /// Bytes that went over the line as data.
    pub wire_bytes: u64,
    /// Time that it took.
    #[serde(rename = "elapsed_s", serialize_with = "crate::progress::seconds")]
    pub elapsed: Duration,
    /// Times that a transfer had to be begun again.
    pub restarts: u32,
    /// Rate at the end, in baud.
    pub baud: u32,
    /// Digest of the image, where the flash was found to hold it.
    #[serde(skip)]
    pub digest: Option<Digest>,
}

/// Progress over all pieces of one image.
struct Meter<'a> {
    observer: Observer<'a>,
    offset: u32,
    total: u64,
    before: u64,
    restarts: u32,
}

impl Meter<'_> {
    fn report(&mut self, done_in_piece: u64) {
        let done = (self.before + done_in_piece).min(self.total);
        let (offset, total) = (self.offset, self.total);
        (self.observer)(Progress { phase: Phase::Write, offset, done, total });
    }
}

impl Session {
    /// Erases and writes. Compare afterwards: [`Session::verify`].
    ///
    /// # Errors
    ///
    /// [`WriteError`]. A damaged block or a lost answer is mended by beginning again at a sector,
    /// up to three times without progress.
    pub fn write(
        &mut self,
        prepared: &Prepared,
        observer: Observer<'_>,
    ) -> Result<WriteReport, WriteError> {
        let start = self.port().now();
        let restarts = self.write_pieces(prepared.offset, &prepared.pieces, observer)?;
        Ok(WriteReport {
            bytes: prepared.len.into(),
            skipped: 0,
            wire_bytes: prepared.wire_bytes(),
            elapsed: self.port().now().saturating_sub(start),
            restarts,
            baud: self.baud(),
            digest: None,
        })
    }

    /// Erases and writes `pieces`, which are those of an image at `offset`. Returns how often a
    /// transfer had to be begun again.
    pub(super) fn write_pieces(
        &mut self,
        offset: u32,
        pieces: &[Piece<'_>],
        observer: Observer<'_>,
    ) -> Result<u32, WriteError> {
        let total = pieces.iter().map(|piece| u64::from(piece.len)).sum();
        let mut meter = Meter { observer, offset, total, before: 0, restarts: 0 };
        meter.report(0);
        for piece in pieces {
            self.write_piece(piece, &mut meter)?;
            meter.before += u64::from(piece.len);
        }
        Ok(meter.restarts)
    }

    /// Sends one piece, beginning again where the last attempt got to.
    fn write_piece(&mut self, piece: &Piece<'_>, meter: &mut Meter<'_>) -> Result<(), WriteError> {
        let mut from = 0;
        let mut failures = 0;
        loop {
            let mut reached = from;
            let outcome = match &piece.body {
                Body::Raw(bytes) => self.send_raw(piece.offset, bytes, &mut reached, meter),
                Body::Deflated(stream) => self.send_deflated(piece, stream, meter),
            };
            let Err(error) = outcome else { return Ok(()) };
            failures = if reached > from { 1 } else { failures + 1 };
            match error.cause {
                Cause::Refused { code: ErrorCode::FlashWriteFailed } => {
                    let offset = piece.offset + reached;
                    return Err(WriteError::NotTaken { offset });
                }
                _ if !error.cause.is_line_trouble() => return Err(error.into()),
                _ if failures > RESTARTS_MAX => {
                    return Err(WriteError::TooManyRestarts {
                        restarts: meter.restarts,
                        last: error,
                    });
                }
                _ => {}
            }
            meter.restarts += 1;
            self.discard_input()?;
            if !self.sync(RESYNC_TRIES)? {
                return Err(error.into());
            }
            // Whole sectors are done; the one in work is erased again.
            from = reached / SECTOR_BYTES * SECTOR_BYTES;
        }
    }

    /// Sends `bytes` from `*reached` on, which must be on a sector; keeps it up to date.
    fn send_raw(
        &mut self,
        offset: u32,
        bytes: &[u8],
        reached: &mut u32,
        meter: &mut Meter<'_>,
    ) -> Result<(), SessionError> {
        let rest = bytes.get(*reached as usize..).unwrap_or_default();
        let block_size = self.dialect().block_bytes_max().min(self.block_bytes_max);
        let size = u32::try_from(rest.len()).unwrap_or(u32::MAX);
        let begin = Begin {
            size,
            blocks: block_count(rest, block_size),
            block_size,
            offset: offset + *reached,
            encrypted: None,
        };
        self.command(&Request::FlashBegin(begin), erase_timeout(size))?;
        let blocks = blocks(rest, block_size).map(Request::FlashData);
        let from = *reached;
        self.send_blocks(blocks, program_timeout(block_size), &mut |count| {
            let sent = count.saturating_mul(block_size).min(size);
            *reached = from + sent;
            meter.report(u64::from(*reached));
        })?;
        if self.dialect() == Dialect::Stub {
            // A stub reports what went wrong with the last block here, and stays.
            self.command(&Request::FlashEnd { action: 1 }, program_timeout(block_size))?;
        }
        Ok(())
    }

    fn send_deflated(
        &mut self,
        piece: &Piece<'_>,
        stream: &[u8],
        meter: &mut Meter<'_>,
    ) -> Result<(), SessionError> {
        let block_size = self.dialect().block_bytes_max().min(self.block_bytes_max);
        let count = block_count(stream, block_size);
        let begin = Begin {
            size: piece.len,
            // The ROM must not see a last block: see the module's head.
            blocks: if self.dialect() == Dialect::Rom { count + 1 } else { count },
            block_size,
            offset: piece.offset,
            encrypted: None,
        };
        self.command(&Request::FlashDeflBegin(begin), erase_timeout(piece.len))?;
        // One block may inflate to the whole piece.
        let timeout = program_timeout(piece.len);
        let blocks = blocks(stream, block_size).map(Request::FlashDeflData);
        self.send_blocks(blocks, timeout, &mut |done| {
            meter.report(u64::from(piece.len) * u64::from(done) / u64::from(count));
        })?;
        if self.dialect() == Dialect::Stub {
            self.command(&Request::FlashDeflEnd { action: 1 }, timeout)?;
        }
        Ok(())
    }

    /// Sends data blocks one by one and tells how many are done. The next one is prepared while the
    /// loader works on the last.
    fn send_blocks<'a>(
        &mut self,
        mut blocks: impl Iterator<Item = Request<'a>>,
        timeout: Duration,
        done: &mut dyn FnMut(u32),
    ) -> Result<(), SessionError> {
        let mut count = 0;
        let mut next = blocks.next().map(|block| Wire::of(&block));
        while let Some(block) = next.take() {
            let prepare = || next = blocks.next().map(|block| Wire::of(&block));
            self.exchange(&block, timeout, prepare)?;
            count += 1;
            done(count);
        }
        Ok(())
    }
}

fn blocks(bytes: &[u8], block_size: u32) -> impl Iterator<Item = Data<'_>> {
    let chunks = (0..).zip(bytes.chunks(block_size as usize));
    chunks.map(|(sequence, block)| Data { sequence, bytes: Cow::Borrowed(block) })
}

fn block_count(bytes: &[u8], block_size: u32) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX).div_ceil(block_size)
}

fn erase_timeout(bytes: u32) -> Duration {
    COMMAND_TIMEOUT + ERASE_TIMEOUT_PER_MIB * bytes.div_ceil(1 << 20)
}

fn program_timeout(bytes: u32) -> Duration {
    COMMAND_TIMEOUT + PROGRAM_TIMEOUT_PER_MIB * bytes.div_ceil(1 << 20)
}

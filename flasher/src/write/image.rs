//! Writing an image over a line that may be bad: only what is needed, again where it failed, and
//! proven at the end.

use std::{borrow::Cow, ops::Range};

use super::{Digest, Image, Mismatch, Prepared, WriteError, WriteReport};
use crate::{
    flash::{BLOCK_BYTES, ReadError, SECTOR_BYTES, is_absent},
    progress::{Observer, Phase, Progress},
    session::{LineTrouble, Session, SessionError},
};

/// Interruptions without progress before the line counts as too bad.
const FAILURES_MAX: u32 = 8;
/// So many interruptions in all bring the rate down, even with progress in between.
const FAILURES_A_RATE: u32 = 3;
/// Data blocks are not made shorter than this.
const BLOCK_BYTES_MIN: u32 = 0x100;
/// Rounds of repair after a digest that differs on a line that was bad.
const REPAIRS_MAX: u32 = 3;
/// A read of so many bytes is repeated as a whole.
const READ_BYTES: u32 = 256;

/// What need not be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Skip {
    /// Everything is written.
    #[default]
    Nothing,
    /// Sectors that hold the file already: goes on with an interrupted write.
    Right,
    /// The same, and bytes of the last sector that lie behind the file keep their content.
    Unchanged,
}

/// How the result is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Check {
    /// Not at all.
    None,
    /// By the MD5 that the loader computes.
    #[default]
    Digest,
    /// The same, and every byte is read and compared.
    ReadBack,
}

/// How to write an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteOptions {
    /// Send compressed data where that is shorter.
    pub compress: bool,
    /// What to leave out.
    pub skip: Skip,
    /// How to check the result.
    pub check: Check,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self { compress: true, skip: Skip::Nothing, check: Check::Digest }
    }
}

impl LineTrouble for WriteError {
    fn is_line_trouble(&self) -> bool {
        match self {
            Self::Session(error) | Self::TooManyRestarts { last: error, .. } => {
                error.is_line_trouble()
            }
            Self::Mismatch(_) | Self::NotTaken { .. } | Self::Read(_) => false,
        }
    }
}

impl LineTrouble for ReadError {
    fn is_line_trouble(&self) -> bool {
        match self {
            Self::Session(error) => error.is_line_trouble(),
            Self::Damaged => true,
            Self::Range { .. } | Self::Absent(_) => false,
        }
    }
}

/// A write in work.
struct Work<'a> {
    image: &'a Image,
    compress: bool,
    /// Bytes that had to be written at the beginning.
    total: u64,
    wire_bytes: u64,
    restarts: u32,
}

impl Session {
    /// Writes `image` and checks it.
    ///
    /// A line that damages or loses bytes and a chip that restarts are mended: what is missing is
    /// found by digests and sent again, in smaller pieces, and at a lower rate if that happens
    /// again. It ends with the flash checked as `options` ask for, or with an error.
    ///
    /// # Errors
    ///
    /// [`WriteError`]; [`WriteError::TooManyRestarts`] if eight attempts in a row got no further.
    pub fn write_image(
        &mut self,
        image: &Image,
        options: WriteOptions,
        observer: Observer<'_>,
    ) -> Result<WriteReport, WriteError> {
        let start = self.port().now();
        let recoveries_before = self.recovery_count();
        let damaged_before = self.damaged_count();
        let asked = whole(image);
        let image = match options.skip {
            Skip::Unchanged => self.with_neighbours(image)?,
            Skip::Nothing | Skip::Right => Cow::Borrowed(image),
        };
        let image = image.as_ref();
        let left = match options.skip {
            Skip::Nothing => vec![whole(image)],
            Skip::Right | Skip::Unchanged => self.wrong_sectors(image, &[whole(image)])?,
        };
        let total = bytes(&left);
        let mut work =
            Work { image, compress: options.compress, total, wire_bytes: 0, restarts: 0 };
        self.write_ranges(&mut work, left, observer)?;
        for round in 0.. {
            let error = match self.check(image, options.check) {
                Ok(()) => break,
                Err(error) => error,
            };
            let line_was_bad = work.restarts > 0
                || self.recovery_count() != recoveries_before
                || self.damaged_count() != damaged_before;
            if round >= REPAIRS_MAX || !line_was_bad || !matches!(error, WriteError::Mismatch(_)) {
                return Err(error);
            }
            let left = self.wrong_sectors(image, &[whole(image)])?;
            self.write_ranges(&mut work, left, observer)?;
        }
        Ok(WriteReport {
            bytes: u64::from(asked.end - asked.start),
            skipped: bytes(&[whole(image)]) - total,
            wire_bytes: work.wire_bytes,
            elapsed: self.port().now().saturating_sub(start),
            restarts: work.restarts + (self.recovery_count() - recoveries_before),
            baud: self.baud(),
        })
    }

    /// Writes what is `left` of an image until nothing is.
    fn write_ranges(
        &mut self,
        work: &mut Work<'_>,
        mut left: Vec<Range<u32>>,
        observer: Observer<'_>,
    ) -> Result<(), WriteError> {
        let mut failures = 0;
        let mut failures_in_all = 0_u32;
        let mut span = u32::MAX;
        while !left.is_empty() {
            let Err(error) = self.write_each(work, &left, span, observer) else { break };
            if !error.is_line_trouble() || failures >= FAILURES_MAX {
                return Err(error);
            }
            failures += 1;
            failures_in_all += 1;
            let shorter = self.block_bytes_max.min(self.dialect().block_bytes_max()) / 2;
            self.block_bytes_max = shorter.max(BLOCK_BYTES_MIN);
            self.recover(failures > 1 || failures_in_all.is_multiple_of(FAILURES_A_RATE))?;
            let still = self.wrong_sectors(work.image, &left)?;
            if bytes(&still) < bytes(&left) {
                failures = 0;
            }
            left = still;
            let most = u32::try_from(bytes(&left)).unwrap_or(u32::MAX);
            span = (span.min(most) / 2).next_multiple_of(SECTOR_BYTES).max(SECTOR_BYTES);
        }
        Ok(())
    }

    fn write_each(
        &mut self,
        work: &mut Work<'_>,
        left: &[Range<u32>],
        span: u32,
        observer: Observer<'_>,
    ) -> Result<(), WriteError> {
        let mut done = work.total.saturating_sub(bytes(left));
        let (offset, total) = (work.image.offset, work.total);
        for range in left {
            let mut at = range.start;
            while at < range.end {
                let end = range.end.min(at.saturating_add(span));
                let data = slice(work.image, &(at..end)).to_vec();
                let piece = Image { name: String::new(), offset: at, data };
                let prepared = Prepared::new(&piece, self.dialect(), work.compress);
                let report = self.write(&prepared, &mut |progress| {
                    let done = (done + progress.done).min(total);
                    observer(Progress { phase: Phase::Write, offset, done, total });
                })?;
                work.wire_bytes += report.wire_bytes;
                work.restarts += report.restarts;
                done += u64::from(end - at);
                at = end;
            }
        }
        Ok(())
    }

    /// The sectors in `ranges` that do not hold the image: by digests of blocks first.
    ///
    /// # Errors
    ///
    /// As [`Session::repeat`].
    pub fn wrong_sectors(
        &mut self,
        image: &Image,
        ranges: &[Range<u32>],
    ) -> Result<Vec<Range<u32>>, SessionError> {
        let mut wrong: Vec<Range<u32>> = Vec::new();
        for range in ranges {
            if self.holds(image, range)? {
                continue;
            }
            for block in steps(range, BLOCK_BYTES) {
                if self.holds(image, &block)? {
                    continue;
                }
                for sector in steps(&block, SECTOR_BYTES) {
                    if self.holds(image, &sector)? {
                        continue;
                    }
                    match wrong.last_mut() {
                        Some(last) if last.end == sector.start => last.end = sector.end,
                        _ => wrong.push(sector),
                    }
                }
            }
        }
        Ok(wrong)
    }

    fn holds(&mut self, image: &Image, range: &Range<u32>) -> Result<bool, SessionError> {
        let len = range.end - range.start;
        let flash = self.repeat(|session| session.flash_md5(range.start, len))?;
        Ok(Digest(flash) == Digest::of(slice(image, range)))
    }

    /// The image up to the end of its last sector, with what the flash holds there.
    fn with_neighbours<'a>(&mut self, image: &'a Image) -> Result<Cow<'a, Image>, WriteError> {
        let end = whole(image).end;
        let full = end.next_multiple_of(SECTOR_BYTES).min(self.flash_bytes());
        if full <= end {
            return Ok(Cow::Borrowed(image));
        }
        let mut wider = image.clone();
        wider.data.extend(self.read_proven(end, full - end)?);
        Ok(Cow::Owned(wider))
    }

    /// Reads in small pieces, each again if need be, until the loader's digest agrees: responses
    /// carry no checksum.
    fn read_proven(&mut self, offset: u32, len: u32) -> Result<Vec<u8>, WriteError> {
        let mut data = Vec::new();
        for _ in 0..=REPAIRS_MAX {
            data.clear();
            for piece in steps(&(offset..offset + len), READ_BYTES) {
                data.extend(self.repeat(|session| {
                    session.read_flash(piece.start, piece.end - piece.start, &mut |_| {})
                })?);
            }
            if self.digest_of(offset, &data)? == Digest::of(&data) {
                return Ok(data);
            }
        }
        Err(WriteError::Read(ReadError::Damaged))
    }

    /// The loader's digest of as many bytes as `data` has. Bytes that are all alike are what a dead
    /// line reads as well, so they count only if the flash answers by its id and then once more.
    fn digest_of(&mut self, offset: u32, data: &[u8]) -> Result<Digest, WriteError> {
        let len = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let mut digest = self.repeat(|session| session.flash_md5(offset, len).map(Digest))?;
        let alike = data.first().is_some_and(|first| data.iter().all(|byte| byte == first));
        if alike && digest == Digest::of(data) {
            let id = self.look_twice::<_, SessionError>(Self::jedec_id)?;
            if is_absent(id) {
                return Err(ReadError::Absent(id).into());
            }
            digest = self.repeat(|session| session.flash_md5(offset, len).map(Digest))?;
        }
        Ok(digest)
    }

    fn check(&mut self, image: &Image, check: Check) -> Result<(), WriteError> {
        if check == Check::None {
            return Ok(());
        }
        let whole = whole(image);
        let file = Digest::of(&image.data);
        let flash = self.digest_of(whole.start, &image.data)?;
        if flash != file {
            return Err(mismatch(&whole, file, flash));
        }
        if check == Check::Digest {
            return Ok(());
        }
        for sector in steps(&whole, SECTOR_BYTES) {
            let held = self.read_proven(sector.start, sector.end - sector.start)?;
            let file = slice(image, &sector);
            if held != file {
                return Err(mismatch(&sector, Digest::of(file), Digest::of(&held)));
            }
        }
        Ok(())
    }
}

fn mismatch(range: &Range<u32>, file: Digest, flash: Digest) -> WriteError {
    let (offset, len) = (range.start, range.end - range.start);
    WriteError::Mismatch(Mismatch { offset, len, file, flash, erased: Digest::of_erased(len) })
}

fn whole(image: &Image) -> Range<u32> {
    let len = u32::try_from(image.data.len()).unwrap_or(u32::MAX);
    image.offset..image.offset.saturating_add(len)
}

fn bytes(ranges: &[Range<u32>]) -> u64 {
    ranges.iter().map(|range| u64::from(range.end - range.start)).sum()
}

/// Pieces of `range` that end on multiples of `step`.
fn steps(range: &Range<u32>, step: u32) -> impl Iterator<Item = Range<u32>> + use<> {
    let (mut at, end) = (range.start, range.end);
    std::iter::from_fn(move || {
        let next = (at / step + 1).saturating_mul(step).min(end);
        let piece = at..next;
        at = next;
        (!piece.is_empty()).then_some(piece)
    })
}

fn slice<'a>(image: &'a Image, range: &Range<u32>) -> &'a [u8] {
    let at = |address: u32| address.saturating_sub(image.offset) as usize;
    image.data.get(at(range.start)..at(range.end)).unwrap_or_default()
}

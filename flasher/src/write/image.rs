//! Writing an image over a line that may be bad: only what is needed, again where it failed, and
//! proven at the end.

use std::{borrow::Cow, ops::Range};

use esp_protocol::response::Dialect;

use super::{
    Digest, Image, Mismatch, WriteError, WriteReport,
    prepared::{Piece, pieces},
};
use crate::{
    flash::{BLOCK_BYTES, ReadError, SECTOR_BYTES, is_absent},
    identity::Identity,
    preflight::Changer,
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
/// One request, once the line has damaged something.
const READ_BYTES_BAD_LINE: u32 = 64;

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

/// Who erases and programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transfer {
    /// The loader, by its own write commands.
    #[default]
    Loader,
    /// Plain flash instructions: slower, and nothing is sent that a part could take for something
    /// else ([`Session::write_plainly`]).
    Plain,
}

impl Transfer {
    /// The loader's write, unless its own probe would put the flash into the four-line mode on any
    /// part that this can be. What a stub sends is not known: who uploads one has chosen it.
    #[must_use]
    pub fn for_flash(identity: &Identity, dialect: Dialect) -> Self {
        match dialect {
            Dialect::Rom if identity.entered_by_rom_probe().is_some() => Self::Plain,
            Dialect::Rom | Dialect::Stub => Self::Loader,
        }
    }

    /// What this does to the registers before it changes cells.
    #[must_use]
    pub const fn changer(self, dialect: Dialect) -> Changer {
        match (self, dialect) {
            (Self::Loader, Dialect::Rom) => Changer::RomLoader,
            (Self::Loader, Dialect::Stub) | (Self::Plain, _) => Changer::AsItIs,
        }
    }
}

/// What goes over the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Compressed data, unless the line is faster than a compressor
    /// ([`Session::line_outruns_rate`]).
    #[default]
    WhereItPays,
    /// Compressed data where that is shorter.
    Always,
    /// The bytes as they are.
    Never,
}

/// How to write an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteOptions {
    /// What goes over the line.
    pub compression: Compression,
    /// What to leave out.
    pub skip: Skip,
    /// How to check the result.
    pub check: Check,
    /// Who erases and programs.
    pub transfer: Transfer,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self {
            compression: Compression::default(),
            skip: Skip::Nothing,
            check: Check::Digest,
            transfer: Transfer::Loader,
        }
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
    transfer: Transfer,
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
        let asked = image;
        let wider = match options.skip {
            Skip::Unchanged => self.with_neighbours(image)?,
            Skip::Nothing | Skip::Right => Cow::Borrowed(image),
        };
        let image = wider.as_ref();
        let left = match options.skip {
            Skip::Nothing => vec![whole(image)],
            Skip::Right | Skip::Unchanged => self.wrong_sectors(image, &[whole(image)])?,
        };
        let total = bytes(&left);
        let compress = match options.compression {
            Compression::WhereItPays => !self.line_outruns_rate(),
            Compression::Always => true,
            Compression::Never => false,
        };
        let transfer = options.transfer;
        let mut work = Work { image, compress, transfer, total, wire_bytes: 0, restarts: 0 };
        self.write_ranges(&mut work, left, observer)?;
        let mut round = 0;
        let digest = loop {
            let error = match self.check(image, options.check) {
                Ok(digest) => break digest,
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
            round += 1;
        };
        Ok(WriteReport {
            bytes: bytes(&[whole(asked)]),
            skipped: bytes(&[whole(image)]) - total,
            wire_bytes: work.wire_bytes,
            elapsed: self.port().now().saturating_sub(start),
            restarts: work.restarts + (self.recovery_count() - recoveries_before),
            baud: self.baud(),
            digest: digest.map(|digest| match wider {
                Cow::Borrowed(_) => digest,
                Cow::Owned(_) => Digest::of(&asked.data),
            }),
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
                let data = slice(work.image, &(at..end));
                let observer = &mut |progress: Progress| {
                    let done = (done + progress.done).min(total);
                    observer(Progress { phase: Phase::Write, offset, done, total });
                };
                match work.transfer {
                    Transfer::Loader => {
                        let pieces = pieces(at, data, self.dialect(), work.compress);
                        work.restarts += self.write_pieces(at, &pieces, observer)?;
                        work.wire_bytes += pieces.iter().map(Piece::wire_bytes).sum::<u64>();
                    }
                    Transfer::Plain => work.wire_bytes += self.write_plainly(at, data, observer)?,
                }
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
        let (file, flash) = self.digests(image, range)?;
        Ok(flash == file)
    }

    /// Digests of `range` in the image and in the flash, computed by both sides at once.
    fn digests(
        &mut self,
        image: &Image,
        range: &Range<u32>,
    ) -> Result<(Digest, Digest), SessionError> {
        let len = range.end - range.start;
        let mut file = None;
        let flash = self.repeat(|session| {
            session.flash_md5_while(range.start, len, || {
                file.get_or_insert_with(|| Digest::of(slice(image, range)));
            })
        })?;
        Ok((file.unwrap_or_else(|| Digest::of(slice(image, range))), Digest(flash)))
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

    /// Reads in small pieces, each again if need be. On a bad line two readings of a piece have to
    /// agree, because responses carry no checksum.
    pub(crate) fn read_carefully(&mut self, offset: u32, len: u32) -> Result<Vec<u8>, ReadError> {
        let mut data = Vec::with_capacity(len as usize);
        let mut at = offset;
        while at < offset + len {
            // A stub's stream has a digest of its own.
            let step = match self.dialect() {
                Dialect::Rom if self.line_was_bad() => READ_BYTES_BAD_LINE,
                Dialect::Rom => READ_BYTES,
                Dialect::Stub => BLOCK_BYTES,
            };
            let part = step.min(offset + len - at);
            data.extend(self.look(|session| session.read_flash(at, part, &mut |_| {}))?);
            at += part;
        }
        Ok(data)
    }

    /// Reads until the loader's digest agrees.
    pub(crate) fn read_proven(&mut self, offset: u32, len: u32) -> Result<Vec<u8>, ReadError> {
        for _ in 0..=REPAIRS_MAX {
            let data = self.read_carefully(offset, len)?;
            if self.digest_of(offset, &data)? == Digest::of(&data) {
                return Ok(data);
            }
        }
        Err(ReadError::Damaged)
    }

    /// The loader's digest of as many bytes as `data` has. Bytes that are all alike are what a dead
    /// line reads as well, so they count only if the flash answers by its id, the loader's reads
    /// reach it, and the digest is the same once more.
    fn digest_of(&mut self, offset: u32, data: &[u8]) -> Result<Digest, ReadError> {
        let len = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let digest = Digest(self.look(|session| session.flash_md5(offset, len))?);
        if digest == Digest::of(data) { self.prove_alike(offset, data, digest) } else { Ok(digest) }
    }

    /// `digest` of the flash, which is that of `data`, once more if a dead line could have given it.
    fn prove_alike(
        &mut self,
        offset: u32,
        data: &[u8],
        digest: Digest,
    ) -> Result<Digest, ReadError> {
        let alike = data.first().is_some_and(|first| data.iter().all(|byte| byte == first));
        if !alike {
            return Ok(digest);
        }
        let id = self.look_twice::<_, SessionError>(Self::jedec_id)?;
        if is_absent(id) {
            return Err(ReadError::Absent(id));
        }
        self.prove_loader_reads()?;
        let len = u32::try_from(data.len()).unwrap_or(u32::MAX);
        Ok(Digest(self.look(|session| session.flash_md5(offset, len))?))
    }

    fn check(&mut self, image: &Image, check: Check) -> Result<Option<Digest>, WriteError> {
        if check == Check::None {
            return Ok(None);
        }
        let whole = whole(image);
        let (whole_file, mut flash) = self.digests(image, &whole)?;
        if flash == whole_file {
            flash = self.prove_alike(whole.start, &image.data, flash)?;
        }
        if flash != whole_file {
            return Err(mismatch(&whole, whole_file, flash));
        }
        if check == Check::Digest {
            return Ok(Some(whole_file));
        }
        for sector in steps(&whole, SECTOR_BYTES) {
            let held = self.read_proven(sector.start, sector.end - sector.start)?;
            let file = slice(image, &sector);
            if held != file {
                return Err(mismatch(&sector, Digest::of(file), Digest::of(&held)));
            }
        }
        if self.line_was_bad() {
            // A request of the reading may have arrived as another one.
            let (_, flash) = self.digests(image, &whole)?;
            if flash != whole_file {
                return Err(mismatch(&whole, whole_file, flash));
            }
        }
        Ok(Some(whole_file))
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

//! One flashing under a plan, judged from the cells of the model.

use std::{
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use esp32_emulator::{
    board::{Board, BoardSetup},
    fault::{
        board::FaultyBoard,
        counts::{FaultCounts, FaultKind},
        link::LinkCounters,
        plan::FaultPlan,
        seat::FaultyBus,
    },
    flash::{Cells, FlashState, NorFlash, SECTOR_BYTES},
    trace::Entry,
};
use esp32_flasher::{
    port::{Lines, Port, PortError, virtual_board::VirtualPort},
    reset::ResetStrategy,
    session::{Cause, Session, SessionError},
    write::{Check, Compression, Image, Skip, WriteError, WriteOptions, WriteReport},
};
use fastrand::Rng;
use spi_nor::{catalog, part::RegisterName};

/// No flashing may take longer, in the time of the board.
pub(crate) const LIMIT: Duration = Duration::from_mins(2);
/// How far the last wait may go beyond it.
const LAST_WAIT: Duration = Duration::from_secs(1);
/// Old content before and behind the image.
const OLD: u8 = 0xA5;
const SECTOR: u32 = SECTOR_BYTES as u32;

/// What is flashed, and how.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    /// Which of the flashes.
    pub(crate) flash: usize,
    pub(crate) image: Image,
    pub(crate) options: WriteOptions,
    /// Writes to the port go in pieces of this many bytes.
    pub(crate) chunk: usize,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    /// The flash holds the image and the flasher says so.
    Verified,
    /// A typed error.
    Failed(&'static str),
}

pub(crate) struct Outcome {
    pub(crate) end: End,
    pub(crate) restarts: u32,
    pub(crate) counts: FaultCounts,
    /// Bytes outside of the image changed because a command arrived damaged.
    pub(crate) strayed: Option<LinkCounters>,
    pub(crate) trace: Vec<Entry>,
    pub(crate) cells: Cells,
    pub(crate) took: Duration,
}

/// The job of `seed`.
pub(crate) fn job(seed: u64) -> Job {
    let mut random = Rng::with_seed(!seed);
    let len = random.usize(0x800..0x1800);
    let mut data = vec![0; len];
    random.fill(&mut data);
    // What an erased flash and a dead line read.
    if random.u8(0..16) == 0 {
        data.fill(if random.bool() { 0x00 } else { 0xFF });
    }
    let skip = [Skip::Nothing, Skip::Right, Skip::Unchanged][random.usize(0..3)];
    let check = if random.u8(0..8) == 0 { Check::ReadBack } else { Check::Digest };
    let compression = if random.bool() { Compression::Always } else { Compression::Never };
    let options = WriteOptions { compression, skip, check, ..WriteOptions::default() };
    let flash = random.usize(0..100);
    Job {
        flash,
        image: Image { name: "image".into(), offset: 0x1_0000, data },
        options,
        chunk: usize::MAX,
    }
}

/// The sectors that the image is in.
fn sectors(image: &Image) -> std::ops::Range<u32> {
    let end = image.offset + image.data.len() as u32;
    image.offset / SECTOR..end.div_ceil(SECTOR)
}

/// Parts that flashings take in turn; the loader can unlock the first two.
const PARTS: [&str; 4] = ["W25Q32JV", "XM25QH32C", "GD25Q32C", "W25Q32FV"];

/// Parts with old content everywhere around the image and in its place: as shipped, and the first
/// of them once more with BP bits that the loader clears.
fn old_flash(kind: usize) -> NorFlash {
    static FLASHES: OnceLock<Vec<NorFlash>> = OnceLock::new();
    let make = |name: &str, sr1: u8| {
        let part = catalog::part(name).unwrap();
        let mut state = FlashState::factory(&part);
        for number in [0, 1, 8, 14, 15, 16, 17, 18, 19, 256, 1023] {
            state.cells.load(number * SECTOR, &[OLD; SECTOR_BYTES]);
        }
        let status = state.register(RegisterName::Sr1) | sr1;
        state.set_register(RegisterName::Sr1, status);
        NorFlash::new(part, state).unwrap()
    };
    let all =
        || PARTS.iter().map(|name| make(name, 0)).chain([make(PARTS[0], 0x1C)]).collect::<Vec<_>>();
    let all = FLASHES.get_or_init(all);
    all[kind % all.len()].clone()
}

/// Cuts what is written into pieces.
struct Pieces<P>(P, usize);

impl<P: Port> Port for Pieces<P> {
    fn name(&self) -> &str {
        self.0.name()
    }
    fn write(&mut self, bytes: &[u8]) -> Result<(), PortError> {
        bytes.chunks(self.1).try_for_each(|piece| self.0.write(piece))
    }
    fn read(&mut self, out: &mut Vec<u8>, deadline: Duration) -> Result<usize, PortError> {
        self.0.read(out, deadline)
    }
    fn set_lines(&mut self, lines: Lines) -> Result<(), PortError> {
        self.0.set_lines(lines)
    }
    fn set_baud(&mut self, baud: u32) -> Result<(), PortError> {
        self.0.set_baud(baud)
    }
    fn flush_input(&mut self) -> Result<(), PortError> {
        self.0.flush_input()
    }
    fn now(&self) -> Duration {
        self.0.now()
    }
    fn wait(&mut self, span: Duration) {
        self.0.wait(span);
    }
}

/// Runs `job` under `plan`.
///
/// # Errors
///
/// What must never be, in words.
pub(crate) fn run(plan: &FaultPlan, job: &Job) -> Result<Outcome, String> {
    let flash = FaultyBus::new(old_flash(job.flash), plan).map_err(|error| error.to_string())?;
    let before = flash.inner().state().cells.clone();
    let board = Board::power_on(BoardSetup::default(), flash);
    let board = Arc::new(Mutex::new(FaultyBoard::new(board).with_line(plan)));
    let port = Pieces(VirtualPort::new("virtual", Arc::clone(&board)), job.chunk);
    let mut session = Session::new(Box::new(port));
    let start = session.port().now();
    session.set_deadline(Some(start + LIMIT));
    let result = write(&mut session, job);
    let took = session.port().now().saturating_sub(start);
    let mut board = board.lock().map_err(|_| "the board panicked")?;
    let counts = board.counts();
    let to_chip = board.to_chip_counters();
    let trace = board.trace_mut().take();
    let cells = board.flash().inner().state().cells.clone();
    drop(board);
    if took > LIMIT + LAST_WAIT {
        return Err(format!("it took {took:?}"));
    }
    let strayed = judge_outside(job, &before, &cells, to_chip, result.is_ok())?;
    let (end, restarts) = match result {
        Ok(report) => {
            let mut held = vec![0; job.image.data.len()];
            cells.read(job.image.offset, &mut held);
            if held != job.image.data {
                return Err("a false success: the cells do not hold the image".to_owned());
            }
            (End::Verified, report.restarts)
        }
        Err(error) => (End::Failed(name(&error)?), 0),
    };
    Ok(Outcome { end, restarts, counts, strayed, trace, cells, took })
}

fn write(session: &mut Session, job: &Job) -> Result<WriteReport, WriteError> {
    session.connect(&[ResetStrategy::unix_tight()], 7)?;
    session.repeat::<_, SessionError>(|session| session.attach_flash().map(drop))?;
    // A damaged id could have told another size.
    session.repeat::<_, SessionError>(|session| session.set_flash_bytes(4 << 20))?;
    session.write_image(&job.image, job.options, &mut |_| {})
}

/// Nothing outside of what is written may change; on a line that damages commands, which have no
/// checksum in this protocol, that is counted instead.
fn judge_outside(
    job: &Job,
    before: &Cells,
    after: &Cells,
    to_chip: LinkCounters,
    success: bool,
) -> Result<Option<LinkCounters>, String> {
    let written = sectors(&job.image);
    let changed = before
        .used_sectors()
        .chain(after.used_sectors())
        .filter(|number| !written.contains(number))
        .find(|number| before.sector(*number) != after.sector(*number));
    // What is behind the image in its last sector stays only if that was asked for.
    let end = job.image.offset + job.image.data.len() as u32;
    let mut tail = vec![0; (written.end * SECTOR - end) as usize];
    after.read(end, &mut tail);
    let tail_lost =
        success && job.options.skip == Skip::Unchanged && tail.iter().any(|byte| *byte != OLD);
    let what = match (changed, tail_lost) {
        (Some(number), _) => format!("sector {number}, outside of the image, changed"),
        (None, true) => "the bytes behind the image changed".to_owned(),
        (None, false) => return Ok(None),
    };
    let damaged = to_chip.flips + to_chip.drops + to_chip.doubles;
    if damaged + to_chip.disconnects + to_chip.wrong_rates == 0 {
        return Err(what);
    }
    Ok(Some(to_chip))
}

/// The kind of an error.
fn name(error: &WriteError) -> Result<&'static str, String> {
    Ok(match error {
        WriteError::Mismatch(_) => "mismatch",
        WriteError::NotTaken { .. } => "not taken",
        WriteError::Read(_) => "read",
        WriteError::Session(error) | WriteError::TooManyRestarts { last: error, .. } => {
            match &error.cause {
                Cause::NoAnswer { .. } => "no answer",
                Cause::Refused { .. } => "refused",
                Cause::DeadlinePassed => "deadline",
                Cause::WrongBootMode { .. } => "boot mode",
                Cause::Restarted { .. } => "restarted",
                Cause::Port(_) | Cause::Interrupted => return Err(format!("no port: {error}")),
                _ => "other",
            }
        }
    })
}

/// Whether `kind` is one of the line.
pub(crate) fn is_link(kind: FaultKind) -> bool {
    kind.name().starts_with("link-")
}

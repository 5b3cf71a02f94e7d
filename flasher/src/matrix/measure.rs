//! Measuring all cells, by a few workers.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
};

use esp32_emulator::case::{self, Step, WriteOutcome, bootable};
use spi_nor::part::RegisterName;
use tempfile::TempDir;

use super::{Cell, Client, Ended, Ending, MatrixError, client::Said, stage::Stage};

/// Where the image is written, and its length: enough for several blocks of every protocol.
pub(super) const AT: u32 = 0x1000;
pub(super) const BYTES: usize = 0x5000;
/// What the ROM leaves in register 1 at the end of a session (ROM-FACTS 5.4).
const AFTER_FLASH_END: u8 = 0x1c;

/// What to measure.
#[derive(Debug, Clone)]
pub struct Work {
    /// Names of built-in cases: the rows.
    pub cases: Vec<String>,
    /// The columns.
    pub clients: Vec<Client>,
    /// Clients at once: they wait for each other's start-up more than they compute.
    pub workers: usize,
}

/// Images of two seeds in files.
pub(super) struct Images {
    folder: TempDir,
}

impl Images {
    pub(super) fn new() -> Result<Self, MatrixError> {
        let images = Self { folder: tempfile::tempdir()? };
        for seed in [1, 2] {
            fs::write(images.path(seed), bootable(seed, BYTES))?;
        }
        Ok(images)
    }

    pub(super) fn path(&self, seed: u64) -> PathBuf {
        self.folder.path().join(format!("{seed}.bin"))
    }
}

/// Measures all cells, those of one case together and in the order of the clients. `observer` gets
/// each as it is done. Ends early, with the cells so far, when `stop` is set.
///
/// # Errors
///
/// [`MatrixError`]: a case, a board or a client cannot be run. A client that fails is a result.
pub fn measure(
    work: &Work,
    stop: &AtomicBool,
    observer: &mut dyn FnMut(&Cell),
) -> Result<Vec<Cell>, MatrixError> {
    let images = Images::new()?;
    let order: Vec<(&String, &Client)> = work
        .cases
        .iter()
        .flat_map(|case| work.clients.iter().map(move |client| (case, client)))
        .collect();
    let jobs = |at: usize| {
        let (case, client) = order.get(at)?;
        Some(cell(case, client, &images, stop))
    };
    let cells = in_parallel(order.len(), work.workers, stop, &jobs, &mut |cell| {
        if let Some(cell) = cell {
            observer(cell);
        }
    })?;
    Ok(cells.into_iter().flatten().collect())
}

/// Runs `job` for 0 to `count` by some workers; the results in order.
pub(super) fn in_parallel<T: Send>(
    count: usize,
    workers: usize,
    stop: &AtomicBool,
    job: &(impl Fn(usize) -> Option<Result<T, MatrixError>> + Sync),
    observer: &mut dyn FnMut(&T),
) -> Result<Vec<T>, MatrixError> {
    let next = Mutex::new(0..count);
    let take = || next.lock().unwrap_or_else(PoisonError::into_inner).next();
    let mut results: Vec<(usize, T)> = Vec::new();
    let mut failure = None;
    thread::scope(|scope| {
        let (sender, done) = mpsc::channel();
        for _ in 0..workers.clamp(1, count.max(1)) {
            let sender = sender.clone();
            let take = &take;
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed)
                    && let Some(at) = take()
                    && let Some(result) = job(at)
                {
                    // The receiver hears of an error and takes no more.
                    if sender.send((at, result)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        for (at, result) in done {
            match result {
                Ok(result) => {
                    observer(&result);
                    results.push((at, result));
                }
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
    });
    if let Some(error) = failure {
        return Err(error);
    }
    results.sort_by_key(|(at, _)| *at);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}

/// Plays the case to its first write that fails, with this client's writes; then that write.
/// `None`: it was stopped.
fn cell(
    name: &str,
    client: &Client,
    images: &Images,
    stop: &AtomicBool,
) -> Result<Option<Cell>, MatrixError> {
    let mut loaded = case::load(name)?;
    let story = loaded.file.case.clone();
    let story = story.ok_or_else(|| MatrixError::NoStory(name.to_owned()))?;
    // No client here ends a session with the ROM by FLASH_END; somebody else's did.
    let flash_end = |step: &Step| matches!(step, Step::Write(write) if write.flash_end);
    let ended = story.play.iter().any(flash_end);
    if ended {
        loaded.file.flash.registers.insert(RegisterName::Sr1, AFTER_FLASH_END);
    }
    let stage = Stage::open(loaded)?;
    let failing =
        |step: &Step| matches!(step, Step::Write(write) if write.expect != WriteOutcome::Verifies);
    let any = |step: &Step| matches!(step, Step::Write(_));
    let end = story.play.iter().position(failing).or_else(|| story.play.iter().position(any));
    let result = |said: &Said, held, before, after| {
        let (ended, words) = client.judge(said, held);
        let message = (!said.success).then(|| said.last_line().map(str::to_owned)).flatten();
        Cell {
            case: name.to_owned(),
            client: client.name().to_owned(),
            asked_to_unlock: client.asked_to_unlock(),
            speaks_of_protection: said.speaks_of_protection(),
            ended,
            words,
            message,
            before,
            after,
        }
    };
    for step in story.play.iter().take(end.unwrap_or(story.play.len())) {
        match step {
            Step::Write(_) if ended => {}
            Step::Write(_) => {
                let (before, _) = stage.look(AT, bootable(1, BYTES))?;
                let file = images.path(1);
                let said = client.write(&stage, (AT, &file), Ending::Stay, stop)?;
                let Some(said) = said else { return Ok(None) };
                if !said.success {
                    let (after, _) = stage.look(AT, bootable(1, BYTES))?;
                    let mut cell = result(&said, false, before, after);
                    cell.words = format!("first write: {}", cell.words);
                    cell.ended = Ended::FailedEarly;
                    return Ok(Some(cell));
                }
            }
            // A boot that comes to nothing leaves the flash as it is.
            Step::Boot(boot) if boot.expect.is_some() => {}
            Step::Boot(_) => stage.boot()?,
            Step::WriteStatus(write) => {
                let values = write.value.to_le_bytes();
                stage.write_status(&values[..usize::from(write.bytes).min(values.len())])?;
            }
            _ => {}
        }
    }
    let (before, _) = stage.look(AT, bootable(2, BYTES))?;
    let file = images.path(2);
    let Some(said) = client.write(&stage, (AT, &file), Ending::Stay, stop)? else {
        return Ok(None);
    };
    let (after, held) = stage.look(AT, bootable(2, BYTES))?;
    Ok(Some(result(&said, held, before, after)))
}

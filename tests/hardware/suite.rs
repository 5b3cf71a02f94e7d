//! The course of a run: connect, save, check, put back, compare.

use std::{
    fmt, fs,
    io::{self, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use esp32_emulator::{
    cli::transcript::write_difference,
    transcript::replay::{Difference, Kind},
};
use esp32_flasher::{
    chip::Chip,
    identity::Identity,
    port::record::RecordingPort,
    preflight::Changer,
    reset::ResetStrategy,
    session::{CONNECT_BAUD, Session, Warning},
    status::StatusRegisters,
};
use signal_hook::{
    SigId,
    consts::{SIGHUP, SIGINT, SIGTERM},
    low_level::unregister,
};

use crate::{
    bench::{Bench, CONNECT_ATTEMPTS, Trouble, strategies},
    journal::Journal,
    port,
    settings::Settings,
    twin,
};

/// One thing that is checked.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&mut Bench) -> Result<Outcome, Trouble>,
}

/// How a step ended that found nothing wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// As it should be.
    Passed,
    /// Not tried, and why.
    Skipped(String),
}

/// How far a port reaches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Reach {
    /// No board answered, or its scratch range could not be saved.
    #[default]
    Nothing,
    /// To a board that it resets.
    Reset,
    /// To a board that it cannot reset: the first answers may tell of what was before the run.
    Loader,
}

/// What a run found.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Steps that passed.
    pub(crate) passed: Vec<&'static str>,
    /// Steps that were not tried.
    pub(crate) skipped: Vec<&'static str>,
    /// What is wrong, in words.
    pub(crate) failures: Vec<String>,
    /// Answers that differ from those of the in-process board.
    pub(crate) differences: Vec<Difference>,
    /// Answers that differ in bytes alone that mean nothing: the ROM leaves there what its memory
    /// held, which depends on what was before the run.
    pub(crate) leftovers: usize,
    /// Answers that were compared with those of the in-process board; none without one.
    pub(crate) compared: Option<u64>,
    /// What it ran on.
    pub(crate) reach: Reach,
    /// Ctrl-C.
    pub(crate) interrupted: bool,
    /// The scratch range holds what it held.
    pub(crate) restored: bool,
}

impl Verdict {
    /// Nothing is wrong.
    pub(crate) fn is_good(&self, settings: &Settings) -> bool {
        self.failures.is_empty()
            && self.restored
            && !self.interrupted
            && (settings.allow_differences || self.differences.is_empty())
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (passed, skipped) = (self.passed.len(), self.skipped.len());
        writeln!(f, "{passed} passed, {skipped} skipped, {} failed", self.failures.len())?;
        for failure in &self.failures {
            writeln!(f, "FAILED {failure}")?;
        }
        if self.interrupted {
            writeln!(f, "interrupted")?;
        }
        if !self.restored {
            writeln!(f, "THE SCRATCH RANGE WAS NOT PUT BACK; the journal is kept, run once more")?;
        }
        if self.reach == Reach::Nothing {
            return Ok(());
        }
        if self.reach == Reach::Loader && !self.differences.is_empty() {
            writeln!(
                f,
                "this port cannot reset the board: press EN before a run, or the first answers tell \
                 of what was before it"
            )?;
        }
        match self.compared {
            Some(count) => writeln!(
                f,
                "{count} answers compared with the emulator's: {} differ, {} more in bytes that \
                 mean nothing",
                self.differences.len(),
                self.leftovers
            ),
            None => writeln!(f, "no part of the catalogue to compare with (ESP_PART=NAME)"),
        }
    }
}

/// A flag that signals set while this lives.
struct Interrupts {
    flag: Arc<AtomicBool>,
    ids: Vec<SigId>,
}

impl Interrupts {
    fn catch() -> Self {
        let flag = Arc::new(AtomicBool::new(false));
        let ids = [SIGINT, SIGTERM, SIGHUP]
            .into_iter()
            .filter_map(|signal| signal_hook::flag::register(signal, Arc::clone(&flag)).ok())
            .collect();
        Self { flag, ids }
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        for id in self.ids.drain(..) {
            unregister(id);
        }
    }
}

/// Runs `steps` on the port of `settings`.
///
/// A panic in a step goes on after everything has been put back.
pub(crate) fn run(settings: &Settings, steps: &[Step], log: &mut dyn Write) -> Verdict {
    let mut verdict = Verdict::default();
    let interrupts = Interrupts::catch();
    let draft = settings.folder.join(format!("{}.draft.jsonl", std::process::id()));
    let begun = begin(settings, &draft, &interrupts.flag, &mut verdict, log);
    let Some((mut bench, saved)) = begun else {
        // Nothing passed that would be worth keeping.
        let _ = fs::remove_file(&draft);
        return verdict;
    };
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        run_steps(&mut bench, steps, &interrupts.flag, &mut verdict, log);
    }));
    verdict.interrupted = interrupts.flag.load(Ordering::Relaxed);
    // From here on nothing interrupts.
    bench.session.set_interrupt_flag(Arc::default());
    match restore(&mut bench, &saved, settings, log) {
        Ok(()) => verdict.restored = true,
        Err(trouble) => verdict.failures.push(format!("putting back: {trouble}")),
    }
    if let Err(panic) = panicked {
        // The transcript shows what passed before it.
        let _ = twin::compare(&draft, &saved, settings);
        std::panic::resume_unwind(panic);
    }
    leave(bench);
    match twin::compare(&draft, &saved, settings) {
        Ok(Some((compared, differences))) => {
            verdict.compared = Some(compared);
            let (leftovers, differences) =
                differences.into_iter().partition(|it| it.kind == Kind::Leftovers);
            verdict.differences = differences;
            verdict.leftovers = Vec::len(&leftovers);
        }
        Ok(None) => {}
        Err(trouble) => verdict.failures.push(format!("comparing with the emulator: {trouble}")),
    }
    for (number, difference) in verdict.differences.iter().enumerate() {
        let _ = write_difference(number + 1, difference, log);
    }
    let _ = write!(log, "{verdict}");
    verdict
}

/// Puts back what an earlier run left, connects, and saves what is there.
fn begin(
    settings: &Settings,
    draft: &Path,
    flag: &Arc<AtomicBool>,
    verdict: &mut Verdict,
    log: &mut dyn Write,
) -> Option<(Bench, Saved)> {
    if let Err(trouble) = repair(settings, draft, flag, log) {
        verdict.failures.push(format!("putting back what an earlier run left: {trouble}"));
        return None;
    }
    // Nothing of this run has to be put back yet.
    verdict.restored = true;
    let mut bench = match start(settings, draft, flag, log) {
        Ok(bench) => bench,
        Err(trouble) => {
            verdict.failures.push(format!("connecting: {trouble}"));
            return None;
        }
    };
    match save(&mut bench, settings) {
        Ok(saved) => {
            verdict.reach = if bench.has_lines() { Reach::Reset } else { Reach::Loader };
            verdict.restored = false;
            Some((bench, saved))
        }
        Err(trouble) => {
            verdict.failures.push(format!("saving the scratch range: {trouble}"));
            None
        }
    }
}

/// What has to be put back, and what the board is.
pub(crate) struct Saved {
    pub(crate) journal: Journal,
    pub(crate) content: Vec<u8>,
    pub(crate) chip: Chip,
    pub(crate) identity: Identity,
}

fn start(
    settings: &Settings,
    draft: &Path,
    flag: &Arc<AtomicBool>,
    log: &mut dyn Write,
) -> Result<Bench, Trouble> {
    fs::create_dir_all(&settings.folder)?;
    let port = RecordingPort::create(port::open(&settings.port)?, CONNECT_BAUD, draft)?;
    let mut session = Session::new(Box::new(port));
    session.set_interrupt_flag(Arc::clone(flag));
    if let Err(error) = session.connect(&strategies(), CONNECT_ATTEMPTS) {
        let by_hand = session.warnings().contains(&Warning::NoModemLines);
        let hint = "; this port cannot reset the board: hold GPIO0 low, press EN, and run again";
        return Err(format!("{error}{}", if by_hand { hint } else { "" }).into());
    }
    let chip = Chip::read(&mut session)?;
    let id = session.attach_flash()?;
    if id.is_absent() {
        return Err(format!("no flash answers (id {:02x?})", id.jedec).into());
    }
    let identity = Identity::of(id);
    let status = session.read_known_status(&identity)?;
    let scratch = settings.scratch_of(session.flash_bytes())?;
    let look = session.preflight(&identity, std::slice::from_ref(&scratch), Changer::AsItIs)?;
    let protected = look.obstacle().map(|state| {
        format!("it is write-protected: {:#x?} (ESP_SCRATCH names another range)", state.overlaps)
    });
    let _ = writeln!(
        log,
        "{}: {} {}, flash {:02x?}, status {status}, scratch {scratch:#x?}",
        settings.port, chip.package, chip.mac, identity.id.jedec
    );
    let allow_status_writes = settings.allow_status_writes;
    Ok(Bench { session, chip, identity, scratch, status, allow_status_writes, protected })
}

/// Puts back what an earlier run could not, in a session of its own: the transcript of this run
/// begins with the board as it should be.
fn repair(
    settings: &Settings,
    draft: &Path,
    flag: &Arc<AtomicBool>,
    log: &mut dyn Write,
) -> Result<(), Trouble> {
    if !Journal::any(&settings.folder) {
        return Ok(());
    }
    let mut bench = start(settings, draft, flag, &mut io::sink())?;
    let mac = bench.chip.mac;
    let Some(journal) = Journal::left_over(&settings.folder, mac)? else { return Ok(()) };
    let content = journal.bytes().ok_or("the journal's content is no hex")?;
    let before = StatusRegisters { values: journal.status };
    let (changed, status) = bench.put_everything_back(before, journal.scratch, &content)?;
    let _ = writeln!(
        log,
        "an earlier run was killed: {changed} sectors put back, registers changed: {status}"
    );
    Ok(Journal::discard(&settings.folder, mac)?)
}

/// Saves what is there.
fn save(bench: &mut Bench, settings: &Settings) -> Result<Saved, Trouble> {
    let (folder, mac) = (&settings.folder, bench.chip.mac);
    let scratch = bench.scratch.clone();
    let content = bench.read(&scratch)?;
    let journal = Journal::of(mac, scratch.start, &content, bench.status.values);
    journal.keep(folder, mac)?;
    let (chip, identity) = (bench.chip.clone(), bench.identity.clone());
    Ok(Saved { journal, content, chip, identity })
}

fn run_steps(
    bench: &mut Bench,
    steps: &[Step],
    flag: &AtomicBool,
    verdict: &mut Verdict,
    log: &mut dyn Write,
) {
    for step in steps {
        if flag.load(Ordering::Relaxed) {
            let _ = writeln!(log, "interrupted before: {}", step.name);
            return;
        }
        let _ = write!(log, "  {} ... ", step.name);
        let _ = log.flush();
        match (step.run)(bench) {
            Ok(Outcome::Passed) => {
                verdict.passed.push(step.name);
                let _ = writeln!(log, "ok");
            }
            Ok(Outcome::Skipped(why)) => {
                verdict.skipped.push(step.name);
                let _ = writeln!(log, "skipped: {why}");
            }
            Err(_) if flag.load(Ordering::Relaxed) => {
                let _ = writeln!(log, "interrupted");
                return;
            }
            Err(trouble) => {
                let _ = writeln!(log, "FAILED: {trouble}");
                verdict.failures.push(format!("{}: {trouble}", step.name));
                // The next step finds a loader that listens, if there is one.
                if bench.recover().is_err() {
                    verdict.failures.push("the board is gone".to_owned());
                    return;
                }
            }
        }
    }
}

/// Tries until the board's content is what it was.
fn restore(
    bench: &mut Bench,
    saved: &Saved,
    settings: &Settings,
    log: &mut dyn Write,
) -> Result<(), Trouble> {
    const TRIES: u32 = 3;
    let mut last = None;
    for _ in 0..TRIES {
        let before = bench.status;
        let put_back = bench.recover().and_then(|()| {
            bench.put_everything_back(before, saved.journal.scratch, &saved.content)
        });
        match put_back {
            Ok((sectors, status)) => {
                let _ = writeln!(log, "put back: {sectors} sectors, registers changed: {status}");
                Journal::discard(&settings.folder, bench.chip.mac)?;
                return Ok(());
            }
            Err(trouble) => last = Some(trouble),
        }
    }
    Err(last.unwrap_or_else(|| "it was not tried".into()))
}

/// The board starts its program again, if the port can tell it to.
fn leave(mut bench: Bench) {
    if bench.has_lines() {
        // Nothing depends on it.
        let _ = bench.session.reset(&ResetStrategy::run());
        bench.session.port().wait(Duration::from_millis(1));
    }
}

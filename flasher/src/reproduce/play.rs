//! The stage: a board on a PTY, the steps, and a session for each step that needs one.

use std::{
    path::Path,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use esp32_emulator::{
    board::{Mode, STRAP_DOWNLOAD, STRAP_FLASH_BOOT},
    case::{self, BootStep, CaseBoard, LoadedBoard, Step, Story},
    time::Instant,
    transport::{
        device::SerialDevice,
        server::{Handle, Options, Server},
    },
};

use super::{Assumption, Observation, ReproduceError, StepReport, summary};
use crate::{
    port::{Port, serial::SerialPort},
    progress::Observer,
    reset::ResetStrategy,
    session::Session,
};

/// The loader listens at any usual rate.
const CONNECT_BAUD: u32 = 115_200;
/// The rate of most reports. Status registers are read and written at [`CONNECT_BAUD`]: the forms
/// of a status write come without waits and rely on the line being slow (QUIRKS Q6).
pub(super) const FLASH_BAUD: u32 = 921_600;
const CONNECT_ATTEMPTS: u32 = 3;
/// A boot that goes on by itself longer than this is an application that runs.
const BOOT_TIME_MAX: esp32_emulator::time::Duration =
    esp32_emulator::time::Duration::from_millis(60_000);

/// A case on the stage.
pub struct Play {
    story: Story,
    assumption: Option<Assumption>,
    steps: std::vec::IntoIter<Step>,
    number: usize,
    handle: Handle<CaseBoard>,
    interrupt: Arc<AtomicBool>,
}

impl std::fmt::Debug for Play {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Play").field("case", &self.story.name).finish_non_exhaustive()
    }
}

impl Play {
    /// Loads a built-in case, or a case file if the name is a path to one, and powers its board on.
    ///
    /// # Errors
    ///
    /// [`ReproduceError`] if there is no such case or its board cannot be served.
    pub fn load(
        name: &str,
        hypothesis: Option<&str>,
        interrupt: Arc<AtomicBool>,
    ) -> Result<Self, ReproduceError> {
        let path = Path::new(name);
        let mut loaded = if path.is_file() { case::load_file(path)? } else { case::load(name)? };
        if let Some(hypothesis) = hypothesis {
            loaded = loaded.assume(hypothesis)?;
        }
        let story = loaded.file.case.clone();
        let story = story.ok_or_else(|| ReproduceError::NoStory(path.to_owned()))?;
        let assumption = assumption(&loaded, &story);
        let steps = story.play.clone().into_iter();
        let handle = Server::spawn(loaded.into_board()?, &Options::default())?;
        Ok(Self { story, assumption, steps, number: 0, handle, interrupt })
    }

    /// What the report says.
    #[must_use]
    pub fn story(&self) -> &Story {
        &self.story
    }

    /// The hypothesis that the board stands for, if the mechanism is not known.
    #[must_use]
    pub fn assumption(&self) -> Option<&Assumption> {
        self.assumption.as_ref()
    }

    /// The PTY that the board is on.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.handle.path()
    }

    /// Plays the next step; `None` at the end.
    ///
    /// # Errors
    ///
    /// [`ReproduceError`]: the play cannot go on.
    pub fn next_step(
        &mut self,
        observer: Observer<'_>,
    ) -> Result<Option<StepReport>, ReproduceError> {
        let Some(step) = self.steps.next() else { return Ok(None) };
        self.number += 1;
        let begin = self.handle.with(|board| {
            board.trace_mut().take();
            board.now()
        })?;
        let mut report = StepReport {
            number: self.number,
            done: String::new(),
            said: Vec::new(),
            observations: Vec::new(),
            mismatch: None,
            chip: Vec::new(),
            elapsed: Duration::ZERO,
        };
        self.act(&step, &mut report, observer)?;
        let (entries, end) =
            self.handle.with(|board| (board.trace_mut().take(), SerialDevice::now(board)))?;
        report.chip = summary::lines(&entries);
        report.elapsed = end.since(begin).into();
        Ok(Some(report))
    }

    fn act(
        &mut self,
        step: &Step,
        report: &mut StepReport,
        observer: Observer<'_>,
    ) -> Result<(), ReproduceError> {
        match step {
            Step::Write(write) => self.write(write, report, observer),
            Step::Boot(boot) => self.boot(boot, report),
            Step::PowerCycle(_) => {
                "power off and on".clone_into(&mut report.done);
                Ok(self.handle.with(|board| board.power_cycle(board.now()))?)
            }
            Step::HostReset(_) => {
                "press the reset button".clone_into(&mut report.done);
                Ok(self.handle.with(|board| board.host_reset(board.now()))?)
            }
            Step::FlashId(id) => self.flash_id(id, report),
            Step::ReadStatus(read) => self.read_status(*read, report),
            Step::WriteStatus(write) => self.write_status(*write, report),
            Step::EraseChip(erase) => self.erase_chip(*erase, report),
            Step::Instruction(instruction) => self.instruction(instruction.opcode, report),
            Step::ReadFlash(read) => self.read_flash(read, report),
            Step::Supply(supply) => {
                let millivolts = supply.mv.get();
                report.done = format!("flash supply to {millivolts} mV");
                Ok(self.handle.with(move |board| {
                    board.flash_mut().nor_mut().set_supply_mv(millivolts);
                })?)
            }
        }
    }

    /// Releases GPIO0 and resets: the ROM boots the image, then the firmware's start-up runs.
    fn boot(&mut self, step: &BootStep, report: &mut StepReport) -> Result<(), ReproduceError> {
        "boot from flash".clone_into(&mut report.done);
        let (mode, text) = self.handle.with(|board| {
            board.set_strap(STRAP_FLASH_BOOT);
            board.host_reset(board.now());
            let text = run_until_quiet(board);
            (board.mode(), text)
        })?;
        report.said = String::from_utf8_lossy(&text).lines().map(str::to_owned).collect();
        report.said.retain(|line| !line.is_empty());
        if let Some(expected) = &step.expect {
            let agrees = report.said.iter().any(|line| line.contains(expected));
            report.observations.push(Observation {
                what: "output of the boot".to_owned(),
                expected: expected.clone(),
                seen: if agrees { expected.clone() } else { report.said.join(" / ") },
                agrees,
            });
            return Ok(());
        }
        if mode == Mode::Application {
            Ok(())
        } else {
            Err(ReproduceError::NotBooted(format!("{mode:?}")))
        }
    }

    /// A session with the loader, reset into download mode by hand: a PTY has no modem lines.
    pub(super) fn connect(&mut self, baud: u32) -> Result<Session, ReproduceError> {
        self.handle.with(|board| {
            board.set_strap(STRAP_DOWNLOAD);
            board.host_reset(board.now());
            run_until_quiet(board);
        })?;
        let name = self.handle.path().to_string_lossy().into_owned();
        let mut port = SerialPort::open(&name, CONNECT_BAUD)?;
        port.flush_input()?;
        let mut session = Session::new(Box::new(port));
        session.set_interrupt_flag(Arc::clone(&self.interrupt));
        session.connect(&[ResetStrategy::none()], CONNECT_ATTEMPTS)?;
        if baud != CONNECT_BAUD {
            session.change_baud(CONNECT_BAUD, baud)?;
        }
        session.attach_flash()?;
        Ok(session)
    }

    /// A session for status registers.
    pub(super) fn connect_slowly(&mut self) -> Result<Session, ReproduceError> {
        self.connect(CONNECT_BAUD)
    }
}

/// Lets a board do all that it does by itself; returns what it printed.
pub(crate) fn run_until_quiet(board: &mut CaseBoard) -> Vec<u8> {
    let end = board.now() + BOOT_TIME_MAX;
    let mut text = Vec::new();
    let mut now: Instant = board.now();
    // A terminal at the ROM's rate, whatever the flasher had agreed on before.
    board.set_host_baud(now, Some(CONNECT_BAUD));
    while let Some(due) = board.next_event().filter(|due| *due <= end) {
        now = now.max(due);
        board.advance(now);
        board.transmit(now, &mut text);
    }
    text
}

fn assumption(loaded: &LoadedBoard, story: &Story) -> Option<Assumption> {
    let name = story.default_hypothesis.clone()?;
    let hypothesis = loaded.file.hypotheses.get(&name)?;
    let others = loaded.file.hypotheses.keys().filter(|other| **other != name).cloned().collect();
    Some(Assumption {
        name,
        title: hypothesis.title.clone(),
        notes: hypothesis.notes.trim().to_owned(),
        contradicts: hypothesis.contradicts.clone(),
        others,
    })
}

impl Play {
    /// The board's own time.
    pub(super) fn board_now(&self) -> Result<Instant, ReproduceError> {
        Ok(self.handle.with(|board| board.now())?)
    }
}

//! What a person or a program reads: all output of the command is made here.
//!
//! With `--json` each line is one object; its `event` names the kind, the other keys are the fields
//! of [`Event`]'s variants.

mod batch;
mod matrix;
mod play;
mod text;

use std::{
    io::{self, IsTerminal, Write},
    path::Path,
};

use esp32_flasher::{
    batch::{BatchEvent, Summary},
    chip::Chip,
    diagnose::{Diagnosis, Evidence},
    flash::EraseReport,
    identity::Identity,
    matrix::{Cell, EndingCell, Verdict},
    preflight::Preflight,
    progress::Progress,
    protect::{ChangeReport, GuardReport, PartChoices, Protected, SearchReport},
    reproduce::{Assumption, StepReport},
    session::Warning,
    status::{StatusRegisters, StatusReport},
    write::{Digest, Mismatch, WriteError, WriteReport},
};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

pub(crate) use batch::Table;

use crate::failure::{Failure, NotDone};

/// Plain progress comes in steps of so many percent.
const PLAIN_STEP_PERCENT: u64 = 10;

/// One thing worth telling.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(crate) enum Event<'a> {
    /// Serial ports of this machine.
    Ports { ports: &'a [(String, String)] },
    /// Worth knowing, no failure.
    Warning { warning: Warning },
    /// A chip answers.
    Connected { port: &'a str, chip: &'a Chip },
    /// The chip in full.
    Chip { chip: &'a Chip },
    /// The flash and what it can be.
    Flash { identity: &'a Identity },
    /// Status registers, and what they protect on each part that this can be.
    Status { status: StatusRegisters, protected: Vec<(String, Protected)> },
    /// Status registers were written, or left alone because they held the value.
    StatusWritten { report: &'a StatusReport },
    /// Progress of a long operation, in bytes.
    Progress { phase: esp32_flasher::progress::Phase, offset: u32, done: u64, total: u64 },
    /// A file was sent.
    Written { file: &'a str, offset: u32, report: WriteReport },
    /// A file and the flash are equal.
    Verified { file: &'a str, offset: u32, len: u32, md5: Digest },
    /// They are not.
    Mismatch { mismatch: &'a Mismatch },
    /// Flash was read into a file.
    Read { file: &'a Path, offset: u32, len: u32 },
    /// Erase instructions were sent.
    Erased { offset: u32, len: u32, report: EraseReport, probably_refused: bool },
    /// What the look at the protection before a change found.
    Preflight { preflight: &'a Preflight },
    /// Plain flash instructions write, not the loader; the part whose rules ask for that.
    PlainInstructions { part: Option<&'a str> },
    /// What is protected.
    Protection { flash_bytes: u32, preflight: &'a Preflight },
    /// Ranges that the part can protect.
    Choices { parts: &'a [PartChoices] },
    /// The protection was changed, or already was so.
    ProtectionChanged { report: &'a ChangeReport, journal: Option<&'a Path> },
    /// A bit was looked for that protects the array and shows nowhere.
    ProtectionSearched { report: &'a SearchReport, journal: Option<&'a Path> },
    /// There was nothing to lift.
    NothingProtected { registers_locked: Option<bool> },
    /// The loader wrote the status registers; what was mended.
    LoaderWroteRegisters { report: &'a GuardReport },
    /// Why flashing fails.
    Diagnosis { diagnosis: &'a Diagnosis, evidence: &'a Evidence },
    /// A public report about to be played.
    Case {
        name: &'a str,
        title: &'a str,
        sources: &'a [String],
        seen: &'a str,
        assumed: &'a str,
        assumption: Option<&'a Assumption>,
        port: &'a str,
    },
    /// One step of it.
    Step { step: &'a StepReport },
    /// A batch has ended.
    BatchEnded { summary: Summary, exit: u8 },
    /// Whether everything was seen as reported, and why it happens.
    Verdict { agrees: bool, cause: &'a str, assumption: Option<&'a Assumption> },
    /// The rows and columns of the matrix.
    MatrixClients { clients: &'a [String], cases: &'a [String] },
    /// One cell of it.
    MatrixCell { number: usize, total: usize, cell: &'a Cell },
    /// What a client leaves behind when it ends its session in one way.
    MatrixEnding { cell: &'a EndingCell },
    /// The matrix as Markdown, and what it says about each client.
    MatrixEnded { verdicts: &'a [Verdict], table: &'a str, endings: &'a str },
    /// The command ends early.
    Error { message: String, advice: Option<&'static str>, exit: u8 },
    /// Something in a batch: the line is the event itself.
    #[serde(untagged)]
    Batch(&'a BatchEvent),
}

/// Where output goes and in which form.
pub(crate) struct Report {
    json: bool,
    silent: bool,
    /// Progress is drawn: a terminal shows it.
    draws: bool,
    bar: Option<ProgressBar>,
    plain_step: Option<u64>,
}

impl Report {
    pub(crate) fn new(json: bool, no_progress: bool) -> Self {
        let draws = !json && !no_progress && io::stderr().is_terminal();
        Self { json, silent: no_progress, draws, bar: None, plain_step: None }
    }

    /// Shows what happens in a batch: a table on a terminal, plain lines in a pipe, objects with
    /// `--json`.
    pub(crate) fn batch(&mut self, event: &BatchEvent, table: &mut Table) -> io::Result<()> {
        let is_progress = matches!(event, BatchEvent::BoardProgress { .. });
        if !self.json && !self.silent && table.is_live() {
            return table.show(event);
        }
        // Progress of many boards would drown the rest.
        if is_progress && (self.silent || !self.json) {
            return Ok(());
        }
        if is_progress && !table.is_due(event) {
            return Ok(());
        }
        self.say(&Event::Batch(event))
    }

    /// Prints an event.
    pub(crate) fn say(&mut self, event: &Event<'_>) -> io::Result<()> {
        self.end_bar();
        let mut out = io::stdout().lock();
        if self.json {
            serde_json::to_writer(&mut out, event)?;
            writeln!(out)
        } else {
            text::write(&mut out, event)
        }
    }

    /// Shows progress: a bar on a terminal, plain lines in a pipe.
    pub(crate) fn progress(&mut self, progress: Progress) {
        if self.silent {
            return;
        }
        if self.draws {
            self.draw_bar(progress);
        } else {
            self.plain_progress(progress);
        }
    }

    /// Prints why the command ends.
    pub(crate) fn failure(&mut self, failure: &Failure) {
        if let Failure::Write(WriteError::Mismatch(mismatch))
        | Failure::Explained {
            error: NotDone::Write(WriteError::Mismatch(mismatch)), ..
        } = failure
        {
            let _ = self.say(&Event::Mismatch { mismatch });
        }
        let (message, exit) = (failure.to_string(), failure.exit() as u8);
        let event = Event::Error { message, advice: failure.advice(), exit };
        // There is nobody left to tell when this fails.
        let _ = if self.json {
            self.say(&event)
        } else {
            self.end_bar();
            text::write(&mut io::stderr().lock(), &event)
        };
    }

    fn draw_bar(&mut self, progress: Progress) {
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::new(progress.total);
            let template = "{msg:8} [{wide_bar}] {bytes}/{total_bytes} {eta}";
            let style = ProgressStyle::with_template(template);
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_message(text::phase(progress.phase));
            bar
        });
        bar.set_position(progress.done);
        if progress.done >= progress.total {
            self.end_bar();
        }
    }

    fn end_bar(&mut self) {
        self.plain_step = None;
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn plain_progress(&mut self, progress: Progress) {
        let Progress { phase, offset, done, total } = progress;
        let step = done * 100 / total.max(1) / PLAIN_STEP_PERCENT;
        if self.plain_step.is_some_and(|last| step <= last) && done < total {
            return;
        }
        // The end of a short operation says itself.
        if self.plain_step.is_none() && done >= total {
            return;
        }
        let event = Event::Progress { phase, offset, done, total };
        let _ = self.say(&event);
        self.plain_step = (done < total).then_some(step);
    }
}

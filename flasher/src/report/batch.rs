//! A batch: a live table of bars on a terminal, and lines.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal, Write},
};

use esp32_flasher::batch::{BatchEvent, Outcome, Summary};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::PLAIN_STEP_PERCENT;

/// One row a board in work; finished boards scroll up as lines.
pub(crate) struct Table {
    live: bool,
    rows: MultiProgress,
    bars: BTreeMap<String, ProgressBar>,
    steps: BTreeMap<String, u64>,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self {
            live: io::stderr().is_terminal(),
            rows: MultiProgress::new(),
            bars: BTreeMap::new(),
            steps: BTreeMap::new(),
        }
    }

    pub(super) fn is_live(&self) -> bool {
        self.live
    }

    /// Progress that is a step further than what was shown.
    pub(super) fn is_due(&mut self, event: &BatchEvent) -> bool {
        let BatchEvent::BoardProgress { port, done, total, .. } = event else { return true };
        let step = done * 100 / (*total).max(1) / PLAIN_STEP_PERCENT;
        self.steps.insert(port.clone(), step).is_none_or(|last| step > last)
    }

    pub(super) fn show(&mut self, event: &BatchEvent) -> io::Result<()> {
        match event {
            BatchEvent::BoardStarted { port } => {
                let bar = self.rows.add(ProgressBar::new(1));
                let style =
                    ProgressStyle::with_template("{prefix:24!} [{wide_bar}] {percent:>3} % {msg}");
                bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
                bar.set_prefix(port.clone());
                bar.tick();
                self.bars.insert(port.clone(), bar);
            }
            BatchEvent::BoardIdentified { port, mac, .. } => {
                self.bars.get(port).inspect(|bar| bar.set_message(mac.to_string()));
            }
            BatchEvent::BoardUnprotected { .. } => self.line(event)?,
            BatchEvent::BoardProgress { port, done, total, .. } => {
                if let Some(bar) = self.bars.get(port) {
                    bar.set_length(*total);
                    bar.set_position(*done);
                }
            }
            BatchEvent::BoardFinished { port, .. } => {
                if let Some(bar) = self.bars.remove(port) {
                    bar.finish_and_clear();
                    self.rows.remove(&bar);
                }
                self.line(event)?;
            }
        }
        Ok(())
    }

    fn line(&self, event: &BatchEvent) -> io::Result<()> {
        let mut text = Vec::new();
        write(&mut text, event)?;
        self.rows.println(String::from_utf8_lossy(&text).trim_end())
    }
}

/// An event as a line.
pub(super) fn write(out: &mut dyn Write, event: &BatchEvent) -> io::Result<()> {
    match event {
        BatchEvent::BoardStarted { port } => writeln!(out, "{port}: begins"),
        BatchEvent::BoardIdentified { port, mac, parts, serial } => {
            write!(out, "{port}: MAC {mac}, flash {}", parts.join(" or "))?;
            if let Some(serial) = serial {
                write!(out, ", serial {serial}")?;
            }
            writeln!(out)
        }
        BatchEvent::BoardUnprotected { port, part } => {
            writeln!(out, "{port}: write protection of {part} lifted")
        }
        BatchEvent::BoardProgress { port, done, total, .. } => {
            writeln!(out, "{port}: {done} of {total} bytes")
        }
        BatchEvent::BoardFinished { port, mac, outcome, message, elapsed_s } => {
            write!(out, "{port}: {} in {elapsed_s:.1} s", word(*outcome))?;
            if let Some(mac) = mac {
                write!(out, " (MAC {mac})")?;
            }
            if let Some(message) = message {
                write!(out, ": {message}")?;
            }
            writeln!(out)
        }
    }
}

pub(super) fn write_summary(out: &mut dyn Write, summary: Summary) -> io::Result<()> {
    let Summary { done, skipped, failed, not_started } = summary;
    writeln!(
        out,
        "{done} done, {skipped} were done before, {failed} failed, {not_started} not started"
    )
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::Skipped => "was done before",
        Outcome::Protected => "FAILED, write protected",
        Outcome::Incurable => "FAILED, write protected for good",
        Outcome::VerifyFailed => "FAILED, verify",
        Outcome::NoAnswer => "FAILED, no answer",
        Outcome::WrongChip => "FAILED, wrong chip or no flash",
        Outcome::Unsupported => "FAILED, unsupported flash",
        Outcome::Port => "FAILED, port",
        Outcome::Failed => "FAILED",
    }
}

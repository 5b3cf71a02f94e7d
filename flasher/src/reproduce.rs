//! Playing a public report on a virtual board, and checking everything that it reports.
//!
//! The board is served on a real PTY and flashed through it by this library, as a device is. What
//! the chip really did comes from the board's trace and is told beside each step; what counts as
//! observed comes over the wire alone.

mod observe;
mod play;
mod summary;
mod writing;

use std::{io, path::PathBuf, time::Duration};

use esp32_emulator::{
    case::{CaseError, Story},
    transport::server::ServerEnded,
};
use serde::Serialize;

pub use play::Play;
pub(crate) use play::run_until_quiet;

use crate::{
    port::PortError, progress::Observer, session::SessionError, write::Mismatch, write::WriteError,
};

/// One observation of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Observation {
    /// What was looked at.
    pub what: String,
    /// What the report says.
    pub expected: String,
    /// What was seen.
    pub seen: String,
    /// Both agree.
    pub agrees: bool,
}

/// One step, played.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepReport {
    /// Number of the step, from 1.
    pub number: usize,
    /// What was done.
    pub done: String,
    /// What the tool saw and would print.
    pub said: Vec<String>,
    /// What was compared with the report.
    pub observations: Vec<Observation>,
    /// Digests, where a verification failed.
    pub mismatch: Option<Mismatch>,
    /// What the chip really did, from the board's trace.
    pub chip: Vec<String>,
    /// Time that the step took on the board.
    #[serde(rename = "virtual_s", serialize_with = "crate::progress::seconds")]
    pub elapsed: Duration,
}

impl StepReport {
    /// Everything was seen as reported.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.observations.iter().all(|observation| observation.agrees)
    }
}

/// A hypothesis that the board stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Assumption {
    /// Short name.
    pub name: String,
    /// One line.
    pub title: String,
    /// What speaks for it and against it.
    pub notes: String,
    /// What of the report it contradicts, if anything.
    pub contradicts: Option<String>,
    /// The others that can be played.
    pub others: Vec<String>,
}

/// Why a play could not go on. What the play was to show is in [`StepReport::observations`]; this is
/// trouble on the way.
#[derive(Debug, thiserror::Error)]
pub enum ReproduceError {
    /// The case does not exist or its file is wrong.
    #[error(transparent)]
    Case(#[from] CaseError),
    /// The board file tells no story to play.
    #[error("{0} is a board, not a case: it has no [case] table with a play")]
    NoStory(PathBuf),
    /// The board cannot be served.
    #[error("cannot serve the board: {0}")]
    Serve(#[from] io::Error),
    /// The server went away.
    #[error(transparent)]
    Ended(#[from] ServerEnded),
    /// The port failed.
    #[error(transparent)]
    Port(#[from] PortError),
    /// The conversation with the loader failed.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A write failed in a way that no report tells of.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The board did not start its firmware.
    #[error("the board did not boot from flash: it is in mode {0}")]
    NotBooted(String),
}

/// Plays all steps of a case; `each` gets every step as it is done.
///
/// # Errors
///
/// [`ReproduceError`]: the play could not go on. Observations that differ are no error.
pub fn play(
    play: &mut Play,
    observer: Observer<'_>,
    mut each: impl FnMut(&StepReport),
) -> Result<bool, ReproduceError> {
    let mut agrees = true;
    while let Some(step) = play.next_step(observer)? {
        agrees &= step.agrees();
        each(&step);
    }
    Ok(agrees)
}

/// The story's name, title and sources for a heading.
#[must_use]
pub fn heading(story: &Story) -> String {
    format!("{}: {}", story.name, story.title)
}

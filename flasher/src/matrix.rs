//! Every client on every public case: who unlocks silently, who fails with which words, who leaves
//! the chip protected.
//!
//! Each cell is a board of its own on a PTY, brought by its story to the write that fails, then
//! given to the client. What counts is what the flash really holds and what its registers say
//! afterwards; a client's word is only quoted.
//!
//! ```
//! use std::sync::atomic::AtomicBool;
//! use esp32_flasher::matrix::{self, Work};
//!
//! // No client at all measures nothing, and needs no board.
//! let work = Work { cases: vec!["sr1-bp".into()], clients: Vec::new(), workers: 1 };
//! let cells = matrix::measure(&work, &AtomicBool::new(false), &mut |_| {})?;
//! assert!(cells.is_empty());
//! # Ok::<(), matrix::MatrixError>(())
//! ```

mod client;
mod ending;
mod find;
mod measure;
mod stage;
mod table;

use serde::Serialize;

pub use client::{Client, Ending, Said, Stub};
pub use ending::{EndingCell, measure_endings};
pub use find::{find, named, preload_library};
pub use measure::{Work, measure};
pub use table::{Verdict, endings_markdown, markdown, verdicts};

use crate::session::SessionError;

/// How a client's write ended, against what the flash holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// The client reports success and the flash holds the image.
    Verified,
    /// The client reports success and the flash does not hold the image.
    FalseSuccess,
    /// The client fails and names write protection as the reason.
    Told,
    /// The client reports failure.
    Failed,
    /// A write that comes before the one in question failed.
    FailedEarly,
}

/// What the chip has, whatever a client says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ChipState {
    /// Status registers 1 and 2, as `read_flash_status --bytes 2` prints them, without the latches.
    pub status: u16,
    /// Some of the range to be written cannot be changed.
    pub protected: bool,
    /// Quad enable; none if the part has no such bit.
    pub quad_enable: Option<bool>,
}

/// One client on one case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cell {
    /// The case.
    pub case: String,
    /// The client.
    pub client: String,
    /// The client may be expected to lift a protection: it was told to.
    pub asked_to_unlock: bool,
    /// The client's output speaks of protection.
    pub speaks_of_protection: bool,
    /// How it ended.
    pub ended: Ended,
    /// The same in the words of the table.
    pub words: String,
    /// The client's last line, if it did not succeed.
    pub message: Option<String>,
    /// The chip before the write in question.
    pub before: ChipState,
    /// The chip after it.
    pub after: ChipState,
}

impl Cell {
    /// As the table shows it.
    #[must_use]
    pub fn text(&self) -> String {
        match self.ended {
            Ended::FailedEarly => self.words.clone(),
            _ => format!("{}, {:#06x}", self.words, self.after.status),
        }
    }

    /// A protection was lifted that nobody asked to lift, and without a word.
    #[must_use]
    pub fn unlocked_silently(&self) -> bool {
        let lifted = self.before.protected && (!self.after.protected || self.left_protected());
        lifted && !self.asked_to_unlock && !self.speaks_of_protection
    }

    /// The chip could be written, and is protected now.
    #[must_use]
    pub fn left_protected(&self) -> bool {
        self.after.protected && (!self.before.protected || self.ended == Ended::Verified)
    }

    /// Quad enable was 1 and is 0 now.
    #[must_use]
    pub fn lost_quad_enable(&self) -> bool {
        self.before.quad_enable == Some(true) && self.after.quad_enable == Some(false)
    }
}

/// Measuring cannot go on. A client that fails is no error but a result.
#[derive(Debug, thiserror::Error)]
pub enum MatrixError {
    /// The case does not exist or its file is wrong.
    #[error(transparent)]
    Case(#[from] esp32_emulator::case::CaseError),
    /// The case tells no story to play.
    #[error("{0} is a board without a story")]
    NoStory(String),
    /// A board cannot be served, or a file not be written.
    #[error("cannot serve the board: {0}")]
    Serve(#[from] std::io::Error),
    /// A client cannot be started.
    #[error("cannot run {client}: {cause}")]
    Start {
        /// The client.
        client: String,
        /// Why.
        cause: std::io::Error,
    },
    /// It is no client that this program knows how to run.
    #[error("{}: {why}", path.display())]
    NotAClient {
        /// The file or folder.
        path: std::path::PathBuf,
        /// Why not.
        why: &'static str,
    },
    /// The board's server has ended.
    #[error(transparent)]
    Ended(#[from] esp32_emulator::transport::server::ServerEnded),
    /// A step of the story failed on the way.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The board did not boot.
    #[error("the board did not boot from flash")]
    NotBooted,
}

impl From<crate::port::PortError> for MatrixError {
    fn from(error: crate::port::PortError) -> Self {
        Self::Session(SessionError {
            step: crate::session::Step::Connect,
            cause: crate::session::Cause::Port(error),
        })
    }
}

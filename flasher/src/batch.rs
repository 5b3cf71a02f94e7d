//! Flashing many boards at once, from a plan: `flasher batch PLAN.toml`.
//!
//! Every board ends with a record under the MAC of its chip: what was written, or why not, with
//! the diagnosis if the flash did not take the data. A batch that is run again with `resume` leaves
//! boards alone whose record says that they hold what the plan asks for.
//!
//! ```
//! use std::{path::Path, sync::atomic::AtomicBool};
//! use esp32_flasher::{batch::{self, Plan}, port};
//!
//! let folder = tempfile::tempdir()?;
//! std::fs::write(folder.path().join("app.bin"), [0x5a; 5000])?;
//! let plan = r#"
//!     ports = ["virtual:W25Q32JV#1", "virtual:GD25Q32C#2"]
//!     [[image]]
//!     address = 0x10000
//!     file = "app.bin"
//! "#;
//! let plan = Plan::parse(plan, folder.path())?;
//! let stop = AtomicBool::new(false);
//! let summary = batch::run(&plan, &port::open, &stop, &mut |_| {})?;
//! assert_eq!((summary.done, summary.failed), (2, 0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod board;
mod plan;
mod record;
mod run;

use serde::Serialize;

pub use board::BoardError;
pub use plan::{BoardData, Plan, PlanFileError, Serials, Unprotect};
pub use record::Record;
pub use run::{Open, run};

use crate::{chip::Mac, exit::Exit, progress::Phase};

/// How one board ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Written and checked.
    Done,
    /// Its record says that it was done before.
    Skipped,
    /// Write protection is in the way.
    Protected,
    /// Write protection is in the way and cannot be lifted.
    Incurable,
    /// The flash does not hold what was written.
    VerifyFailed,
    /// Nobody answers, or the answers stopped.
    NoAnswer,
    /// Another chip, or no flash, answers.
    WrongChip,
    /// The flash needs commands that this program does not give.
    Unsupported,
    /// The port is missing, in use, or broke down.
    Port,
    /// Something else.
    Failed,
}

impl Outcome {
    /// The board holds what the plan asks for.
    #[must_use]
    pub const fn is_good(self) -> bool {
        matches!(self, Self::Done | Self::Skipped)
    }
}

/// What happens in a batch. With `--json`, one line each.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum BatchEvent {
    /// Work on a board begins.
    BoardStarted {
        /// Its port.
        port: String,
    },
    /// Its chip and flash answer.
    BoardIdentified {
        /// Its port.
        port: String,
        /// Its factory MAC.
        mac: Mac,
        /// Parts that its flash can be.
        parts: Vec<String>,
        /// Its serial number, if the plan gives some.
        serial: Option<u64>,
    },
    /// A protection was lifted.
    BoardUnprotected {
        /// Its port.
        port: String,
        /// The part by whose rules.
        part: String,
    },
    /// Progress on it, in bytes over all images.
    BoardProgress {
        /// Its port.
        port: String,
        /// What is being done.
        phase: Phase,
        /// Bytes done.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// It is finished, well or not.
    BoardFinished {
        /// Its port.
        port: String,
        /// Its MAC, if it got so far.
        mac: Option<Mac>,
        /// How it ended.
        outcome: Outcome,
        /// Why, if not well.
        message: Option<String>,
        /// Time of the port's clock that it took, in seconds.
        elapsed_s: f64,
    },
}

/// How a batch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Summary {
    /// Boards written and checked.
    pub done: u32,
    /// Boards that were done before.
    pub skipped: u32,
    /// Boards that failed.
    pub failed: u32,
    /// Boards that were not begun because the batch was stopped.
    pub not_started: u32,
}

/// First exit code of a batch with failed boards, less one.
const EXIT_BASE: u8 = 100;

impl Summary {
    /// The process's exit code: 0 if all is well, 100 + N if N boards failed (200 for a hundred
    /// and more), 9 if the batch was stopped and none failed.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match (self.failed, self.not_started) {
            (0, 0) => Exit::Done as u8,
            (0, _) => Exit::Interrupted as u8,
            (failed, _) => EXIT_BASE + u8::try_from(failed).map_or(100, |count| count.min(100)),
        }
    }
}

/// A batch could not be run.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// The plan cannot be used.
    #[error(transparent)]
    Plan(#[from] PlanFileError),
    /// A record cannot be read or written.
    #[error("cannot keep the record {}: {cause}", .path.display())]
    Record {
        /// The file or folder.
        path: std::path::PathBuf,
        /// Why.
        cause: std::io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_counts_the_failed() {
        let code =
            |failed, not_started| Summary { failed, not_started, ..Summary::default() }.exit_code();
        assert_eq!([code(0, 0), code(0, 3), code(1, 3), code(32, 0)], [0, 9, 101, 132]);
        assert_eq!([code(100, 0), code(1000, 0)], [200, 200]);
    }
}

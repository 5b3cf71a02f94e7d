//! Recorded conversations: what passed between a client and a board, with times and line changes.
//!
//! One format ([`mod@format`]), one place that parses and emits it. A [`Transcript`] comes from
//! `emulator proxy`, from `flasher --record`, from the hardware suite, or out of what
//! `esptool --trace` prints ([`esptool`]). It can be graded against a board ([`replay`]) and
//! compared with another one ([`diff`]). Nothing here opens a file or reads a clock.

mod board_hint;
pub mod conversation;
pub mod diff;
pub mod esptool;
pub mod format;
pub mod replay;
pub mod words;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use board_hint::{BoardHint, HintError};
pub use format::{FormatError, Problem, Recorder};

use crate::{board::ControlLines, time::Instant};

/// A recorded conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Transcript {
    /// What it is and where it comes from.
    pub header: Header,
    /// What happened, in order.
    pub entries: Vec<Entry>,
    /// The last line ends in the middle: the recorder was killed. What it held is not here.
    pub cut: bool,
}

/// Which clock the times are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClockKind {
    /// The clock of the machine that recorded.
    #[default]
    Wall,
    /// A board's own time: exact, and the same on every machine.
    Virtual,
}

/// First line of a transcript.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Version of the format.
    pub transcript: u32,
    /// What recorded it.
    pub recorder: String,
    /// Which clock the times are of.
    pub clock: ClockKind,
    /// The port that it was recorded on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// A virtual board that is like the one that answered, as far as it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub board: Option<BoardHint>,
}

impl Header {
    /// A header of this version.
    #[must_use]
    pub fn new(recorder: &str, clock: ClockKind) -> Self {
        Self {
            transcript: format::VERSION,
            recorder: recorder.to_owned(),
            clock,
            port: None,
            board: None,
        }
    }
}

/// One thing that happened, with its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When, since the recording began.
    pub at: Instant,
    /// What.
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Bytes of the client.
    ToBoard(Vec<u8>),
    /// Bytes of the board.
    FromBoard(Vec<u8>),
    /// The client drives its modem lines so.
    Lines(ControlLines),
    /// The client's UART runs at this rate, in baud.
    Baud(u32),
    /// The client threw away what it had not read.
    Flush,
    /// The client sent a BREAK.
    Break,
    /// The recording has lost so many bytes; those of the next entry are not all.
    Lost(u64),
    /// For people.
    Note(String),
}

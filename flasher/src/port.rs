//! The byte port under a session: bytes, modem lines, and the clock.

pub mod address;
pub mod noisy;
mod open;
pub mod record;
pub mod rfc2217;
pub mod serial;
pub mod socket;
mod stream;
pub mod virtual_board;

use std::{io, time::Duration};

pub use open::{VIRTUAL_PREFIX, list, open};

/// A write that moves no byte for so long has failed.
const WRITE_STALL_MAX: Duration = Duration::from_secs(5);

/// A byte port with a clock. All waiting of the library goes through it.
pub trait Port: Send {
    /// How a person knows the port.
    fn name(&self) -> &str;

    /// Sends all of `bytes`.
    ///
    /// # Errors
    ///
    /// [`PortError`] if the port is gone or does not take them.
    fn write(&mut self, bytes: &[u8]) -> Result<(), PortError>;

    /// Appends what has arrived to `out`, waiting for the first byte until `deadline`. Returns the
    /// number of bytes; 0 means that the deadline has passed.
    ///
    /// # Errors
    ///
    /// [`PortError`] if the port is gone.
    fn read(&mut self, out: &mut Vec<u8>, deadline: Duration) -> Result<usize, PortError>;

    /// Drives the modem lines.
    ///
    /// # Errors
    ///
    /// [`PortError::LinesUnsupported`] on a port without them, such as a PTY.
    fn set_lines(&mut self, lines: Lines) -> Result<(), PortError>;

    /// Whether a server stands between the modem lines and the chip. Such a server may play a reset
    /// of its own at the first line that asks for one, as Espressif's `esp_rfc2217_server` does.
    fn has_served_lines(&self) -> bool {
        false
    }

    /// Whether the other end can be told a rate. Where it cannot, [`Self::set_baud`] takes only the
    /// rate that the port was opened with.
    fn has_rate(&self) -> bool {
        true
    }

    /// Changes the rate, in baud.
    ///
    /// # Errors
    ///
    /// [`PortError`] if the port refuses it.
    fn set_baud(&mut self, baud: u32) -> Result<(), PortError>;

    /// Drops what has arrived and was not read.
    ///
    /// # Errors
    ///
    /// [`PortError`] if the port is gone.
    fn flush_input(&mut self) -> Result<(), PortError>;

    /// Time since some fixed point.
    fn now(&self) -> Duration;

    /// Lets `span` pass.
    fn wait(&mut self, span: Duration);
}

/// Levels of the two modem lines, as the host asserts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lines {
    /// DTR asserted: pulls GPIO0 low on the usual board, while RTS is not.
    pub dtr: bool,
    /// RTS asserted: pulls EN low on the usual board, while DTR is not.
    pub rts: bool,
}

/// What can go wrong with a port.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// It cannot be opened.
    #[error("cannot open {name}: {cause}")]
    Open {
        /// The port.
        name: String,
        /// Why.
        cause: io::Error,
    },
    /// The name is none of a network port.
    #[error(transparent)]
    Address(#[from] address::BadAddress),
    /// The server of a network port does not do what is needed.
    #[error("{name}: {problem}")]
    Server {
        /// The port.
        name: String,
        /// What it does instead.
        problem: String,
    },
    /// It failed or went away.
    #[error("the port failed: {0}")]
    Io(#[from] io::Error),
    /// It takes no more bytes.
    #[error("the port takes no bytes ({written} of {total} written)")]
    Stalled {
        /// Bytes that it took.
        written: usize,
        /// Bytes to send.
        total: usize,
    },
    /// It has no modem lines.
    #[error("the port has no modem lines")]
    LinesUnsupported,
    /// There is no such board in process.
    #[error(transparent)]
    Board(#[from] virtual_board::BoardError),
    /// What passes cannot be recorded.
    #[error("cannot record to {}: {cause}", path.display())]
    Record {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// It does not do this rate.
    #[error("the port does not do {baud} baud: {cause}")]
    Baud {
        /// The rate.
        baud: u32,
        /// Why.
        cause: io::Error,
    },
}

//! What can go wrong in a session, as data.

use std::{fmt, time::Duration};

use esp_protocol::{command::Opcode, response::ErrorCode};

use crate::port::PortError;

/// A step of a session failed.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {cause}")]
pub struct SessionError {
    /// What was being done.
    pub step: Step,
    /// Why it failed.
    pub cause: Cause,
}

impl SessionError {
    /// Makes a port's error one of `step`.
    pub(crate) fn at(step: Step) -> impl FnOnce(PortError) -> Self {
        move |error| Self { step, cause: Cause::Port(error) }
    }
}

/// What was being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Resetting the chip.
    Reset,
    /// Waiting for the first answer.
    Connect,
    /// A command of the loader.
    Command(Opcode),
    /// A flash instruction through the SPI controller.
    Spi {
        /// The flash's opcode.
        opcode: u8,
    },
    /// Waiting for an uploaded stub to report.
    StubStart,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reset => f.write_str("resetting the chip"),
            Self::Connect => f.write_str("connecting"),
            Self::Command(opcode) => f.write_str(opcode.name()),
            Self::Spi { opcode } => write!(f, "flash instruction {opcode:02x}h"),
            Self::StubStart => f.write_str("starting the stub"),
        }
    }
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The port failed.
    #[error(transparent)]
    Port(#[from] PortError),
    /// No answer in time.
    #[error("no answer within {} ms ({damaged} damaged frames)", .after.as_millis())]
    NoAnswer {
        /// How long it waited.
        after: Duration,
        /// Frames that arrived damaged meanwhile.
        damaged: u32,
    },
    /// The chip printed its boot log instead: it restarted.
    #[error("the chip restarted and prints its boot log (boot:{boot:#x})")]
    Restarted {
        /// The strap value that it printed.
        boot: u8,
    },
    /// The chip boots from flash: GPIO0 was high at reset.
    #[error("the chip booted into another mode (boot:{boot:#x}) than download")]
    WrongBootMode {
        /// The strap value that it printed.
        boot: u8,
    },
    /// The chip says that it waits for a download but does not answer: its receive line is dead.
    #[error("the chip waits for a download but does not hear")]
    Deaf,
    /// The loader reports a failure.
    #[error("{code}")]
    Refused {
        /// Its reason.
        code: ErrorCode,
    },
    /// A response has another length than the command's.
    #[error("a payload of {got} bytes came where {expected} were due")]
    Payload {
        /// Bytes due.
        expected: usize,
        /// Bytes received.
        got: usize,
    },
    /// A reset was needed, and it ended the stub.
    #[error("the stub is gone: the chip had to be reset")]
    StubLost,
    /// The time given to the whole session is over.
    #[error("the time limit has passed")]
    DeadlinePassed,
    /// The user pressed Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// The SPI controller's registers do not hold what was sent.
    #[error("the SPI controller was set up wrong: the line damages requests")]
    SetUpDamaged,
    /// The SPI controller did not become idle.
    #[error("the SPI controller stays busy")]
    SpiBusy,
    /// The flash did not become ready.
    #[error("the flash stays busy for more than {} ms", .0.as_millis())]
    FlashBusy(Duration),
    /// The flash did not take the write enable.
    #[error("the flash does not set its write enable latch (status {status:#04x})")]
    NotWriteEnabled {
        /// Status register 1.
        status: u8,
    },
}

/// Strap bits 4 and 3 clear: download mode (ROM-FACTS 1.1).
const DOWNLOAD_STRAP_MASK: u8 = 0x18;

impl Cause {
    /// Doing it again may help: bytes were damaged or lost, or the chip restarted.
    #[must_use]
    pub const fn is_line_trouble(&self) -> bool {
        match self {
            Self::NoAnswer { .. }
            | Self::Restarted { .. }
            | Self::Payload { .. }
            | Self::SetUpDamaged => true,
            Self::Refused { code } => matches!(
                code,
                ErrorCode::InvalidMessage
                    | ErrorCode::InvalidChecksum
                    | ErrorCode::Inflate
                    | ErrorCode::Adler
                    | ErrorCode::StubLength
                    | ErrorCode::StubChecksum
                    | ErrorCode::StubInflate
                    | ErrorCode::StubNotEnoughData
                    | ErrorCode::Unknown(_)
            ),
            _ => false,
        }
    }

    /// No answer to a SYNC; the boot log may say why.
    pub(crate) fn from_boot_text(text: &[u8]) -> Self {
        match boot_strap(text) {
            Some(boot) if boot & DOWNLOAD_STRAP_MASK != 0 => Self::WrongBootMode { boot },
            Some(_) => Self::Deaf,
            None => Self::NoAnswer { after: Duration::from_millis(500), damaged: 0 },
        }
    }

    pub(crate) fn no_answer(after: Duration, damaged: u32, text: &[u8]) -> Self {
        match boot_strap(text) {
            Some(boot) => Self::Restarted { boot },
            None => Self::NoAnswer { after, damaged },
        }
    }
}

/// The strap value in the last `boot:0x..` of a boot log.
fn boot_strap(text: &[u8]) -> Option<u8> {
    let text = String::from_utf8_lossy(text);
    let (_, tail) = text.rsplit_once("boot:0x")?;
    let digits = tail.split(|c: char| !c.is_ascii_hexdigit()).next()?;
    u8::from_str_radix(digits, 16).ok()
}

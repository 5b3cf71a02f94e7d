//! Everything that can end a command early: its exit code and what to do about it.

use std::{io, path::PathBuf};

use esp32_flasher::{
    chip::ChipError,
    exit::Exit,
    flash::{EraseError, ReadError},
    input::InputError,
    port::PortError,
    reproduce::ReproduceError,
    reset::BadReset,
    session::{Cause, SessionError},
    stub::StubError,
    write::WriteError,
};

/// Why a command ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("no port given")]
    NoPort,
    #[error(transparent)]
    Port(#[from] PortError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Chip(#[from] ChipError),
    #[error(transparent)]
    Input(#[from] InputError),
    #[error(transparent)]
    Reset(#[from] BadReset),
    #[error(transparent)]
    Stub(#[from] StubError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Erase(#[from] EraseError),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    Reproduce(#[from] ReproduceError),
    #[error("no flash answers (id {0:02x?})")]
    NoFlash([u8; 3]),
    #[error("cannot write {}: {cause}", .path.display())]
    File { path: PathBuf, cause: io::Error },
    #[error("cannot print or catch signals: {0}")]
    Io(#[from] io::Error),
}

impl Failure {
    /// The process's exit code.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::NoPort
            | Self::Port(PortError::Board(_))
            | Self::Input(_)
            | Self::Reset(_)
            | Self::Stub(_)
            | Self::Reproduce(ReproduceError::Case(_) | ReproduceError::NoStory(_))
            | Self::Read(ReadError::Range { .. })
            | Self::Erase(EraseError::Unaligned { .. } | EraseError::Range { .. }) => Exit::Usage,
            Self::Port(_) => Exit::Port,
            Self::Chip(ChipError::Family { .. }) | Self::NoFlash(_) => Exit::WrongChip,
            Self::Session(error)
            | Self::Chip(ChipError::Session(error))
            | Self::Read(ReadError::Session(error))
            | Self::Erase(EraseError::Session(error))
            | Self::Write(
                WriteError::Session(error) | WriteError::TooManyRestarts { last: error, .. },
            ) => session_exit(&error.cause),
            Self::Write(WriteError::Mismatch(_) | WriteError::NotTaken { .. }) => {
                Exit::VerifyFailed
            }
            Self::Reproduce(ReproduceError::Session(error)) => session_exit(&error.cause),
            Self::Reproduce(_)
            | Self::Read(ReadError::Damaged)
            | Self::File { .. }
            | Self::Io(_) => Exit::Failed,
        }
    }

    /// What the user can do.
    pub(crate) fn advice(&self) -> Option<&'static str> {
        match self {
            Self::NoPort => {
                Some("give one with --port, or set FLASHER_PORT; `flasher list-ports` shows them")
            }
            Self::Port(PortError::Open { .. }) => Some(
                "check the name (`flasher list-ports`), that no monitor holds the port, and that \
                 you may open it (group dialout)",
            ),
            Self::NoFlash(_) => Some("check the wiring and the supply of the flash"),
            Self::Chip(ChipError::Family { .. }) => Some("this program flashes the ESP32 only"),
            Self::Write(WriteError::Mismatch(mismatch)) if mismatch.is_blank() => Some(
                "the range is blank: erasing worked and programming did not; look at the flash \
                 mode, the wiring and the supply",
            ),
            Self::Write(WriteError::Mismatch(_) | WriteError::NotTaken { .. }) => Some(
                "if every try ends with the same digest the flash is probably write protected: \
                 look at `flasher status read`",
            ),
            Self::Session(error)
            | Self::Chip(ChipError::Session(error))
            | Self::Read(ReadError::Session(error))
            | Self::Erase(EraseError::Session(error))
            | Self::Write(
                WriteError::Session(error) | WriteError::TooManyRestarts { last: error, .. },
            ) => session_advice(&error.cause),
            _ => None,
        }
    }
}

fn session_exit(cause: &Cause) -> Exit {
    match cause {
        Cause::Port(_) => Exit::Port,
        Cause::Interrupted => Exit::Interrupted,
        Cause::NoAnswer { .. }
        | Cause::Restarted { .. }
        | Cause::WrongBootMode { .. }
        | Cause::Deaf => Exit::NoAnswer,
        _ => Exit::Failed,
    }
}

fn session_advice(cause: &Cause) -> Option<&'static str> {
    Some(match cause {
        Cause::WrongBootMode { .. } => {
            "hold BOOT (GPIO0 low) while pressing EN, then try with --before none"
        }
        Cause::Deaf => "check the wire to the chip's RX pin",
        Cause::NoAnswer { .. } => {
            "check port, cable and supply; hold BOOT (GPIO0 low) while pressing EN if the board \
             has no auto-reset"
        }
        Cause::Restarted { .. } => "the supply may be too weak: use a shorter cable or a hub",
        Cause::NotWriteEnabled { .. } => {
            "the flash ignores write enable: look at its supply (VDD_SDIO strap GPIO12) and at \
             the wiring"
        }
        _ => return None,
    })
}

//! Everything that can end a command early: its exit code and what to do about it.

use std::{fmt, io, ops::Range, path::PathBuf};

use esp32_flasher::{
    batch::BatchError,
    chip::ChipError,
    diagnose::{Diagnosis, Remedy},
    exit::Exit,
    flash::{EraseError, ReadError},
    input::InputError,
    matrix::MatrixError,
    port::PortError,
    protect::{ChangeError, PlanError},
    reproduce::ReproduceError,
    reset::BadReset,
    session::{Cause, SessionError},
    status::StatusError,
    stub::StubError,
    write::WriteError,
};

/// Protection in the way of a write, with what a person has to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Obstacle {
    pub(crate) part: String,
    pub(crate) registers: String,
    pub(crate) bits: Vec<String>,
    /// None: individual locks.
    pub(crate) protected: Option<Range<u32>>,
    pub(crate) overlaps: Vec<Range<u32>>,
    pub(crate) partitions: Vec<String>,
    pub(crate) command: String,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { part, registers, bits, protected, overlaps, partitions, command } = self;
        match protected {
            Some(range) => write!(
                f,
                "{part}: {} ({registers}) write-protects {:#08x} to {:#08x}",
                bits.join(", "),
                range.start,
                range.end
            )?,
            None => write!(f, "{part}: individual locks are closed ({registers})")?,
        }
        if !partitions.is_empty() {
            write!(f, " (partitions {})", partitions.join(", "))?;
        }
        for range in overlaps {
            write!(f, "; {:#x} to {:#x} is to be changed", range.start, range.end)?;
        }
        write!(f, ". Nothing was changed. To go on: {command}, or add --unprotect")
    }
}

/// What the flash did not do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotDone {
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    Erase(#[from] EraseError),
}

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
    /// The flash did not do what it was told, and this is what the doctor makes of it.
    #[error("{error}: {}", .diagnosis.cause)]
    Explained { error: NotDone, diagnosis: Box<Diagnosis> },
    #[error("{0} programs one byte an instruction, which neither this program nor the loader does")]
    UnsupportedPart(String),
    #[error(transparent)]
    Reproduce(#[from] ReproduceError),
    #[error(transparent)]
    Batch(#[from] BatchError),
    #[error(transparent)]
    Matrix(#[from] MatrixError),
    #[error("no flash answers (id {0:02x?})")]
    NoFlash([u8; 3]),
    #[error("{0}")]
    Protected(Box<Obstacle>),
    #[error("the flash does not set its write enable latch, so it would ignore every write")]
    NoWriteEnable,
    #[error("on {0}, 35h of the ROM loader enters the four-line mode and the loader would hang")]
    RomEntersQpi(String),
    #[error(transparent)]
    Status(#[from] StatusError),
    #[error(transparent)]
    Change(#[from] ChangeError),
    #[error("{part} cannot protect exactly {start:#x} to {end:#x}")]
    NoSuchRange { part: String, start: u32, end: u32 },
    #[error("{command} prints no lines; these do: {}", .known.join(", "))]
    NoSchema { command: String, known: Vec<String> },
    #[error("{} is no journal: {cause}", .path.display())]
    BadJournal { path: PathBuf, cause: serde_json::Error },
    #[error("cannot write {}: {cause}", .path.display())]
    File { path: PathBuf, cause: io::Error },
    #[error("--record is for commands on one board")]
    NothingToRecord,
    #[error("cannot print or catch signals: {0}")]
    Io(#[from] io::Error),
}

impl Failure {
    /// The process's exit code.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::NoPort
            | Self::NothingToRecord
            | Self::Batch(BatchError::Plan(_))
            | Self::Port(PortError::Board(_) | PortError::Address(_))
            | Self::Input(_)
            | Self::Reset(_)
            | Self::Stub(_)
            | Self::NoSuchRange { .. }
            | Self::BadJournal { .. }
            | Self::NoSchema { .. }
            | Self::Reproduce(ReproduceError::Case(_) | ReproduceError::NoStory(_))
            | Self::Matrix(
                MatrixError::Case(_) | MatrixError::NoStory(_) | MatrixError::NotAClient { .. },
            )
            | Self::Read(ReadError::Range { .. })
            | Self::Write(WriteError::Read(ReadError::Range { .. }))
            | Self::Erase(EraseError::Unaligned { .. } | EraseError::Range { .. }) => Exit::Usage,
            Self::Port(_) => Exit::Port,
            Self::Chip(ChipError::Family { .. })
            | Self::NoFlash(_)
            | Self::Read(ReadError::Absent(_))
            | Self::Write(WriteError::Read(ReadError::Absent(_))) => Exit::WrongChip,
            Self::Session(error)
            | Self::Chip(ChipError::Session(error))
            | Self::Read(ReadError::Session(error))
            | Self::Erase(EraseError::Session(error))
            | Self::Status(StatusError::Session(error))
            | Self::Reproduce(ReproduceError::Session(error))
            | Self::Write(
                WriteError::Session(error)
                | WriteError::TooManyRestarts { last: error, .. }
                | WriteError::Read(ReadError::Session(error)),
            ) => session_exit(&error.cause),
            Self::Write(WriteError::Mismatch(_) | WriteError::NotTaken { .. }) => {
                Exit::VerifyFailed
            }
            Self::Explained { diagnosis, .. } if diagnosis.is_protection() => {
                match diagnosis.remedy {
                    Remedy::ReplaceFlash => Exit::Incurable,
                    _ => Exit::Protected,
                }
            }
            Self::Explained { .. } | Self::Erase(EraseError::Refused { .. }) => Exit::VerifyFailed,
            Self::UnsupportedPart(_) => Exit::Unsupported,
            Self::Protected(_) | Self::Status(StatusError::NotReached { .. }) => Exit::Protected,
            Self::Status(StatusError::Plan(error)) => plan_exit(error),
            Self::Change(error) => change_exit(error),
            Self::NoWriteEnable
            | Self::RomEntersQpi(_)
            | Self::Batch(BatchError::Record { .. })
            | Self::Reproduce(_)
            | Self::Matrix(_)
            | Self::Read(ReadError::Damaged)
            | Self::Write(WriteError::Read(ReadError::Damaged))
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
            Self::Port(PortError::Open { name, .. }) if name.contains("://") => {
                Some("check that the server runs there and that nothing on the way blocks it")
            }
            Self::Port(PortError::Open { .. }) => Some(
                "check the name (`flasher list-ports`), that no monitor holds the port, and that \
                 you may open it (group dialout)",
            ),
            Self::NoWriteEnable => Some(
                "look at the supply of the flash (strap GPIO12 must be low at reset) and the \
                 wiring; `flasher doctor` shows the evidence",
            ),
            Self::RomEntersQpi(_) => Some(
                "leave --via out, or write through a stub that does not send 35h, as those of \
                 esptool 5.4 and later: --stub FILE",
            ),
            Self::Erase(EraseError::Refused { .. }) => Some("`flasher doctor` looks for the cause"),
            Self::UnsupportedPart(_) => Some(Remedy::OtherProgrammer.text()),
            Self::Explained { diagnosis, .. } => Some(diagnosis.remedy.text()),
            Self::Change(ChangeError::NotTaken { obeys_pin: true, .. }) => {
                Some(Remedy::RaiseWriteProtectPin.text())
            }
            Self::Status(StatusError::NotReached { .. })
            | Self::Change(ChangeError::NotTaken { .. }) => Some(
                "the registers may be locked by SRP0 with WP# low, or the supply is too low; \
                 `flasher doctor` looks further",
            ),
            Self::Status(StatusError::Plan(PlanError::OneTime { .. })) => {
                Some("nothing clears these bits, and they protect no data: give them as 1")
            }
            Self::Status(StatusError::Plan(error)) | Self::Change(ChangeError::Plan(error)) => {
                plan_advice(error)
            }
            Self::NoSuchRange { .. } => Some("`flasher protect list` shows what it can protect"),
            Self::NoFlash(_) => Some("check the wiring and the supply of the flash"),
            Self::Chip(ChipError::Family { .. }) => Some("this program flashes the ESP32 only"),
            Self::Write(WriteError::Mismatch(mismatch)) if mismatch.is_blank() => Some(
                "the range is blank: erasing worked and programming did not; look at the flash \
                 mode, the wiring and the supply",
            ),
            Self::Write(WriteError::Mismatch(_) | WriteError::NotTaken { .. }) => {
                Some("`flasher doctor` looks for the cause")
            }
            Self::Write(WriteError::Session(SessionError {
                cause: Cause::Interrupted, ..
            })) => Some("the flash is written in part; the same command with --resume goes on"),
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

fn plan_exit(error: &PlanError) -> Exit {
    match error {
        PlanError::OneTime { .. } | PlanError::Locked { for_ever: true } => Exit::Incurable,
        PlanError::Locked { for_ever: false } => Exit::Protected,
        PlanError::WouldBurn { .. } => Exit::Usage,
        PlanError::NoForm { .. } | PlanError::NotRead => Exit::Failed,
    }
}

fn plan_advice(error: &PlanError) -> Option<&'static str> {
    match error {
        PlanError::Locked { for_ever: false } => {
            Some("cut the supply of the board, power it on, and try again")
        }
        PlanError::Locked { for_ever: true } | PlanError::OneTime { .. } => {
            Some("no command can undo this; if the range matters the flash has to be replaced")
        }
        PlanError::WouldBurn { .. } => Some("leave these bits as they are"),
        PlanError::NoForm { .. } | PlanError::NotRead => None,
    }
}

fn change_exit(error: &ChangeError) -> Exit {
    match error {
        ChangeError::Session(error) | ChangeError::Read(ReadError::Session(error)) => {
            session_exit(&error.cause)
        }
        ChangeError::Plan(error) => plan_exit(error),
        ChangeError::NotTaken { .. }
        | ChangeError::TrialRefused { .. }
        | ChangeError::NothingFound { .. } => Exit::Protected,
        ChangeError::LocksFrozen => Exit::Incurable,
        ChangeError::OtherFlash { .. } => Exit::WrongChip,
        ChangeError::Read(_) => Exit::Usage,
        ChangeError::Journal(_) | ChangeError::UnknownPart | ChangeError::NotRefused { .. } => {
            Exit::Failed
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
        | Cause::DeadlinePassed
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

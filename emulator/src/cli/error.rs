//! Why a command fails, and its exit status.

use std::{io, path::PathBuf, process::ExitCode};

use crate::{
    board::UnknownWiring,
    case::CaseError,
    explain::ExplainError,
    fault::plan::PlanError,
    guest::RomImageError,
    persist::PersistError,
    transport::{remote::OpenError, tcp::ListenAddressError},
};

use super::{exec, qemu, run, transcript::TranscriptError};

/// Why the command failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CliError {
    /// The board is wrong.
    #[error(transparent)]
    Case(#[from] CaseError),
    /// The image is wrong.
    #[error(transparent)]
    Persist(#[from] PersistError),
    /// The system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The client of `exec` could not be run, or did not do what was expected.
    #[error(transparent)]
    Exec(#[from] exec::ExecError),
    /// There is no dump of the ROM.
    #[error("{}: {cause}; --rom wants a dump of the mask ROM, which is not shipped", path.display())]
    RomFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The dump of the ROM is none.
    #[error("{}: {cause}", path.display())]
    Rom {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: RomImageError,
    },
    /// The program of `run` could not be run.
    #[error(transparent)]
    Run(#[from] run::RunError),
    /// Observations are wrong.
    #[error(transparent)]
    Explain(#[from] ExplainError),
    /// The fault plan is wrong.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A network address is wrong.
    #[error(transparent)]
    Listen(#[from] ListenAddressError),
    /// A reset circuit has another name.
    #[error(transparent)]
    Wiring(#[from] UnknownWiring),
    /// QEMU's options are wrong.
    #[error(transparent)]
    Qemu(#[from] qemu::QemuError),
    /// A transcript cannot be used.
    #[error(transparent)]
    Transcript(#[from] TranscriptError),
    /// The port of `proxy` cannot be opened.
    #[error(transparent)]
    Remote(#[from] OpenError),
    /// A map that the part does not have.
    #[error("{part}: {problem}")]
    Map {
        /// The part.
        part: String,
        /// What is wrong and what is allowed.
        problem: String,
    },
    /// A case has no map; its part has.
    #[error("{0:?} is a case; --map wants a part, `emulator list parts` names them")]
    MapOfCase(String),
    /// A part file is wrong.
    #[error(transparent)]
    Part(#[from] spi_nor::PartError),
    /// Neither a part nor a case.
    #[error("no part and no case is named {0:?}")]
    Unknown(String),
}

impl CliError {
    /// Nobody reads the output any more.
    #[must_use]
    pub fn is_closed_output(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The documented exit status.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Io(_)
            | Self::Exec(_)
            | Self::Remote(_)
            | Self::Run(run::RunError::File { .. })
            | Self::RomFile { .. } => 1,
            Self::Map { .. }
            | Self::MapOfCase(_)
            | Self::Listen(_)
            | Self::Qemu(_)
            | Self::Run(run::RunError::Network) => 2,
            _ => 3,
        })
    }
}

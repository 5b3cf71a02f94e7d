//! Exit codes of the `flasher` command.

/// What the process ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// All done.
    Done = 0,
    /// Something failed that no other code names.
    Failed = 1,
    /// The command line or an input file is wrong; the chip was not touched.
    Usage = 2,
    /// The port is missing, in use, or broke down.
    Port = 3,
    /// Nobody answers, or the answers stopped.
    NoAnswer = 4,
    /// Another chip, or no flash, answers.
    WrongChip = 5,
    /// The flash does not hold what was written.
    VerifyFailed = 6,
    /// Write protection is in the way.
    Protected = 7,
    /// Write protection is in the way and cannot be lifted.
    Incurable = 8,
    /// Ctrl-C.
    Interrupted = 9,
    /// The flash needs commands that this program does not give.
    Unsupported = 10,
}

impl Exit {
    /// All codes in order.
    pub const ALL: [Self; 11] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::Port,
        Self::NoAnswer,
        Self::WrongChip,
        Self::VerifyFailed,
        Self::Protected,
        Self::Incurable,
        Self::Interrupted,
        Self::Unsupported,
    ];

    /// What it means, in a few words.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "other failure",
            Self::Usage => "usage, or a file that cannot be used",
            Self::Port => "port trouble",
            Self::NoAnswer => "no answer",
            Self::WrongChip => "wrong chip or flash, or no flash",
            Self::VerifyFailed => "the flash does not hold what it should",
            Self::Protected => "write protection is in the way",
            Self::Incurable => "write protection that cannot be lifted",
            Self::Interrupted => "interrupted",
            Self::Unsupported => "a flash that this program cannot write",
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

//! Why a case or a board file could not be used.

use std::{io, path::PathBuf};

/// Why a case or a board file could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaseError {
    /// No case has this name.
    #[error("no case is named {name:?}; `emulator list cases` names them all")]
    UnknownCase {
        /// The name asked for.
        name: String,
    },
    /// The case has no such hypothesis.
    #[error("no hypothesis is named {name:?} here; there are: {}", known.join(", "))]
    UnknownHypothesis {
        /// The name asked for.
        name: String,
        /// Names that exist.
        known: Vec<String>,
    },
    /// A file could not be read.
    #[error("cannot read {}: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The file is not what the schema allows. The message has line, column and allowed keys.
    #[error("{file}: {}", cause.to_string().trim_end())]
    Schema {
        /// File, or name of the built-in case.
        file: String,
        /// What the parser said.
        cause: Box<toml::de::Error>,
    },
    /// A value contradicts another one.
    #[error("{file}: {}{key}: {problem}", line.map_or(String::new(), |line| format!("line {line}: ")))]
    Inconsistent {
        /// File, or name of the built-in case.
        file: String,
        /// The line of the key, counted from 1; none where the board does not come from a text.
        line: Option<usize>,
        /// The key, such as `case.play[2]`.
        key: String,
        /// What is wrong and what is allowed.
        problem: Box<Inconsistency>,
    },
}

/// How values contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Inconsistency {
    /// Neither or both of `part` and `part-file`.
    #[error("exactly one of `part` and `part-file` is needed")]
    PartOrFile,
    /// The catalogue does not have the part.
    #[error("no part is named {0:?}; `emulator list parts` names them all")]
    UnknownPart(String),
    /// The user's part file is wrong.
    #[error("{0}")]
    PartFile(String),
    /// Content behind the end of the array.
    #[error("content ends at {end:#x}, the array at {capacity:#x}")]
    BeyondArray {
        /// One past the last byte.
        end: u64,
        /// Capacity in bytes.
        capacity: u32,
    },
    /// The part has no such register.
    #[error("the part has no register {register}; it has: {known}")]
    NoSuchRegister {
        /// The register asked for.
        register: String,
        /// Those that exist.
        known: String,
    },
    /// A number of status registers that no tool reads or writes.
    #[error("{bytes} status bytes, allowed: 1 to 3")]
    StatusBytes {
        /// The number.
        bytes: u8,
    },
    /// A read step of no bytes or of too many.
    #[error("a read of {bytes} bytes, allowed: 1 to {allowed}")]
    ReadBytes {
        /// The number.
        bytes: usize,
        /// The most.
        allowed: usize,
    },
    /// The register has no such bit.
    #[error("the part has no bit {bit}")]
    NoSuchBit {
        /// The bit asked for, by name or by register and position.
        bit: String,
    },
    /// The part has no individual locks.
    #[error("the part has no individual locks; allowed: none")]
    NoLocks,
    /// What the board changes does not make a part.
    #[error("the changed part is wrong: {0}")]
    ChangedPart(String),
    /// More bytes than a block holds.
    #[error("more bytes than a block holds with this coding scheme, which are {most}")]
    EfuseBytes {
        /// The most.
        most: usize,
    },
    /// `default-hypothesis` names nothing in `[hypotheses]`.
    #[error("{0:?} is not in [hypotheses]")]
    NoSuchHypothesis(String),
}

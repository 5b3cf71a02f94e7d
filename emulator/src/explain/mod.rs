//! From observations to mechanisms, by playing.
//!
//! An observation file ([`Observed`]) says what was done to a board and what was seen. [`explain`]
//! plays the steps on every part that fits, with every mechanism of `mechanisms.toml` that may
//! stand behind them: register states, locks, hidden protection, supply, pins, wiring. The flash is
//! the same model that boards have; nothing here knows what comes of a mechanism. What shows all
//! that was seen survives; the rest is excluded by the step that it contradicts. Then each
//! measurement of `measurements.toml` is played on the survivors, and the one that is expected to
//! tell most about the mechanism is proposed.

mod mechanism;
mod next;
mod observed;
mod parts;
mod report;
mod search;
mod stage;
mod text;
mod vary;

use crate::case::CaseError;

pub use mechanism::{Assumption, Mechanism};
pub use next::{Measurement, Split};
pub use observed::{
    Boot, Content, Erase, EraseChip, IdPattern, KnownFlash, Loader, Md5, NotAllowed, Observed,
    PinLevels, Relation, Says, Select, Status, Step, StepProblem, Supply, Took, Write,
    WriteFlashStatus, WriteRegister,
};
pub use report::{Excluded, Explanation, Fitting};
pub use search::Progress;

/// Why observations cannot be explained.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExplainError {
    /// The file is not what the schema allows. The message has line, column and what is allowed.
    #[error("{file}: {}", cause.to_string().trim_end())]
    Schema {
        /// The file.
        file: String,
        /// What the parser said.
        cause: Box<toml::de::Error>,
    },
    /// A step makes no sense.
    #[error("{file}: {}steps[{step}]: {problem}", line.map_or(String::new(), |line| format!("line {line}: ")))]
    Step {
        /// The file.
        file: String,
        /// Its line, counted from 1.
        line: Option<usize>,
        /// Number of the step, from 0.
        step: usize,
        /// What is wrong and what is allowed.
        problem: StepProblem,
    },
    /// The catalogue does not have the part.
    #[error("no part is named {0:?}; `emulator list parts` names them all")]
    UnknownPart(String),
    /// A part file is wrong.
    #[error(transparent)]
    Part(#[from] spi_nor::PartError),
    /// A file cannot be read, or a board cannot be made.
    #[error(transparent)]
    Case(#[from] CaseError),
}

/// Finds what can stand behind the observations; `progress` hears how far it is.
///
/// # Errors
///
/// The part does not exist or its file is wrong.
pub fn explain(
    observed: &Observed,
    progress: &mut dyn FnMut(Progress),
) -> Result<Explanation, ExplainError> {
    let mut search = search::Search::new(observed)?;
    let outcomes = search.run(progress)?;
    let splits = next::splits(&mut search, &outcomes)?;
    Ok(report::explanation(&search, outcomes, splits))
}

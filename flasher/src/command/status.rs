//! Commands on the status registers.

use std::path::PathBuf;

use esp32_flasher::{
    protect::{ChangeError, Journal, decode},
    status::{Persistence, StatusError},
};

use super::{board::Board, protect::Keeper};
use crate::{
    failure::Failure,
    report::{Event, Report},
};

pub(super) fn read(
    board: &mut Board,
    bytes: Option<u8>,
    report: &mut Report,
) -> Result<(), Failure> {
    let identity = board.attach()?;
    let status = board.session.look(|session| match bytes {
        Some(count) => session.read_status(count.into()),
        None => session.read_known_status(&identity),
    })?;
    let mut protected = Vec::new();
    for part in &identity.candidates {
        // Some parts have bits that decide in registers beyond these three.
        let registers = board.session.look(|s| s.read_registers(&identity, part))?;
        protected.push((part.name.clone(), decode(part, &registers)));
    }
    Ok(report.say(&Event::Status { status, protected })?)
}

/// What to write, and how.
pub(super) struct Write {
    pub(super) value: u32,
    pub(super) bytes: u8,
    pub(super) volatile: bool,
    pub(super) burst: bool,
    pub(super) journal: Option<PathBuf>,
}

pub(super) fn write(board: &mut Board, what: &Write, report: &mut Report) -> Result<(), Failure> {
    let identity = board.attach()?;
    let values = what.value.to_le_bytes();
    let values = &values[..what.bytes.into()];
    if let Some(journal) = &what.journal {
        let before = board.session.look(|session| session.read_status(values.len()))?;
        let mut keeper = Keeper::new(board, Some(journal));
        let entry = Journal::of_status(&identity, before, values);
        keeper.keep(&entry).map_err(ChangeError::Journal)?;
    }
    let persistence = if what.volatile { Persistence::Volatile } else { Persistence::NonVolatile };
    let done = if what.burst {
        board.session.write_status_burst(values, persistence)?
    } else {
        board.session.write_status_of(&identity, values, persistence)?
    };
    report.say(&Event::StatusWritten { report: &done })?;
    if done.reached {
        return Ok(());
    }
    let (wanted, count) = (what.value, values.len());
    Err(StatusError::NotReached { wanted, count, report: Box::new(done) }.into())
}

//! Commands on the status registers.

use esp32_flasher::{
    protect::decode,
    status::{Persistence, StatusError},
};

use super::board::Board;
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
    let status = match bytes {
        Some(count) => board.session.read_status(count.into())?,
        None => board.session.read_known_status(&identity)?,
    };
    let mut protected = Vec::new();
    for part in &identity.candidates {
        // Some parts have bits that decide in registers beyond these three.
        let registers = board.session.read_registers(&identity, part)?;
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
}

pub(super) fn write(board: &mut Board, what: &Write, report: &mut Report) -> Result<(), Failure> {
    let identity = board.attach()?;
    let values = what.value.to_le_bytes();
    let values = &values[..what.bytes.into()];
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

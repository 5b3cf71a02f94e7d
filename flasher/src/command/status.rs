//! Commands on the status registers.

use esp32_flasher::{protect::protected, status::Persistence};

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
    let protected = identity
        .candidates
        .iter()
        .map(|part| (part.name.clone(), protected(part, &status)))
        .collect();
    Ok(report.say(&Event::Status { status, protected })?)
}

pub(super) fn write(
    board: &mut Board,
    value: u32,
    bytes: u8,
    volatile: bool,
    report: &mut Report,
) -> Result<(), Failure> {
    board.attach()?;
    let values = value.to_le_bytes();
    let persistence = if volatile { Persistence::Volatile } else { Persistence::NonVolatile };
    let done = board.session.write_status(&values[..bytes.into()], persistence)?;
    Ok(report.say(&Event::StatusWritten { report: &done })?)
}

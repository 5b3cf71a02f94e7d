//! The look at the protection before cells are changed.

use std::ops::Range;

use esp_protocol::partition::{Table, USUAL_OFFSET};
use esp32_flasher::{
    identity::Identity,
    preflight::{Changer, PartState, Preflight, intersection},
    protect::{Protected, Trial},
};

use super::{board::Board, protect};
use crate::{
    args::Gate,
    failure::{Failure, Obstacle},
    report::{Event, Report},
};

/// Partition tables of usual size lie in so many bytes.
const TABLE_READ_BYTES: u32 = 0x400;

/// Stops if `ranges` are protected, or lifts the protection if that was asked for. Returns what the
/// last look found, unless none was wanted.
pub(super) fn pass(
    board: &mut Board,
    identity: &Identity,
    ranges: &[Range<u32>],
    changer: Changer,
    gate: Gate,
    report: &mut Report,
) -> Result<Option<Preflight>, Failure> {
    if gate.no_preflight {
        return Ok(None);
    }
    let look = |board: &mut Board| {
        board.session.look(|session| session.preflight(identity, ranges, changer))
    };
    let found = look(board)?;
    report.say(&Event::Preflight { preflight: &found })?;
    if !found.write_enable {
        return Err(Failure::NoWriteEnable);
    }
    if changer == Changer::RomLoader
        && let Some(part) = found.rom_enters_qpi.clone()
    {
        return Err(Failure::RomEntersQpi(part));
    }
    let Some(state) = found.obstacle() else { return Ok(Some(found)) };
    if !gate.unprotect {
        return Err(obstacle(board, state));
    }
    protect::clear(board, identity, None, Trial::Auto, report)?;
    let again = look(board)?;
    match again.obstacle() {
        Some(state) => Err(obstacle(board, state)),
        None => Ok(Some(again)),
    }
}

/// Who is in the way, with the partitions that it covers.
fn obstacle(board: &mut Board, state: &PartState) -> Failure {
    let protected = match &state.then {
        Protected::Range(range) => Some(range.clone()),
        _ => None,
    };
    let covered: Vec<Range<u32>> =
        protected.iter().cloned().chain(state.overlaps.iter().cloned()).collect();
    let partitions = match partitions(board) {
        Some(table) => table
            .partitions
            .iter()
            .filter(|partition| {
                let end = partition.offset.saturating_add(partition.size);
                covered.iter().any(|range| intersection(range, &(partition.offset..end)).is_some())
            })
            .map(|partition| partition.label.clone())
            .collect(),
        None => Vec::new(),
    };
    Failure::Protected(Box::new(Obstacle {
        part: state.part.clone(),
        registers: state.registers.to_string(),
        bits: state.bits.clone(),
        protected,
        overlaps: state.overlaps.clone(),
        partitions,
        command: format!("flasher --port {} protect clear", board.port),
    }))
}

/// The partition table, if there is one; nothing depends on it.
fn partitions(board: &mut Board) -> Option<Table> {
    let bytes = board.session.read_flash(USUAL_OFFSET, TABLE_READ_BYTES, &mut |_| {}).ok()?;
    Table::parse(&bytes).ok()
}

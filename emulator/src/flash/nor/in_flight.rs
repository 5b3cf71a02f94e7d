//! Operations that take time, and what a power cut leaves of them.
//!
//! The model changes cells when an operation starts. What it found there is kept until the
//! operation ends, so that a cut in between can put a part of it back.

use std::{ops::Range, sync::Arc};

use fastrand::Rng;

use super::NorFlash;
use crate::{
    flash::{
        FlashState,
        cells::{Cells, SECTOR_BYTES, Sector},
        registers::Bytes,
    },
    time::{Duration, Instant},
};

/// Size of a sector as an address.
const SECTOR: u32 = 4096;
/// Sectors that are kept to be used again, at most.
const SPARE_SECTORS_MAX: usize = 512;

/// What runs inside the part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Program,
    Erase,
    Status,
}

/// An operation that runs or is suspended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Operation {
    pub(super) kind: Kind,
    pub(super) range: Range<u32>,
    /// End of a running operation.
    pub(super) until: Instant,
    /// What is left of a suspended one.
    pub(super) left: Duration,
    /// How long all of it takes.
    pub(super) whole: Duration,
}

/// Cells of which area an operation changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Area {
    #[default]
    Array,
    Security,
    OtpSector,
}

/// What an operation found.
#[derive(Debug, Clone, Default)]
pub(super) struct Before {
    area: Area,
    /// Programmed runs of addresses; their old contents follow each other in `bytes`.
    runs: [Range<u32>; 2],
    bytes: Vec<u8>,
    /// Erased addresses, and the sectors among them that were not blank, in address order.
    erased: Range<u32>,
    sectors: Vec<(u32, Arc<Sector>)>,
    registers: Option<Registers>,
}

/// What a register write found.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Registers {
    nv: Bytes,
    otp_lock: u8,
    damaged_row: Option<Range<u32>>,
}

/// An operation that a power cut interrupted ([`NorFlash::power_cut`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interrupted {
    /// Some of the bits that the program was to clear are still 1.
    Program(Range<u32>),
    /// The sectors are as before, half erased, or blank.
    Erase(Range<u32>),
    /// The non-volatile register values are the old ones, the new ones, or mixed.
    StatusWrite,
}

/// How far an operation came: 0 to 255.
type Progress = u8;

impl Before {
    /// Forgets everything; keeps the memory. Sectors that nobody else holds become `spare`.
    #[inline]
    pub(super) fn clear(&mut self, spare: &mut Vec<Arc<Sector>>) {
        self.runs = Default::default();
        self.bytes.clear();
        self.erased = 0..0;
        for (_, mut sector) in self.sectors.drain(..) {
            if spare.len() < SPARE_SECTORS_MAX && Arc::get_mut(&mut sector).is_some() {
                spare.push(sector);
            }
        }
        self.registers = None;
    }

    /// Notes the cells of `run` before a program.
    #[inline]
    pub(super) fn note_run(&mut self, area: Area, cells: &Cells, run: Range<u32>) {
        self.area = area;
        let old = cells.in_sector(&run);
        match old {
            Some(old) => self.bytes.extend_from_slice(old),
            None => self.bytes.resize(self.bytes.len() + run.len(), 0xFF),
        }
        self.runs[usize::from(!self.runs[0].is_empty())] = run;
    }

    /// Notes that `range` is erased.
    pub(super) fn note_erase(&mut self, area: Area, range: Range<u32>) {
        self.area = area;
        self.erased = range;
    }

    /// Keeps a sector that the erase takes away.
    pub(super) fn note_sector(&mut self, number: u32, sector: Arc<Sector>) {
        self.sectors.push((number, sector));
    }

    /// Notes the registers before a write.
    pub(super) fn note_registers(&mut self, state: &FlashState) {
        let damaged_row = state.damaged_row.clone();
        self.registers = Some(Registers { nv: state.nv, otp_lock: state.otp_lock, damaged_row });
    }
}

impl Operation {
    /// How far the operation is at `now`.
    fn progress(&self, left: Duration) -> Progress {
        let whole = u128::from(self.whole.as_nanos().max(1));
        let done = u128::from((self.whole - left).as_nanos());
        u8::try_from(done * 255 / whole).unwrap_or(u8::MAX)
    }
}

impl NorFlash {
    /// Takes the supply away in the middle of whatever runs, and back.
    ///
    /// A program or erase that runs or is suspended leaves its cells half changed, a register write
    /// the old value, the new one or a mixture; how exactly follows from `seed` and from how far it
    /// came. Says what was interrupted. After that the part is powered up as by
    /// [`Self::power_cycle`].
    pub fn power_cut(&mut self, now: Instant, seed: u64) -> Vec<Interrupted> {
        self.settle(now);
        let mut rng = Rng::with_seed(seed);
        let mut interrupted = Vec::new();
        if let Some(operation) = self.running.take() {
            let before = std::mem::take(&mut self.before);
            let progress = operation.progress(operation.until.since(now));
            interrupted.push(self.leave_half_done(&operation, &before, progress, &mut rng));
        }
        if let Some(operation) = self.suspended.take() {
            let before = std::mem::take(&mut self.suspended_before);
            let progress = operation.progress(operation.left);
            interrupted.push(self.leave_half_done(&operation, &before, progress, &mut rng));
        }
        self.power_cycle(now);
        interrupted
    }

    fn leave_half_done(
        &mut self,
        operation: &Operation,
        before: &Before,
        progress: Progress,
        rng: &mut Rng,
    ) -> Interrupted {
        match operation.kind {
            Kind::Program => {
                self.half_program(before, progress, rng);
                Interrupted::Program(operation.range.clone())
            }
            Kind::Erase => {
                self.half_erase(before, progress, rng);
                Interrupted::Erase(operation.range.clone())
            }
            Kind::Status => {
                self.half_write(before, rng);
                Interrupted::StatusWrite
            }
        }
    }

    /// Puts bytes into an area as they are and notes the change.
    fn put(&mut self, area: Area, address: u32, bytes: &[u8]) {
        match area {
            Area::Array => {
                self.state.cells.load(address, bytes);
                // A run lies inside one sector.
                self.dirty.sector(address / SECTOR);
            }
            Area::Security => self.state.security.load(address, bytes),
            Area::OtpSector => self.state.otp_sector.load(address, bytes),
        }
        if area != Area::Array {
            self.dirty.registers();
        }
    }

    fn area(&self, area: Area) -> &Cells {
        match area {
            Area::Array => &self.state.cells,
            Area::Security => &self.state.security,
            Area::OtpSector => &self.state.otp_sector,
        }
    }

    /// Each bit that was to be cleared is cleared the more likely the later the cut.
    fn half_program(&mut self, before: &Before, progress: Progress, rng: &mut Rng) {
        let mut old = before.bytes.as_slice();
        for run in &before.runs {
            let (here, rest) = old.split_at(run.len().min(old.len()));
            old = rest;
            let mut cells = vec![0; here.len()];
            self.area(before.area).read(run.start, &mut cells);
            for (cell, &old) in cells.iter_mut().zip(here) {
                let kept = random_bits(rng, 256 - i32::from(progress));
                *cell |= old & !*cell & kept;
            }
            if !cells.is_empty() {
                self.put(before.area, run.start, &cells);
            }
        }
    }

    /// A part programs all cells to 0 before it erases them, and its sectors are not equally fast:
    /// each is as it was, on its way to 0, on its way to 1, or blank.
    fn half_erase(&mut self, before: &Before, progress: Progress, rng: &mut Rng) {
        let mut kept = before.sectors.iter().peekable();
        let mut start = before.erased.start - before.erased.start % SECTOR;
        while start < before.erased.end {
            let number = start / SECTOR;
            let old = kept.next_if(|(kept, _)| *kept == number).map(|(_, sector)| sector);
            let from = before.erased.start.max(start);
            let to = before.erased.end.min(start + SECTOR);
            let mut cells = [0xFF; SECTOR_BYTES];
            if let Some(old) = old {
                cells.copy_from_slice(&old[..]);
            }
            let cells = &mut cells[(from - start) as usize..(to - start) as usize];
            if half_erased(cells, progress, rng) {
                self.put(before.area, from, cells);
            }
            start += SECTOR;
        }
    }

    fn half_write(&mut self, before: &Before, rng: &mut Rng) {
        let Some(old) = &before.registers else { return };
        let fate = rng.u8(0..3);
        let mut mix = |old: u8, new: u8| match fate {
            0 => old,
            1 => new,
            _ => {
                let taken = rng.u8(..);
                (old & !taken) | (new & taken)
            }
        };
        for (value, &old) in self.state.nv.iter_mut().zip(&old.nv) {
            *value = mix(old, *value);
        }
        self.state.otp_lock = mix(old.otp_lock, self.state.otp_lock);
        if fate != 1 {
            self.state.damaged_row.clone_from(&old.damaged_row);
        }
        self.dirty.registers();
    }
}

/// Changes the old contents of one sector into what the cut leaves; says whether it is not blank.
fn half_erased(cells: &mut [u8], progress: Progress, rng: &mut Rng) -> bool {
    /// How far sectors are apart at the most.
    const SPREAD: i32 = 48;
    match i32::from(progress) + rng.i32(-SPREAD..=SPREAD) {
        ..32 => {}
        at @ 32..96 => {
            for cell in &mut *cells {
                *cell &= !random_bits(rng, (at - 32) * 4);
            }
        }
        at @ 96..224 => {
            for cell in &mut *cells {
                *cell = random_bits(rng, (at - 96) * 2);
            }
        }
        _ => return false,
    }
    cells.iter().any(|&cell| cell != 0xFF)
}

/// A byte each bit of which is 1 with a probability of `chance` in 256.
fn random_bits(rng: &mut Rng, chance: i32) -> u8 {
    let draws = rng.u64(..).to_le_bytes();
    draws.iter().fold(0, |bits, &draw| bits << 1 | u8::from(i32::from(draw) < chance))
}

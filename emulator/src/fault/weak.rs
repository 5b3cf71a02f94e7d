//! Cells that do not follow: stuck bits and weak sectors.

use std::ops::Range;

use fastrand::Rng;
use spi_nor::{Meaning, part::Part};

use super::{
    class::touched,
    counts::{FaultCounts, FaultKind},
    plan::{CellFault, Level},
};
use crate::flash::NorFlash;

/// Size of a sector as an address.
const SECTOR: u32 = 4096;

/// What the cells of interest held before an operation.
#[derive(Debug)]
pub(super) struct Before {
    range: Range<u32>,
    /// Contents of the weak sectors in it, by their first address.
    weak: Vec<(Range<u32>, u8, Vec<u8>)>,
}

/// The cell faults of a plan.
#[derive(Debug, Clone)]
pub(super) struct WeakCells {
    stuck: Vec<(u32, u8, Level)>,
    weak: Vec<(u32, u8)>,
    part: Option<Box<Part>>,
}

impl WeakCells {
    pub(super) fn new(faults: &[CellFault], part: &Part) -> Self {
        let mut cells = Self { stuck: Vec::new(), weak: Vec::new(), part: None };
        for fault in faults {
            match *fault {
                CellFault::StuckBit { address, bit, level } => {
                    cells.stuck.push((address, 1 << (bit & 7), level));
                }
                CellFault::WeakSector { address, percent } => {
                    cells.weak.push((address / SECTOR * SECTOR, percent));
                }
            }
        }
        if !faults.is_empty() {
            cells.part = Some(Box::new(part.clone()));
        }
        cells
    }

    /// Looks at the cells before an operation; `None` if no fault is about any of them.
    pub(super) fn before(&self, nor: &NorFlash, meaning: Meaning, mosi: &[u8]) -> Option<Before> {
        let range = touched(self.part.as_ref()?, meaning, mosi)?;
        let meets = |start: u32, end: u32| start < range.end && range.start < end;
        let weak = self.weak.iter().filter(|(start, _)| meets(*start, start + SECTOR));
        let weak: Vec<_> = weak
            .map(|&(start, percent)| {
                let here = start.max(range.start)..(start + SECTOR).min(range.end);
                let mut cells = vec![0; here.len()];
                nor.read_cells(here.start, &mut cells);
                (here, percent, cells)
            })
            .collect();
        let stuck = self.stuck.iter().any(|(address, ..)| range.contains(address));
        (stuck || !weak.is_empty()).then_some(Before { range, weak })
    }

    /// Takes back what does not follow.
    pub(super) fn after(
        &self,
        nor: &mut NorFlash,
        before: Before,
        random: &mut Rng,
        counts: &mut FaultCounts,
    ) {
        for (range, percent, old) in before.weak {
            let mut new = vec![0; old.len()];
            nor.read_cells(range.start, &mut new);
            let changed: Vec<usize> = (0..old.len()).filter(|&at| old[at] != new[at]).collect();
            if changed.is_empty() || random.u8(0..100) >= percent {
                continue;
            }
            let at = changed[random.usize(0..changed.len())];
            let bits: Vec<u8> = (0..8).filter(|bit| (old[at] ^ new[at]) >> bit & 1 == 1).collect();
            new[at] ^= 1 << bits[random.usize(0..bits.len())];
            nor.load_image(range.start, &new);
            counts.add(FaultKind::WeakSector, 1);
        }
        for &(address, mask, level) in &self.stuck {
            if !before.range.contains(&address) {
                continue;
            }
            let mut cell = [0];
            nor.read_cells(address, &mut cell);
            let stuck = cell[0] & !mask | level.byte() & mask;
            if stuck != cell[0] {
                nor.load_image(address, &[stuck]);
                counts.add(FaultKind::StuckBit, 1);
            }
        }
    }
}

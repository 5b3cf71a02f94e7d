//! Individual sector and block locks (QUIRKS Q14, Q15).

use std::ops::Range;

use spi_nor::part::{IndividualLocks, LockRegion};

/// The lock bits of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Locks {
    regions: Vec<Region>,
    locked: Vec<bool>,
    locked_count: usize,
    /// Units that stay locked (E8h).
    for_ever: Vec<bool>,
}

/// A run of equal units and the number of its first lock bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Region {
    span: LockRegion,
    first: usize,
}

impl Locks {
    /// Locks in their power-up state. Units of no size are dropped.
    pub(crate) fn new(locks: &IndividualLocks, capacity_bytes: u32) -> Self {
        let mut regions = Vec::new();
        let mut count = 0;
        for span in &locks.regions {
            let span = LockRegion { end: span.end.min(capacity_bytes), ..*span };
            if span.unit_bytes == 0 || span.end <= span.start {
                continue;
            }
            regions.push(Region { span, first: count });
            count += (span.end - span.start).div_ceil(span.unit_bytes) as usize;
        }
        let mut made = Self {
            regions,
            locked: vec![false; count],
            locked_count: 0,
            for_ever: vec![false; count],
        };
        made.set_all(locks.locked_at_power_up);
        made
    }

    /// Sets every lock; permanent ones stay locked.
    pub(crate) fn set_all(&mut self, locked: bool) {
        for (slot, for_ever) in self.locked.iter_mut().zip(&self.for_ever) {
            *slot = locked || *for_ever;
        }
        self.locked_count = self.locked.iter().filter(|&&locked| locked).count();
    }

    /// Makes the locks permanent whose bit in the register's layout is 1.
    pub(crate) fn lock_for_ever(&mut self, bytes: &[u8]) {
        for (at, place) in self.register_places().into_iter().enumerate() {
            if let Some(number) = place
                && register_bit(bytes, at)
            {
                self.for_ever[number] = true;
                self.set_number(number, true);
            }
        }
    }

    /// The permanent locks, one for every unit; empty if there are none.
    pub(crate) fn locked_for_ever(&self) -> Vec<bool> {
        if self.for_ever.contains(&true) { self.for_ever.clone() } else { Vec::new() }
    }

    /// Takes the permanent locks from what the part holds without power.
    pub(crate) fn load_for_ever(&mut self, for_ever: &[bool]) {
        for (number, slot) in self.for_ever.iter_mut().enumerate() {
            *slot = for_ever.get(number).copied().unwrap_or(false);
        }
    }

    /// Sets the lock of the unit that holds `address`; `false` if there is none.
    pub(crate) fn set(&mut self, address: u32, locked: bool) -> bool {
        let Some((number, _)) = self.unit(address) else { return false };
        self.set_number(number, locked);
        true
    }

    /// Whether the unit that holds `address` is locked.
    pub(crate) fn is_locked(&self, address: u32) -> bool {
        self.unit(address).is_some_and(|(number, _)| self.locked[number])
    }

    /// The first locked unit that `range` touches.
    pub(crate) fn first_locked(&self, range: &Range<u32>) -> Option<Range<u32>> {
        if self.locked_count == 0 {
            return None;
        }
        let mut at = range.start;
        while at < range.end {
            let Some((number, unit)) = self.unit(at) else {
                at = self.next_region(at)?;
                continue;
            };
            if self.locked[number] {
                return Some(unit);
            }
            at = unit.end;
        }
        None
    }

    /// The block protection register as bytes, most significant first.
    ///
    /// Layout of the SST26 family: the pairs of the 8 KiB blocks on top (read lock, write lock),
    /// then one bit for every 32 KiB block, then for every 64 KiB block, the highest address first
    /// in each group (public drivers of the family agree).
    pub(crate) fn to_register(&self) -> Vec<u8> {
        let mut bits = Vec::new();
        for place in self.register_places() {
            bits.push(place.is_some_and(|number| self.locked[number]));
        }
        bits.chunks(8)
            .map(|byte| {
                byte.iter()
                    .enumerate()
                    .fold(0, |value, (at, &bit)| value | (u8::from(bit) << (7 - at)))
            })
            .collect()
    }

    /// Length of the block protection register.
    pub(crate) fn register_bytes(&self) -> usize {
        self.register_places().len().div_ceil(8)
    }

    /// Writes the block protection register; bits that are missing in `bytes` are 0.
    pub(crate) fn set_register(&mut self, bytes: &[u8]) {
        for (at, place) in self.register_places().into_iter().enumerate() {
            if let Some(number) = place {
                self.set_number(number, register_bit(bytes, at));
            }
        }
    }

    /// Lock number of every register bit; `None` for a read lock, which is not modelled.
    fn register_places(&self) -> Vec<Option<usize>> {
        let units = |unit_bytes: u32| {
            self.regions.iter().rev().filter(move |r| r.span.unit_bytes == unit_bytes).flat_map(
                |r| {
                    let count = (r.span.end - r.span.start).div_ceil(r.span.unit_bytes) as usize;
                    (r.first..r.first + count).rev()
                },
            )
        };
        let mut sizes: Vec<u32> = self.regions.iter().map(|r| r.span.unit_bytes).collect();
        sizes.sort_unstable();
        sizes.dedup();
        let places = sizes.into_iter().flat_map(|size| {
            units(size).flat_map(move |number| {
                // The small blocks have a read lock too, in front.
                let read_lock = (size <= 8192).then_some(None);
                read_lock.into_iter().chain([Some(number)])
            })
        });
        places.collect()
    }

    fn set_number(&mut self, number: usize, locked: bool) {
        let locked = locked || self.for_ever[number];
        let slot = &mut self.locked[number];
        match (*slot, locked) {
            (false, true) => self.locked_count += 1,
            (true, false) => self.locked_count -= 1,
            _ => {}
        }
        *slot = locked;
    }

    fn unit(&self, address: u32) -> Option<(usize, Range<u32>)> {
        let region = self
            .regions
            .iter()
            .find(|region| (region.span.start..region.span.end).contains(&address))?;
        let span = region.span;
        let inside = (address - span.start) / span.unit_bytes;
        let start = span.start + inside * span.unit_bytes;
        let end = start.saturating_add(span.unit_bytes).min(span.end);
        Some((region.first + inside as usize, start..end))
    }

    fn next_region(&self, address: u32) -> Option<u32> {
        self.regions.iter().map(|region| region.span.start).filter(|&start| start > address).min()
    }
}

/// Bit number `at` of a register that begins with its most significant bit.
fn register_bit(bytes: &[u8], at: usize) -> bool {
    bytes.get(at / 8).is_some_and(|byte| byte & (0x80 >> (at % 8)) != 0)
}

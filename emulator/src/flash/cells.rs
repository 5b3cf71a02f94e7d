//! The cells: a sparse array of sectors, so that a blank part costs almost nothing.

#![expect(clippy::cast_possible_truncation, reason = "lengths inside one part: capacities are u32")]

use std::{ops::Range, sync::Arc};

/// Bytes in a sector, the unit of storage and of persistence.
pub const SECTOR_BYTES: usize = 4096;

/// One sector's cells.
pub type Sector = [u8; SECTOR_BYTES];

/// What a reader sees in a sector that was never programmed.
static BLANK: Sector = [0xFF; SECTOR_BYTES];

/// The array of a part. Cloning is cheap: sectors are shared until one side writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cells {
    sectors: Vec<Option<Arc<Sector>>>,
    capacity_bytes: u32,
}

impl Cells {
    /// A blank array of `capacity_bytes`, rounded up to whole sectors.
    #[must_use]
    pub fn blank(capacity_bytes: u32) -> Self {
        let count = (capacity_bytes as usize).div_ceil(SECTOR_BYTES);
        Self { sectors: vec![None; count], capacity_bytes }
    }

    /// Size in bytes.
    #[must_use]
    pub fn capacity_bytes(&self) -> u32 {
        self.capacity_bytes
    }

    /// Sectors in address order, blank ones included.
    #[must_use]
    pub fn sectors(&self) -> impl ExactSizeIterator<Item = &Sector> {
        self.sectors.iter().map(|sector| sector.as_deref().unwrap_or(&BLANK))
    }

    /// One sector by number; `None` behind the end.
    #[must_use]
    pub fn sector(&self, number: u32) -> Option<&Sector> {
        self.sectors.get(number as usize).map(|sector| sector.as_deref().unwrap_or(&BLANK))
    }

    /// Numbers of the sectors that hold anything but 0xFF from an erase.
    pub fn used_sectors(&self) -> impl Iterator<Item = u32> {
        self.sectors
            .iter()
            .zip(0..)
            .filter_map(|(sector, number)| sector.is_some().then_some(number))
    }

    /// Fills `into` from `address` on; wraps at the end of the array as parts do.
    pub fn read(&self, address: u32, into: &mut [u8]) {
        if self.capacity_bytes == 0 {
            into.fill(0xFF);
            return;
        }
        let mut at = address % self.capacity_bytes;
        let (number, offset) = split(at);
        if offset + into.len() <= SECTOR_BYTES && into.len() <= (self.capacity_bytes - at) as usize
        {
            // Nearly every read lies inside one sector.
            match self.sectors.get(number).and_then(Option::as_deref) {
                Some(sector) => into.copy_from_slice(&sector[offset..offset + into.len()]),
                None => into.fill(0xFF),
            }
            return;
        }
        let mut left = into;
        while !left.is_empty() {
            let (number, offset) = split(at);
            let here =
                (SECTOR_BYTES - offset).min(left.len()).min((self.capacity_bytes - at) as usize);
            let (now, rest) = left.split_at_mut(here);
            match self.sectors.get(number).and_then(Option::as_deref) {
                Some(sector) => now.copy_from_slice(&sector[offset..offset + here]),
                None => now.fill(0xFF),
            }
            left = rest;
            // `here` is at most a sector, so it fits.
            at = (at + here as u32) % self.capacity_bytes;
        }
    }

    /// The cells of a range that lies inside one sector; `None` if they are blank or there are none.
    #[inline]
    pub(crate) fn in_sector(&self, range: &Range<u32>) -> Option<&[u8]> {
        let (number, offset) = split(range.start);
        self.sectors.get(number)?.as_deref()?.get(offset..offset + range.len())
    }

    /// ANDs `data` into the cells from `address` on, inside one sector; says which sector changed.
    ///
    /// Bytes behind the sector's end are dropped: a page never crosses a sector. A sector that was
    /// blank takes its memory from `spare`.
    #[inline]
    pub(crate) fn program(
        &mut self,
        address: u32,
        data: &[u8],
        spare: &mut Vec<Arc<Sector>>,
    ) -> Option<u32> {
        let (number, offset) = split(address);
        let slot = self.sectors.get_mut(number)?;
        if slot.is_none() && data.iter().all(|&byte| byte == 0xFF) {
            return None;
        }
        let sector = Arc::make_mut(slot.get_or_insert_with(|| blank_sector(spare)));
        for (cell, &byte) in sector[offset..].iter_mut().zip(data) {
            *cell &= byte;
        }
        Some(number as u32)
    }

    /// Sets the cells of `range` to 0xFF, calling `changed` with the number and the old contents of
    /// each sector that was not blank.
    pub(crate) fn erase(&mut self, range: &Range<u32>, mut changed: impl FnMut(u32, Arc<Sector>)) {
        let first = range.start as usize / SECTOR_BYTES;
        let end = (range.end as usize).div_ceil(SECTOR_BYTES).min(self.sectors.len());
        for number in first..end {
            let start = number * SECTOR_BYTES;
            let from = (range.start as usize).saturating_sub(start);
            let to = (range.end as usize - start).min(SECTOR_BYTES);
            let slot = &mut self.sectors[number];
            let Some(old) = slot.take() else { continue };
            if from > 0 || to < SECTOR_BYTES {
                let rest = slot.insert(Arc::clone(&old));
                Arc::make_mut(rest)[from..to].fill(0xFF);
            }
            changed(number as u32, old);
        }
    }

    /// Puts `data` at `offset` as a programmer in the factory would: no permission, no AND.
    /// Bytes behind the end of the array are dropped.
    pub fn load(&mut self, offset: u32, data: &[u8]) {
        let mut at = offset as usize;
        let mut left = data;
        let capacity = self.capacity_bytes as usize;
        while !left.is_empty() && at < capacity {
            let (number, inside) = (at / SECTOR_BYTES, at % SECTOR_BYTES);
            let here = (SECTOR_BYTES - inside).min(left.len()).min(capacity - at);
            let (now, rest) = left.split_at(here);
            let slot = &mut self.sectors[number];
            if slot.is_some() || now.iter().any(|&byte| byte != 0xFF) {
                let sector = Arc::make_mut(slot.get_or_insert_with(|| Arc::new(BLANK)));
                sector[inside..inside + here].copy_from_slice(now);
            }
            left = rest;
            at += here;
        }
    }
}

/// A sector of 0xFF, one of `spare` if there is one.
fn blank_sector(spare: &mut Vec<Arc<Sector>>) -> Arc<Sector> {
    let Some(mut sector) = spare.pop() else { return Arc::new(BLANK) };
    match Arc::get_mut(&mut sector) {
        Some(cells) => cells.fill(0xFF),
        // A copy of the part has it too.
        None => return Arc::new(BLANK),
    }
    sector
}

/// Sector number and offset inside it.
fn split(address: u32) -> (usize, usize) {
    (address as usize / SECTOR_BYTES, address as usize % SECTOR_BYTES)
}

//! What changed since a persistence adapter last looked.

/// Changes since the last call of [`super::NorFlash::take_dirty`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dirty {
    /// Numbers of changed sectors of the array, in order of first change.
    pub sectors: Vec<u32>,
    /// A non-volatile register, lock or security cell changed.
    pub registers: bool,
}

impl Dirty {
    /// Nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sectors.is_empty() && !self.registers
    }
}

/// Collects changes: a bit for every sector and the list of set bits.
#[derive(Debug, Clone, Default)]
pub(crate) struct DirtyLog {
    marked: Vec<bool>,
    dirty: Dirty,
}

impl DirtyLog {
    pub(crate) fn new(sector_count: usize) -> Self {
        Self { marked: vec![false; sector_count], dirty: Dirty::default() }
    }

    pub(crate) fn sector(&mut self, number: u32) {
        if let Some(marked @ false) = self.marked.get_mut(number as usize) {
            *marked = true;
            self.dirty.sectors.push(number);
        }
    }

    /// Numbers of the sectors so far.
    pub(crate) fn sectors(&self) -> &[u32] {
        &self.dirty.sectors
    }

    pub(crate) fn registers(&mut self) {
        self.dirty.registers = true;
    }

    pub(crate) fn take(&mut self) -> Dirty {
        for &number in &self.dirty.sectors {
            if let Some(marked) = self.marked.get_mut(number as usize) {
                *marked = false;
            }
        }
        std::mem::take(&mut self.dirty)
    }
}

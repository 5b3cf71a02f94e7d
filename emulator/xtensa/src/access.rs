//! Loads and stores that are more than a look into a slice, and those of compiled paths, which know
//! their region.

use crate::{
    bus::{Bus, BusFault, Width},
    exception::{Cause, Trap},
    memory::{Memory, PAGE_BITS},
    path::Place,
};

impl Memory {
    /// Loads that plain memory does not answer at once: the bus, unaligned and refused ones.
    pub(crate) fn load_slow<B: Bus>(
        &self,
        bus: &mut B,
        addr: u32,
        width: Width,
    ) -> Result<u32, Trap> {
        match self.takes(addr, width, false) {
            None => load_from(bus, addr, width),
            Some(false) => Err(Trap::at(refusal(addr, width), addr)),
            Some(true) => {
                let mut bytes = [0; 4];
                let part = &mut bytes[..width.bytes() as usize];
                self.read(addr, part).map_err(|_| Trap::at(Cause::LoadProhibited, addr))?;
                Ok(u32::from_le_bytes(bytes))
            }
        }
    }

    /// Stores that plain memory does not take at once.
    pub(crate) fn store_slow<B: Bus>(
        &mut self,
        bus: &mut B,
        side: &mut Side<'_>,
        addr: u32,
        width: Width,
        value: u32,
    ) -> Result<(), Trap> {
        match self.takes(addr, width, true) {
            None => {
                *side.effects = side.effects.wrapping_add(1);
                *side.attention = true;
                let bits = width.bytes() * 8;
                let value = if bits < 32 { value & ((1 << bits) - 1) } else { value };
                bus.store(addr, width, value).map_err(|fault| match fault {
                    BusFault::Prohibited => Trap::at(Cause::StoreProhibited, addr),
                    BusFault::Refused => Trap::at(Cause::LoadStoreError, addr),
                })
            }
            Some(false) => Err(Trap::at(refusal(addr, width), addr)),
            Some(true) => {
                let last = addr.wrapping_add(width.bytes() - 1);
                if self.takes(last, Width::Byte, true) != Some(true) {
                    return Err(Trap::at(Cause::StoreProhibited, addr));
                }
                let bytes = value.to_le_bytes();
                self.write(addr, &bytes[..width.bytes() as usize])
                    .map_err(|_| Trap::at(Cause::StoreProhibited, addr))
            }
        }
    }

    /// A load, wherever it goes.
    #[inline(never)]
    pub(crate) fn load_any<B: Bus>(
        &self,
        bus: &mut B,
        addr: u32,
        width: Width,
    ) -> Result<u32, Trap> {
        let fast = match width {
            Width::Byte => self.byte(addr),
            Width::Half => self.half(addr),
            Width::Word => self.word(addr),
        };
        fast.map_or_else(|| self.load_slow(bus, addr, width), Ok)
    }

    /// A store, wherever it goes.
    #[inline(never)]
    pub(crate) fn store_any<B: Bus>(
        &mut self,
        bus: &mut B,
        side: &mut Side<'_>,
        addr: u32,
        width: Width,
        value: u32,
    ) -> Result<(), Trap> {
        let done = match width {
            Width::Byte => self.set_byte(addr, value),
            Width::Half => self.set_half(addr, value),
            Width::Word => self.set_word(addr, value),
        };
        if done { Ok(()) } else { self.store_slow(bus, side, addr, width, value) }
    }

    /// A load of a path that is not in the region with these pages at `at`.
    #[cold]
    pub(crate) fn load_elsewhere<B: Bus>(
        &self,
        bus: &mut B,
        pages: u32,
        at: u32,
        width: Width,
    ) -> Result<u32, Trap> {
        self.load_any(bus, self.address_of(pages, at), width)
    }

    /// The same of a store.
    #[cold]
    pub(crate) fn store_elsewhere<B: Bus>(
        &mut self,
        bus: &mut B,
        side: &mut Side<'_>,
        [pages, at]: [u32; 2],
        width: Width,
        value: u32,
    ) -> Result<(), Trap> {
        self.store_any(bus, side, self.address_of(pages, at), width, value)
    }

    /// The address that a path took for `at` of the backing bytes, seen from the region with these
    /// pages.
    fn address_of(&self, pages: u32, at: u32) -> u32 {
        let region = self.regions.iter().find(|it| it.start >> PAGE_BITS == pages >> 16);
        region.map_or(at, |region| at.wrapping_sub(region.start).wrapping_add(region.base))
    }

    /// Where a path finds the data of an access.
    pub(crate) fn place(&self, addr: u32, width: Width, is_store: bool) -> Place {
        let Some(region) = self.region(addr) else { return Place::Bus };
        let fits = addr.is_multiple_of(width.bytes())
            && (width == Width::Word || !region.access.word_only)
            && (!is_store || (region.access.write && !region.access.execute));
        if !fits {
            return Place::Any;
        }
        let (first, count) = (region.start >> PAGE_BITS, region.bytes >> PAGE_BITS);
        Place::Region { delta: region.start.wrapping_sub(region.base), pages: first << 16 | count }
    }

    /// `N` bytes at `at` of the backing bytes.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the fast path of compiled paths")]
    pub(crate) fn backed<const N: usize>(&self, at: u32) -> Option<[u8; N]> {
        self.bytes.get(at as usize..at as usize + N)?.first_chunk().copied()
    }

    /// Stores them where there is no code.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the fast path of compiled paths")]
    pub(crate) fn set_backed<const N: usize>(&mut self, at: u32, new: [u8; N]) -> bool {
        let slot = self.bytes.get_mut(at as usize..at as usize + N);
        let Some(slot) = slot.and_then(|slot| slot.first_chunk_mut::<N>()) else { return false };
        self.changes += u64::from(*slot != new);
        *slot = new;
        true
    }

    /// Whether code has changed that compiled paths are made of.
    pub(crate) fn is_stale(&self) -> bool {
        self.watched.is_stale()
    }
}

/// What a store may change of the core besides memory.
pub(crate) struct Side<'a> {
    pub(crate) effects: &'a mut u64,
    pub(crate) attention: &'a mut bool,
}

/// A load from where there is no memory.
#[inline]
pub(crate) fn load_from<B: Bus>(bus: &mut B, addr: u32, width: Width) -> Result<u32, Trap> {
    bus.load(addr, width).map_err(|fault| match fault {
        BusFault::Prohibited => Trap::at(Cause::LoadProhibited, addr),
        BusFault::Refused => Trap::at(Cause::LoadStoreError, addr),
    })
}

/// The exception for an access that memory refuses: the ESP32's IRAM reports 3 for byte and half
/// word accesses and 9 for unaligned words.
fn refusal(addr: u32, width: Width) -> Cause {
    if width == Width::Word && addr & 3 != 0 {
        Cause::LoadStoreAlignment
    } else {
        Cause::LoadStoreError
    }
}

/// Whether an aligned access of `bytes` bytes at `at` of the backing bytes is in the region with these
/// `pages`: first page times 65536 plus count.
#[inline(always)]
#[expect(clippy::inline_always, reason = "the fast path of compiled paths")]
pub(crate) fn is_inside(at: u32, bytes: usize, pages: u32) -> bool {
    let aligned = at as usize & (bytes - 1) == 0;
    aligned && (at >> PAGE_BITS).wrapping_sub(pages >> 16) < pages & 0xffff
}

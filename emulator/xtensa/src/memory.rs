//! Plain memory in flat regions, and the cache of decoded instructions over it.

use crate::bus::Width;
use crate::decode::decode;
use crate::insn::{Insn, Op};
use crate::path::Watched;

pub(crate) const PAGE_BITS: u32 = 12;
const PAGE_BYTES: u32 = 1 << PAGE_BITS;
const PAGES: usize = 1 << (32 - PAGE_BITS);
/// Bit of a map entry: only aligned 32-bit accesses (ESP32 IRAM).
const WORD_ONLY: u16 = 0x8000;
/// Bit of a map entry: the core's stores are refused (a ROM image).
const READ_ONLY: u16 = 0x4000;
/// Bits of a map entry that hold the backing page's number plus one.
const NUMBER: u16 = 0x3fff;
/// Largest span of executable addresses, in bytes: one decoded instruction of 8 bytes each.
const CODE_SPAN_MAX: u32 = 16 << 20;

/// What may be done with a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// Instructions may be fetched from it.
    pub execute: bool,
    /// The core may store into it.
    pub write: bool,
    /// Data accesses must be aligned words, as in the ESP32's instruction RAM.
    pub word_only: bool,
}

impl Access {
    /// Data RAM.
    pub const DATA: Self = Self { execute: false, write: true, word_only: false };
    /// Code RAM that also takes byte accesses.
    pub const CODE: Self = Self { execute: true, write: true, word_only: false };
    /// Code RAM with word access only (ESP32 IRAM; XTENSA 3.2).
    pub const CODE_WORDS: Self = Self { execute: true, write: true, word_only: true };
    /// Code and constants that the core cannot change.
    pub const ROM: Self = Self { execute: true, write: false, word_only: false };
}

/// Why a region or a host access was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MemoryError {
    /// Regions start and end at multiples of 4096 bytes and do not wrap.
    #[error("region {base:#010x}+{bytes:#x} is not made of whole 4096-byte pages")]
    Alignment {
        /// First address asked for.
        base: u32,
        /// Length asked for.
        bytes: u32,
    },
    /// Part of the region is mapped already.
    #[error("address {addr:#010x} is mapped already")]
    Overlap {
        /// First address that is taken.
        addr: u32,
    },
    /// More memory, or a wider span of executable addresses, than the tables hold.
    #[error("region {base:#010x}+{bytes:#x} is too large or too far from the other code")]
    TooLarge {
        /// First address asked for.
        base: u32,
        /// Length asked for.
        bytes: u32,
    },
    /// A host access leaves the mapped memory.
    #[error("no memory at {addr:#010x}")]
    Unmapped {
        /// First address without memory.
        addr: u32,
    },
}

/// One region.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Region {
    pub(crate) base: u32,
    pub(crate) bytes: u32,
    pub(crate) access: Access,
    /// Where its bytes begin in those of all regions.
    pub(crate) start: u32,
}

/// Flat regions of plain memory with the decoded-instruction cache.
///
/// The cache has one slot a code byte; a store that changes a byte, by the core or by the host,
/// empties the slots of the instructions it may belong to.
#[derive(Debug, Clone)]
pub struct Memory {
    map: Box<[u16; PAGES]>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) regions: Vec<Region>,
    pub(crate) code_base: u32,
    pub(crate) code: Vec<Insn>,
    /// Words of code that compiled paths are made of.
    pub(crate) watched: Watched,
    /// Count of stores that changed something.
    pub(crate) changes: u64,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Memory {
    /// Memory with no region.
    #[must_use]
    pub fn new() -> Self {
        Self {
            map: page_map(),
            bytes: Vec::new(),
            regions: Vec::new(),
            code_base: 0,
            code: Vec::new(),
            watched: Watched::default(),
            changes: 0,
        }
    }

    /// Adds a region of zeros. Base and length are multiples of 4096 bytes.
    ///
    /// # Errors
    ///
    /// [`MemoryError`] if the region is not page-aligned, overlaps another or is too large.
    pub fn map(&mut self, base: u32, bytes: u32, access: Access) -> Result<(), MemoryError> {
        let aligned = base.is_multiple_of(PAGE_BYTES) && bytes.is_multiple_of(PAGE_BYTES);
        if !aligned || bytes == 0 || base.checked_add(bytes - 1).is_none() {
            return Err(MemoryError::Alignment { base, bytes });
        }
        let first = (base >> PAGE_BITS) as usize;
        let pages = (bytes >> PAGE_BITS) as usize;
        if let Some(taken) = self.map[first..first + pages].iter().position(|entry| *entry != 0) {
            let step = u32::try_from(taken).unwrap_or(0) << PAGE_BITS;
            return Err(MemoryError::Overlap { addr: base + step });
        }
        let used = self.bytes.len() >> PAGE_BITS;
        if used + pages > usize::from(NUMBER) {
            return Err(MemoryError::TooLarge { base, bytes });
        }
        if access.execute {
            self.grow_code(base, bytes)?;
        }
        let flags =
            if access.word_only { WORD_ONLY } else { 0 } | if access.write { 0 } else { READ_ONLY };
        for (number, entry) in (used + 1..).zip(&mut self.map[first..first + pages]) {
            *entry = u16::try_from(number).unwrap_or(0) | flags;
        }
        let start = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.bytes.resize(self.bytes.len() + bytes as usize, 0);
        self.regions.push(Region { base, bytes, access, start });
        self.watched.spoil();
        Ok(())
    }

    /// Makes the cache span the executable regions and the new one, and empties it.
    fn grow_code(&mut self, base: u32, bytes: u32) -> Result<(), MemoryError> {
        let executable = self.regions.iter().filter(|region| region.access.execute);
        let (mut low, mut last) = (base, base + (bytes - 1));
        for region in executable {
            low = low.min(region.base);
            last = last.max(region.base + (region.bytes - 1));
        }
        if last - low >= CODE_SPAN_MAX {
            return Err(MemoryError::TooLarge { base, bytes });
        }
        self.code_base = low;
        self.code.clear();
        self.code.resize((last - low) as usize + 1, Insn::UNDECODED);
        Ok(())
    }

    /// The region that holds `addr`.
    pub(crate) fn region(&self, addr: u32) -> Option<&Region> {
        self.regions.iter().find(|region| addr.wrapping_sub(region.base) < region.bytes)
    }

    /// Whether instructions can be fetched from `addr`.
    #[must_use]
    pub fn is_code(&self, addr: u32) -> bool {
        self.region(addr).is_some_and(|region| region.access.execute)
    }

    /// Whether there is memory at `addr`.
    #[must_use]
    pub fn is_mapped(&self, addr: u32) -> bool {
        self.map[(addr >> PAGE_BITS) as usize] != 0
    }

    /// Position in the backing bytes, whatever the access rights.
    #[inline]
    fn offset(&self, addr: u32) -> Option<usize> {
        let number = self.entry(addr) & NUMBER;
        (number != 0).then(|| backing(number, addr))
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the interpreter's fast path")]
    fn entry(&self, addr: u32) -> u16 {
        self.map[(addr >> PAGE_BITS) as usize]
    }

    /// An aligned word, if plain memory holds it. The core's fast path.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the interpreter's fast path")]
    pub(crate) fn word(&self, addr: u32) -> Option<u32> {
        let entry = self.entry(addr);
        if entry == 0 || addr & 3 != 0 {
            return None;
        }
        let at = backing(entry & NUMBER, addr);
        self.bytes.get(at..at + 4)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
    }

    /// An aligned half word from memory that takes such accesses.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the interpreter's fast path")]
    pub(crate) fn half(&self, addr: u32) -> Option<u32> {
        let entry = self.entry(addr);
        if entry == 0 || entry & WORD_ONLY != 0 || addr & 1 != 0 {
            return None;
        }
        let at = backing(entry & NUMBER, addr);
        let bytes = self.bytes.get(at..at + 2)?.first_chunk()?;
        Some(u32::from(u16::from_le_bytes(*bytes)))
    }

    /// A byte from memory that takes such accesses.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the interpreter's fast path")]
    pub(crate) fn byte(&self, addr: u32) -> Option<u32> {
        let entry = self.entry(addr);
        if entry == 0 || entry & WORD_ONLY != 0 {
            return None;
        }
        self.bytes.get(backing(entry & NUMBER, addr)).map(|byte| u32::from(*byte))
    }

    /// Stores an aligned word into plain writable memory; false if it is not such.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the interpreter's fast path")]
    pub(crate) fn set_word(&mut self, addr: u32, value: u32) -> bool {
        addr.is_multiple_of(4) && self.set(addr, READ_ONLY, value.to_le_bytes())
    }

    /// Stores an aligned half word; false if the place does not take it.
    #[inline]
    pub(crate) fn set_half(&mut self, addr: u32, value: u32) -> bool {
        let [low, high, ..] = value.to_le_bytes();
        addr.is_multiple_of(2) && self.set(addr, READ_ONLY | WORD_ONLY, [low, high])
    }

    /// Stores a byte; false if the place does not take it.
    #[inline]
    pub(crate) fn set_byte(&mut self, addr: u32, value: u32) -> bool {
        self.set(addr, READ_ONLY | WORD_ONLY, [value.to_le_bytes()[0]])
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the interpreter's fast path")]
    fn set<const N: usize>(&mut self, addr: u32, refusing: u16, new: [u8; N]) -> bool {
        let entry = self.entry(addr);
        if entry == 0 || entry & refusing != 0 {
            return false;
        }
        let at = backing(entry & NUMBER, addr);
        let slot = self.bytes.get_mut(at..at + N).and_then(|slot| slot.first_chunk_mut::<N>());
        let Some(slot) = slot else { return false };
        if *slot != new {
            *slot = new;
            self.changed(addr, N);
        }
        true
    }

    /// Whether memory at `addr` takes an access of `width`: `None` if there is no memory.
    pub(crate) fn takes(&self, addr: u32, width: Width, store: bool) -> Option<bool> {
        let entry = self.map[(addr >> PAGE_BITS) as usize];
        if entry == 0 {
            return None;
        }
        let words = entry & WORD_ONLY == 0 || (width == Width::Word && addr.is_multiple_of(4));
        Some(words && !(store && entry & READ_ONLY != 0))
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the interpreter's fast path")]
    fn changed(&mut self, addr: u32, bytes: usize) {
        self.changes += 1;
        // An instruction that starts up to two bytes earlier may include the changed byte.
        let first = addr.wrapping_sub(self.code_base);
        if (first as usize) < self.code.len() {
            self.invalidate(addr, bytes);
        }
    }

    /// Empties the cache slots of all instructions that may include one of these bytes.
    fn invalidate(&mut self, addr: u32, bytes: usize) {
        let first = i64::from(addr) - i64::from(self.code_base);
        let end = first.saturating_add(i64::try_from(bytes).unwrap_or(i64::MAX)).max(0);
        let end = usize::try_from(end).unwrap_or(usize::MAX).min(self.code.len());
        let start = usize::try_from((first - 2).max(0)).unwrap_or(usize::MAX).min(end);
        self.code[start..end].fill(Insn::UNDECODED);
        self.watched.change(usize::try_from(first.max(0)).unwrap_or(usize::MAX), end);
    }

    /// Decodes the instruction at `pc` into its cache slot. `None` if no code can be there.
    pub(crate) fn fetch(&mut self, pc: u32) -> Option<Insn> {
        let slot = pc.wrapping_sub(self.code_base) as usize;
        let cached = *self.code.get(slot)?;
        if cached.op != Op::Undecoded {
            return Some(cached);
        }
        let insn = decode(pc, self.code_bytes(pc)?);
        if let Some(slot) = self.code.get_mut(slot) {
            *slot = insn;
        }
        Some(insn)
    }

    /// The three bytes at `pc`, zero where the executable region ends.
    pub(crate) fn code_bytes(&self, pc: u32) -> Option<[u8; 3]> {
        let region = self.region(pc).filter(|region| region.access.execute)?;
        let (at, left) = (self.offset(pc)?, (region.bytes - (pc - region.base)) as usize);
        let rest = self.bytes.get(at..at + left)?;
        let mut bytes = [0; 3];
        for (byte, source) in bytes.iter_mut().zip(rest) {
            *byte = *source;
        }
        let length = if (8..14).contains(&(bytes[0] & 15)) { 2 } else { 3 };
        (rest.len() >= length).then_some(bytes)
    }

    /// Host read of `out.len()` bytes, ignoring access rights.
    ///
    /// # Errors
    ///
    /// [`MemoryError::Unmapped`] if any byte has no memory; `out` is then partly filled.
    pub fn read(&self, addr: u32, out: &mut [u8]) -> Result<(), MemoryError> {
        let (mut addr, mut out) = (addr, out);
        while !out.is_empty() {
            let (at, here) = self.stretch(addr).ok_or(MemoryError::Unmapped { addr })?;
            let (piece, rest) = out.split_at_mut(here.min(out.len()));
            piece.copy_from_slice(&self.bytes[at..at + piece.len()]);
            addr = addr.wrapping_add(u32::try_from(piece.len()).unwrap_or(0));
            out = rest;
        }
        Ok(())
    }

    /// Host read of one word at any alignment.
    ///
    /// # Errors
    ///
    /// [`MemoryError::Unmapped`] if any byte has no memory.
    pub fn read_word(&self, addr: u32) -> Result<u32, MemoryError> {
        let mut bytes = [0; 4];
        self.read(addr, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// Host write, ignoring access rights; empties the cache over changed code. Nothing is written
    /// if any byte has no memory.
    ///
    /// # Errors
    ///
    /// [`MemoryError::Unmapped`] with the first address without memory.
    pub fn write(&mut self, addr: u32, data: &[u8]) -> Result<(), MemoryError> {
        let (mut place, mut left) = (addr, data.len());
        while left > 0 {
            let (_, here) = self.stretch(place).ok_or(MemoryError::Unmapped { addr: place })?;
            let here = left.min(here);
            place = place.wrapping_add(u32::try_from(here).unwrap_or(0));
            left -= here;
        }
        let (mut place, mut data) = (addr, data);
        while !data.is_empty() {
            let Some((at, here)) = self.stretch(place) else { break };
            let (piece, rest) = data.split_at(here.min(data.len()));
            let target = &mut self.bytes[at..at + piece.len()];
            if target != piece {
                target.copy_from_slice(piece);
                self.changed(place, piece.len());
            }
            place = place.wrapping_add(u32::try_from(piece.len()).unwrap_or(0));
            data = rest;
        }
        Ok(())
    }

    /// Host write of one word at any alignment.
    ///
    /// # Errors
    ///
    /// [`MemoryError::Unmapped`] if any byte has no memory.
    pub fn write_word(&mut self, addr: u32, value: u32) -> Result<(), MemoryError> {
        self.write(addr, &value.to_le_bytes())
    }

    /// A slice of one region, for bulk work without copies.
    #[must_use]
    pub fn slice(&self, addr: u32, bytes: usize) -> Option<&[u8]> {
        let region = self.region(addr)?;
        if bytes > (region.bytes - (addr - region.base)) as usize {
            return None;
        }
        let at = self.offset(addr)?;
        self.bytes.get(at..at + bytes)
    }

    /// Where `addr` is in the backing bytes, and how many follow in its region.
    fn stretch(&self, addr: u32) -> Option<(usize, usize)> {
        let at = self.offset(addr)?;
        let region = self.region(addr)?;
        Some((at, (region.bytes - (addr - region.base)) as usize))
    }
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "the interpreter's fast path")]
fn backing(number: u16, addr: u32) -> usize {
    (usize::from(number - 1) << PAGE_BITS) | (addr & (PAGE_BYTES - 1)) as usize
}

/// An empty page map.
#[expect(clippy::expect_used, reason = "the length is the constant itself")]
fn page_map() -> Box<[u16; PAGES]> {
    let map = vec![0_u16; PAGES].into_boxed_slice();
    map.try_into().expect("as many pages as asked for")
}

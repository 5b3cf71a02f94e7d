//! RAM as flat regions (XTENSA 4.1).

use std::ops::Range;

/// Where the ROM's SLIP receiver stores a frame (ROM-FACTS section 2).
pub const RECEIVE_BUFFER: u32 = 0x3FFC_0000;
/// Length of that buffer.
pub const RECEIVE_BUFFER_BYTES: u32 = 8192;

/// SRAM2 and SRAM1 as data; also holds the ROM's data.
const DRAM: Range<u32> = 0x3FFA_E000..0x4000_0000;
/// SRAM0 and the instruction view of SRAM1. The word-reversed alias of SRAM1 is not modelled.
const IRAM: Range<u32> = 0x4007_0000..0x400C_0000;
/// RTC fast memory, instruction view.
const RTC_FAST: Range<u32> = 0x400C_0000..0x400C_2000;
/// RTC fast memory, data view of the same bytes.
const RTC_FAST_DATA: Range<u32> = 0x3FF8_0000..0x3FF8_2000;
/// RTC slow memory.
const RTC_SLOW: Range<u32> = 0x5000_0000..0x5000_2000;

/// RAM.
#[derive(Debug, Clone)]
pub struct Memory {
    dram: Vec<u8>,
    iram: Vec<u8>,
    rtc_fast: Vec<u8>,
    rtc_slow: Vec<u8>,
}

impl Memory {
    /// RAM full of zeros.
    #[must_use]
    pub fn zeroed() -> Self {
        let region = |range: Range<u32>| vec![0; (range.end - range.start) as usize];
        Self {
            dram: region(DRAM),
            iram: region(IRAM),
            rtc_fast: region(RTC_FAST),
            rtc_slow: region(RTC_SLOW),
        }
    }

    /// `len` bytes from `address`; `None` if they are not all in one RAM region.
    #[must_use]
    #[inline]
    pub fn bytes(&self, address: u32, len: usize) -> Option<&[u8]> {
        let (region, base) = match address {
            a if DRAM.contains(&a) => (&self.dram, DRAM.start),
            a if IRAM.contains(&a) => (&self.iram, IRAM.start),
            a if RTC_FAST.contains(&a) => (&self.rtc_fast, RTC_FAST.start),
            a if RTC_FAST_DATA.contains(&a) => (&self.rtc_fast, RTC_FAST_DATA.start),
            a if RTC_SLOW.contains(&a) => (&self.rtc_slow, RTC_SLOW.start),
            _ => return None,
        };
        region.get((address - base) as usize..)?.get(..len)
    }

    /// `len` writable bytes from `address`; `None` if they are not all in one RAM region.
    #[must_use]
    #[inline]
    pub fn bytes_mut(&mut self, address: u32, len: usize) -> Option<&mut [u8]> {
        let (region, base) = match address {
            a if DRAM.contains(&a) => (&mut self.dram, DRAM.start),
            a if IRAM.contains(&a) => (&mut self.iram, IRAM.start),
            a if RTC_FAST.contains(&a) => (&mut self.rtc_fast, RTC_FAST.start),
            a if RTC_FAST_DATA.contains(&a) => (&mut self.rtc_fast, RTC_FAST_DATA.start),
            a if RTC_SLOW.contains(&a) => (&mut self.rtc_slow, RTC_SLOW.start),
            _ => return None,
        };
        region.get_mut((address - base) as usize..)?.get_mut(..len)
    }

    /// One little-endian word of RAM.
    #[must_use]
    #[inline]
    pub fn word(&self, address: u32) -> Option<u32> {
        let bytes = self.bytes(address, 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    }

    /// Stores one little-endian word; says whether there is RAM.
    #[inline]
    pub fn set_word(&mut self, address: u32, value: u32) -> bool {
        match self.bytes_mut(address, 4) {
            Some(bytes) => {
                bytes.copy_from_slice(&value.to_le_bytes());
                true
            }
            None => false,
        }
    }

    /// The loader's receive buffer.
    #[must_use]
    #[inline]
    pub fn receive_buffer(&self) -> &[u8] {
        self.bytes(RECEIVE_BUFFER, RECEIVE_BUFFER_BYTES as usize).unwrap_or_default()
    }

    /// The loader's receive buffer, writable.
    #[must_use]
    #[inline]
    pub fn receive_buffer_mut(&mut self) -> &mut [u8] {
        self.bytes_mut(RECEIVE_BUFFER, RECEIVE_BUFFER_BYTES as usize).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_little_endian_and_regions_do_not_run_into_each_other() {
        let mut memory = Memory::zeroed();
        assert!(memory.set_word(0x3FFE_8000, 0x1122_3344));
        assert_eq!(memory.bytes(0x3FFE_8000, 4), Some(&[0x44, 0x33, 0x22, 0x11][..]));
        assert_eq!(memory.word(0x3FFF_FFFE), None, "straddles the end of DRAM");
        assert_eq!(memory.word(0x3FFA_DFFC), None);
        assert_eq!(memory.receive_buffer().len(), 8192);
    }

    #[test]
    fn rtc_fast_memory_has_two_views() {
        let mut memory = Memory::zeroed();
        assert!(memory.set_word(0x400C_0010, 7));
        assert_eq!(memory.word(0x3FF8_0010), Some(7));
    }
}

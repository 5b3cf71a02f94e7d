//! Parameters of the requests.

use std::borrow::Cow;

/// Parameters of `FLASH_BEGIN`, `FLASH_DEFL_BEGIN`, `MEM_BEGIN`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begin {
    /// Bytes to erase or to load.
    pub size: u32,
    /// Number of blocks that follow.
    pub blocks: u32,
    /// Largest block in bytes.
    pub block_size: u32,
    /// Flash offset or RAM address.
    pub offset: u32,
    /// Fifth word of the stubs' 20-byte form (1 = encrypt); the ROM refuses it (ROM-FACTS 5.3).
    pub encrypted: Option<u32>,
}

/// One block of data with its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data<'a> {
    /// Sequence number from 0.
    pub sequence: u32,
    /// The bytes; at most 64 KiB less the parameters.
    pub bytes: Cow<'a, [u8]>,
}

/// One entry of `WRITE_REG`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegisterWrite {
    /// Address.
    pub address: u32,
    /// Value; only bits of `mask` count.
    pub value: u32,
    /// Bits to change.
    pub mask: u32,
    /// Delay before, in microseconds.
    pub delay_us: u32,
}

/// Parameters of `SPI_SET_PARAMS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpiParameters {
    /// Not used by the loaders.
    pub id: u32,
    /// Chip size in bytes.
    pub size: u32,
    /// Block size in bytes.
    pub block_size: u32,
    /// Sector size in bytes.
    pub sector_size: u32,
    /// Page size in bytes.
    pub page_size: u32,
    /// Status bits that count.
    pub status_mask: u32,
}

impl SpiParameters {
    /// The usual parameters of a chip of `size` bytes.
    #[must_use]
    pub const fn of_size(size: u32) -> Self {
        Self {
            id: 0,
            size,
            block_size: 0x1_0000,
            sector_size: 0x1000,
            page_size: 0x100,
            status_mask: 0xffff,
        }
    }
}

/// Parameters of the stubs' `READ_FLASH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadFlash {
    /// Flash offset.
    pub offset: u32,
    /// Bytes to read.
    pub len: u32,
    /// Bytes in each packet.
    pub packet_size: u32,
    /// Packets that may be unacknowledged.
    pub in_flight_max: u32,
}

//! A second decoder of protection bits, by counting 64 KiB blocks, with its own bit positions.
//!
//! It shares nothing with the emulator: bit positions are the datasheets' numbers, not the part
//! files', and the unit follows from the array size, not from a field.

use std::ops::Range;

/// The register bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Registers {
    pub(super) sr1: u8,
    pub(super) sr2: u8,
    pub(super) sr3: u8,
    /// Configuration or function register.
    pub(super) other: u8,
}

/// Where a bit is.
#[derive(Debug, Clone, Copy)]
enum At {
    Sr1(u8),
    Sr2(u8),
    Sr3(u8),
    Other(u8),
    Nowhere,
}

impl At {
    fn is_set(self, registers: Registers) -> bool {
        let (byte, bit) = match self {
            Self::Sr1(bit) => (registers.sr1, bit),
            Self::Sr2(bit) => (registers.sr2, bit),
            Self::Sr3(bit) => (registers.sr3, bit),
            Self::Other(bit) => (registers.other, bit),
            Self::Nowhere => return false,
        };
        byte & (1 << bit) != 0
    }

    fn mask(self) -> u8 {
        match self {
            Self::Sr2(bit) | Self::Sr3(bit) | Self::Other(bit) => 1 << bit,
            Self::Sr1(_) | Self::Nowhere => 0,
        }
    }
}

/// How BP becomes a number of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Steps {
    /// Doubling; the largest value is everything.
    Doubling,
    /// Doubling from one sixteenth at BP = 3.
    FromThree,
    /// Macronix E grade: a fourth BP bit turns the table upside down.
    Mirrored,
    /// What stays writable doubles.
    Writable,
    /// 1, 2, 4, … half, then all but a quarter, an eighth, …
    UpAndDown,
}

/// Bit positions and steps of one family.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    bp: &'static [u8],
    tb: At,
    sec: At,
    cmp: At,
    steps: Steps,
}

const THREE: &[u8] = &[2, 3, 4];
const FOUR: &[u8] = &[2, 3, 4, 5];
const MICRON: &[u8] = &[2, 3, 4, 6];

const WINBOND: Layout =
    Layout { bp: THREE, tb: At::Sr1(5), sec: At::Sr1(6), cmp: At::Sr2(6), steps: Steps::Doubling };
const BARE: Layout = Layout { sec: At::Nowhere, cmp: At::Nowhere, ..WINBOND };

/// Families by the parts that belong to them.
const FAMILIES: &[(&str, Layout)] = &[
    (
        "W25Q16JV W25Q32FV W25Q32JV W25Q64FV W25Q64JV W25Q128BV W25Q128FV W25Q128JV GD25Q32B \
         GD25Q32C GD25Q32E GD25Q64C GD25Q64E GD25Q127C GD25Q128C GD25Q128E GD25LQ32 GD25LQ64 GD25LQ128E \
         XM25QH32B XM25QH32C XM25QH64C XM25QH128A XM25QH128C BY25Q32BS BY25Q64AS BY25Q128AS \
         ZB25VQ32B ZB25VQ64A ZB25VQ128A P25Q32H PY25Q32HB PY25Q64HA PY25Q128HA XT25F128B FM25Q64A \
         FM25Q32 FM25Q64 S25FL128L AT25SF321 AT25SF128A",
        WINBOND,
    ),
    ("GD25F64F", Layout { cmp: At::Sr3(4), ..WINBOND }),
    ("FM25Q128A FM25W128", Layout { sec: At::Nowhere, steps: Steps::FromThree, ..WINBOND }),
    ("W25Q256FV W25Q256JV", Layout { bp: FOUR, tb: At::Sr1(6), sec: At::Nowhere, ..WINBOND }),
    (
        "MX25L3233F MX25L6433F MX25L12833F MX25L12835F",
        Layout { bp: FOUR, tb: At::Other(3), ..BARE },
    ),
    ("MX25L3206E", Layout { tb: At::Nowhere, steps: Steps::Mirrored, ..BARE }),
    (
        "IS25LP032 IS25LP064 IS25LP128 XM25QH64B XM25QH128B",
        Layout { bp: FOUR, tb: At::Other(1), ..BARE },
    ),
    ("EN25QH128 N25Q032A", BARE),
    ("N25Q064A N25Q128A MT25QL128", Layout { bp: MICRON, ..BARE }),
    ("SST25VF032B", Layout { tb: At::Nowhere, ..BARE }),
    ("EN25Q32 EN25Q64 EN25Q128", Layout { steps: Steps::Writable, ..BARE }),
    (
        "EN25QH32B EN25QH64A XM25QH64A",
        Layout { bp: FOUR, tb: At::Sr2(3), steps: Steps::UpAndDown, ..BARE },
    ),
];

/// The layout of a part.
pub(super) fn layout(part: &str) -> Option<Layout> {
    let belongs = |names: &str| names.split_whitespace().any(|name| name == part);
    FAMILIES.iter().find(|(names, _)| belongs(names)).map(|(_, layout)| *layout)
}

impl Layout {
    /// Values of the registers other than SR1: the bits that matter set, clear, alone, surrounded.
    pub(super) fn second_register_values(&self) -> Vec<u8> {
        let mask = self.tb.mask() | self.cmp.mask();
        vec![0, mask, !mask, 0xff]
    }

    /// The protected range.
    pub(super) fn protected(&self, size: u32, registers: Registers) -> Range<u32> {
        let level = self
            .bp
            .iter()
            .rev()
            .fold(0, |level, &bit| level * 2 + u32::from(At::Sr1(bit).is_set(registers)));
        let mut length = self.length(size, level, registers);
        let mut bottom = self.tb.is_set(registers);
        if self.steps == Steps::Mirrored && registers.sr1 & 0x20 != 0 {
            // BP3: 9 is the lower half, 10 the lower three quarters, … 15 and 8 everything.
            length = if level == 0 { size } else { size - (size >> level) };
            length = if level == 7 { size } else { length };
            bottom = true;
        }
        if self.steps == Steps::Writable {
            bottom = !bottom;
        }
        if self.cmp.is_set(registers) {
            length = size - length;
            bottom = !bottom;
        }
        match (length, bottom) {
            (0, _) => 0..0,
            (length, true) => 0..length,
            (length, false) => size - length..size,
        }
    }

    /// Bytes that BP selects.
    fn length(&self, size: u32, level: u32, registers: Registers) -> u32 {
        let most = (1 << self.bp.len()) - 1;
        if level == 0 {
            return 0;
        }
        if level == most {
            return size;
        }
        if self.sec.is_set(registers) {
            return [4096, 8192, 16384][..].get(level as usize - 1).copied().unwrap_or(32768);
        }
        let unit = (size >> (most - 1)).max(65536);
        match self.steps {
            Steps::Doubling | Steps::Mirrored => {
                let mut length = unit;
                for _ in 1..level {
                    length = (length * 2).min(size);
                }
                length
            }
            Steps::FromThree => [0, 0, 0, size / 16, size / 8, size / 4, size / 2][level as usize],
            Steps::Writable => size - 65536 * (1 << (level - 1)),
            Steps::UpAndDown => {
                let lengths = up_and_down(size);
                lengths.get(level as usize - 1).copied().unwrap_or(size)
            }
        }
    }
}

/// 64 KiB, 128 KiB, … half, then size minus a quarter, an eighth, … 64 KiB, then size.
fn up_and_down(size: u32) -> Vec<u32> {
    let mut shares = vec![];
    let mut share = 65536;
    while share < size {
        shares.push(share);
        share *= 2;
    }
    let left: Vec<u32> = shares.iter().rev().skip(1).map(|share| size - share).collect();
    shares.extend(left);
    shares.push(size);
    shares
}

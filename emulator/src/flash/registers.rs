//! Registers: which bits exist, how each is written, and their values.

use std::collections::BTreeMap;

use spi_nor::part::{BitKind, Part, RegisterName};

/// Number of register names.
pub(crate) const REGISTERS: usize = 9;

/// One byte for every register name; registers that a part lacks stay 0.
pub(crate) type Bytes = [u8; REGISTERS];

/// All names, in the order of [`index`].
pub(crate) const NAMES: [RegisterName; REGISTERS] = [
    RegisterName::Sr1,
    RegisterName::Sr2,
    RegisterName::Sr3,
    RegisterName::Cr,
    RegisterName::Cr1,
    RegisterName::Cr2,
    RegisterName::Fr,
    RegisterName::Scur,
    RegisterName::Fsr,
];

/// Position of a register in [`Bytes`].
pub(crate) const fn index(name: RegisterName) -> usize {
    match name {
        RegisterName::Sr1 => 0,
        RegisterName::Sr2 => 1,
        RegisterName::Sr3 => 2,
        RegisterName::Cr => 3,
        RegisterName::Cr1 => 4,
        RegisterName::Cr2 => 5,
        RegisterName::Fr => 6,
        RegisterName::Scur => 7,
        RegisterName::Fsr => 8,
    }
}

/// Where a named bit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BitAt {
    /// Index of the register.
    pub(crate) register: usize,
    /// The bit alone.
    pub(crate) mask: u8,
}

impl BitAt {
    /// Value of the bit in `values`.
    pub(crate) fn get(self, values: &Bytes) -> bool {
        values[self.register] & self.mask != 0
    }
}

/// The part's registers as masks.
#[derive(Debug, Clone)]
pub(crate) struct RegisterMap {
    /// Factory values of all bits.
    pub(crate) factory: Bytes,
    /// Bits with a non-volatile cell that 06h writes.
    pub(crate) nv: Bytes,
    /// Bits that 50h writes.
    pub(crate) volatile_write: Bytes,
    /// Bits without a non-volatile cell that a write changes.
    pub(crate) volatile: Bytes,
    /// Bits that only go from 0 to 1.
    pub(crate) otp: Bytes,
    /// Bits that read the write enable latch.
    pub(crate) write_enable_latch: Bytes,
    /// Bits that read 1 while the part is busy.
    pub(crate) busy: Bytes,
    /// Bits that read 1 while the part is ready.
    pub(crate) ready: Bytes,
    /// Bits that read 1 while an erase is suspended.
    pub(crate) erase_suspended: Bytes,
    /// Bits that read 1 while a program is suspended.
    pub(crate) program_suspended: Bytes,
    /// The BP bits.
    pub(crate) block_protect: Bytes,
    /// Quad enable, on parts that have it.
    pub(crate) quad_enable: Option<BitAt>,
    names: BTreeMap<String, BitAt>,
}

impl RegisterMap {
    /// Collects the masks. A name that occurs twice keeps its first place.
    pub(crate) fn new(part: &Part) -> Self {
        let mut map = Self {
            factory: Bytes::default(),
            nv: Bytes::default(),
            volatile_write: Bytes::default(),
            volatile: Bytes::default(),
            otp: Bytes::default(),
            write_enable_latch: Bytes::default(),
            busy: Bytes::default(),
            ready: Bytes::default(),
            erase_suspended: Bytes::default(),
            program_suspended: Bytes::default(),
            block_protect: Bytes::default(),
            quad_enable: None,
            names: BTreeMap::new(),
        };
        for (name, register) in &part.registers {
            for bit in &register.bits {
                map.add(index(*name), bit);
            }
        }
        map.quad_enable =
            part.quad_enable().map(|at| BitAt { register: index(at.register), mask: at.mask() });
        map
    }

    fn add(&mut self, register: usize, bit: &spi_nor::part::Bit) {
        let mask = 1u8.checked_shl(u32::from(bit.bit)).unwrap_or(0);
        let at = BitAt { register, mask };
        if bit.factory != 0 {
            self.factory[register] |= mask;
        }
        match bit.kind {
            BitKind::Nv => self.nv[register] |= mask,
            BitKind::NvVolatile => {
                self.nv[register] |= mask;
                self.volatile_write[register] |= mask;
            }
            BitKind::Volatile => {
                self.volatile[register] |= mask;
                self.volatile_write[register] |= mask;
            }
            BitKind::Otp => self.otp[register] |= mask,
            BitKind::Status => self.add_status(at, &bit.name),
            BitKind::Reserved => return,
        }
        let digits = bit.name.strip_prefix("BP").unwrap_or("");
        if !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit()) {
            self.block_protect[register] |= mask;
        }
        self.names.entry(bit.name.clone()).or_insert(at);
    }

    /// Status bits are found by the datasheets' names.
    fn add_status(&mut self, BitAt { register, mask }: BitAt, name: &str) {
        let kinds: &mut [&mut Bytes] = match name {
            "WEL" => &mut [&mut self.write_enable_latch],
            "WIP" | "BUSY" => &mut [&mut self.busy],
            "READY" => &mut [&mut self.ready],
            "SUS" => &mut [&mut self.erase_suspended, &mut self.program_suspended],
            "SUS1" | "ESUS" | "ESB" | "E_SUSP" | "WSE" => &mut [&mut self.erase_suspended],
            "SUS2" | "PSUS" | "PSB" | "P_SUSP" | "WSP" => &mut [&mut self.program_suspended],
            _ => &mut [],
        };
        for kind in kinds {
            kind[register] |= mask;
        }
    }

    /// Finds a bit by name.
    pub(crate) fn find(&self, name: &str) -> Option<BitAt> {
        self.names.get(name).copied()
    }

    /// Masks of the bits in `names`; names that the part lacks are skipped.
    pub(crate) fn masks(&self, names: &[String]) -> Bytes {
        let mut masks = Bytes::default();
        for at in names.iter().filter_map(|name| self.find(name)) {
            masks[at.register] |= at.mask;
        }
        masks
    }
}

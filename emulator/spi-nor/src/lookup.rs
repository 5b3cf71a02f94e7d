//! Finding registers and bits of a part by name.

use crate::part::{Bit, BitKind, Part, Protection, Register, RegisterName, WriteTarget};

/// Where a bit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BitPosition {
    /// Register.
    pub register: RegisterName,
    /// Bit number, 7..=0.
    pub bit: u8,
}

impl BitPosition {
    /// The bit alone in a byte of its register.
    #[must_use]
    pub fn mask(self) -> u8 {
        1u8.checked_shl(u32::from(self.bit)).unwrap_or(0)
    }

    /// Value of the bit in a byte of its register, 0 or 1.
    #[must_use]
    pub fn of(self, register_value: u8) -> u8 {
        u8::from(register_value & self.mask() != 0)
    }
}

impl Part {
    /// A register by name.
    #[must_use]
    pub fn register(&self, name: RegisterName) -> Option<&Register> {
        self.registers.get(&name)
    }

    /// The register that `opcode` reads.
    #[must_use]
    pub fn reads(&self, opcode: u8) -> Option<RegisterName> {
        self.registers
            .iter()
            .find(|(_, register)| register.read.contains(&opcode))
            .map(|(name, _)| *name)
    }

    /// Where the bit called `name` is; the lowest one where a part mirrors it.
    #[must_use]
    pub fn find_bit(&self, name: &str) -> Option<BitPosition> {
        self.bits().filter(|(_, bit)| bit.name == name).map(|(position, _)| position).min()
    }

    /// Every bit of every register.
    pub fn bits(&self) -> impl Iterator<Item = (BitPosition, &Bit)> {
        self.registers.iter().flat_map(|(&register, contents)| {
            contents.bits.iter().map(move |bit| (BitPosition { register, bit: bit.bit }, bit))
        })
    }

    /// Register contents as shipped; 0 for a register that the part does not have.
    #[must_use]
    pub fn factory_value(&self, name: RegisterName) -> u8 {
        self.mask_where(name, |bit| bit.factory == 1)
    }

    /// Bits that a register write can change; 0 for a register that the part does not have.
    #[must_use]
    pub fn write_mask(&self, name: RegisterName) -> u8 {
        self.mask_where(name, |bit| !matches!(bit.kind, BitKind::Status | BitKind::Reserved))
    }

    /// Bits of a register for which `wanted` holds.
    #[must_use]
    pub fn mask_where(&self, name: RegisterName, wanted: impl Fn(&Bit) -> bool) -> u8 {
        self.bits()
            .filter(|(position, bit)| position.register == name && wanted(bit))
            .fold(0, |mask, (position, _)| mask | position.mask())
    }

    /// The quad enable bit.
    #[must_use]
    pub fn quad_enable(&self) -> Option<BitPosition> {
        self.find_bit(self.quad_enable_bit.as_deref()?)
    }

    /// The BP bits in the rule's order, least significant first; empty where the rule has none.
    #[must_use]
    pub fn block_protect_bits(&self) -> Vec<BitPosition> {
        self.protection
            .block_protect_names()
            .iter()
            .filter_map(|name| self.find_bit(name))
            .collect()
    }
}

impl Protection {
    /// Names of the BP bits, least significant first; empty where the rule has none.
    #[must_use]
    pub fn block_protect_names(&self) -> &[String] {
        match self {
            Self::BlockProtect { bp, .. }
            | Self::InverseBlockProtect { bp, .. }
            | Self::SymmetricBlockProtect { bp, .. } => bp,
            Self::Table { .. } | Self::BlockProtectionRegister { .. } | Self::None {} => &[],
        }
    }

    /// Names of every bit that decides the range, each once.
    #[must_use]
    pub fn bit_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.block_protect_names().iter().map(String::as_str).collect();
        let rows = match self {
            Self::BlockProtect { tb, sec, cmp, exceptions, .. } => {
                names.extend([tb, sec, cmp].into_iter().flatten().map(String::as_str));
                exceptions
            }
            Self::InverseBlockProtect { tb, exceptions, .. }
            | Self::SymmetricBlockProtect { tb, exceptions, .. } => {
                names.extend(tb.as_deref());
                exceptions
            }
            Self::Table { rows } => rows,
            Self::BlockProtectionRegister { .. } | Self::None {} => return names,
        };
        for name in rows.iter().flat_map(|row| row.bits.keys()) {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        names
    }
}

impl WriteTarget {
    /// The register that the byte goes to; `None` if the part drops it.
    #[must_use]
    pub fn register(self) -> Option<RegisterName> {
        Some(match self {
            Self::Sr1 => RegisterName::Sr1,
            Self::Sr2 => RegisterName::Sr2,
            Self::Sr3 => RegisterName::Sr3,
            Self::Cr => RegisterName::Cr,
            Self::Cr1 => RegisterName::Cr1,
            Self::Cr2 => RegisterName::Cr2,
            Self::Fr => RegisterName::Fr,
            Self::Scur => RegisterName::Scur,
            Self::Ignored => return None,
        })
    }
}

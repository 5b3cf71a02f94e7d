//! The registers of a part by name, and reading them safely.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use spi_nor::{
    Meaning,
    part::{Part, RegisterName},
};

use crate::{
    identity::Identity,
    session::{Session, SessionError},
    status::{READ_OPCODES, StatusRegisters},
};

/// Values of those registers of one part that were read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Registers(BTreeMap<RegisterName, u8>);

impl Registers {
    /// The registers that 05h, 35h and 15h read on `part`.
    #[must_use]
    pub fn from_status(part: &Part, status: &StatusRegisters) -> Self {
        let values = part.registers.keys();
        Self(values.filter_map(|name| Some((*name, status.of(part, *name)?))).collect())
    }

    /// A register's value, if it was read.
    #[must_use]
    pub fn get(&self, register: RegisterName) -> Option<u8> {
        self.0.get(&register).copied()
    }

    /// Sets a register's value.
    pub fn set(&mut self, register: RegisterName, value: u8) {
        self.0.insert(register, value);
    }

    /// The bit of `part` called `name`, 0 or 1; none if its register was not read or the part has
    /// no such bit.
    #[must_use]
    pub fn bit(&self, part: &Part, name: &str) -> Option<u8> {
        let position = part.find_bit(name)?;
        self.get(position.register).map(|value| position.of(value))
    }

    /// Sets the bit called `name`; nothing happens if its register was not read.
    pub fn set_bit(&mut self, part: &Part, name: &str, on: bool) {
        let Some(position) = part.find_bit(name) else { return };
        if let Some(value) = self.0.get_mut(&position.register) {
            let mask = position.mask();
            *value = if on { *value | mask } else { *value & !mask };
        }
    }

    /// All values in order.
    pub fn iter(&self) -> impl Iterator<Item = (RegisterName, u8)> + '_ {
        self.0.iter().map(|(name, value)| (*name, *value))
    }
}

/// How a datasheet spells a register.
#[must_use]
pub fn register_label(register: RegisterName) -> &'static str {
    match register {
        RegisterName::Sr1 => "SR1",
        RegisterName::Sr2 => "SR2",
        RegisterName::Sr3 => "SR3",
        RegisterName::Cr => "CR",
        RegisterName::Cr1 => "CR1",
        RegisterName::Cr2 => "CR2",
        RegisterName::Fr => "FR",
        RegisterName::Scur => "SCUR",
        RegisterName::Fsr => "FSR",
    }
}

impl fmt::Display for Registers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, value)) in self.iter().enumerate() {
            let gap = if at == 0 { "" } else { " " };
            write!(f, "{gap}{}={value:#04x}", register_label(name))?;
        }
        Ok(())
    }
}

/// Registers of `part` that say what is protected, whether that can be changed, and QE.
fn relevant(part: &Part) -> Vec<RegisterName> {
    let lock = &part.status_lock;
    let select = part.individual_locks.as_ref().and_then(|locks| locks.select_bit.as_deref());
    let bits = part.protection.bit_names().into_iter();
    let bits = bits
        .chain(lock.wp_enable_bit.as_deref())
        .chain(lock.power_lock_bit.as_deref())
        .chain(part.quad_enable_bit.as_deref())
        .chain(select);
    let mut names: Vec<RegisterName> =
        bits.filter_map(|name| part.find_bit(name)).map(|at| at.register).collect();
    names.push(RegisterName::Sr1);
    names.sort_unstable();
    names.dedup();
    names
}

/// The opcode that reads `register` of `part` and does no harm on any other candidate (QUIRKS
/// Q17).
fn safe_read(part: &Part, register: RegisterName, candidates: &[Part]) -> Option<u8> {
    let harmless = |other: &Part, opcode| {
        matches!(
            other.instruction_table().meaning(opcode),
            Meaning::Ignored | Meaning::ReadRegister(_)
        )
    };
    let opcodes = &part.register(register)?.read;
    opcodes
        .iter()
        .copied()
        .find(|opcode| candidates.iter().all(|candidate| harmless(candidate, *opcode)))
}

impl Session {
    /// Reads the registers of `part` that bear on protection, each by an opcode that is harmless
    /// on every candidate of `identity`. Those that cannot be read so are absent.
    ///
    /// # Errors
    ///
    /// As [`Session::spi`].
    pub fn read_registers(
        &mut self,
        identity: &Identity,
        part: &Part,
    ) -> Result<Registers, SessionError> {
        self.read_registers_cached(identity, part, &mut Vec::new())
    }

    /// As [`Session::read_registers`]; `cache` holds opcodes that were sent and their answers.
    pub(crate) fn read_registers_cached(
        &mut self,
        identity: &Identity,
        part: &Part,
        cache: &mut Vec<(u8, u8)>,
    ) -> Result<Registers, SessionError> {
        let mut registers = Registers::default();
        for name in relevant(part) {
            let Some(opcode) = safe_read(part, name, &identity.candidates) else { continue };
            let known = cache.iter().find(|(sent, _)| *sent == opcode).map(|(_, value)| *value);
            let value = match known {
                Some(value) => value,
                None => self.read_flash_register(opcode)?,
            };
            if known.is_none() {
                cache.push((opcode, value));
            }
            registers.set(name, value);
        }
        Ok(registers)
    }
}

impl Registers {
    /// As the three answers to 05h, 35h and 15h.
    #[must_use]
    pub fn to_status(&self, part: &Part) -> StatusRegisters {
        let value = |opcode: u8| part.reads(opcode).and_then(|name| self.get(name));
        StatusRegisters { values: READ_OPCODES.map(value) }
    }
}

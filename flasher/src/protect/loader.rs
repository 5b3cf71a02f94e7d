//! What the ROM loader does to the registers by itself, and mending it.
//!
//! Every `FLASH_BEGIN` of the ROM writes the status registers: it clears the whole second one if
//! QE is set there, and then the BP bits (ROM-FACTS 6.3 a and b).

use serde::Serialize;
use spi_nor::part::{Part, StatusWrite, WriteTarget};

use super::{
    forms::{locked, plan_write},
    range::{Protected, decode},
    registers::Registers,
};
use crate::{
    identity::Identity,
    session::{Session, SessionError},
    status::{Persistence, StatusForm},
};

/// Bit of the answer to 35h that the ROM takes for QE.
const ROM_QUAD_ENABLE: u8 = 0x02;

/// The registers after the ROM's mode set-up and unlock, as far as the part's data tells.
///
/// `now` unchanged if the part takes no two-byte 01h (QUIRKS Q3) or its registers are locked.
#[must_use]
pub fn after_rom_unlock(part: &Part, now: &Registers) -> Registers {
    if locked(part, now).is_some() {
        return now.clone();
    }
    let Some(form) = part.status_write.iter().find(|form| is_two_byte_01h(form)) else {
        return now.clone();
    };
    let second = part.reads(0x35).and_then(|name| now.get(name)).unwrap_or(0);
    let mut after = now.clone();
    let kept = if second & ROM_QUAD_ENABLE == 0 { second } else { 0 };
    for (target, value) in form.to.iter().zip([0, kept]) {
        if let Some(register) = target.register()
            && let Some(old) = now.get(register)
        {
            let mask = part.write_mask(register);
            after.set(register, (old & !mask) | (value & mask));
        }
    }
    after
}

fn is_two_byte_01h(form: &StatusWrite) -> bool {
    form.opcode == 0x01 && form.to.len() == 2 && form.to[0] != WriteTarget::Ignored
}

/// The state of the registers before the loader's first write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    before: Option<(Part, Registers)>,
    identity: Identity,
}

/// What a write session of the loader did to the registers, and what was mended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GuardReport {
    /// The part whose rules were used; none if it is not in the catalogue.
    pub part: Option<String>,
    /// Before the write.
    pub before: Registers,
    /// After it, and after the mending.
    pub after: Registers,
    /// The loader lifted a write protection that was in force.
    pub protection_lifted: bool,
    /// The loader has set a write protection that was not there: `FLASH_DEFL_END`, which on a bad
    /// line an MD5 request turns into by one flipped bit (13h, 12h).
    pub protection_set: bool,
    /// QE was lost, or a protection was set, and these instructions undid it.
    pub restored: Vec<StatusForm>,
    /// QE was lost and is still off.
    pub quad_enable_lost: bool,
}

impl GuardReport {
    /// Nothing worth telling happened.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        !self.protection_lifted
            && !self.protection_set
            && self.restored.is_empty()
            && !self.quad_enable_lost
    }
}

impl Guard {
    /// Reads the registers before the first `FLASH_BEGIN`.
    ///
    /// # Errors
    ///
    /// As [`Session::spi`].
    pub fn before(session: &mut Session, identity: &Identity) -> Result<Self, SessionError> {
        let before = match identity.candidates.first() {
            Some(part) => Some((part.clone(), session.read_registers(identity, part)?)),
            None => None,
        };
        Ok(Self { before, identity: identity.clone() })
    }

    /// With registers that were read already.
    #[must_use]
    pub fn with(identity: &Identity, part: Option<&Part>, registers: &Registers) -> Self {
        let before = part.map(|part| (part.clone(), registers.clone()));
        Self { before, identity: identity.clone() }
    }

    /// The part is not known, so nothing can be mended.
    #[must_use]
    pub fn is_blind(&self) -> bool {
        self.before.is_none()
    }

    /// Reads the registers again; writes QE back if the loader cleared it, and the protection bits
    /// if it has set them.
    ///
    /// # Errors
    ///
    /// As [`Session::send_status_form`].
    pub fn after(&self, session: &mut Session) -> Result<GuardReport, SessionError> {
        let Some((part, before)) = &self.before else {
            return Ok(GuardReport {
                part: None,
                before: Registers::default(),
                after: Registers::default(),
                protection_lifted: false,
                protection_set: false,
                restored: Vec::new(),
                quad_enable_lost: false,
            });
        };
        let mut after = session.read_registers(&self.identity, part)?;
        let mut restored = Vec::new();
        let quad = part.quad_enable_bit.as_deref();
        let is_on =
            |registers: &Registers| quad.is_some_and(|name| registers.bit(part, name) == Some(1));
        let covers = |registers: &Registers| match decode(part, registers) {
            Protected::Range(range) => !range.is_empty(),
            Protected::ByLocks => true,
            Protected::Unknown => false,
        };
        let protection_set = covers(&after) && !covers(before);
        let mut wanted = after.clone();
        if let Some(name) = quad.filter(|_| is_on(before)) {
            wanted.set_bit(part, name, true);
        }
        if protection_set {
            for name in part.protection.bit_names() {
                wanted.set_bit(part, name, before.bit(part, name) == Some(1));
            }
        }
        if wanted != after
            && let Ok(plan) = plan_write(part, &self.identity.candidates, &after, &wanted)
        {
            for form in plan.forms {
                session.send_surely(&form, Persistence::NonVolatile)?;
                restored.push(form);
            }
            after = session.read_registers(&self.identity, part)?;
        }
        Ok(GuardReport {
            part: Some(part.name.clone()),
            before: before.clone(),
            protection_set,
            protection_lifted: covers(before) && !covers(&after),
            quad_enable_lost: is_on(before) && !is_on(&after),
            after,
            restored,
        })
    }
}

#[cfg(test)]
mod tests {
    use spi_nor::catalog;

    use super::*;
    use crate::status::StatusRegisters;

    fn after(part: &str, values: [u8; 3]) -> [Option<u8>; 3] {
        let part = catalog::part(part).unwrap();
        let status = StatusRegisters { values: values.map(Some) };
        after_rom_unlock(&part, &Registers::from_status(&part, &status)).to_status(&part).values
    }

    #[test]
    fn the_rom_clears_bp_and_with_qe_the_whole_second_register() {
        assert_eq!(after("W25Q128FV", [0x1c, 0x00, 0x60])[..2], [Some(0), Some(0)]);
        assert_eq!(after("W25Q128FV", [0x1c, 0x42, 0x60])[..2], [Some(0), Some(0)]);
        // CMP without QE is kept (ROM-FACTS 6.4).
        assert_eq!(after("W25Q128FV", [0x1c, 0x40, 0x60])[..2], [Some(0), Some(0x40)]);
    }

    #[test]
    fn what_takes_no_two_byte_write_or_is_locked_stays() {
        assert_eq!(after("GD25Q128E", [0x1c, 0x42, 0x60])[..2], [Some(0x1c), Some(0x42)]);
        assert_eq!(after("W25Q128FV", [0x1c, 0x01, 0x60])[..2], [Some(0x1c), Some(0x01)]);
    }
}

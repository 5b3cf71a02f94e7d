//! Which parts a flash can be: one JEDEC id may belong to several.

use serde::{Serialize, Serializer, ser::SerializeStruct};
use spi_nor::{
    Meaning, catalog,
    part::{JedecId, Part, RegisterName},
};

use crate::{
    flash::FlashId,
    session::{Session, SessionError},
    status::{READ_OPCODES, StatusRegisters},
};

/// A flash and the catalogue's parts that answer like it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// What the flash answered.
    pub id: FlashId,
    /// Parts with this id that its SFDP does not rule out. Empty: not in the catalogue.
    pub candidates: Vec<Part>,
}

/// What the ROM takes for the read of the second status register; every `FLASH_BEGIN` sends it
/// (ROM-FACTS 6.3 a).
pub(crate) const ROM_READS_SECOND: u8 = 0x35;

impl Serialize for Identity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let names: Vec<&str> = self.candidates.iter().map(|part| part.name.as_str()).collect();
        let mut fields = serializer.serialize_struct("Identity", 2)?;
        fields.serialize_field("id", &self.id)?;
        fields.serialize_field("candidates", &names)?;
        fields.end()
    }
}

impl Identity {
    /// Looks `id` up in the catalogue. A built-in file that cannot be read is left out and named
    /// in the log; the others count.
    #[must_use]
    pub fn of(id: FlashId) -> Self {
        let readable = catalog::with_id(JedecId(id.jedec)).filter_map(|part| {
            part.inspect_err(|error| tracing::error!(%error, "a built-in part cannot be read")).ok()
        });
        let by_id = readable.cloned().collect();
        Self::of_candidates(id, by_id)
    }

    /// Looks `id` up among `parts`.
    #[must_use]
    pub fn among(id: FlashId, parts: &[Part]) -> Self {
        let by_id = parts.iter().filter(|part| part.jedec_id.0 == id.jedec).cloned().collect();
        Self::of_candidates(id, by_id)
    }

    /// `by_id` are the parts with the JEDEC id of `id`.
    fn of_candidates(id: FlashId, by_id: Vec<Part>) -> Self {
        let fitting: Vec<Part> =
            by_id.iter().filter(|part| sfdp_fits(part, &id)).cloned().collect();
        // SFDP varies between lots: it narrows the choice, it does not empty it.
        let candidates = if fitting.is_empty() { by_id } else { fitting };
        Self { id, candidates }
    }

    /// A candidate on which the ROM loader's own probe (35h) enters the four-line mode, so that its
    /// write would hang (QUIRKS Q17).
    #[must_use]
    pub fn entered_by_rom_probe(&self) -> Option<&Part> {
        self.candidates.iter().find(|part| part.instructions.enter_qpi.contains(&ROM_READS_SECOND))
    }

    /// The part, if every candidate programs one byte an instruction: what this program, as the
    /// loader, does not do.
    #[must_use]
    pub fn byte_program(&self) -> Option<&Part> {
        let by_bytes = |part: &Part| part.program.max_bytes == 1;
        self.candidates.first().filter(|_| self.candidates.iter().all(by_bytes))
    }

    /// Status registers that can be read without harm: on some candidate the opcode reads a
    /// register, and on none it does something else, such as entering the four-line mode (QUIRKS
    /// Q17). Of an unknown part only register 1.
    #[must_use]
    pub fn readable_status(&self) -> [bool; 3] {
        let reads = |opcode: u8| {
            self.candidates.iter().any(|part| part.reads(opcode).is_some())
                && self.candidates.iter().all(|part| {
                    part.reads(opcode).is_some()
                        || part.instruction_table().meaning(opcode) == Meaning::Ignored
                })
        };
        [true, reads(READ_OPCODES[1]), reads(READ_OPCODES[2])]
    }
}

fn sfdp_fits(part: &Part, id: &FlashId) -> bool {
    match (&part.sfdp, &id.sfdp) {
        (Some(known), Some(read)) => {
            let len = known.0.len().min(read.raw.len());
            known.0[..len] == read.raw[..len]
        }
        // Not every part file has its SFDP: that rules nothing out.
        _ => true,
    }
}

impl Session {
    /// Reads the status registers that [`Identity::readable_status`] allows.
    ///
    /// # Errors
    ///
    /// As [`Session::spi`].
    pub fn read_known_status(
        &mut self,
        identity: &Identity,
    ) -> Result<StatusRegisters, SessionError> {
        let mut values = [None; 3];
        let readable = identity.readable_status();
        for ((value, opcode), readable) in values.iter_mut().zip(READ_OPCODES).zip(readable) {
            if readable {
                *value = Some(self.read_flash_register(opcode)?);
            }
        }
        Ok(StatusRegisters { values })
    }
}

impl StatusRegisters {
    /// The value of the register of `part` that one of the read opcodes answers.
    #[must_use]
    pub fn of(&self, part: &Part, register: RegisterName) -> Option<u8> {
        let position = READ_OPCODES.iter().position(|opcode| part.reads(*opcode) == Some(register));
        position.and_then(|position| self.values[position])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(jedec: [u8; 3]) -> FlashId {
        FlashId { jedec, bytes_by_id: None, sfdp: None }
    }

    #[test]
    fn one_id_can_be_several_parts() {
        let identity = Identity::of(id([0xc8, 0x40, 0x18]));
        assert!(identity.candidates.len() > 1);
        assert!(identity.candidates.iter().all(|part| part.jedec_id.0 == [0xc8, 0x40, 0x18]));
    }

    #[test]
    fn an_opcode_that_enters_qpi_on_a_candidate_is_not_sent() {
        let parts = catalog::parse_all().unwrap();
        let entering =
            parts.iter().find(|part| part.instructions.enter_qpi.contains(&0x35)).unwrap();
        let identity = Identity::of(id(entering.jedec_id.0));
        assert!(!identity.readable_status()[1]);
    }

    #[test]
    fn of_an_unknown_part_only_register_1_is_read() {
        let identity = Identity::of(id([0x12, 0x34, 0x56]));
        assert!(identity.candidates.is_empty());
        assert_eq!(identity.readable_status(), [true, false, false]);
    }
}

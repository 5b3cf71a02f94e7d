//! Individual locks and the block protection register (QUIRKS Q14, Q15).

use spi_nor::{Meaning, part::RegisterName};

use super::{NorFlash, in_flight::Kind};
use crate::{
    flash::{
        Denial,
        permit::Request,
        registers::{NAMES, index},
    },
    spi::Transaction,
    time::{Duration, Instant},
    trace::{Event, Trace},
};

impl NorFlash {
    /// Carries out an instruction that changes locks.
    pub(super) fn write_locks(
        &mut self,
        now: Instant,
        meaning: Meaning,
        transaction: &Transaction<'_>,
        trace: &mut Trace,
    ) -> Result<(), Denial> {
        let Some((&opcode, data)) = transaction.mosi.split_first() else { return Ok(()) };
        let request = if self.lock_data_fits(meaning, data) {
            Request::LockWrite { frozen: self.lock_is_frozen(meaning) }
        } else {
            Request::Cut { address: false, bytes: data.len() }
        };
        if let Err(why) = self.permitted(transaction.command_lines, &request) {
            return Err(self.refuse(now, opcode, &request, why, trace));
        }
        let address = self.address(transaction.mosi).unwrap_or(0);
        let mut busy = Duration::ZERO;
        if meaning == Meaning::SelectIndividualLocks {
            self.select_individual_locks(now, trace);
            busy = self.status_write_time();
        }
        if let Some(locks) = &mut self.locks {
            match meaning {
                Meaning::LockUnit | Meaning::UnlockUnit => {
                    locks.set(address, meaning == Meaning::LockUnit);
                }
                Meaning::GlobalLock | Meaning::GlobalUnlock => {
                    locks.set_all(meaning == Meaning::GlobalLock);
                }
                Meaning::WriteBlockProtection => locks.set_register(data),
                Meaning::LockBlockProtectionForEver => {
                    locks.lock_for_ever(data);
                    self.state.locked_for_ever = locks.locked_for_ever();
                    self.dirty.registers();
                    busy = self.status_write_time();
                }
                Meaning::LockDownBlockProtection => self.locks_frozen = true,
                _ => {}
            }
        }
        if meaning == Meaning::LockDownBlockProtection {
            self.show();
        }
        self.start(now, Kind::Status, 0..0, busy);
        Ok(())
    }

    /// Whether the instruction came with the bytes that it needs.
    fn lock_data_fits(&self, meaning: Meaning, data: &[u8]) -> bool {
        match meaning {
            Meaning::LockUnit | Meaning::UnlockUnit => data.len() == self.address_bytes(),
            Meaning::WriteBlockProtection | Meaning::LockBlockProtectionForEver => {
                self.locks.as_ref().is_some_and(|locks| locks.register_bytes() == data.len())
            }
            _ => data.is_empty(),
        }
    }

    /// 8Dh freezes the locks; 68h works once.
    fn lock_is_frozen(&self, meaning: Meaning) -> bool {
        match meaning {
            Meaning::SelectIndividualLocks => self.derived.locks_count,
            _ => self.locks_frozen,
        }
    }

    /// 68h of Macronix (WPSEL): individual locks instead of BP, for ever.
    fn select_individual_locks(&mut self, now: Instant, trace: &mut Trace) {
        let Some(bit) = self.derived.bits.lock_select else { return };
        let old = self.live[bit.register];
        self.before.note_registers(&self.state);
        self.live[bit.register] |= bit.mask;
        self.state.nv[bit.register] |= bit.mask;
        self.dirty.registers();
        let name = NAMES.iter().copied().find(|&name| index(name) == bit.register);
        let (register, new) = (name.unwrap_or(RegisterName::Scur), self.live[bit.register]);
        trace.push(now, Event::StatusWrite { register, old, new, volatile: false });
        self.derive();
    }
}

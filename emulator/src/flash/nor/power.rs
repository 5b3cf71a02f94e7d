//! Power-up, resets, and what is lost in them (QUIRKS Q35).

use spi_nor::part::BothLockBits;

use super::{Armed, NorFlash, UltraPowerDown};
use crate::flash::registers::{Bytes, NAMES};

impl NorFlash {
    /// The lock until power cycle ends: both lock bits read 0 then (QUIRKS Q21).
    pub(super) fn release_power_lock(&mut self) {
        let bits = self.derived.bits;
        let Some(power_lock) = bits.power_lock else { return };
        let nv = &mut self.state.nv;
        let both = bits.wp_enable.is_some_and(|bit| bit.get(nv));
        let for_ever = both && self.part.status_lock.both == BothLockBits::OneTimeProgram;
        if !power_lock.get(nv) || for_ever {
            return;
        }
        nv[power_lock.register] &= !power_lock.mask;
        if let Some(bit) = bits.wp_enable {
            nv[bit.register] &= !bit.mask;
        }
        self.dirty.registers();
    }

    pub(super) fn power_up(&mut self) {
        self.locks_frozen = false;
        self.powered_down = false;
        self.ultra_power_down = UltraPowerDown::No;
        self.live = Bytes::default();
        self.soft_reset();
    }

    /// What 66h, 99h do: volatile copies and modes go, a lock until power cycle stays.
    pub(super) fn soft_reset(&mut self) {
        let stays = self.derived.bits.power_lock.filter(|bit| bit.get(&self.live));
        for register in 0..NAMES.len() {
            let stored = self.map.nv[register] | self.map.otp[register];
            self.live[register] =
                (self.map.factory[register] & !stored) | (self.state.nv[register] & stored);
        }
        if let Some(bit) = stays {
            self.live[bit.register] |= bit.mask;
        }
        self.wel = false;
        self.armed = Armed::No;
        self.running = None;
        self.suspended = None;
        self.before.clear(&mut self.spare);
        self.suspended_before.clear(&mut self.spare);
        self.four_line_mode = false;
        self.otp_mode = false;
        self.four_byte = false;
        self.reset_enabled = false;
        if let (Some(locks), Some(data)) = (&mut self.locks, &self.part.individual_locks) {
            locks.load_for_ever(&self.state.locked_for_ever);
            locks.set_all(data.locked_at_power_up);
        }
        self.derive();
    }
}

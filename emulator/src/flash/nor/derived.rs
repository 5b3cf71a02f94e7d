//! What follows from registers, pins and modes; computed when one of them changes, so that no
//! chip select has to.

use std::ops::Range;

use spi_nor::part::{BothLockBits, Part, RegisterName};

use super::{NorFlash, in_flight::Kind};
use crate::flash::{
    locks::Locks,
    permit::StatusLockState,
    range::protected_range,
    registers::{BitAt, NAMES, RegisterMap, index},
};

/// Bits that matter for locking, found once.
#[derive(Debug, Clone, Copy)]
pub(super) struct LockBits {
    pub(super) wp_enable: Option<BitAt>,
    pub(super) power_lock: Option<BitAt>,
    /// Selects the individual locks: WPS, WPSEL.
    pub(super) lock_select: Option<BitAt>,
    /// Makes HOLD# a RESET#.
    pub(super) hold_is_reset: Option<BitAt>,
    /// Shows that the block protection register is frozen.
    pub(super) lock_down: Option<BitAt>,
}

/// What follows from the register values.
#[derive(Debug, Clone)]
pub(super) struct Derived {
    pub(super) bits: LockBits,
    /// What the register bits protect.
    pub(super) protected: Range<u32>,
    /// Some BP bit is 1.
    pub(super) any_block_protect: bool,
    /// The individual locks are what counts.
    pub(super) locks_count: bool,
    /// HOLD# is low and works as HOLD#.
    pub(super) held: bool,
    pub(super) status_lock: StatusLockState,
    /// Dummy bytes of a fast read beyond the usual one (QUIRKS Q22).
    pub(super) extra_dummy: usize,
}

impl Derived {
    /// Of a part whose registers are not looked at yet.
    pub(super) fn new(part: &Part, map: &RegisterMap) -> Self {
        let find = |name: &Option<String>| name.as_deref().and_then(|name| map.find(name));
        let select = part.individual_locks.as_ref().and_then(|locks| find(&locks.select_bit));
        let both: BothLockBits = part.status_lock.both;
        Self {
            bits: LockBits {
                wp_enable: find(&part.status_lock.wp_enable_bit),
                power_lock: find(&part.status_lock.power_lock_bit),
                lock_select: select,
                hold_is_reset: map.find("HOLD/RST"),
                lock_down: map.find("WPLD"),
            },
            protected: 0..0,
            any_block_protect: false,
            locks_count: false,
            held: false,
            status_lock: StatusLockState {
                wp_enabled: false,
                power_lock: false,
                wp_low: false,
                both,
            },
            extra_dummy: 0,
        }
    }
}

impl NorFlash {
    /// Recomputes what follows from registers and pins.
    pub(super) fn derive(&mut self) {
        let (map, live) = (&self.map, &self.live);
        let bit = |name: &str| map.find(name).map_or(0, |at| u8::from(at.get(live)));
        let protected = protected_range(&self.part, &bit);
        let extra_dummy = self
            .part
            .extra_dummy
            .iter()
            .filter(|extra| extra.bits.iter().all(|(name, value)| bit(name) == *value));
        let extra_dummy = extra_dummy.map(|extra| usize::from(extra.bytes)).sum();
        let is_set = |bit: Option<BitAt>| bit.is_some_and(|bit| bit.get(live));
        let quad = is_set(map.quad_enable);
        let derived = &mut self.derived;
        let bits = derived.bits;
        derived.protected = protected;
        derived.extra_dummy = extra_dummy;
        derived.any_block_protect =
            map.block_protect.iter().zip(live).any(|(mask, value)| mask & value != 0);
        derived.locks_count = self
            .part
            .individual_locks
            .as_ref()
            .is_some_and(|locks| locks.select_bit.is_none() || is_set(bits.lock_select));
        derived.held = !self.pins.hold_high && !quad;
        derived.status_lock.wp_enabled = is_set(bits.wp_enable);
        derived.status_lock.power_lock = is_set(bits.power_lock);
        derived.status_lock.wp_low =
            !(self.pins.wp_high || quad && self.part.status_lock.wp_pin_ignored_when_qe);
        self.show();
    }

    /// Recomputes what the register reads show.
    pub(super) fn show(&mut self) {
        let map = &self.map;
        let suspended = self.suspended.as_ref().map(|operation| operation.kind);
        for register in 0..NAMES.len() {
            let (erase, program) = (map.erase_suspended[register], map.program_suspended[register]);
            let latches =
                map.write_enable_latch[register] | map.busy[register] | map.ready[register];
            let mut value = self.live[register];
            if self.otp_mode && register == index(RegisterName::Sr1) {
                value = self.state.otp_lock;
            }
            value &= !(latches | erase | program);
            value |= match suspended {
                Some(Kind::Erase) => erase,
                Some(_) => program,
                None => 0,
            };
            self.shown[register] = value;
        }
        if let Some(bit) = self.derived.bits.lock_down
            && self.locks_frozen
        {
            self.shown[bit.register] |= bit.mask;
        }
    }

    /// Register value with the bits that the part drives.
    #[inline]
    pub(super) fn register_value(&self, register: usize) -> u8 {
        let map = &self.map;
        let ready = if self.running.is_some() { map.busy } else { map.ready };
        let latch = if self.wel { map.write_enable_latch[register] } else { 0 };
        self.shown[register] | ready[register] | latch
    }

    /// The individual locks, if they are what counts.
    #[inline]
    pub(super) fn counting_locks(&self) -> Option<&Locks> {
        self.locks.as_ref().filter(|_| self.derived.locks_count)
    }
}

//! Status and configuration register writes (QUIRKS Q3, Q5, Q19, Q23).

use spi_nor::part::StatusWrite;

use super::{Armed, NorFlash, in_flight::Kind};
use crate::{
    flash::{
        Denial,
        permit::Request,
        registers::{Bytes, NAMES, RegisterMap, index},
    },
    spi::Transaction,
    time::{Duration, Instant},
    trace::{Event, Trace},
};

/// One accepted register write.
#[derive(Debug, Clone)]
pub(super) struct Form {
    opcode: u8,
    to: Vec<Option<usize>>,
    clears: Bytes,
}

impl Form {
    /// The data of a part's file with names resolved.
    pub(super) fn new(form: &StatusWrite, map: &RegisterMap) -> Self {
        Self {
            opcode: form.opcode,
            to: form.to.iter().map(|&to| to.register().map(index)).collect(),
            clears: map.masks(&form.clears),
        }
    }
}

impl NorFlash {
    /// Takes the latch of 50h: whether the register write that consumes it is volatile.
    fn take_armed_volatile(&mut self) -> bool {
        std::mem::replace(&mut self.armed, Armed::No) == Armed::Volatile
    }

    /// The accepted form with this opcode and data length.
    fn form(&self, opcode: u8, bytes: usize) -> Option<&Form> {
        self.forms.iter().find(|form| form.opcode == opcode && form.to.len() == bytes)
    }

    /// Busy time of a non-volatile register write.
    pub(super) fn status_write_time(&self) -> Duration {
        Duration::from_micros(u64::from(self.part.status_write_time.typical_us))
    }

    /// 01h, 31h, 11h and the like: taken only with exactly an accepted number of data bytes.
    pub(super) fn write_registers(
        &mut self,
        now: Instant,
        transaction: &Transaction<'_>,
        trace: &mut Trace,
    ) -> Result<(), Denial> {
        let Some((&opcode, data)) = transaction.mosi.split_first() else { return Ok(()) };
        let accepted = self.form(opcode, data.len()).is_some();
        let request = Request::StatusWrite { bytes: data.len(), accepted };
        if let Err(why) = self.permitted(transaction.command_lines, &request) {
            return Err(self.refuse(now, opcode, &request, why, trace));
        }
        let volatile = self.take_armed_volatile();
        if !volatile {
            self.before.note_registers(&self.state);
        }
        if self.otp_mode {
            self.state.otp_lock |= data.first().copied().unwrap_or(0);
            self.dirty.registers();
            self.show();
        } else {
            self.apply_form(now, opcode, data, volatile, trace);
        }
        if !volatile {
            self.start(now, Kind::Status, 0..0, self.status_write_time());
        }
        Ok(())
    }

    /// Puts data bytes into the registers that the form names.
    fn apply_form(
        &mut self,
        now: Instant,
        opcode: u8,
        data: &[u8],
        volatile: bool,
        trace: &mut Trace,
    ) {
        let (mut live, mut nv) = (self.live, self.state.nv);
        let Some(form) = self.form(opcode, data.len()) else { return };
        let map = &self.map;
        let mut written = form.clears.map(|mask| mask != 0);
        for (register, mask) in form.clears.into_iter().enumerate() {
            let reach = if volatile { map.volatile_write[register] } else { !map.otp[register] };
            live[register] &= !(mask & reach);
            if !volatile {
                nv[register] &= !(mask & map.nv[register]);
            }
        }
        for (&to, &value) in form.to.iter().zip(data) {
            let Some(to) = to else { continue };
            written[to] = true;
            if volatile {
                let mask = map.volatile_write[to];
                live[to] = (live[to] & !mask) | (value & mask);
            } else {
                let mask = map.nv[to] | map.volatile[to];
                live[to] = (live[to] & !mask) | (value & mask) | (value & map.otp[to]);
                nv[to] = (nv[to] & !map.nv[to]) | (value & map.nv[to]) | (value & map.otp[to]);
            }
        }
        for (register, &name) in NAMES.iter().enumerate() {
            if written[register] {
                let (old, new) = (self.live[register], live[register]);
                trace.push(now, Event::StatusWrite { register: name, old, new, volatile });
            }
        }
        self.live = live;
        if nv != self.state.nv {
            // Only a changed value makes the part program its row again.
            self.state.damaged_row = None;
            self.state.nv = nv;
            self.dirty.registers();
        }
        self.derive();
    }
}

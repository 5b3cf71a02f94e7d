//! Instructions that change cells or registers. Each asks [`permit`](super::permit) first.

#![expect(clippy::cast_possible_truncation, reason = "lengths inside one part: capacities are u32")]

use std::ops::Range;

use spi_nor::Meaning;

use super::{Denial, NorFlash, nor::Kind, permit::Request, registers::NAMES};
use crate::{
    spi::Transaction,
    time::{Duration, Instant},
    trace::{Event, Trace},
};

/// Where program data lands: a run to the page's end and one from the page's start.
struct PageRuns<'a> {
    page: Range<u32>,
    runs: [(u32, &'a [u8]); 2],
}

impl NorFlash {
    /// 02h: ANDs data into one page, wrapping inside it (QUIRKS Q36).
    pub(super) fn page_program(
        &mut self,
        now: Instant,
        transaction: &Transaction<'_>,
        trace: &mut Trace,
    ) -> Result<(), Denial> {
        let mosi = transaction.mosi;
        let runs = self.page_runs(mosi);
        let request = match &runs {
            None => Request::Cut { address: true, bytes: 0 },
            Some(runs) if runs.runs[0].1.is_empty() => Request::Cut { address: false, bytes: 0 },
            _ if self.otp_mode => Request::OneTimeArea { frozen: self.state.otp_lock != 0 },
            Some(runs) => Request::Program(runs.touched()),
        };
        if let Err(why) = self.permitted(transaction.command_lines, &request) {
            return Err(self.refuse(now, mosi[0], &request, why, trace));
        }
        let Some(PageRuns { runs, .. }) = runs else { return Ok(()) };
        self.end_flags();
        let mut count = 0;
        for (address, data) in runs {
            if data.is_empty() {
                continue;
            }
            count += data.len();
            if self.otp_mode {
                self.state.otp_sector.program(address % 4096, data);
                self.dirty.registers();
                continue;
            }
            if let Some(sector) = self.state.cells.program(address, data) {
                self.dirty.sector(sector);
            }
            trace.push(now, Event::Programmed { range: address..address + data.len() as u32 });
        }
        let busy = self.program_time(count);
        self.start(now, Kind::Program, runs[0].0..runs[0].0 + 1, busy);
        Ok(())
    }

    /// Splits the data phase at the page's end. Of more than a page only the last page counts; of
    /// more than the part's limit the rest is dropped (QUIRKS Q16).
    fn page_runs<'a>(&self, mosi: &'a [u8]) -> Option<PageRuns<'a>> {
        let address = self.address(mosi)?;
        let mut data = mosi.get(1 + self.address_bytes()..)?;
        let page_bytes = self.part.page_bytes;
        let limit = usize::from(self.part.program.max_bytes);
        let mut offset = address % page_bytes;
        let page = address - offset;
        if limit < page_bytes as usize {
            data = &data[..data.len().min(limit)];
        } else if data.len() > page_bytes as usize {
            let dropped = data.len() - page_bytes as usize;
            data = &data[dropped..];
            // A page is at most 4096 bytes.
            offset = (offset + (dropped % page_bytes as usize) as u32) % page_bytes;
        }
        let room = (page_bytes - offset) as usize;
        let (first, second) = data.split_at(room.min(data.len()));
        Some(PageRuns {
            page: page..page + page_bytes,
            runs: [(page + offset, first), (page, second)],
        })
    }

    /// Typical time for `count` bytes: a sixteenth of the page time to start, the rest in
    /// proportion (Winbond gives 30 us and 2.5 us a byte for a page time of 700 us).
    fn program_time(&self, count: usize) -> Duration {
        let full = u64::from(self.part.program.typical_us) * 1_000;
        let limit =
            u64::from(self.part.program.max_bytes).clamp(1, u64::from(self.part.page_bytes));
        let share = (count as u64).min(limit);
        if share == limit {
            return Duration::from_nanos(full);
        }
        Duration::from_nanos((full / 16 + full * 15 / 16 * share / limit).max(1))
    }

    /// Sector and block erases; the address is rounded down to the unit.
    pub(super) fn erase(
        &mut self,
        now: Instant,
        number: usize,
        transaction: &Transaction<'_>,
        trace: &mut Trace,
    ) -> Result<(), Denial> {
        let mosi = transaction.mosi;
        let Some(erase) = self.part.erase.get(number).copied() else { return Ok(()) };
        let extra = mosi.len().saturating_sub(1 + self.address_bytes());
        let range = self.address(mosi).map(|address| {
            let start = address & !(erase.bytes - 1);
            start..start.saturating_add(erase.bytes).min(self.part.capacity_bytes)
        });
        let request = match range.clone() {
            None => Request::Cut { address: true, bytes: 0 },
            Some(_) if extra > 0 => Request::Cut { address: false, bytes: extra },
            Some(_) if self.otp_mode => Request::OneTimeArea { frozen: self.state.otp_lock != 0 },
            Some(range) => Request::Erase(range),
        };
        if let Err(why) = self.permitted(transaction.command_lines, &request) {
            return Err(self.refuse(now, mosi[0], &request, why, trace));
        }
        let Some(range) = range else { return Ok(()) };
        let busy = Duration::from_micros(u64::from(erase.typical_us));
        if self.otp_mode {
            self.state.otp_sector.erase(&(0..4096), |_| {});
            self.dirty.registers();
            self.start(now, Kind::Erase, 0..0, busy);
            return Ok(());
        }
        self.erase_cells(now, range, busy, trace);
        Ok(())
    }

    /// 60h, C7h: all or nothing (QUIRKS Q11).
    pub(super) fn chip_erase(
        &mut self,
        now: Instant,
        transaction: &Transaction<'_>,
        trace: &mut Trace,
    ) -> Result<(), Denial> {
        let all = 0..self.part.capacity_bytes;
        let extra = transaction.mosi.len() - 1;
        let request = if extra > 0 {
            Request::Cut { address: false, bytes: extra }
        } else {
            Request::ChipErase(all.clone())
        };
        if let Err(why) = self.permitted(transaction.command_lines, &request) {
            return Err(self.refuse(now, transaction.mosi[0], &request, why, trace));
        }
        let busy = Duration::from_micros(u64::from(self.part.chip_erase.typical_us));
        self.erase_cells(now, all, busy, trace);
        Ok(())
    }

    fn erase_cells(&mut self, now: Instant, range: Range<u32>, busy: Duration, trace: &mut Trace) {
        self.end_flags();
        let dirty = &mut self.dirty;
        self.state.cells.erase(&range, |sector| dirty.sector(sector));
        trace.push(now, Event::Erased { range: range.clone(), busy });
        self.start(now, Kind::Erase, range, busy);
    }

    /// A successful operation clears old failure flags where no instruction does (Macronix).
    fn end_flags(&mut self) {
        if self.part.instructions.clear_flags.is_empty() {
            self.clear_flags();
        }
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
        if self.otp_mode {
            self.state.otp_lock |= data.first().copied().unwrap_or(0);
            self.dirty.registers();
        } else {
            self.apply_form(now, opcode, data, volatile, trace);
        }
        if !volatile {
            let busy = Duration::from_micros(u64::from(self.part.status_write_time.typical_us));
            self.start(now, Kind::Status, 0..0, busy);
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

    /// 44h and 42h: the security registers, frozen one by one by the LB bits.
    pub(super) fn security(
        &mut self,
        now: Instant,
        op: Meaning,
        transaction: &Transaction<'_>,
        trace: &mut Trace,
    ) -> Result<(), Denial> {
        let mosi = transaction.mosi;
        let address = self.address(mosi);
        let data = mosi.get(1 + self.address_bytes()..).unwrap_or_default();
        let number = address.map_or(0, |address| (address >> 12) & 3);
        let request = match address {
            None => Request::Cut { address: true, bytes: 0 },
            Some(_) if (op == Meaning::SecurityErase) != data.is_empty() => {
                Request::Cut { address: false, bytes: data.len() }
            }
            Some(_) => Request::OneTimeArea { frozen: self.security_frozen(number) },
        };
        if let Err(why) = self.permitted(transaction.command_lines, &request) {
            return Err(self.refuse(now, mosi[0], &request, why, trace));
        }
        let base = number << 12;
        self.dirty.registers();
        if op == Meaning::SecurityErase {
            self.state.security.erase(&(base..base + 256), |_| {});
            let busy = self.part.erase.first().map_or(0, |erase| erase.typical_us);
            self.start(now, Kind::Erase, 0..0, Duration::from_micros(u64::from(busy)));
            return Ok(());
        }
        if let Some(PageRuns { runs, .. }) = self.page_runs(mosi) {
            for (address, data) in runs {
                self.state.security.program(base | (address & 0xFF), data);
            }
            let busy = self.program_time(data.len());
            self.start(now, Kind::Program, 0..0, busy);
        }
        Ok(())
    }

    /// LB1..LB3 freeze registers 1..3; one bit LB freezes all.
    fn security_frozen(&self, number: u32) -> bool {
        let is_set = |name: &str| self.map.find(name).is_some_and(|bit| bit.get(&self.live));
        is_set("LB") || is_set(["LB0", "LB1", "LB2", "LB3"][number as usize & 3])
    }
}

impl PageRuns<'_> {
    /// Addresses that the program touches: the bytes, or the whole page if it wraps.
    fn touched(&self) -> Range<u32> {
        let (start, first) = self.runs[0];
        if self.runs[1].1.is_empty() {
            start..start + first.len() as u32
        } else {
            self.page.clone()
        }
    }
}

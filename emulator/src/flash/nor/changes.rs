//! Instructions that change cells. Each asks [`permit`](crate::flash::permit) first.

#![expect(clippy::cast_possible_truncation, reason = "lengths inside one part: capacities are u32")]

use std::ops::Range;

use spi_nor::{Meaning, part::Part};

use super::{
    NorFlash,
    in_flight::{Area, Kind},
};
use crate::{
    flash::{Denial, permit::Request},
    spi::Transaction,
    time::{Duration, Instant},
    trace::{Event, Trace},
};

/// Size of the sector that 3Ah opens.
const OTP_SECTOR_BYTES: u32 = 4096;
/// Size of one security register.
const SECURITY_BYTES: u32 = 256;

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
        if self.otp_mode {
            self.dirty.registers();
            let runs = runs.map(|(address, data)| (address % OTP_SECTOR_BYTES, data));
            self.program_runs(now, Area::OtpSector, runs, trace);
        } else {
            self.program_runs(now, Area::Array, runs, trace);
        }
        Ok(())
    }

    /// ANDs runs of data into an area and starts the operation.
    fn program_runs(
        &mut self,
        now: Instant,
        area: Area,
        runs: [(u32, &[u8]); 2],
        trace: &mut Trace,
    ) {
        let cells = match area {
            Area::Array => &mut self.state.cells,
            Area::Security => &mut self.state.security,
            Area::OtpSector => &mut self.state.otp_sector,
        };
        let mut count = 0;
        for (address, data) in runs {
            if data.is_empty() {
                continue;
            }
            count += data.len();
            let range = address..address + data.len() as u32;
            self.before.note_run(area, cells, range.clone());
            let changed = cells.program(address, data, &mut self.spare);
            if area == Area::Array {
                if let Some(sector) = changed {
                    self.dirty.sector(sector);
                }
                trace.push(now, Event::Programmed { range });
            }
        }
        let start = runs[0].0;
        let busy = self.program_time(count);
        self.start(now, Kind::Program, start..start + runs[0].1.len() as u32, busy);
    }

    /// Splits the data phase at the page's end. Of more than a page only the last page counts; of
    /// more than the part's limit the rest is dropped (QUIRKS Q16).
    fn page_runs<'a>(&self, mosi: &'a [u8]) -> Option<PageRuns<'a>> {
        let address = self.address(mosi)?;
        let mut data = mosi.get(1 + self.address_bytes()..)?;
        let page_bytes = self.part.page_bytes;
        let limit = usize::from(self.part.program.max_bytes);
        // A power of two (`check`).
        let mut offset = address & (page_bytes - 1);
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

    /// Busy time of a program of `count` bytes.
    pub(super) fn program_time(&self, count: usize) -> Duration {
        let times = &self.program_times;
        times.get(count).or(times.last()).copied().unwrap_or(Duration::ZERO)
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
            self.erase_otp_sector(now, busy);
        } else {
            self.erase_cells(now, range, busy, trace);
        }
        Ok(())
    }

    /// Any erase in OTP mode (QUIRKS Q32).
    fn erase_otp_sector(&mut self, now: Instant, busy: Duration) {
        let before = &mut self.before;
        before.note_erase(Area::OtpSector, 0..OTP_SECTOR_BYTES);
        self.state
            .otp_sector
            .erase(&(0..OTP_SECTOR_BYTES), |number, old| before.note_sector(number, old));
        self.dirty.registers();
        self.start(now, Kind::Erase, 0..0, busy);
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
        } else if self.otp_mode {
            Request::OneTimeArea { frozen: self.state.otp_lock != 0 }
        } else {
            Request::ChipErase(all.clone())
        };
        if let Err(why) = self.permitted(transaction.command_lines, &request) {
            return Err(self.refuse(now, transaction.mosi[0], &request, why, trace));
        }
        if self.otp_mode {
            let sector = self.part.erase.first().map_or(0, |erase| erase.typical_us);
            self.erase_otp_sector(now, Duration::from_micros(u64::from(sector)));
        } else {
            let busy = Duration::from_micros(u64::from(self.part.chip_erase.typical_us));
            self.erase_cells(now, all, busy, trace);
        }
        Ok(())
    }

    fn erase_cells(&mut self, now: Instant, range: Range<u32>, busy: Duration, trace: &mut Trace) {
        self.end_flags();
        let (dirty, before) = (&mut self.dirty, &mut self.before);
        before.note_erase(Area::Array, range.clone());
        self.state.cells.erase(&range, |number, old| {
            dirty.sector(number);
            before.note_sector(number, old);
        });
        trace.push(now, Event::Erased { range: range.clone(), busy });
        self.start(now, Kind::Erase, range, busy);
    }

    /// A successful operation clears old failure flags where no instruction does (Macronix).
    fn end_flags(&mut self) {
        if self.part.instructions.clear_flags.is_empty() {
            self.clear_flags();
        }
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
            let before = &mut self.before;
            let range = base..base + SECURITY_BYTES;
            before.note_erase(Area::Security, range.clone());
            self.state.security.erase(&range, |number, old| before.note_sector(number, old));
            let busy = self.part.erase.first().map_or(0, |erase| erase.typical_us);
            self.start(now, Kind::Erase, 0..0, Duration::from_micros(u64::from(busy)));
            return Ok(());
        }
        if let Some(PageRuns { runs, .. }) = self.page_runs(mosi) {
            let runs = runs.map(|(address, data)| (base | (address % SECURITY_BYTES), data));
            self.program_runs(now, Area::Security, runs, trace);
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

/// Typical time of a program by its number of bytes: a sixteenth of the page time to start, the
/// rest in proportion (Winbond gives 30 us and 2.5 us a byte for a page time of 700 us). Behind the
/// last entry the time does not grow.
pub(super) fn program_times(part: &Part) -> Vec<Duration> {
    let full = u64::from(part.program.typical_us) * 1_000;
    let limit = u64::from(part.program.max_bytes).clamp(1, u64::from(part.page_bytes));
    let partial = |count: u64| (full / 16 + full * 15 / 16 * count / limit).max(1);
    (0..limit).map(partial).chain([full]).map(Duration::from_nanos).collect()
}

//! Runs of chip selects whose answers are known beforehand, taken at once.
//!
//! The ROM programs 32 bytes with five chip selects and a poll of two more, and reads 64 bytes with
//! one. Where nobody looks at them one by one, and latches, modes and protection cannot change in
//! between, the part can do what a whole run does and say when it ends. What a run leaves behind
//! (cells, latches, registers, trace, time) is what its chip selects leave behind; where that is
//! not certain the part declines, and the caller goes on chip select by chip select.

use spi_nor::{Meaning, part::RegisterName};

use super::{Armed, NorFlash, UltraPowerDown};
use crate::{
    flash::{permit::Request, registers::index},
    spi::CommandLines,
    time::{Duration, Instant},
    trace::{Event, Trace},
};

const WIP: u8 = 1 << 0;
const WEL: u8 = 1 << 1;
/// What the address phase of an instruction reaches.
const ADDRESS_END: u32 = 1 << 24;

/// Time on the bus for a chip select of so many bytes.
pub(crate) type BusTime = fn(usize) -> Duration;

/// A page program in pieces: before each `05h` until the part is ready, `05h` once more, `06h`,
/// `05h` for WEL, then `02h`; `05h` until the part is ready at the end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProgramRun<'a> {
    /// Where.
    pub(crate) address: u32,
    /// What; inside one page of the part.
    pub(crate) data: &'a [u8],
    /// Data bytes of one `02h`.
    pub(crate) piece_bytes: usize,
}

/// How a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RunEnd {
    /// The host's clock behind the last chip select.
    pub(crate) now: Instant,
    /// The last answer to `05h`.
    pub(crate) status: u8,
}

impl NorFlash {
    /// Does what the chip selects of `run` do from `now` on; `None`, with nothing done, if they have
    /// to be made one by one.
    pub(crate) fn program_run(
        &mut self,
        mut now: Instant,
        run: &ProgramRun<'_>,
        bus_time: BusTime,
        trace: &mut Trace,
    ) -> Option<RunEnd> {
        if trace.records_spi() || !self.can_program_by_rom(now, run) {
            return None;
        }
        let range = self.take_program_run(run)?;
        let mut until = None;
        let mut begun_at = None;
        for piece in run.data.chunks(run.piece_bytes) {
            now = wait_ready(now, until, bus_time);
            now = now + bus_time(2) + bus_time(1) + bus_time(2);
            begun_at.get_or_insert(now);
            until = Some(now + self.program_time(piece.len()));
            now += bus_time(4 + piece.len());
        }
        now = wait_ready(now, until, bus_time);
        trace.push(begun_at.unwrap_or(now), Event::Programmed { range });
        Some(RunEnd { now, status: self.register_value(index(RegisterName::Sr1)) })
    }

    /// Changes the cells as the programs of `run` do, and leaves the latches as they do; `None`, with
    /// nothing done, if one of them is not permitted.
    fn take_program_run(&mut self, run: &ProgramRun<'_>) -> Option<std::ops::Range<u32>> {
        let len = u32::try_from(run.data.len()).ok()?;
        let range = run.address..run.address.checked_add(len)?;
        // What 06h does comes before each of them.
        let latch = std::mem::replace(&mut self.wel, true);
        // A range is permitted if each part of it is: nothing forbids some bytes together only.
        let permitted = self.permitted(CommandLines::One, &Request::Program(range.clone()));
        if permitted.is_err() {
            self.wel = latch;
            return None;
        }
        self.armed = Armed::No;
        self.reset_enabled = false;
        let changed = self.state.cells.program(run.address, run.data, &mut self.spare);
        if let Some(sector) = changed {
            self.dirty.sector(sector);
        }
        self.finish();
        Some(range)
    }

    /// Whether every answer to the status reads of `run` is known, and each of its programs does to
    /// the cells what it says.
    fn can_program_by_rom(&mut self, now: Instant, run: &ProgramRun<'_>) -> bool {
        let &ProgramRun { address, data, piece_bytes } = run;
        let offset = (address & (self.part.page_bytes - 1)) as usize;
        let in_page = offset + data.len() <= self.part.page_bytes as usize
            && piece_bytes <= usize::from(self.part.program.max_bytes);
        self.is_plain(now)
            && in_page
            && !data.is_empty()
            && piece_bytes > 0
            && self.reaches(address, data.len())
            && self.table.meaning(0x06) == Meaning::WriteEnable
            && self.table.meaning(0x02) == Meaning::PageProgram
            && self.shows_latch_and_busy()
            && self.has_no_flags()
    }

    /// Nothing runs and no mode changes what instructions mean. Settles what is over by `now`.
    fn is_plain(&mut self, now: Instant) -> bool {
        self.settle(now);
        self.running.is_none()
            && self.suspended.is_none()
            && !self.otp_mode
            && !self.four_byte
            && self.ultra_power_down == UltraPowerDown::No
    }

    /// Neither the address phase nor the array ends before the range does.
    fn reaches(&self, address: u32, byte_count: usize) -> bool {
        let end = self.part.capacity_bytes.min(ADDRESS_END);
        u32::try_from(byte_count)
            .ok()
            .and_then(|count| address.checked_add(count))
            .is_some_and(|range_end| range_end <= end)
    }

    /// 05h reads WEL and WIP where the ROM looks for them, and nothing else there.
    fn shows_latch_and_busy(&self) -> bool {
        let sr1 = index(RegisterName::Sr1);
        let (shown, map) = (self.shown[sr1], &self.map);
        let ready = shown | map.ready[sr1];
        let enabled = ready | map.write_enable_latch[sr1];
        let busy = shown | map.busy[sr1];
        self.table.meaning(0x05) == Meaning::ReadRegister(RegisterName::Sr1)
            && enabled & (WEL | WIP) == WEL
            && busy & WIP != 0
    }

    /// No failure flag is set that a program would clear.
    fn has_no_flags(&self) -> bool {
        let flags = self.program_flags.iter().zip(&self.erase_flags);
        self.live.iter().zip(flags).all(|(value, (program, erase))| value & (program | erase) == 0)
    }

    /// Whether 05h says that the part is ready, as often as it is asked until something is written.
    pub(crate) fn stays_ready(&mut self, now: Instant, trace: &Trace) -> bool {
        let request = Request::Other { while_busy: true, wakes: false };
        !trace.records_spi()
            && self.is_plain(now)
            && self.table.meaning(0x05) == Meaning::ReadRegister(RegisterName::Sr1)
            && self.register_value(index(RegisterName::Sr1)) & WIP == 0
            && self.permitted(CommandLines::One, &request).is_ok()
    }

    /// Fills `into` as read instructions in a row do, the first of them `mosi`; `false`, with nothing
    /// done, if they have to be made one by one.
    pub(crate) fn read_run(
        &mut self,
        now: Instant,
        mosi: &[u8],
        into: &mut [u8],
        trace: &Trace,
    ) -> bool {
        let &[opcode, high, middle, low, ref dummy @ ..] = mosi else { return false };
        let dummy_bytes = match self.table.meaning(opcode) {
            Meaning::Read => 0,
            Meaning::FastRead => 1 + self.derived.extra_dummy,
            _ => return false,
        };
        let address = u32::from_be_bytes([0, high, middle, low]);
        let request = Request::Other { while_busy: false, wakes: false };
        let is_known = !trace.records_spi()
            && dummy.len() == dummy_bytes
            && self.is_plain(now)
            && self.reaches(address, into.len())
            && self.permitted(CommandLines::One, &request).is_ok();
        if is_known {
            self.reset_enabled = false;
            self.state.cells.read(address, into);
        }
        is_known
    }
}

/// The clock behind the polls of a part that is busy until then: the host jumps over what is left
/// after the first of them.
fn wait_ready(now: Instant, until: Option<Instant>, bus_time: BusTime) -> Instant {
    let after = now + bus_time(2);
    match until {
        Some(until) if until > now => after.max(until) + bus_time(2),
        _ => after,
    }
}

//! Faults that the transcripts were captured with, between a controller and its flash: each is data,
//! each counts what it did. Plans of faults for anything else: `esp32_emulator::fault`.

use std::ops::Range;

use spi_nor::{InstructionTable, Meaning, Part, part::RegisterName};

use esp32_emulator::{
    flash::Denial,
    spi::{SpiConnection, SpiDevice, Transaction},
    time::Instant,
    trace::{Event, Trace},
};

/// Which faults there are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct FlashFaults {
    /// No part on the bus: every answer is this level, 0x00 or 0xFF.
    pub(crate) no_chip: Option<u8>,
    /// Wrong answers to a read of SR2 (QUIRKS Q1).
    pub(crate) sr2_forced: Option<ForcedAnswer>,
    /// WREN never sets the latch.
    pub(crate) no_write_enable: bool,
    /// Programs and erases that touch this range are silently dropped.
    pub(crate) read_only: Option<Range<u32>>,
    /// Bits that a program cannot clear.
    pub(crate) stuck_bits: u8,
    /// The data line is stuck high in register writes: every data byte arrives as 0xFF
    /// (QUIRKS Q22).
    pub(crate) status_data_stuck_high: bool,
}

/// Which reads of a register are answered wrongly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ForcedAnswer {
    /// The wrong value.
    pub(crate) value: u8,
    /// First read that gets it, counted from 0.
    pub(crate) first: u64,
    /// How many reads get it; `None` for all that follow.
    pub(crate) count: Option<u64>,
}

/// What the faults did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct FaultCounts {
    /// Chip selects that found no part.
    pub(crate) unanswered: u64,
    /// Forced answers to a read of SR2.
    pub(crate) sr2_forced: u64,
    /// WREN instructions that were swallowed.
    pub(crate) write_enables: u64,
    /// Programs and erases that were dropped.
    pub(crate) dropped: u64,
    /// Programs whose data was changed.
    pub(crate) stuck: u64,
    /// Register writes whose data arrived as 0xFF.
    pub(crate) status_writes_high: u64,
}

/// A flash behind faults.
#[derive(Debug, Clone)]
pub(crate) struct FaultyFlash<F> {
    inner: F,
    faults: FlashFaults,
    counts: FaultCounts,
    table: InstructionTable,
    erase_bytes: Vec<u32>,
    capacity_bytes: u32,
    write_disable: Option<u8>,
    sr2_reads: u64,
    scratch: Vec<u8>,
}

impl<F: SpiDevice> FaultyFlash<F> {
    /// Puts `faults` in front of `inner`, which is a part of the kind `part`.
    pub(crate) fn new(inner: F, part: &Part, faults: FlashFaults) -> Self {
        Self {
            inner,
            faults,
            counts: FaultCounts::default(),
            table: part.instruction_table(),
            erase_bytes: part.erase.iter().map(|erase| erase.bytes).collect(),
            capacity_bytes: part.capacity_bytes,
            write_disable: part.instructions.write_disable.first().copied(),
            sr2_reads: 0,
            scratch: Vec::new(),
        }
    }

    /// The flash behind the faults.
    pub(crate) fn inner(&self) -> &F {
        &self.inner
    }

    /// What the faults did so far.
    pub(crate) fn counts(&self) -> FaultCounts {
        self.counts
    }

    /// Whether this read of SR2 is answered wrongly, and with what.
    fn forced_sr2(&mut self) -> Option<u8> {
        let forced = self.faults.sr2_forced?;
        let number = self.sr2_reads;
        self.sr2_reads += 1;
        let after = number.checked_sub(forced.first)?;
        (forced.count.is_none_or(|count| after < count)).then_some(forced.value)
    }

    /// Addresses that a program or erase touches; `None` for other instructions.
    fn touched(&self, meaning: Meaning, mosi: &[u8]) -> Option<Range<u32>> {
        let capacity = self.capacity_bytes.max(1);
        let address = mosi.get(1..4).map(|bytes| {
            bytes.iter().fold(0, |address, &byte| (address << 8) | u32::from(byte)) % capacity
        });
        match meaning {
            Meaning::ChipErase => Some(0..capacity),
            Meaning::Erase(index) => {
                let bytes = self.erase_bytes.get(index).copied()?.max(1);
                let start = address? - address? % bytes;
                Some(start..start.saturating_add(bytes))
            }
            Meaning::PageProgram | Meaning::QuadPageProgram => {
                let start = address?;
                let length = u32::try_from(mosi.len().saturating_sub(4)).unwrap_or(256).min(256);
                Some(start..start + length)
            }
            _ => None,
        }
    }

    /// Drops a program or erase: the part sees WRDI instead, so that the latch falls.
    fn drop_change(
        &mut self,
        now: Instant,
        transaction: &Transaction<'_>,
        range: Range<u32>,
        trace: &mut Trace,
    ) {
        self.counts.dropped += 1;
        if let Some(opcode) = self.write_disable {
            let mut instead = Transaction {
                mosi: &[opcode],
                miso: &mut [],
                command_lines: transaction.command_lines,
            };
            self.inner.transfer(now, &mut instead, &mut Trace::default());
        }
        let protected = self.faults.read_only.clone().unwrap_or_default();
        let why = Denial::BlockProtect { protected };
        trace.push(now, Event::Denied { opcode: transaction.mosi[0], range, why, count: 1 });
        trace.spi(transaction, true);
    }

    /// Sets `bits` in every byte from number `from` on. The bus shows what the host sent, the part
    /// gets what arrives at its cells.
    fn disturb(
        &mut self,
        now: Instant,
        transaction: &mut Transaction<'_>,
        from: usize,
        bits: u8,
        trace: &mut Trace,
    ) {
        self.scratch.clear();
        self.scratch.extend_from_slice(transaction.mosi);
        for byte in self.scratch.iter_mut().skip(from) {
            *byte |= bits;
        }
        let mut arrives = Transaction {
            mosi: &self.scratch,
            miso: transaction.miso,
            command_lines: transaction.command_lines,
        };
        self.inner.transfer(now, &mut arrives, trace);
        trace.amend_spi(transaction.mosi);
    }
}

impl<F: SpiDevice> SpiDevice for FaultyFlash<F> {
    fn transfer(&mut self, now: Instant, transaction: &mut Transaction<'_>, trace: &mut Trace) {
        if let Some(level) = self.faults.no_chip {
            self.counts.unanswered += 1;
            transaction.miso.fill(level);
            trace.spi(transaction, false);
            return;
        }
        let Some(&opcode) = transaction.mosi.first() else {
            return self.inner.transfer(now, transaction, trace);
        };
        let meaning = self.table.meaning(opcode);
        if meaning == Meaning::ReadRegister(RegisterName::Sr2)
            && let Some(value) = self.forced_sr2()
        {
            self.counts.sr2_forced += 1;
            transaction.miso.fill(value);
            trace.spi(transaction, false);
            return;
        }
        if self.faults.no_write_enable && meaning == Meaning::WriteEnable {
            self.counts.write_enables += 1;
            trace.spi(transaction, false);
            return;
        }
        if let Some(read_only) = &self.faults.read_only
            && let Some(range) = self.touched(meaning, transaction.mosi)
            && range.start < read_only.end
            && read_only.start < range.end
        {
            return self.drop_change(now, transaction, range, trace);
        }
        if self.faults.status_data_stuck_high && meaning == Meaning::WriteRegister {
            self.counts.status_writes_high += 1;
            return self.disturb(now, transaction, 1, 0xFF, trace);
        }
        let programs = matches!(meaning, Meaning::PageProgram | Meaning::QuadPageProgram);
        if self.faults.stuck_bits != 0 && programs {
            self.counts.stuck += 1;
            return self.disturb(now, transaction, 4, self.faults.stuck_bits, trace);
        }
        self.inner.transfer(now, transaction, trace);
    }

    fn busy_until(&self) -> Option<Instant> {
        self.inner.busy_until().filter(|_| self.faults.no_chip.is_none())
    }

    fn power_cycle(&mut self, now: Instant) {
        self.inner.power_cycle(now);
    }

    fn connect(&mut self, connection: SpiConnection) {
        self.inner.connect(connection);
    }

    fn power_cut(&mut self, now: Instant, seed: u64) {
        self.inner.power_cut(now, seed);
    }
}

mod tests;

//! What really happened on the board: the ground truth that the wire does not show.
//!
//! The trace is bounded. Neighbouring programs and erases are merged, so that a whole image is a
//! handful of entries. Every single chip select is kept only when asked for
//! ([`Trace::record_spi`]).

use std::{collections::VecDeque, ops::Range};

use spi_nor::part::RegisterName;

use crate::{
    flash::Denial,
    spi::Transaction,
    time::{Duration, Instant},
};

/// Entries kept before the oldest are dropped.
const ENTRIES_MAX: usize = 65_536;

/// The board's log.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    entries: VecDeque<Entry>,
    dropped_count: u64,
    spi: Option<Vec<SpiRecord>>,
}

/// One event with its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When it began.
    pub at: Instant,
    /// What happened.
    pub event: Event,
}

/// One chip select as it looked on the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpiRecord {
    /// Bytes from the host.
    pub mosi: Vec<u8>,
    /// Bytes from the part.
    pub miso: Vec<u8>,
    /// The array or a register refused the operation.
    pub denied: bool,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The supply came up.
    PowerOn,
    /// The chip was reset; the flash keeps its volatile state (QUIRKS Q35).
    HostReset {
        /// Reset cause as the ROM prints it.
        cause: u8,
        /// Strap value that the reset sampled or kept.
        strap: u8,
    },
    /// The flash got its software reset (66h, 99h).
    FlashReset,
    /// The ROM loader took a command.
    Command {
        /// Opcode on the wire.
        opcode: u8,
        /// Status and error byte of the reply, if there was one.
        reply: Option<(u8, u8)>,
    },
    /// A register of the flash changed or was written.
    StatusWrite {
        /// Which register.
        register: RegisterName,
        /// Value before.
        old: u8,
        /// Value after.
        new: u8,
        /// Only the volatile copy changed.
        volatile: bool,
    },
    /// Cells were erased.
    Erased {
        /// Addresses.
        range: Range<u32>,
        /// Busy time, summed over merged operations.
        busy: Duration,
    },
    /// Cells were programmed.
    Programmed {
        /// Addresses.
        range: Range<u32>,
    },
    /// The flash refused an instruction; nothing of it is visible on the wire.
    Denied {
        /// Opcode.
        opcode: u8,
        /// Addresses that it would have touched.
        range: Range<u32>,
        /// Why.
        why: Denial,
        /// How many neighbouring refusals of the same kind this entry stands for.
        count: u64,
    },
    /// The running code waits for ever; only a reset helps.
    Hang {
        /// What it waits for.
        why: Hang,
    },
    /// The UART's rate changed.
    Baud {
        /// New rate in baud.
        rate: u32,
    },
    /// Code that the client uploaded was started, stopped or failed.
    Guest {
        /// One line of text.
        what: String,
    },
    /// A note of the boot personality or of a fault injector.
    Note {
        /// One line of text.
        what: String,
    },
}

/// Why the running code waits for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hang {
    /// WIP never clears.
    WriteInProgress,
    /// WEL never sets.
    WriteEnableLatch,
    /// A processor exception inside the ROM.
    Exception {
        /// Address that was accessed.
        address: u32,
    },
    /// Bytes behind the end of a deflate stream make the ROM's loop spin (ROM-FACTS 5.5).
    DeflateTail,
    /// One command works for so long that no client waits for its end: it erases or reads more than
    /// 256 MiB, of a flash that `SPI_SET_PARAMS` made far larger than any part.
    Endless,
    /// The loader was left without user code (ROM-FACTS 1.4).
    LoaderLeft,
    /// A guest stopped on something that it cannot do.
    Guest,
}

impl Trace {
    /// Keeps every chip select from now on.
    pub fn record_spi(&mut self) {
        self.spi.get_or_insert_with(Vec::new);
    }

    /// Whether chip selects are kept.
    #[must_use]
    pub fn records_spi(&self) -> bool {
        self.spi.is_some()
    }

    /// Takes the chip selects recorded so far and goes on recording.
    pub fn take_spi(&mut self) -> Vec<SpiRecord> {
        self.spi.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Notes one chip select, if they are kept.
    #[inline]
    pub fn spi(&mut self, transaction: &Transaction<'_>, denied: bool) {
        if let Some(records) = &mut self.spi {
            records.push(SpiRecord {
                mosi: transaction.mosi.to_vec(),
                miso: transaction.miso.to_vec(),
                denied,
            });
        }
    }

    /// Puts what the host really sent into the newest chip select, where a fault between host and
    /// part changed it.
    pub fn amend_spi(&mut self, mosi: &[u8]) {
        if let Some(last) = self.spi.as_mut().and_then(|records| records.last_mut()) {
            last.mosi = mosi.to_vec();
        }
    }

    /// Adds an event; merges it into the last entry where both are one run.
    pub fn push(&mut self, at: Instant, event: Event) {
        if let Some(last) = self.entries.back_mut()
            && last.event.merge(&event)
        {
            return;
        }
        if self.entries.len() == ENTRIES_MAX {
            self.entries.pop_front();
            self.dropped_count += 1;
        }
        self.entries.push_back(Entry { at, event });
    }

    /// The entries, oldest first.
    #[must_use]
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> + ExactSizeIterator {
        self.entries.iter()
    }

    /// Takes all entries.
    pub fn take(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.entries).into()
    }

    /// Entries that were dropped because the trace was full.
    #[must_use]
    pub fn dropped_count(&self) -> u64 {
        self.dropped_count
    }
}

impl Event {
    /// Whether a neighbour may still be merged into this entry.
    #[must_use]
    pub const fn may_grow(&self) -> bool {
        matches!(self, Self::Erased { .. } | Self::Programmed { .. } | Self::Denied { .. })
    }

    /// What this entry has gained since it was `before`; `None` if nothing.
    #[must_use]
    pub fn grown_since(&self, before: &Self) -> Option<Self> {
        let mut gained = self.clone();
        let is_more = match (&mut gained, before) {
            (Self::Programmed { range }, Self::Programmed { range: old }) => {
                range.start = old.end;
                range.start < range.end
            }
            (Self::Erased { range, busy }, Self::Erased { range: old, busy: old_busy }) => {
                range.start = old.end;
                *busy = *busy - *old_busy;
                range.start < range.end
            }
            (
                Self::Denied { range, count, .. },
                Self::Denied { range: old, count: old_count, .. },
            ) => {
                range.start = old.end;
                *count = count.saturating_sub(*old_count);
                *count > 0
            }
            _ => false,
        };
        is_more.then_some(gained)
    }

    /// Extends `self` by `next` if they are one run; says whether it did.
    fn merge(&mut self, next: &Self) -> bool {
        match (self, next) {
            (Self::Programmed { range }, Self::Programmed { range: more })
                if range.end == more.start =>
            {
                range.end = more.end;
                true
            }
            (Self::Erased { range, busy }, Self::Erased { range: more, busy: more_busy })
                if range.end == more.start =>
            {
                range.end = more.end;
                *busy = *busy + *more_busy;
                true
            }
            (
                Self::Denied { opcode, range, why, count },
                Self::Denied { opcode: next_opcode, range: more, why: next_why, count: more_count },
            ) if opcode == next_opcode && why == next_why && range.end == more.start => {
                range.end = more.end;
                *count += more_count;
                true
            }
            _ => false,
        }
    }
}

//! UART0: registers, the line in both directions, and its time.

use std::collections::VecDeque;

use super::Crystal;
use crate::time::{Duration, Instant};

/// Bits on the line for one byte: start, eight data, stop.
const BITS_PER_BYTE: u64 = 10;
/// Depth of the transmit FIFO; a full one makes the processor wait.
const TX_FIFO_BYTES: u64 = 128;
/// Bytes that wait for a host that does not read, before new ones are lost as on a real line.
const TX_QUEUE_MAX: usize = 1 << 20;
/// Depth of the receive FIFO.
const RX_FIFO_BYTES: usize = 128;
/// Bytes that wait for code that does not read, where time is not wall time: a host that is told
/// nothing of the board's pace would overrun the FIFO as no real one does.
const RX_QUEUE_MAX: usize = 1 << 16;
/// Most that the count fields of `STATUS` show of what is longer than a FIFO.
const FIFO_COUNT_MAX: usize = 127;
/// Empties the receive FIFO (`CONF0`).
const RX_FIFO_RESET: u32 = 1 << 17;
/// Divider that autobaud finds at 115200 with a 40 MHz crystal (XTENSA 4.2), and with 26 MHz.
const CLKDIV_115200_40M: u32 = 0x0040_015B;
const CLKDIV_115200_26M: u32 = 0x00B0_00E1;
/// `UART_ERR_WR_MASK` in `CONF0`.
const CONF0_ERR_WR_MASK: u32 = 1 << 26;
/// `UART_DATE` (ROM-FACTS 9.3).
const DATE: u32 = 0x1512_2500;

/// Register offsets.
mod offset {
    pub(super) const FIFO: u32 = 0x00;
    pub(super) const INT_RAW: u32 = 0x04;
    pub(super) const INT_ST: u32 = 0x08;
    pub(super) const INT_ENA: u32 = 0x0C;
    pub(super) const INT_CLR: u32 = 0x10;
    pub(super) const CLKDIV: u32 = 0x14;
    pub(super) const AUTOBAUD: u32 = 0x18;
    pub(super) const STATUS: u32 = 0x1C;
    pub(super) const LOWPULSE: u32 = 0x28;
    pub(super) const HIGHPULSE: u32 = 0x2C;
    pub(super) const RXD_CNT: u32 = 0x30;
    pub(super) const CONF0: u32 = 0x20;
    pub(super) const CONF1: u32 = 0x24;
    pub(super) const DATE: u32 = 0x78;
}

/// Interrupt bits of UART0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interrupt {
    /// Enough bytes wait.
    RxFifoFull = 1 << 0,
    /// There is room to send.
    TxFifoEmpty = 1 << 1,
    /// A byte was lost to a full FIFO.
    RxFifoOverflow = 1 << 4,
    /// Bytes wait and the line is quiet.
    RxFifoTimeout = 1 << 8,
}

/// What the rate detector measures.
#[derive(Debug, Clone, Copy, Default)]
struct AutoBaud {
    edges: u32,
    bit_cycles: u32,
}

/// Edges of one byte on a line that was idle: start bit, eight data bits, stop bit.
pub(crate) fn edges(byte: u8) -> u32 {
    let frame = u32::from(byte) << 1 | 1 << 9;
    ((frame ^ (frame << 1 | 1)) & 0x3FF).count_ones()
}

/// UART0.
#[derive(Debug, Clone)]
pub struct Uart {
    clock_hz: u32,
    clkdiv: u32,
    /// Follows from clock and divider; every byte sent asks for it.
    byte_time: Duration,
    interrupt_enable: u32,
    conf0: u32,
    conf1: u32,
    other: [u32; 32],
    rx: VecDeque<u8>,
    /// The receive FIFO is as deep as silicon's.
    has_real_fifo: bool,
    /// A byte was lost, and nobody has cleared the interrupt.
    overflowed: bool,
    /// What the rate detector has measured, while it is on.
    autobaud: Option<AutoBaud>,
    rx_line_free: Instant,
    tx: VecDeque<(Instant, u8)>,
    tx_line_free: Instant,
    tx_lost_bytes: u64,
    /// Ends of the times at other rates, with the rate in baud, while bytes of then wait.
    old_rates: VecDeque<(Instant, u32)>,
}

impl Uart {
    /// After power-on, at the rate that the ROM sets from the crystal.
    #[must_use]
    pub fn reset(crystal: Crystal) -> Self {
        let mut uart = Self {
            clock_hz: 0,
            clkdiv: 0,
            byte_time: Duration::ZERO,
            interrupt_enable: 0,
            conf0: 0,
            conf1: 0,
            other: [0; 32],
            rx: VecDeque::new(),
            has_real_fifo: false,
            overflowed: false,
            autobaud: None,
            rx_line_free: Instant::ZERO,
            tx: VecDeque::new(),
            tx_line_free: Instant::ZERO,
            tx_lost_bytes: 0,
            old_rates: VecDeque::new(),
        };
        uart.reset_registers(crystal);
        uart
    }

    /// Resets the registers and drops received bytes. What is already on the line stays.
    pub fn reset_registers(&mut self, crystal: Crystal) {
        self.keep_rate();
        self.clock_hz = crystal.hertz();
        self.clkdiv = match crystal {
            Crystal::Mhz40 => CLKDIV_115200_40M,
            Crystal::Mhz26 => CLKDIV_115200_26M,
        };
        self.derive_byte_time();
        // As the ROM leaves them (XTENSA 4.2).
        self.interrupt_enable = 1;
        self.conf0 = 0x0C00_001C;
        self.conf1 = 1;
        self.other = [0; 32];
        self.rx.clear();
        self.overflowed = false;
        self.autobaud = None;
    }

    /// Makes the receive FIFO as deep as silicon's: what arrives while it is full is lost.
    pub fn use_real_fifo(&mut self) {
        self.has_real_fifo = true;
        self.rx.truncate(RX_FIFO_BYTES);
    }

    /// Divider in sixteenths, at least 1.
    fn divider(&self) -> u64 {
        let sixteenths = (self.clkdiv & 0xF_FFFF) << 4 | self.clkdiv >> 20 & 0xF;
        u64::from(sixteenths.max(1))
    }

    /// Present rate in baud, rounded.
    #[must_use]
    pub fn baud(&self) -> u32 {
        let scaled = u64::from(self.clock_hz) * 16;
        u32::try_from((scaled + self.divider() / 2) / self.divider()).unwrap_or(u32::MAX)
    }

    /// Clock that feeds the divider, in hertz.
    #[must_use]
    pub fn clock_hz(&self) -> u32 {
        self.clock_hz
    }

    /// Sets the clock that feeds the divider, in hertz: the crystal, or 80 MHz behind the PLL.
    pub fn set_clock(&mut self, hertz: u32) {
        self.keep_rate();
        self.clock_hz = hertz.max(1);
        self.derive_byte_time();
    }

    /// Sets the divider register.
    pub fn set_clkdiv(&mut self, value: u32) {
        self.keep_rate();
        self.clkdiv = value;
        self.derive_byte_time();
    }

    fn derive_byte_time(&mut self) {
        let scaled = self.divider() * BITS_PER_BYTE * 1_000_000_000;
        self.byte_time = Duration::from_nanos(scaled / (u64::from(self.clock_hz) * 16));
    }

    /// Sets the divider that comes nearest to `baud`.
    pub fn set_rate(&mut self, baud: u32) {
        let baud = u64::from(baud.max(1));
        let sixteenths = (u64::from(self.clock_hz) * 16 + baud / 2) / baud;
        let sixteenths = u32::try_from(sixteenths).unwrap_or(u32::MAX).clamp(16, 0xFF_FFFF);
        self.set_clkdiv((sixteenths & 0xF) << 20 | sixteenths >> 4);
    }

    /// Notes the present rate for bytes that were sent at it and are not taken yet.
    fn keep_rate(&mut self) {
        if self.tx.is_empty() {
            self.old_rates.clear();
            return;
        }
        // Changes without a byte in between need no entry, so there are not more than bytes.
        let is_new = self.old_rates.back().is_none_or(|(until, _)| *until < self.tx_line_free);
        if is_new {
            self.old_rates.push_back((self.tx_line_free, self.baud()));
        }
    }

    /// Takes the first byte that has left by `now`, with the rate it was sent at, in baud.
    pub fn take_sent_byte(&mut self, now: Instant) -> Option<(u8, u32)> {
        let (due, byte) = self.tx.pop_front_if(|(due, _)| *due <= now)?;
        while self.old_rates.front().is_some_and(|(until, _)| *until < due) {
            self.old_rates.pop_front();
        }
        let rate = self.old_rates.front().map_or_else(|| self.baud(), |(_, rate)| *rate);
        Some((byte, rate))
    }

    /// Time of one byte on the line.
    #[must_use]
    pub fn byte_time(&self) -> Duration {
        self.byte_time
    }

    /// Whether a byte with a wrong stop bit or parity goes into the FIFO. `UART_ERR_WR_MASK` forbids
    /// it, and the ROM sets that (XTENSA 4.2).
    #[must_use]
    pub fn stores_wrong_bytes(&self) -> bool {
        self.conf0 & CONF0_ERR_WR_MASK == 0
    }

    /// Books `count` bytes from the host on the line from `now` on.
    pub fn book_receive(&mut self, now: Instant, count: usize) {
        let span = self.byte_time().as_nanos().saturating_mul(count as u64);
        self.rx_line_free = self.rx_line_free.max(now) + Duration::from_nanos(span);
    }

    /// When the last booked byte has arrived.
    #[must_use]
    pub fn received_at(&self) -> Instant {
        self.rx_line_free
    }

    /// Puts received bytes into the FIFO, for code that reads it through the registers. Gives the number
    /// of the first one that is lost, unless the overflow interrupt tells of earlier ones.
    pub fn push_received(&mut self, bytes: &[u8]) -> Option<usize> {
        let depth = if self.has_real_fifo { RX_FIFO_BYTES } else { RX_QUEUE_MAX };
        let room = depth.saturating_sub(self.rx.len());
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.rx.extend(taken);
        let is_lost = taken.len() < bytes.len();
        (is_lost && !std::mem::replace(&mut self.overflowed, true)).then_some(room)
    }

    /// Takes a received byte.
    pub fn pop_received(&mut self) -> Option<u8> {
        self.rx.pop_front()
    }

    /// Sends one byte; gives the time at which the processor can go on (a full FIFO blocks it).
    pub fn send(&mut self, now: Instant, byte: u8) -> Instant {
        let span = self.byte_time();
        self.tx_line_free = self.tx_line_free.max(now) + span;
        if self.tx.len() < TX_QUEUE_MAX {
            self.tx.push_back((self.tx_line_free, byte));
        } else {
            self.tx_lost_bytes += 1;
        }
        let fifo = Duration::from_nanos(span.as_nanos().saturating_mul(TX_FIFO_BYTES));
        let backlog = self.tx_line_free.since(now);
        now + (backlog - fifo)
    }

    /// When the last byte has left.
    #[must_use]
    pub fn sent_at(&self) -> Instant {
        self.tx_line_free
    }

    /// Moves every byte that has left by `now` to `out`.
    pub fn take_sent(&mut self, now: Instant, out: &mut Vec<u8>) {
        let count = self.tx.partition_point(|&(due, _)| due <= now);
        out.extend(self.tx.drain(..count).map(|(_, byte)| byte));
    }

    /// When the next byte leaves.
    #[must_use]
    pub fn next_sent(&self) -> Option<Instant> {
        self.tx.front().map(|&(due, _)| due)
    }

    /// A reset at `now`: bytes that have not left by then never do.
    pub fn cut_transmit(&mut self, now: Instant) {
        while self.tx.back().is_some_and(|&(due, _)| due > now) {
            self.tx.pop_back();
        }
        self.tx_line_free = self.tx_line_free.min(now);
        self.rx_line_free = self.rx_line_free.min(now);
        for (until, _) in &mut self.old_rates {
            *until = now.min(*until);
        }
    }

    /// Bytes lost because nobody read.
    #[must_use]
    pub fn tx_lost_bytes(&self) -> u64 {
        self.tx_lost_bytes
    }

    /// How many received bytes the receive interrupt waits for, and the silence after which fewer
    /// will do (`CONF1`). Without the timeout bit two byte times stand for code that polls.
    #[must_use]
    pub fn receive_thresholds(&self) -> (usize, Duration) {
        const TIMEOUT_ENABLE: u32 = 1 << 31;
        const POLLING_BYTES: u32 = 2;
        let timeout_bytes =
            if self.conf1 & TIMEOUT_ENABLE == 0 { POLLING_BYTES } else { self.conf1 >> 24 & 0x7F };
        let threshold = (self.conf1 & 0x7F).max(1) as usize;
        let quiet_ns = self.byte_time().as_nanos().saturating_mul(u64::from(timeout_bytes.max(1)));
        (threshold, Duration::from_nanos(quiet_ns))
    }

    /// Interrupt bits before the enable mask. They are levels: still set while bytes remain, also
    /// after a clear, because uploaded code clears before it drains (XTENSA 1.3).
    #[must_use]
    pub fn interrupt_raw(&self) -> u32 {
        let received = Interrupt::RxFifoFull as u32 | Interrupt::RxFifoTimeout as u32;
        let overflow = if self.overflowed { Interrupt::RxFifoOverflow as u32 } else { 0 };
        let received = if self.rx.is_empty() { 0 } else { received };
        Interrupt::TxFifoEmpty as u32 | received | overflow
    }

    /// Interrupt bits after the enable mask; not 0 = the interrupt line is active.
    #[must_use]
    pub fn interrupt_status(&self) -> u32 {
        self.interrupt_raw() & self.interrupt_enable
    }

    /// Lets the rate detector, if it is on, see the edges of `bytes` sent at `rate` baud.
    pub fn measure(&mut self, rate: u32, bytes: &[u8]) {
        if let Some(autobaud) = &mut self.autobaud {
            autobaud.edges += bytes.iter().map(|byte| edges(*byte)).sum::<u32>();
            autobaud.bit_cycles = self.clock_hz / rate.max(1);
        }
    }

    /// Registers of the rate detector. Pulses are in cycles of the clock, as short as makes the
    /// ROM's formula, 8 times their sum and 144, sixteen bit times (ROM-FACTS 3.3).
    fn read_autobaud(&self, offset: u32) -> u32 {
        const SHORTER_BY: u32 = 9;
        const COUNT_MAX: u32 = 0x3FF;
        const PULSE_MAX: u32 = 0xF_FFFF;
        let measured = self.autobaud.unwrap_or_default();
        match (offset, measured.edges) {
            (offset::RXD_CNT, edges) => edges.min(COUNT_MAX),
            (_, 0) => PULSE_MAX,
            _ => measured.bit_cycles.saturating_sub(SHORTER_BY).min(PULSE_MAX),
        }
    }

    /// Whether received bytes raise an interrupt.
    #[must_use]
    pub fn receive_interrupt_enabled(&self) -> bool {
        const RECEIVED: u32 = Interrupt::RxFifoFull as u32 | Interrupt::RxFifoTimeout as u32;
        self.interrupt_enable & RECEIVED != 0
    }

    /// Reads a register. Reading the FIFO takes a byte.
    pub fn read(&mut self, now: Instant, offset: u32) -> u32 {
        match offset {
            offset::FIFO => self.pop_received().map_or(0, u32::from),
            offset::INT_RAW => self.interrupt_raw(),
            offset::INT_ST => self.interrupt_status(),
            offset::INT_ENA => self.interrupt_enable,
            offset::INT_CLR => 0,
            offset::CLKDIV => self.clkdiv,
            offset::STATUS => self.status(now),
            offset::AUTOBAUD => u32::from(self.autobaud.is_some()),
            offset::LOWPULSE | offset::HIGHPULSE | offset::RXD_CNT => self.read_autobaud(offset),
            offset::CONF0 => self.conf0,
            offset::CONF1 => self.conf1,
            offset::DATE => DATE,
            _ => self.other.get((offset / 4) as usize).copied().unwrap_or(0),
        }
    }

    /// Writes a register; gives the time at which the processor can go on.
    pub fn write(&mut self, now: Instant, offset: u32, value: u32) -> Instant {
        match offset {
            offset::FIFO => return self.send(now, value.to_le_bytes()[0]),
            offset::INT_ENA => self.interrupt_enable = value,
            offset::CLKDIV => self.set_clkdiv(value),
            offset::CONF0 => {
                self.conf0 = value;
                if self.has_real_fifo && value & RX_FIFO_RESET != 0 {
                    self.rx.clear();
                }
            }
            offset::INT_CLR => self.overflowed &= value & Interrupt::RxFifoOverflow as u32 == 0,
            offset::CONF1 => self.conf1 = value,
            offset::AUTOBAUD if value & 1 == 0 => self.autobaud = None,
            offset::AUTOBAUD => {
                self.autobaud.get_or_insert_default();
            }
            offset::INT_RAW | offset::INT_ST | offset::STATUS => {}
            _ => {
                if let Some(word) = self.other.get_mut((offset / 4) as usize) {
                    *word = value;
                }
            }
        }
        now
    }

    fn status(&self, now: Instant) -> u32 {
        let most = if self.has_real_fifo { RX_FIFO_BYTES } else { FIFO_COUNT_MAX };
        let received = self.rx.len().min(most);
        let waiting = match self.tx_line_free.since(now).as_nanos() {
            // Programs ask for received bytes mostly while nothing is sent.
            0 => 0,
            left => left / self.byte_time().as_nanos().max(1),
        };
        let waiting = usize::try_from(waiting).unwrap_or(usize::MAX).min(FIFO_COUNT_MAX);
        u32::try_from(received | waiting << 16).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests;

//! A board as its serial port sees it: what every front end drives.

use std::os::fd::BorrowedFd;

use esp_protocol::rfc2217::Format;

use crate::{
    board::{Board, ControlLines, Mode},
    gdb::Target,
    spi::{SpiDevice, Transaction},
    time::{Duration, Instant},
};

/// A deterministic machine behind a serial line. It reads no clock: `now` is an argument and never
/// goes back.
pub trait SerialDevice {
    /// The device's own time.
    fn now(&self) -> Instant;

    /// Takes bytes from the line.
    fn receive(&mut self, now: Instant, bytes: &[u8]);

    /// Appends the bytes that are on the line up to `now`.
    fn transmit(&mut self, now: Instant, out: &mut Vec<u8>);

    /// When something happens next by itself; `None` if only input can change anything.
    fn next_event(&self) -> Option<Instant>;

    /// How far time may jump ahead of the last input. Longer than any single command takes (a chip
    /// erase), and the end of the race for a device that never falls silent.
    fn jump_max(&self) -> Duration {
        Duration::from_millis(300_000)
    }

    /// When the last byte that is under way to the host is there.
    fn sent_at(&self) -> Instant {
        self.now()
    }

    /// Lets time pass until `now`.
    fn advance(&mut self, now: Instant);

    /// The client's line speed, if it is known.
    fn set_host_baud(&mut self, now: Instant, baud: Option<u32>);

    /// The client's data bits, parity and stop bits, where the front end knows them.
    fn set_host_format(&mut self, now: Instant, format: Format) {
        let _ = (now, format);
    }

    /// Time is wall time: programs notice each byte when it arrives, which costs more.
    fn receive_one_by_one(&mut self) {}

    /// When the line towards the device is free again; in the past if it is.
    fn line_free_at(&self) -> Instant {
        Instant::ZERO
    }

    /// The client sends a BREAK, where the front end can.
    fn receive_break(&mut self, now: Instant) {
        let _ = now;
    }

    /// The client's modem lines, where the front end has them.
    fn set_lines(&mut self, now: Instant, lines: ControlLines) {
        let _ = (now, lines);
    }

    /// One chip select of a programmer on the device's flash; returns the end of the operation that
    /// the part was busy with when it began. A device without a flash has an open bus.
    fn spi_transfer(&mut self, now: Instant, transaction: &mut Transaction<'_>) -> Option<Instant> {
        let _ = now;
        transaction.miso.fill(0xFF);
        None
    }

    /// Whether a debugger holds the device: its time stands still, and its line is left alone.
    fn is_halted(&self) -> bool {
        false
    }

    /// What a debugger works on, where there is something.
    fn debug_target(&mut self) -> Option<&mut dyn Target> {
        None
    }

    /// Can be read when the device has something to say that neither time nor input caused: it is
    /// a real port.
    fn wake_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

impl<F: SpiDevice> SerialDevice for Board<F> {
    fn now(&self) -> Instant {
        Self::now(self)
    }

    fn receive(&mut self, now: Instant, bytes: &[u8]) {
        Self::receive(self, now, bytes);
    }

    fn transmit(&mut self, now: Instant, out: &mut Vec<u8>) {
        Self::transmit(self, now, out);
    }

    fn next_event(&self) -> Option<Instant> {
        Self::next_event(self)
    }

    fn jump_max(&self) -> Duration {
        match self.mode() {
            // It says the same again and again, and nobody waits for the end.
            Mode::BootRetry => Duration::from_millis(2_000),
            _ => Duration::from_millis(300_000),
        }
    }

    fn sent_at(&self) -> Instant {
        Self::sent_at(self)
    }

    fn advance(&mut self, now: Instant) {
        Self::advance(self, now);
    }

    fn set_host_baud(&mut self, now: Instant, baud: Option<u32>) {
        Self::set_host_baud(self, now, baud);
    }

    fn set_host_format(&mut self, now: Instant, format: Format) {
        Self::set_host_format(self, now, format);
    }

    fn receive_one_by_one(&mut self) {
        Self::receive_one_by_one(self);
    }

    fn line_free_at(&self) -> Instant {
        self.received_at()
    }

    fn is_halted(&self) -> bool {
        Self::is_halted(self)
    }

    fn debug_target(&mut self) -> Option<&mut dyn Target> {
        Some(self)
    }

    fn receive_break(&mut self, now: Instant) {
        Self::receive_break(self, now);
    }

    fn set_lines(&mut self, now: Instant, lines: ControlLines) {
        Self::set_lines(self, now, lines);
    }

    fn spi_transfer(&mut self, now: Instant, transaction: &mut Transaction<'_>) -> Option<Instant> {
        Self::spi_transfer(self, now, transaction)
    }
}

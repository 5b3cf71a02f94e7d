//! A tap on the line: records what a device gets and gives.

use std::{
    io::{self, Write},
    os::fd::BorrowedFd,
};

use esp_protocol::rfc2217::Format;

use super::device::SerialDevice;
use crate::{
    board::ControlLines,
    spi::Transaction,
    time::{Duration, Instant},
    transcript::{Event, Recorder},
};

/// Bytes of the device that are kept together in one entry.
const TOGETHER_MAX: usize = 4096;
/// They are kept together until the device pauses for so long.
const PAUSE: Duration = Duration::from_millis(5);

/// A device with a tap between it and whoever drives it.
#[derive(Debug)]
pub struct Tap<D> {
    inner: D,
    recorder: Option<Recorder<Box<dyn Out>>>,
    begun: Instant,
    baud: Option<u32>,
    /// Bytes of the device that are not written yet, with the times of the first and the last.
    pending: Vec<u8>,
    pending_since: Instant,
    pending_until: Instant,
    entry_count: u64,
    failed: Option<io::Error>,
}

/// Where a recording goes.
pub trait Out: Write + Send + std::fmt::Debug {}

impl<W: Write + Send + std::fmt::Debug> Out for W {}

impl<D: SerialDevice> Tap<D> {
    /// Records to `recorder`, if there is one, from the device's present time on.
    #[must_use]
    pub fn new(inner: D, recorder: Option<Recorder<Box<dyn Out>>>) -> Self {
        let begun = inner.now();
        Self {
            inner,
            recorder,
            begun,
            baud: None,
            pending: Vec::new(),
            pending_since: begun,
            pending_until: begun,
            entry_count: 0,
            failed: None,
        }
    }

    /// The device.
    pub fn inner_mut(&mut self) -> &mut D {
        &mut self.inner
    }

    /// Entries so far.
    #[must_use]
    pub fn entry_count(&self) -> u64 {
        self.entry_count
    }

    /// Writes what is pending; whether the recording is complete so far.
    ///
    /// # Errors
    ///
    /// It could not be written; told once.
    pub fn check(&mut self) -> io::Result<()> {
        self.write_pending();
        self.failed.take().map_or(Ok(()), Err)
    }

    fn record(&mut self, now: Instant, event: &Event) {
        self.write_pending();
        self.write(now, event);
    }

    fn record_answer(&mut self, now: Instant, bytes: &[u8]) {
        let pause = now.since(self.pending_until);
        if self.pending.len() >= TOGETHER_MAX || pause > PAUSE {
            self.write_pending();
        }
        if self.pending.is_empty() {
            self.pending_since = now;
        }
        self.pending_until = now;
        self.pending.extend_from_slice(bytes);
    }

    fn write_pending(&mut self) {
        if !self.pending.is_empty() {
            let bytes = std::mem::take(&mut self.pending);
            self.write(self.pending_since, &Event::FromBoard(bytes));
        }
    }

    fn write(&mut self, now: Instant, event: &Event) {
        let Some(recorder) = &mut self.recorder else { return };
        match recorder.push(Instant::ZERO + now.since(self.begun), event) {
            Ok(()) => self.entry_count += 1,
            Err(error) => {
                self.failed = Some(error);
                self.recorder = None;
            }
        }
    }
}

impl<D: SerialDevice> SerialDevice for Tap<D> {
    fn now(&self) -> Instant {
        self.inner.now()
    }

    fn receive(&mut self, now: Instant, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.record(now, &Event::ToBoard(bytes.to_vec()));
        }
        self.inner.receive(now, bytes);
    }

    fn transmit(&mut self, now: Instant, out: &mut Vec<u8>) {
        let before = out.len();
        self.inner.transmit(now, out);
        if let Some(bytes) = out.get(before..).filter(|bytes| !bytes.is_empty())
            && self.recorder.is_some()
        {
            self.record_answer(now, bytes);
        }
    }

    fn next_event(&self) -> Option<Instant> {
        self.inner.next_event()
    }

    fn advance(&mut self, now: Instant) {
        self.inner.advance(now);
    }

    fn set_host_baud(&mut self, now: Instant, baud: Option<u32>) {
        if baud != self.baud {
            self.baud = baud;
            if let Some(rate) = baud {
                self.record(now, &Event::Baud(rate));
            }
        }
        self.inner.set_host_baud(now, baud);
    }

    fn set_host_format(&mut self, now: Instant, format: Format) {
        self.inner.set_host_format(now, format);
    }

    fn receive_break(&mut self, now: Instant) {
        self.record(now, &Event::Break);
        self.inner.receive_break(now);
    }

    fn set_lines(&mut self, now: Instant, lines: ControlLines) {
        self.record(now, &Event::Lines(lines));
        self.inner.set_lines(now, lines);
    }

    fn spi_transfer(&mut self, now: Instant, transaction: &mut Transaction<'_>) -> Option<Instant> {
        self.inner.spi_transfer(now, transaction)
    }

    fn wake_fd(&self) -> Option<BorrowedFd<'_>> {
        self.inner.wake_fd()
    }
}

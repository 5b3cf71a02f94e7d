//! Devices for the tests of the front ends: they prove the plumbing, never the board.

use crate::{
    board::ControlLines,
    time::{Duration, Instant},
};

use super::device::SerialDevice;

/// Sends back what it gets, `delay` after it came.
#[derive(Debug, Default)]
pub(crate) struct Echo {
    pub(crate) delay: Duration,
    pub(crate) now: Instant,
    pub(crate) waiting: Vec<u8>,
    pub(crate) due: Option<Instant>,
    pub(crate) baud: Option<u32>,
    /// Sends one byte with this period for ever.
    pub(crate) chatter: Option<Duration>,
    /// All states of the control lines, in order.
    pub(crate) lines: Vec<ControlLines>,
}

impl SerialDevice for Echo {
    fn now(&self) -> Instant {
        self.now
    }

    fn receive(&mut self, now: Instant, bytes: &[u8]) {
        self.now = self.now.max(now);
        self.waiting.extend_from_slice(bytes);
        self.due = Some(self.now + self.delay);
    }

    fn transmit(&mut self, now: Instant, out: &mut Vec<u8>) {
        if self.due.is_some_and(|due| due <= now) {
            out.append(&mut self.waiting);
            self.due = self.chatter.map(|period| now + period);
            self.waiting.extend(self.chatter.map(|_| b'.'));
        }
    }

    fn next_event(&self) -> Option<Instant> {
        self.due
    }

    fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    fn set_host_baud(&mut self, now: Instant, baud: Option<u32>) {
        self.advance(now);
        self.baud = baud;
    }

    fn set_lines(&mut self, now: Instant, lines: ControlLines) {
        self.advance(now);
        self.lines.push(lines);
    }
}

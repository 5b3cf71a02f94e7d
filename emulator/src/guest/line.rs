//! Bytes on their way from the host to the program.

use esp_protocol::slip;

use super::{Guest, State};
use crate::{
    soc::Machine,
    time::{Duration, Instant},
    trace::Event,
};

/// Bytes on the line that the program has not been given yet; more are lost.
const LINE_MAX: usize = 1 << 20;
/// A program that waits and has an interrupt for each byte is given so many at once: what the FIFO
/// holds but for room for those that arrive while they are read. Silence ends a group sooner, and so
/// does the end of a SLIP frame, at which a stub's main loop has something to do. A program that is
/// at work gets each byte in its time, and one in its interrupt handler at the handler's end: stubs
/// have little room for frames, and what they drop depends on it.
pub(super) const COALESCING: usize = 112;
/// A program that has seen nothing of a group but in its handler waits on as it did, so the next one
/// may be twice as long, up to this.
const GROUP_MAX: usize = 4096;
/// What the next burst depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Conditions {
    line_changes: u64,
    most: usize,
    threshold: usize,
    quiet: Duration,
}

impl Guest {
    /// Notices each received byte when it arrives, as an idle chip does. It costs about five times as
    /// many instructions.
    pub(crate) fn receive_one_by_one(&mut self) {
        self.coalescing = 1;
        self.group = 1;
    }

    /// The handler has taken a group: whether the program `rests`, with nothing changed that it looks
    /// at while it waits, decides how long the next may be.
    pub(super) fn group_taken(&mut self, rests: bool) {
        let longer = self.group.saturating_mul(2).min(GROUP_MAX);
        self.group = if rests && self.coalescing > 1 { longer } else { self.coalescing };
    }

    /// Books bytes from the host on the line.
    pub(crate) fn receive<F>(&mut self, machine: &mut Machine<F>, now: Instant, bytes: &[u8]) {
        let byte_ns = machine.soc.uart.byte_time().as_nanos();
        let start = machine.soc.uart.received_at().max(now);
        machine.soc.uart.book_receive(now, bytes.len());
        for (count, &byte) in (1_u64..).zip(bytes) {
            if self.line.len() == LINE_MAX {
                self.lost_bytes += 1;
                continue;
            }
            let due = start + Duration::from_nanos(byte_ns.saturating_mul(count));
            self.line.push_back((due, byte));
            self.line_changes += 1;
        }
    }

    /// When the next bytes are noticed: the FIFO reaches its threshold, or the line has gone quiet
    /// behind fewer. It does not depend on how the host cuts its bytes.
    pub(super) fn next_burst<F>(&self, machine: &Machine<F>) -> Option<Instant> {
        self.next_burst_of(machine, |threshold| match self.state {
            State::Waiting if threshold == 1 => self.group,
            State::Waiting | State::Running => threshold,
        })
    }

    /// The same where `most` says how many bytes make a group, from the FIFO's threshold.
    pub(super) fn next_burst_of<F>(
        &self,
        machine: &Machine<F>,
        most: impl FnOnce(usize) -> usize,
    ) -> Option<Instant> {
        let (threshold, quiet) = machine.soc.uart.receive_thresholds();
        let most = most(threshold);
        let line_changes = self.line_changes;
        let conditions = Conditions { line_changes, most, threshold, quiet };
        if let Some((known, burst)) = self.burst.get()
            && known == conditions
        {
            return burst;
        }
        let burst = self.find_burst(conditions);
        self.burst.set(Some((conditions, burst)));
        burst
    }

    pub(super) fn find_burst(&self, conditions: Conditions) -> Option<Instant> {
        let Conditions { most, threshold, quiet, .. } = conditions;
        let mut last = self.line.front()?.0;
        for (count, &(due, byte)) in (1..).zip(self.line.iter()) {
            if due > last + quiet {
                break;
            }
            last = due;
            if count >= most || threshold == 1 && byte == slip::END {
                return Some(due);
            }
        }
        Some(last + quiet)
    }

    /// Takes the bytes that are there; gives the time of the next one, or `last` if that is sooner.
    /// A handler is not interrupted, so what arrives while it runs is there when it returns.
    pub(super) fn hear_until<F>(&mut self, machine: &mut Machine<F>, last: Instant) -> Instant {
        if self.coalescing > 1 && self.cpu.handler_running().is_some() {
            return last;
        }
        self.take_arrived(machine, machine.now);
        self.next_burst(machine).map_or(last, |due| last.min(due.max(machine.now)))
    }

    /// Takes the bytes that have arrived by `until`, if the receiver notices them.
    pub(super) fn take_arrived<F>(&mut self, machine: &mut Machine<F>, until: Instant) {
        if self.next_burst(machine).is_some_and(|due| due <= until) {
            self.take_until(machine, until);
        }
    }

    /// The FIFO gets the bytes that have arrived by `until`.
    pub(super) fn take_until<F>(&mut self, machine: &mut Machine<F>, until: Instant) {
        while let Some(&(due, byte)) = self.line.front()
            && due <= until
        {
            self.line.pop_front();
            self.line_changes += 1;
            if machine.soc.uart.push_received(byte) {
                let what = "the receive FIFO is full: bytes are lost".to_owned();
                machine.trace.push(due, Event::Note { what });
            }
        }
    }
}

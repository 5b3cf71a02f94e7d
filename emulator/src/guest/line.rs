//! Bytes on their way from the host to the program.

use std::collections::VecDeque;

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

/// Bytes that come right behind each other.
#[derive(Debug, Clone, Copy)]
struct Run {
    /// The first has arrived one byte time later.
    start: Instant,
    byte_ns: u64,
    count: usize,
}

impl Run {
    /// When its byte number `index` has arrived.
    fn due(self, index: usize) -> Instant {
        let bytes = u64::try_from(index).unwrap_or(u64::MAX).saturating_add(1);
        self.start + Duration::from_nanos(self.byte_ns.saturating_mul(bytes))
    }

    /// How many of its bytes have arrived by `until`.
    fn arrived(self, until: Instant) -> usize {
        if until < self.start {
            return 0;
        }
        let whole = until.since(self.start).as_nanos().checked_div(self.byte_ns);
        whole.map_or(self.count, |whole| {
            usize::try_from(whole).unwrap_or(usize::MAX).min(self.count)
        })
    }

    fn skip(&mut self, count: usize) {
        if let Some(last) = count.checked_sub(1) {
            self.start = self.due(last);
        }
        self.count -= count;
    }
}

/// Bytes on their way, and when each arrives.
#[derive(Debug, Clone, Default)]
pub(super) struct Line {
    bytes: VecDeque<u8>,
    runs: VecDeque<Run>,
    /// Times that it was changed.
    changes: u64,
}

impl Line {
    /// Puts `bytes` on the line behind what is there, from `start`; gives how many it has no room for.
    fn push(&mut self, start: Instant, byte_ns: u64, bytes: &[u8]) -> usize {
        let count = bytes.len().min(LINE_MAX.saturating_sub(self.bytes.len()));
        if count > 0 {
            self.bytes.extend(&bytes[..count]);
            self.changes += 1;
            match self.runs.back_mut() {
                Some(last) if last.byte_ns == byte_ns && last.due(last.count - 1) == start => {
                    last.count += count;
                }
                _ => self.runs.push_back(Run { start, byte_ns, count }),
            }
        }
        bytes.len() - count
    }

    /// When the next byte has arrived.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.runs.front().map(|run| run.due(0))
    }

    /// Takes the bytes of one run that have arrived by `until`, or some of them, if there are any.
    fn take<R>(&mut self, until: Instant, take: impl FnOnce(Run, &[u8]) -> R) -> Option<R> {
        let run = self.runs.front_mut()?;
        let (front, _) = self.bytes.as_slices();
        let bytes = front.get(..run.arrived(until)).unwrap_or(front);
        let count = bytes.len();
        if count == 0 {
            return None;
        }
        let taken = take(*run, bytes);
        self.bytes.drain(..count);
        run.skip(count);
        if run.count == 0 {
            self.runs.pop_front();
        }
        self.changes += 1;
        Some(taken)
    }

    /// Where the first of the `count` bytes from number `first` on is that ends a frame.
    fn find_end(&self, first: usize, count: usize) -> Option<usize> {
        let (front, back) = self.bytes.as_slices();
        let (from, to) = (first.min(front.len()), (first + count).min(front.len()));
        let in_front = memchr::memchr(slip::END, front.get(from..to)?);
        in_front.or_else(|| {
            let skipped = to - from;
            let from = (first + skipped).saturating_sub(front.len());
            let found = memchr::memchr(slip::END, back.get(from..from + count - skipped)?);
            found.map(|place| skipped + place)
        })
    }

    fn find_burst(&self, conditions: Conditions) -> Option<Instant> {
        let Conditions { most, threshold, quiet, .. } = conditions;
        let mut last = self.next_due()?;
        let mut count = 0;
        for run in &self.runs {
            if run.due(0) > last + quiet {
                break;
            }
            // Bytes further apart than the silence are groups of their own.
            let together = if run.byte_ns > quiet.as_nanos() { 1 } else { run.count };
            let taken = together.min(most.saturating_sub(count).max(1));
            let end = if threshold == 1 { self.find_end(count, taken) } else { None };
            if let Some(end) = end {
                return Some(run.due(end));
            }
            last = run.due(taken - 1);
            count += taken;
            if count >= most {
                return Some(last);
            }
            if taken < run.count {
                break;
            }
        }
        Some(last + quiet)
    }
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
        let lost = self.line.push(start, byte_ns, bytes);
        self.lost_bytes += u64::try_from(lost).unwrap_or(u64::MAX);
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
        let line_changes = self.line.changes;
        let conditions = Conditions { line_changes, most, threshold, quiet };
        if let Some((known, burst)) = self.burst.get()
            && known == conditions
        {
            return burst;
        }
        let burst = self.line.find_burst(conditions);
        self.burst.set(Some((conditions, burst)));
        burst
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
        let uart = &mut machine.soc.uart;
        let mut push = |run: Run, bytes: &[u8]| uart.push_received(bytes).map(|lost| run.due(lost));
        while let Some(lost) = self.line.take(until, &mut push) {
            if let Some(due) = lost {
                let what = "the receive FIFO is full: bytes are lost".to_owned();
                machine.trace.push(due, Event::Note { what });
            }
        }
    }
}

#[cfg(test)]
mod tests;

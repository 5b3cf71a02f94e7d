//! A bad line: bytes are flipped, lost, doubled, or late.
//!
//! Sans-io: bytes go in with the time, and come out at or after it. Every fault is decided by the
//! seed and counted, so that a test can tell that it happened.

use std::collections::VecDeque;

use fastrand::Rng;

use crate::time::{Duration, Instant};

/// How bad the line is. Rates are faults in a million bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkNoise {
    /// One bit of the byte is the other way.
    pub flips_per_million: u32,
    /// The byte is lost.
    pub drops_per_million: u32,
    /// The byte comes twice.
    pub doubles_per_million: u32,
    /// The byte and all behind it are late.
    pub delays_per_million: u32,
    /// So late, at most.
    pub delay_max: Duration,
}

/// Faults so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkCounters {
    /// Bytes that went in.
    pub bytes: u64,
    /// Flipped.
    pub flips: u64,
    /// Lost.
    pub drops: u64,
    /// Doubled.
    pub doubles: u64,
    /// Late.
    pub delays: u64,
}

/// One direction of a bad line.
#[derive(Debug, Clone)]
pub struct NoisyLink {
    noise: LinkNoise,
    random: Rng,
    counters: LinkCounters,
    /// Bytes on the way, in order, with the time at which they are there.
    queue: VecDeque<(Instant, u8)>,
}

impl NoisyLink {
    /// A line with `noise`, decided by `seed`.
    #[must_use]
    pub fn new(noise: LinkNoise, seed: u64) -> Self {
        let random = Rng::with_seed(seed);
        Self { noise, random, counters: LinkCounters::default(), queue: VecDeque::new() }
    }

    /// Faults so far.
    #[must_use]
    pub const fn counters(&self) -> LinkCounters {
        self.counters
    }

    /// Puts `bytes` in at `now`.
    pub fn send(&mut self, now: Instant, bytes: &[u8]) {
        for &byte in bytes {
            self.send_byte(now, byte);
        }
    }

    fn send_byte(&mut self, now: Instant, byte: u8) {
        self.counters.bytes += 1;
        let mut due = self.queue.back().map_or(now, |(last, _)| now.max(*last));
        if self.hit(self.noise.delays_per_million) {
            self.counters.delays += 1;
            due += Duration::from_nanos(self.random.u64(0..=self.noise.delay_max.as_nanos()));
        }
        if self.hit(self.noise.drops_per_million) {
            self.counters.drops += 1;
            return;
        }
        let byte = if self.hit(self.noise.flips_per_million) {
            self.counters.flips += 1;
            byte ^ (1 << self.random.u8(0..8))
        } else {
            byte
        };
        self.queue.push_back((due, byte));
        if self.hit(self.noise.doubles_per_million) {
            self.counters.doubles += 1;
            self.queue.push_back((due, byte));
        }
    }

    fn hit(&mut self, per_million: u32) -> bool {
        per_million > 0 && self.random.u32(0..1_000_000) < per_million
    }

    /// Takes what is there at `now`.
    pub fn receive(&mut self, now: Instant, out: &mut Vec<u8>) {
        while let Some((due, byte)) = self.queue.front() {
            if *due > now {
                break;
            }
            out.push(*byte);
            self.queue.pop_front();
        }
    }

    /// When the next byte is there, if one is on the way.
    #[must_use]
    pub fn next_event(&self) -> Option<Instant> {
        self.queue.front().map(|(due, _)| *due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_line_changes_nothing() {
        let mut link = NoisyLink::new(LinkNoise::default(), 1);
        let bytes: Vec<u8> = (0..=255).collect();
        link.send(Instant::ZERO, &bytes);
        let mut out = Vec::new();
        link.receive(Instant::ZERO, &mut out);
        assert_eq!(out, bytes);
        assert_eq!(link.counters(), LinkCounters { bytes: 256, ..LinkCounters::default() });
    }

    #[test]
    fn every_fault_happens_and_the_seed_decides() {
        let noise = LinkNoise {
            flips_per_million: 10_000,
            drops_per_million: 10_000,
            doubles_per_million: 10_000,
            delays_per_million: 10_000,
            delay_max: Duration::from_millis(5),
        };
        let run = |seed| {
            let mut link = NoisyLink::new(noise, seed);
            link.send(Instant::ZERO, &[0x55; 10_000]);
            let mut early = Vec::new();
            link.receive(Instant::ZERO, &mut early);
            let mut all = early.clone();
            let later = Instant::from_nanos(u64::MAX / 2);
            link.receive(later, &mut all);
            assert!(early.len() < all.len() && link.next_event().is_none());
            let counters = link.counters();
            assert_eq!(all.len() as u64, counters.bytes - counters.drops + counters.doubles);
            assert!(counters.flips > 0 && counters.drops > 0);
            assert!(counters.doubles > 0 && counters.delays > 0);
            all
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }
}

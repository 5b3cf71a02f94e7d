//! A bad line: bytes are flipped, lost, doubled, late, cut into other pieces; the plug is pulled for
//! a while; one end runs at another rate for a while.
//!
//! Sans-io: bytes go in with the time, and come out at or after it. Every fault is decided by the
//! seed and counted, so that a test can tell that it happened.

use std::collections::VecDeque;

use fastrand::Rng;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    board::framing::garble,
    time::{Duration, Instant},
};

/// What the wrong end's rate is to the right one's 100.
const WRONG_RATES: [u32; 6] = [50, 67, 83, 125, 200, 800];

/// How bad the line is. Rates are faults in a million bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
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
    #[serde(rename = "delay-max-us", deserialize_with = "micros", serialize_with = "as_micros")]
    pub delay_max: Duration,
    /// A call's bytes end behind the byte, and the rest comes with the next call.
    pub splits_per_million: u32,
    /// The plug is pulled: the byte and all others until it is back are lost.
    pub disconnects_per_million: u32,
    /// So long, at most.
    #[serde(
        rename = "disconnect-max-us",
        deserialize_with = "micros",
        serialize_with = "as_micros"
    )]
    pub disconnect_max: Duration,
    /// One end changes its rate: the byte and all others until it changes back are garbled.
    pub wrong_rates_per_million: u32,
    /// So long, at most.
    #[serde(
        rename = "wrong-rate-max-us",
        deserialize_with = "micros",
        serialize_with = "as_micros"
    )]
    pub wrong_rate_max: Duration,
}

impl LinkNoise {
    /// Names and values of the rates.
    pub(super) fn rates(&self) -> [(&'static str, u32); 7] {
        [
            ("flips-per-million", self.flips_per_million),
            ("drops-per-million", self.drops_per_million),
            ("doubles-per-million", self.doubles_per_million),
            ("delays-per-million", self.delays_per_million),
            ("splits-per-million", self.splits_per_million),
            ("disconnects-per-million", self.disconnects_per_million),
            ("wrong-rates-per-million", self.wrong_rates_per_million),
        ]
    }
}

fn micros<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    u64::deserialize(from).map(Duration::from_micros)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn as_micros<S: Serializer>(span: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(span.as_micros())
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
    /// Places where a call's bytes were cut.
    pub splits: u64,
    /// Times that the plug was pulled.
    pub disconnects: u64,
    /// Times that one end ran at another rate.
    pub wrong_rates: u64,
}

/// A byte on the way.
#[derive(Debug, Clone, Copy)]
struct Underway {
    due: Instant,
    byte: u8,
    /// The receiver gets it as the last of a call.
    last: bool,
}

/// One direction of a bad line.
#[derive(Debug, Clone)]
pub struct NoisyLink {
    noise: LinkNoise,
    random: Rng,
    counters: LinkCounters,
    /// Bytes on the way, in order.
    queue: VecDeque<Underway>,
    /// The plug is back then.
    plugged: Instant,
    /// Both ends agree again then; until then the sender's rate is this much to 100.
    agree: Instant,
    wrong_rate: u32,
}

impl NoisyLink {
    /// A line with `noise`, decided by `seed`.
    #[must_use]
    pub fn new(noise: LinkNoise, seed: u64) -> Self {
        Self {
            noise,
            random: Rng::with_seed(seed),
            counters: LinkCounters::default(),
            queue: VecDeque::new(),
            plugged: Instant::ZERO,
            agree: Instant::ZERO,
            wrong_rate: 100,
        }
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
        let mut due = self.queue.back().map_or(now, |last| now.max(last.due));
        if self.hit(self.noise.delays_per_million) {
            self.counters.delays += 1;
            due += self.span(self.noise.delay_max);
        }
        if self.hit(self.noise.drops_per_million) {
            self.counters.drops += 1;
            return;
        }
        if self.is_unplugged(now) {
            return;
        }
        let byte = if self.hit(self.noise.flips_per_million) {
            self.counters.flips += 1;
            byte ^ (1 << self.random.u8(0..8))
        } else {
            byte
        };
        let last = self.hit(self.noise.splits_per_million);
        self.counters.splits += u64::from(last);
        if self.is_garbled(now) {
            let mut sampled = Vec::new();
            garble(byte, self.wrong_rate, 100, &mut sampled);
            self.queue.extend(sampled.into_iter().map(|byte| Underway { due, byte, last }));
            return;
        }
        self.queue.push_back(Underway { due, byte, last });
        if self.hit(self.noise.doubles_per_million) {
            self.counters.doubles += 1;
            self.queue.push_back(Underway { due, byte, last: false });
        }
    }

    fn is_unplugged(&mut self, now: Instant) -> bool {
        if now < self.plugged {
            return true;
        }
        let pulled = self.hit(self.noise.disconnects_per_million);
        if pulled {
            self.counters.disconnects += 1;
            self.plugged = now + self.span(self.noise.disconnect_max);
        }
        pulled
    }

    fn is_garbled(&mut self, now: Instant) -> bool {
        if now < self.agree {
            return true;
        }
        let wrong = self.hit(self.noise.wrong_rates_per_million);
        if wrong {
            self.counters.wrong_rates += 1;
            self.agree = now + self.span(self.noise.wrong_rate_max);
            self.wrong_rate = WRONG_RATES[self.random.usize(0..WRONG_RATES.len())];
        }
        wrong
    }

    fn span(&mut self, most: Duration) -> Duration {
        Duration::from_nanos(self.random.u64(0..=most.as_nanos()))
    }

    fn hit(&mut self, per_million: u32) -> bool {
        per_million > 0 && self.random.u32(0..1_000_000) < per_million
    }

    /// Takes what is there at `now`, up to a place where the bytes are cut.
    pub fn receive(&mut self, now: Instant, out: &mut Vec<u8>) {
        while let Some(Underway { due, byte, last }) = self.queue.front().copied() {
            if due > now {
                break;
            }
            out.push(byte);
            self.queue.pop_front();
            if last {
                break;
            }
        }
    }

    /// When the next byte is there, if one is on the way.
    #[must_use]
    pub fn next_event(&self) -> Option<Instant> {
        self.queue.front().map(|underway| underway.due)
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
            ..LinkNoise::default()
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

    /// Sends 10,000 bytes, one a millisecond, and gives what came in how many calls.
    fn spread(noise: LinkNoise) -> (Vec<u8>, u32, LinkCounters) {
        let mut link = NoisyLink::new(noise, 3);
        let (mut all, mut calls) = (Vec::new(), 0);
        for at in 0..1_000 {
            let now = Instant::ZERO + Duration::from_millis(at);
            link.send(now, b"0123456789");
            while link.next_event().is_some() {
                link.receive(now, &mut all);
                calls += 1;
            }
        }
        (all, calls, link.counters())
    }

    #[test]
    fn splits_change_the_calls_and_no_byte() {
        let noise = LinkNoise { splits_per_million: 50_000, ..LinkNoise::default() };
        let (all, calls, counters) = spread(noise);
        assert_eq!(all, b"0123456789".repeat(1_000));
        assert!(counters.splits > 300 && u64::from(calls) > 1_000 + counters.splits / 2);
    }

    #[test]
    fn a_pulled_plug_loses_bytes_for_a_while_and_a_wrong_rate_garbles_them() {
        let span = Duration::from_millis(20);
        let noise = LinkNoise {
            disconnects_per_million: 500,
            disconnect_max: span,
            ..LinkNoise::default()
        };
        let (all, _, counters) = spread(noise);
        let lost = counters.bytes - all.len() as u64;
        assert!(counters.disconnects > 0 && lost > 10 * counters.disconnects, "{counters:?}");
        let noise = LinkNoise {
            wrong_rates_per_million: 500,
            wrong_rate_max: span,
            ..LinkNoise::default()
        };
        let (all, _, counters) = spread(noise);
        assert!(counters.wrong_rates > 0);
        assert!(all.iter().any(|byte| !byte.is_ascii_digit()));
        assert!(all.ends_with(b"0123456789") || counters.wrong_rates > 3);
    }
}

//! A port with a bad line before it, to rehearse what cheap cables do.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use esp32_emulator::{
    fault::link::{LinkCounters, LinkNoise, NoisyLink},
    time::Instant,
};
use fastrand::Rng;

use super::{Lines, Port, PortError};

/// How long a glitch holds the chip in reset.
const GLITCH: Duration = Duration::from_millis(2);

/// What the line did so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NoiseReport {
    /// Towards the chip.
    pub sent: LinkCounters,
    /// From the chip.
    pub received: LinkCounters,
    /// Resets of the chip that nobody asked for.
    pub resets: u64,
}

/// A port whose line damages bytes and resets the chip, as a seed decides.
pub struct NoisyPort<P> {
    inner: P,
    sent: NoisyLink,
    received: NoisyLink,
    resets_per_million_writes: u32,
    random: Rng,
    report: Arc<Mutex<NoiseReport>>,
}

impl<P: Port> NoisyPort<P> {
    /// `noise` in both directions, and so many resets in a million writes to the port.
    #[must_use]
    pub fn new(inner: P, noise: LinkNoise, resets_per_million_writes: u32, seed: u64) -> Self {
        Self {
            inner,
            sent: NoisyLink::new(noise, seed),
            received: NoisyLink::new(noise, !seed),
            resets_per_million_writes,
            random: Rng::with_seed(seed.rotate_left(32)),
            report: Arc::default(),
        }
    }

    /// What the line did; kept up to date, also after the session took the port.
    #[must_use]
    pub fn report(&self) -> Arc<Mutex<NoiseReport>> {
        Arc::clone(&self.report)
    }

    fn keep_report(&self, resets: u64) {
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        report.sent = self.sent.counters();
        report.received = self.received.counters();
        report.resets += resets;
    }

    /// EN low for a moment, with GPIO0 high: the chip leaves the loader.
    fn glitch(&mut self) -> Result<(), PortError> {
        self.inner.set_lines(Lines { dtr: false, rts: true })?;
        self.inner.wait(GLITCH);
        self.inner.set_lines(Lines { dtr: false, rts: false })
    }
}

fn instant(span: Duration) -> Instant {
    Instant::from_nanos(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX))
}

impl<P: Port> Port for NoisyPort<P> {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), PortError> {
        let mut resets = 0;
        if self.resets_per_million_writes > 0
            && self.random.u32(0..1_000_000) < self.resets_per_million_writes
        {
            resets = 1;
            self.glitch()?;
        }
        self.sent.send(instant(self.inner.now()), bytes);
        // A late byte holds the sender up, so that nothing overtakes it.
        while let Some(due) = self.sent.next_event() {
            let late = Duration::from_nanos(due.as_nanos()).saturating_sub(self.inner.now());
            if !late.is_zero() {
                self.inner.wait(late);
            }
            let mut out = Vec::new();
            self.sent.receive(instant(self.inner.now()), &mut out);
            self.inner.write(&out)?;
        }
        self.keep_report(resets);
        Ok(())
    }

    fn read(&mut self, out: &mut Vec<u8>, deadline: Duration) -> Result<usize, PortError> {
        let before = out.len();
        loop {
            self.received.receive(instant(self.inner.now()), out);
            if out.len() > before {
                self.keep_report(0);
                return Ok(out.len() - before);
            }
            let late = self.received.next_event().map(|due| Duration::from_nanos(due.as_nanos()));
            let until = late.map_or(deadline, |due| due.min(deadline));
            let mut bytes = Vec::new();
            let count = self.inner.read(&mut bytes, until)?;
            self.received.send(instant(self.inner.now()), &bytes);
            if count == 0 && self.inner.now() >= deadline {
                self.received.receive(instant(self.inner.now()), out);
                self.keep_report(0);
                return Ok(out.len() - before);
            }
        }
    }

    fn set_lines(&mut self, lines: Lines) -> Result<(), PortError> {
        self.inner.set_lines(lines)
    }

    fn has_served_lines(&self) -> bool {
        self.inner.has_served_lines()
    }

    fn has_rate(&self) -> bool {
        self.inner.has_rate()
    }

    fn set_baud(&mut self, baud: u32) -> Result<(), PortError> {
        self.inner.set_baud(baud)
    }

    fn flush_input(&mut self) -> Result<(), PortError> {
        let now = instant(self.inner.now());
        self.received.receive(now, &mut Vec::new());
        self.inner.flush_input()
    }

    fn now(&self) -> Duration {
        self.inner.now()
    }

    fn wait(&mut self, span: Duration) {
        self.inner.wait(span);
    }
}

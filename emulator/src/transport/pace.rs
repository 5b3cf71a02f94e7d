//! How virtual time follows wall time.

use std::time;

use crate::time::{Duration, Instant};

use super::device::SerialDevice;

/// How virtual time follows wall time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pace {
    /// Virtual time jumps to the next event: replies come as fast as the machine can.
    #[default]
    Max,
    /// Virtual time is wall time: baud rate and flash times as on the bench.
    Real,
}

/// Output of one jump after which the rest waits for the next turn.
const OUTPUT_MAX: usize = 64 * 1024;
/// Events of one turn; the rest waits for the next.
pub(super) const EVENTS_MAX: usize = 100_000;
/// Pauses of the client that are shorter are scheduling noise and do not count at [`Pace::Max`].
const PAUSE_MIN: time::Duration = time::Duration::from_millis(20);

/// What is to be done after a run of the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing is due.
    Nothing,
    /// An answer is complete: to be sent, and the device goes on before it hears anything new. So
    /// when the client reads it changes nothing.
    Answer,
    /// Too much is due for one turn.
    More,
}

/// Ties a device's time to the wall clock, which it is told and never reads.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    pace: Pace,
    /// One moment on both clocks.
    wall: time::Instant,
    device: Instant,
    /// Device time of the last input.
    last_input: Instant,
}

impl Clock {
    /// A clock that starts now.
    #[must_use]
    pub fn start(pace: Pace, wall: time::Instant, device: Instant) -> Self {
        Self { pace, wall, device, last_input: device }
    }

    /// Device time for the wall time `wall`.
    fn at(&self, wall: time::Instant) -> Instant {
        let passed = wall.saturating_duration_since(self.wall);
        let nanos = u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX);
        self.device + Duration::from_nanos(nanos)
    }

    /// Hands bytes of the client to the device.
    pub fn input<D: SerialDevice + ?Sized>(
        &mut self,
        device: &mut D,
        wall: time::Instant,
        baud: Option<u32>,
        bytes: &[u8],
    ) {
        let now = self.moment(device, wall);
        device.set_host_baud(now, baud);
        device.receive(now, bytes);
        self.last_input = now;
    }

    /// Something other than bytes happens to the device at the wall time `wall` (a line change, an
    /// access to its flash): the device time of it.
    pub fn happens<D: SerialDevice + ?Sized>(
        &mut self,
        device: &D,
        wall: time::Instant,
    ) -> Instant {
        let now = self.moment(device, wall);
        self.last_input = now;
        now
    }

    /// How its time follows the wall's.
    #[must_use]
    pub fn pace(&self) -> Pace {
        self.pace
    }

    /// Whether time may jump over a wait.
    #[must_use]
    pub fn jumps(&self) -> bool {
        self.pace == Pace::Max
    }

    /// Device time at which something from outside happens at the wall time `wall`.
    fn moment<D: SerialDevice + ?Sized>(&mut self, device: &D, wall: time::Instant) -> Instant {
        match self.pace {
            Pace::Real => self.at(wall).max(device.now()),
            Pace::Max if wall.saturating_duration_since(self.wall) < PAUSE_MIN => device.now(),
            Pace::Max => {
                let now = self.at(wall).max(device.now());
                (self.wall, self.device) = (wall, now);
                now
            }
        }
    }

    /// Lets the device do what is due, and collects its output: what came next.
    pub fn run<D: SerialDevice + ?Sized>(
        &mut self,
        device: &mut D,
        wall: time::Instant,
        out: &mut Vec<u8>,
    ) -> Next {
        self.run_events(device, wall, out, EVENTS_MAX)
    }

    /// The same for at most so many events.
    pub(super) fn run_events<D: SerialDevice + ?Sized>(
        &mut self,
        device: &mut D,
        wall: time::Instant,
        out: &mut Vec<u8>,
        events_max: usize,
    ) -> Next {
        let limit = match self.pace {
            Pace::Real => self.at(wall),
            Pace::Max => (self.last_input + device.jump_max()).max(self.at(wall)),
        };
        let mut next = Next::Nothing;
        for count in 0.. {
            let Some(due) = device.next_event().filter(|due| *due <= limit) else { break };
            if count == events_max || out.len() >= OUTPUT_MAX {
                next = Next::More;
                break;
            }
            // The client gets its answer now, and goes on while the device is still at work.
            if self.pace == Pace::Max && !out.is_empty() && device.sent_at() <= device.now() {
                next = Next::Answer;
                break;
            }
            let due = due.max(device.now());
            device.advance(due);
            device.transmit(due, out);
        }
        let now = match self.pace {
            Pace::Real => limit.max(device.now()),
            Pace::Max => device.now(),
        };
        device.transmit(now, out);
        if self.pace == Pace::Max && now > self.at(wall) {
            (self.wall, self.device) = (wall, now);
        }
        next
    }

    /// How long it is from `wall` until the device time `due`.
    #[must_use]
    pub fn until(&self, due: Instant, wall: time::Instant) -> time::Duration {
        due.since(self.at(wall)).into()
    }

    /// How long nothing will happen without input; `None` if for ever.
    pub fn idle<D: SerialDevice + ?Sized>(
        &self,
        device: &D,
        wall: time::Instant,
    ) -> Option<time::Duration> {
        let due = device.next_event()?;
        Some(due.since(self.at(wall)).into())
    }

    /// A debugger holds the device: wall time passes and the device's does not.
    pub(super) fn hold<D: SerialDevice + ?Sized>(&mut self, device: &D, wall: time::Instant) {
        (self.wall, self.device) = (wall, device.now());
    }

    /// Something outside the line has changed the device (a reset, a power cycle): its time may run
    /// ahead again.
    pub fn touched<D: SerialDevice + ?Sized>(&mut self, device: &D) {
        self.last_input = device.now();
    }
}

#[cfg(test)]
mod tests;

//! The transmit buffer of a network adapter: what its client has sent and the line has not taken.
//!
//! Only where time is real. A client that purges its output takes back what stands here; where time
//! jumps, the line has taken everything at once and there is nothing to take back.

use std::{collections::VecDeque, time};

use super::{device::SerialDevice, pace::Clock};
use crate::time::Duration;

/// Bytes that the buffer takes before the client has to wait.
const BUFFER_MAX: usize = 0x1_0000;
/// The line is kept filled so far ahead, so that it has no gap while the loop sleeps.
const AHEAD: Duration = Duration::from_millis(5);
/// Bytes given to the line at a time: less than [`AHEAD`] at the ROM's rate.
const PORTION: usize = 32;

/// The buffer.
#[derive(Debug, Default)]
pub(super) struct TransmitBuffer {
    waiting: VecDeque<u8>,
}

impl TransmitBuffer {
    /// Whether the client may send more.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < BUFFER_MAX
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Drops what the line has not taken.
    pub(super) fn discard(&mut self) {
        self.waiting.clear();
    }

    /// Takes bytes of the client.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.waiting.extend(bytes);
    }

    /// Gives the line what it takes by now.
    pub(super) fn feed<D: SerialDevice>(
        &mut self,
        device: &mut D,
        clock: &mut Clock,
        wall: time::Instant,
        baud: Option<u32>,
    ) {
        while !self.waiting.is_empty()
            && (clock.jumps() || self.wait(device, clock, wall).is_none())
        {
            let count = if clock.jumps() { self.waiting.len() } else { PORTION };
            let portion: Vec<u8> = self.waiting.drain(..count.min(self.waiting.len())).collect();
            clock.input(device, wall, baud, &portion);
        }
    }

    /// How long until the line takes more; `None` if it does now, or nothing waits.
    pub(super) fn wait<D: SerialDevice>(
        &self,
        device: &D,
        clock: &Clock,
        wall: time::Instant,
    ) -> Option<time::Duration> {
        let busy = clock.until(device.line_free_at(), wall);
        let wait = busy.saturating_sub(AHEAD.into());
        (!self.waiting.is_empty() && !wait.is_zero()).then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{case::LoadedBoard, time::Instant, transport::pace::Pace};

    #[expect(clippy::disallowed_methods, reason = "a clock has to start somewhere")]
    fn start() -> time::Instant {
        time::Instant::now()
    }

    #[test]
    fn at_the_pace_of_the_line_a_purge_takes_back_what_has_not_left() {
        let mut board = LoadedBoard::with_part("W25Q32JV").into_board().unwrap();
        let wall = start();
        let mut clock = Clock::start(Pace::Real, wall, board.now());
        let mut buffer = TransmitBuffer::default();
        // The loader has to listen before it books bytes on the line.
        buffer.send(&[0x55; 2000]);
        buffer.feed(&mut board, &mut clock, wall, Some(115_200));
        let left = buffer.waiting.len();
        assert!((1_800..2_000).contains(&left), "{left} of 2000 bytes wait");
        let wait = buffer.wait(&board, &clock, wall).unwrap();
        assert!(wait < time::Duration::from_millis(10), "{wait:?}");
        // 100 ms later some 1150 bytes more have left.
        let later = wall + time::Duration::from_millis(100);
        for step in 1..=100 {
            let at = wall + time::Duration::from_millis(step);
            buffer.feed(&mut board, &mut clock, at, Some(115_200));
        }
        let now_left = buffer.waiting.len();
        assert!((left - 1250..left - 1050).contains(&now_left), "{now_left} of {left}");
        buffer.discard();
        assert!(buffer.wait(&board, &clock, later).is_none() && buffer.has_room());
    }

    #[test]
    fn where_time_jumps_nothing_waits() {
        let mut board = LoadedBoard::with_part("W25Q32JV").into_board().unwrap();
        let wall = start();
        let mut clock = Clock::start(Pace::Max, wall, Instant::ZERO);
        let mut buffer = TransmitBuffer::default();
        buffer.send(&[0x55; 10_000]);
        buffer.feed(&mut board, &mut clock, wall, Some(115_200));
        assert!(buffer.waiting.is_empty());
    }
}

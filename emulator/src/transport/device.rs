//! A board as its serial port sees it: what every front end drives.

use crate::time::Instant;

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

    /// Lets time pass until `now`.
    fn advance(&mut self, now: Instant);

    /// The client's line speed, if it is known.
    fn set_host_baud(&mut self, now: Instant, baud: Option<u32>);
}

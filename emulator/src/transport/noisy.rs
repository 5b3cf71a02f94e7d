//! A device behind a bad line.

use std::os::fd::BorrowedFd;

use esp_protocol::rfc2217::Format;

use super::device::SerialDevice;
use crate::{
    board::ControlLines,
    fault::{
        link::{LinkCounters, NoisyLink},
        plan::LinkPlan,
    },
    spi::Transaction,
    time::Instant,
};

/// A device whose line damages bytes, as a seed decides.
#[derive(Debug)]
pub struct NoisyDevice<D> {
    inner: D,
    to_board: NoisyLink,
    from_board: NoisyLink,
}

impl<D: SerialDevice> NoisyDevice<D> {
    /// What `plan` has for each direction.
    #[must_use]
    pub fn new(inner: D, plan: &LinkPlan, seed: u64) -> Self {
        Self {
            inner,
            to_board: NoisyLink::new(plan.to_chip, seed),
            from_board: NoisyLink::new(plan.from_chip, !seed),
        }
    }

    /// The device.
    pub fn inner_mut(&mut self) -> &mut D {
        &mut self.inner
    }

    /// What the line did to the bytes to the board, and to those from it.
    #[must_use]
    pub fn counters(&self) -> [LinkCounters; 2] {
        [self.to_board.counters(), self.from_board.counters()]
    }

    /// Lets what is due by `now` arrive at the device, each byte at its time.
    fn deliver(&mut self, now: Instant) {
        while let Some(due) = self.to_board.next_event().filter(|due| *due <= now) {
            let at = due.max(self.inner.now());
            let mut bytes = Vec::new();
            self.to_board.receive(due, &mut bytes);
            self.inner.receive(at, &bytes);
        }
    }
}

impl<D: SerialDevice> SerialDevice for NoisyDevice<D> {
    fn now(&self) -> Instant {
        self.inner.now()
    }

    fn receive(&mut self, now: Instant, bytes: &[u8]) {
        self.to_board.send(now, bytes);
        self.deliver(now);
    }

    fn transmit(&mut self, now: Instant, out: &mut Vec<u8>) {
        self.deliver(now);
        let mut bytes = Vec::new();
        self.inner.transmit(now, &mut bytes);
        self.from_board.send(now, &bytes);
        while self.from_board.next_event().is_some_and(|due| due <= now) {
            self.from_board.receive(now, out);
        }
    }

    fn next_event(&self) -> Option<Instant> {
        let lines = [self.to_board.next_event(), self.from_board.next_event()];
        lines.into_iter().flatten().chain(self.inner.next_event()).min()
    }

    fn advance(&mut self, now: Instant) {
        self.deliver(now);
        self.inner.advance(now);
    }

    fn set_host_baud(&mut self, now: Instant, baud: Option<u32>) {
        self.deliver(now);
        self.inner.set_host_baud(now, baud);
    }

    fn set_host_format(&mut self, now: Instant, format: Format) {
        self.deliver(now);
        self.inner.set_host_format(now, format);
    }

    fn receive_break(&mut self, now: Instant) {
        self.deliver(now);
        self.inner.receive_break(now);
    }

    fn set_lines(&mut self, now: Instant, lines: ControlLines) {
        self.deliver(now);
        self.inner.set_lines(now, lines);
    }

    fn spi_transfer(&mut self, now: Instant, transaction: &mut Transaction<'_>) -> Option<Instant> {
        self.inner.spi_transfer(now, transaction)
    }

    fn wake_fd(&self) -> Option<BorrowedFd<'_>> {
        self.inner.wake_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fault::link::LinkNoise, time::Duration, transport::fake::Echo};

    #[test]
    fn a_good_line_is_no_line() {
        let mut device = NoisyDevice::new(Echo::default(), &LinkPlan::default(), 1);
        device.receive(Instant::ZERO, b"hello");
        let mut out = Vec::new();
        device.transmit(Instant::ZERO, &mut out);
        assert_eq!(out, b"hello");
        assert_eq!(device.counters().map(|it| it.bytes), [5, 5]);
    }

    #[test]
    fn late_bytes_arrive_at_their_time_and_wake_the_loop() {
        let late = Duration::from_millis(5);
        let noise =
            LinkNoise { delays_per_million: 1_000_000, delay_max: late, ..LinkNoise::default() };
        let plan = LinkPlan { to_chip: noise, from_chip: noise };
        let mut device = NoisyDevice::new(Echo::default(), &plan, 3);
        device.receive(Instant::ZERO, &[0x55; 8]);
        let mut out = Vec::new();
        let mut steps = 0;
        while let Some(due) = device.next_event() {
            device.advance(due.max(device.now()));
            device.transmit(due.max(device.now()), &mut out);
            steps += 1;
            assert!(steps < 100);
        }
        assert_eq!(out, [0x55; 8]);
        let counters = device.counters();
        assert!(counters[0].delays == 8 && counters[1].delays > 0, "{counters:?}");
    }

    #[test]
    fn each_direction_has_its_own_faults() {
        let lost = LinkNoise { drops_per_million: 1_000_000, ..LinkNoise::default() };
        let plan = LinkPlan { from_chip: lost, ..LinkPlan::default() };
        let mut device = NoisyDevice::new(Echo::default(), &plan, 1);
        device.receive(Instant::ZERO, b"hello");
        let mut out = Vec::new();
        device.transmit(Instant::ZERO, &mut out);
        assert!(out.is_empty());
        assert_eq!(device.counters().map(|it| (it.bytes, it.drops)), [(5, 0), (5, 5)]);
    }
}

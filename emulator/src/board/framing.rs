//! Two ends of a line at different rates: what the receiver makes of the sender's bits.

use crate::soc::{Uart, edges};

/// Edges that the ROM counts before it trusts a measurement (ROM-FACTS 3.3).
const EDGES_TO_MEASURE: u32 = 127;
/// Parts in a hundred that the rates may differ by: beyond, the ninth bit is sampled too far off.
const TOLERANCE_PERCENT: u64 = 3;

/// Whether bytes pass unharmed between ends that run at `one` and `other` baud.
pub(super) fn rates_agree(one: u32, other: u32) -> bool {
    u64::from(one.abs_diff(other)) * 100 <= u64::from(other) * TOLERANCE_PERCENT
}

/// Appends what a receiver at `receiver` baud gets of one `byte` sent at `sender` baud with an idle
/// line behind it. Every byte is a frame of its own, so the result does not depend on how a stream
/// is cut.
pub(crate) fn garble(byte: u8, sender: u32, receiver: u32, out: &mut Vec<u8>) {
    let (sender, receiver) = (u64::from(sender.max(1)), u64::from(receiver.max(1)));
    // The line as the sender drives it: start bit, data from bit 0 on, stop bit, idle.
    let frame = u64::from(byte) << 1 | !0 << 9;
    // Time is counted in half bits of the receiver, from the start edge on.
    let level = |half_bits: u64| {
        let bit = half_bits * sender / (2 * receiver);
        bit > 9 || frame >> bit & 1 == 1
    };
    let mut start = 0;
    loop {
        let sampled = (0..8).filter(|bit| level(start + 3 + 2 * bit));
        out.push(sampled.fold(0, |value, bit| value | 1 << bit));
        // The next falling edge behind the middle of the stop bit.
        let middle = start + 19;
        let edge = (1..10)
            .filter(|bit| frame >> (bit - 1) & 3 == 1)
            .map(|bit| (bit * 2 * receiver).div_ceil(sender))
            .find(|edge| *edge > middle);
        let Some(edge) = edge else { return };
        start = edge;
    }
}

/// The ROM's measurement of the host's rate: once per reset, by counting edges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct AutoBaud {
    edge_count: u32,
}

impl AutoBaud {
    /// Listens to `bytes` at `rate` baud; gives how many of them the measurement consumed, and
    /// whether it is over: the divider is then set and the bytes behind are heard.
    pub(super) fn listen(&mut self, uart: &mut Uart, rate: u32, bytes: &[u8]) -> (usize, bool) {
        for (count, byte) in (1..).zip(bytes) {
            self.edge_count += edges(*byte);
            if self.edge_count > EDGES_TO_MEASURE {
                uart.set_rate(rate);
                return (count, true);
            }
        }
        (bytes.len(), false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(bytes: &[u8], sender: u32, receiver: u32) -> Vec<u8> {
        let mut out = Vec::new();
        for byte in bytes {
            garble(*byte, sender, receiver, &mut out);
        }
        out
    }

    #[test]
    fn equal_rates_pass_every_byte() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(heard(&all, 115_200, 115_200), all);
        assert_eq!(heard(&all, 115_200, 117_000), all);
        assert_eq!(heard(&all, 921_600, 905_000), all);
    }

    #[test]
    fn a_faster_sender_is_heard_as_one_mostly_high_byte() {
        // Two sender's bits to a sample: the frame is over in the middle of the receiver's byte.
        assert_eq!(heard(&[0x00], 230_400, 115_200), [0xF8]);
        assert_eq!(heard(&[0xFF], 921_600, 115_200), [0xFF]);
    }

    #[test]
    fn a_slower_sender_is_heard_as_several_bytes() {
        // One start bit is twelve bit times long: a zero byte without its stop bit.
        assert_eq!(heard(&[0xFF], 9_600, 115_200), [0x00]);
        assert_eq!(heard(&[0x55], 9_600, 115_200), [0x00; 5]);
        assert!(heard(&[0x55; 100], 1, u32::MAX).len() <= 500);
    }

    #[test]
    fn three_percent_are_tolerated() {
        assert!(rates_agree(115_200, 115_211));
        assert!(rates_agree(118_600, 115_200));
        assert!(!rates_agree(119_000, 115_200));
        assert!(!rates_agree(74_880, 115_200));
    }
}

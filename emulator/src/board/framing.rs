//! Two ends of a line with different rates or frames: what the receiver makes of the sender's bits.

use esp_protocol::rfc2217::Format;

use crate::soc::{Uart, edges};

/// Edges that the ROM counts before it trusts a measurement (ROM-FACTS 3.3).
const EDGES_TO_MEASURE: u32 = 127;
/// Parts in a hundred that the rates may differ by: beyond, the ninth bit is sampled too far off.
const TOLERANCE_PERCENT: u64 = 3;

/// Whether bytes pass unharmed between ends that run at `one` and `other` baud.
pub(super) fn rates_agree(one: u32, other: u32) -> bool {
    u64::from(one.abs_diff(other)) * 100 <= u64::from(other) * TOLERANCE_PERCENT
}

/// One end of the line: how fast it is, and what makes up a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LineEnd {
    /// In baud.
    pub(crate) rate: u32,
    /// Data bits, parity and stop bits.
    pub(crate) format: Format,
}

/// What a receiver takes from the line for one byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sampled {
    /// The data bits; those above the format's are 0.
    pub(crate) byte: u8,
    /// The stop bit was not there, or the parity is wrong.
    pub(crate) is_wrong: bool,
}

/// Whether bytes pass unharmed from `sender` to `receiver`: the frames are the same, and the rates
/// agree. Stop bits are no more to a receiver than a line that is idle for longer.
pub(crate) fn ends_agree(sender: LineEnd, receiver: LineEnd) -> bool {
    let frame = |end: LineEnd| (end.format.data_bits, end.format.parity);
    let is_whole = sender.format.data_bits == 8;
    is_whole && frame(sender) == frame(receiver) && rates_agree(sender.rate, receiver.rate)
}

/// The parity bit of `byte` under `format`, if it has one (RFC 2217: 1 none, 2 odd, 3 even, 4 mark,
/// 5 space).
fn parity_bit(byte: u8, format: Format) -> Option<bool> {
    let is_odd = byte.count_ones() % 2 == 1;
    match format.parity {
        2 => Some(!is_odd),
        3 => Some(is_odd),
        4 => Some(true),
        5 => Some(false),
        _ => None,
    }
}

/// Data bits of `format` that a byte has.
fn data_mask(format: Format) -> u8 {
    0xFF >> 8_u8.saturating_sub(format.data_bits).min(7)
}

/// Appends what `receiver` samples of one `byte` that `sender` sends with an idle line behind it: the
/// one place where bytes become bits and bits bytes again. Every byte is a frame of its own, so the
/// result does not depend on how a stream is cut.
pub(crate) fn resample(byte: u8, sender: LineEnd, receiver: LineEnd, out: &mut Vec<Sampled>) {
    let (from, to) = (u64::from(sender.rate.max(1)), u64::from(receiver.rate.max(1)));
    // The line as the sender drives it: start bit, data from bit 0 on, parity, stop bit, idle.
    let data_bits = u32::from(sender.format.data_bits.clamp(5, 8));
    let data = byte & data_mask(sender.format);
    let parity = parity_bit(data, sender.format);
    let parity_bits = u32::from(parity.is_some());
    let parity_line = u64::from(parity == Some(true)) << (1 + data_bits);
    let frame = u64::from(data) << 1 | parity_line | !0 << (1 + data_bits + parity_bits);
    let sent_bits = u64::from(1 + data_bits + parity_bits);
    // Time is counted in half bits of the receiver, from the start edge on.
    let level = |half_bits: u64| {
        let bit = half_bits * from / (2 * to);
        bit > sent_bits || frame >> bit & 1 == 1
    };
    let taken_bits = u64::from(receiver.format.data_bits.clamp(5, 8));
    let mut start = 0;
    loop {
        let at = |bit: u64| start + 3 + 2 * bit;
        let ones = (0..taken_bits).filter(|bit| level(at(*bit)));
        let byte = ones.fold(0_u8, |value, bit| value | 1 << bit);
        let expected = parity_bit(byte, receiver.format);
        let is_odd_one_out = expected.is_some_and(|expected| level(at(taken_bits)) != expected);
        let stop = at(taken_bits + u64::from(expected.is_some()));
        out.push(Sampled { byte, is_wrong: is_odd_one_out || !level(stop) });
        // The next falling edge behind the middle of the stop bit.
        let edge = (1..=sent_bits)
            .filter(|bit| frame >> (bit - 1) & 3 == 1)
            .map(|bit| (bit * 2 * to).div_ceil(from))
            .find(|edge| *edge > stop);
        let Some(edge) = edge else { return };
        start = edge;
    }
}

/// Appends what an 8N1 receiver at `receiver` baud gets of one 8N1 `byte` at `sender` baud, good or
/// wrong.
pub(crate) fn garble(byte: u8, sender: u32, receiver: u32, out: &mut Vec<u8>) {
    let end = |rate| LineEnd { rate, format: Format::EIGHT_N_ONE };
    let mut sampled = Vec::new();
    resample(byte, end(sender), end(receiver), &mut sampled);
    out.extend(sampled.iter().map(|sampled| sampled.byte));
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
mod tests;

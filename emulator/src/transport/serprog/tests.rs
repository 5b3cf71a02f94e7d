//! Byte literals from the protocol document, then properties.

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::time::Instant;

/// Answers RDID, is busy for 10 ms after opcode 20h, notes what it sees; a poll that meets it busy
/// jumps to the end.
#[derive(Debug, Default)]
struct Part {
    seen: Vec<Vec<u8>>,
    busy_until: Option<Instant>,
    now: Instant,
}

impl SpiBus for Part {
    fn transfer(&mut self, clock_hz: u32, mosi: &[u8], miso: &mut [u8]) {
        let busy = self.busy_until.take().filter(|end| *end > self.now);
        self.seen.push(mosi.to_vec());
        self.now += transfer_time(mosi.len() + miso.len(), clock_hz);
        match mosi.first() {
            Some(0x9F) => {
                let id = [0xEF, 0x40, 0x16];
                miso.iter_mut().zip(id.iter().cycle()).for_each(|(to, id)| *to = *id);
            }
            Some(0x05) => miso.fill(u8::from(busy.is_some())),
            Some(0x20) => self.busy_until = Some(self.now + Duration::from_millis(10)),
            _ => {}
        }
        self.now = busy.map_or(self.now, |end| end.max(self.now));
    }

    fn wait(&mut self, span: Duration) {
        self.now += span;
    }

    fn drive(&mut self, _on: bool) {}
}

#[derive(Debug, Default)]
struct Bench {
    server: Server,
    part: Part,
}

impl Bench {
    fn ask(&mut self, bytes: &[u8]) -> Vec<u8> {
        assert_eq!(self.server.receive(bytes, &mut self.part), bytes.len());
        let answer = self.server.pending().to_vec();
        self.server.sent(answer.len());
        answer
    }
}

#[test]
fn the_start_of_a_session() {
    let mut bench = Bench::default();
    assert_eq!(bench.ask(&[0x00]), [0x06]);
    assert_eq!(bench.ask(&[0x10]), [0x15, 0x06], "SYNCNOP is NAK then ACK");
    assert_eq!(bench.ask(&[0x01]), [0x06, 1, 0]);
    assert_eq!(bench.ask(&[0x04]), [0x06, 0xFF, 0xFF]);
    assert_eq!(bench.ask(&[0x05]), [0x06, 0x08]);
    assert_eq!(bench.ask(&[0x12, 0x08]), [0x06]);
    assert_eq!(bench.ask(&[0x12, 0x01]), [0x15], "no parallel bus");
    assert_eq!(bench.ask(&[0x03]).len(), 17);
    assert_eq!(bench.ask(&[0x08]), [0x06, 0, 0, 1]);
    assert_eq!(bench.ask(&[0x11]), [0x06, 0, 0, 4]);
}

#[test]
fn the_command_map_tells_the_truth() {
    let mut bench = Bench::default();
    let map = bench.ask(&[0x02]);
    assert_eq!(map.len(), 33);
    assert_eq!(map[..4], [0x06, 0b1011_1111, 0b1100_1001, 0b0011_1111]);
    assert!(map[4..].iter().all(|byte| *byte == 0));
    // Whatever is not in the map is refused.
    for opcode in 0..=255_u8 {
        let supported = map[1 + usize::from(opcode / 8)] & (1 << (opcode % 8)) != 0;
        if !supported {
            assert_eq!(bench.ask(&[opcode]), [0x15], "opcode {opcode:#04x}");
        }
    }
}

#[test]
fn an_spi_operation_shifts_out_then_in() {
    let mut bench = Bench::default();
    let answer = bench.ask(&[0x13, 1, 0, 0, 3, 0, 0, 0x9F]);
    assert_eq!(answer, [0x06, 0xEF, 0x40, 0x16]);
    assert_eq!(bench.ask(&[0x13, 2, 0, 0, 0, 0, 0, 0x01, 0x1C]), [0x06]);
    assert_eq!(bench.part.seen, [vec![0x9F], vec![0x01, 0x1C]]);
}

#[test]
fn every_bit_takes_time() {
    let mut bench = Bench::default();
    assert_eq!(bench.ask(&[0x14, 0x40, 0x42, 0x0F, 0]), [0x06, 0x40, 0x42, 0x0F, 0]);
    bench.ask(&[0x13, 1, 0, 0, 3, 0, 0, 0x9F]);
    assert_eq!(bench.part.now, Instant::from_nanos(32_000), "32 bits at 1 MHz");
    assert_eq!(bench.ask(&[0x14, 0, 0, 0, 0]), [0x15], "0 Hz is reserved");
    assert_eq!(bench.ask(&[0x14, 0xFF, 0xFF, 0xFF, 0xFF])[1..], 80_000_000_u32.to_le_bytes());
}

#[test]
fn a_busy_part_is_seen_busy_once_then_ready() {
    let mut bench = Bench::default();
    bench.ask(&[0x13, 4, 0, 0, 0, 0, 0, 0x20, 0, 0, 0]);
    let poll = [0x13, 1, 0, 0, 1, 0, 0, 0x05];
    assert_eq!(bench.ask(&poll), [0x06, 1]);
    assert_eq!(bench.ask(&poll), [0x06, 0]);
}

#[test]
fn delays_pass_when_they_are_executed() {
    let mut bench = Bench::default();
    assert_eq!(bench.ask(&[0x0B]), [0x06]);
    assert_eq!(bench.ask(&[0x0E, 0xE8, 3, 0, 0, 0x0E, 1, 0, 0, 0]), [0x06, 0x06]);
    assert_eq!(bench.part.now, Instant::ZERO);
    assert_eq!(bench.ask(&[0x0F, 0x0F]), [0x06, 0x06]);
    assert_eq!(bench.part.now, Instant::from_nanos(1_001_000));
    let answers = bench.ask(&[0x0E, 0, 0, 0, 0].repeat(205));
    let (accepted, refused) = answers.split_at(204);
    assert!(accepted.iter().all(|byte| *byte == ACK));
    assert_eq!(refused, [NAK], "the buffer is bounded");
}

#[test]
fn too_long_is_swallowed_and_refused() {
    let mut bench = Bench::default();
    let len = WRITE_MAX + 1;
    let mut bytes = vec![0x13];
    bytes.extend(three_bytes(len));
    bytes.extend([0, 0, 0]);
    bytes.resize(bytes.len() + len, 0x9F);
    bytes.push(0x00);
    assert_eq!(bench.ask(&bytes), [0x15, 0x06], "the NOP behind it is understood");
    assert_eq!(bench.ask(&[0x13, 1, 0, 0, 1, 0, 4, 0x9F]), [0x15]);
    assert!(bench.part.seen.is_empty());
}

#[test]
fn a_client_that_does_not_read_is_not_heard() {
    let mut bench = Bench::default();
    let flood = [0x13, 0, 0, 0, 0, 0, 4].repeat(100);
    let taken = bench.server.receive(&flood, &mut bench.part);
    assert_eq!(taken, 14, "two reads of 256 KiB fill the queue");
    assert!(bench.server.pending().len() <= PENDING_MAX + READ_MAX);
    bench.server.sent(usize::MAX);
    assert!(bench.server.receive(&flood[taken..], &mut bench.part) > 0);
}

proptest! {
    #[test]
    fn any_bytes_in_any_chunks(bytes in vec(prop_oneof![any::<u8>(), 0_u8..24], 0..300), cut in 1_usize..40) {
        let mut whole = Bench::default();
        let expected = whole.ask(&bytes);
        let mut cut_up = Bench::default();
        let mut answers = Vec::new();
        for chunk in bytes.chunks(cut) {
            answers.extend(cut_up.ask(chunk));
        }
        prop_assert_eq!(answers, expected);
        prop_assert_eq!(cut_up.part.seen, whole.part.seen);
        prop_assert_eq!(cut_up.part.now, whole.part.now);
    }
}

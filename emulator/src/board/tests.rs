use super::*;
use crate::spi::Transaction;

/// No flash: the pull-down decides.
struct NoFlash;

impl SpiDevice for NoFlash {
    fn transfer(&mut self, _: Instant, transaction: &mut Transaction<'_>, _: &mut Trace) {
        transaction.miso.fill(0);
    }

    fn busy_until(&self) -> Option<Instant> {
        None
    }
}

const LATER: Instant = Instant::from_nanos(10_000_000_000);

fn drain<F: SpiDevice>(board: &mut Board<F>) -> Vec<u8> {
    let mut out = Vec::new();
    board.transmit(LATER, &mut out);
    out
}

fn sync_frame() -> Vec<u8> {
    let mut frame = b"\xC0\x00\x08\x24\0\0\0\0\0\x07\x07\x12\x20".to_vec();
    frame.extend([0x55; 32]);
    frame.push(0xC0);
    frame
}

#[test]
fn sync_and_read_reg_are_answered() {
    let mut board = Board::power_on(BoardSetup::default(), NoFlash);
    let banner = drain(&mut board);
    assert!(banner.ends_with(b"waiting for download\r\n"));
    assert_eq!(board.mode(), Mode::WaitingForSync);
    board.receive(LATER, &sync_frame());
    board.receive(LATER, b"\xC0\x00\x0A\x04\0\0\0\0\0\x00\x10\x00\x40\xC0");
    let mut out = Vec::new();
    board.transmit(LATER + Duration::from_millis(100), &mut out);
    let mut expected = b"\xC0\x01\x08\x04\0\x07\x07\x12\x20\0\0\0\0\xC0".repeat(8);
    expected.extend(b"\xC0\x01\x0A\x04\0\x83\x1D\xF0\0\0\0\0\0\xC0");
    assert_eq!(out, expected);
    assert_eq!(board.mode(), Mode::Loader);
}

proptest::proptest! {
    #[test]
    fn output_does_not_depend_on_how_input_is_cut(
        noise in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300),
        cuts in proptest::collection::vec(1_usize..40, 1..40),
    ) {
        let mut input = sync_frame();
        input.extend(b"\xC0\x00\x0A\x04\0\0\0\0\0\x00\x10\x00\x40\xC0");
        input.extend(&noise);
        input.extend(sync_frame());
        let mut whole = Board::power_on(BoardSetup::default(), NoFlash);
        whole.receive(LATER, &input);
        let mut parts = Board::power_on(BoardSetup::default(), NoFlash);
        let mut rest = &input[..];
        for cut in cuts.iter().cycle() {
            let (piece, behind) = rest.split_at((*cut).min(rest.len()));
            parts.receive(LATER, piece);
            rest = behind;
            if rest.is_empty() {
                break;
            }
        }
        let end = LATER + LATER.since(Instant::ZERO);
        let (mut one, mut other) = (Vec::new(), Vec::new());
        whole.transmit(end, &mut one);
        parts.transmit(end, &mut other);
        proptest::prop_assert_eq!(one, other);
        proptest::prop_assert_eq!(whole.now(), parts.now());
    }
}

#[test]
fn the_latch_holds_and_releases_with_gpio0() {
    let mut board = Board::power_on(BoardSetup::default(), NoFlash);
    board.set_lines(LATER, ControlLines { dtr: false, rts: true });
    assert_eq!(board.mode(), Mode::Held);
    board.set_lines(LATER, ControlLines { dtr: true, rts: true });
    assert_eq!(board.mode(), Mode::Held);
    board.set_lines(LATER, ControlLines { dtr: true, rts: false });
    assert_eq!(board.mode(), Mode::WaitingForSync);
    board.set_lines(LATER, ControlLines { dtr: false, rts: true });
    board.set_lines(LATER, ControlLines { dtr: false, rts: false });
    assert_eq!(board.mode(), Mode::BootRetry, "no image on a bus that reads zeros");
}

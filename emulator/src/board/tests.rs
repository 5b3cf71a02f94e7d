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

/// A board that has heard two SYNCs of a host at `baud`.
fn synced_at(baud: u32) -> Board<NoFlash> {
    let mut board = Board::power_on(BoardSetup::default(), NoFlash);
    drain(&mut board);
    board.set_host_baud(LATER, Some(baud));
    board.receive(LATER, &sync_frame());
    assert_eq!(board.mode(), Mode::WaitingForSync, "the first SYNC is measured");
    board.receive(LATER, &sync_frame());
    board
}

fn sent_until(board: &mut Board<NoFlash>, ms: u64) -> Vec<u8> {
    let mut out = Vec::new();
    board.transmit(LATER + Duration::from_millis(ms), &mut out);
    out
}

#[test]
fn the_first_sync_sets_the_rate_and_the_second_is_answered() {
    for baud in [9_600, 74_880, 115_200, 230_400, 921_600] {
        let mut board = synced_at(baud);
        assert_eq!(board.mode(), Mode::Loader, "{baud}");
        let off = u64::from(board.baud().abs_diff(baud)) * 100;
        assert!(off < u64::from(baud), "{baud} became {}", board.baud());
        let answer = b"\xC0\x01\x08\x04\0\x07\x07\x12\x20\0\0\0\0\xC0".repeat(8);
        assert_eq!(sent_until(&mut board, 5_000), answer, "{baud}");
    }
}

#[test]
fn a_host_at_another_rate_gets_garbage_and_is_not_understood() {
    let mut board = synced_at(115_200);
    sent_until(&mut board, 1_000);
    let read_magic = b"\xC0\x00\x0A\x04\0\0\0\0\0\x00\x10\x00\x40\xC0";
    let now = LATER + Duration::from_millis(2_000);
    board.set_host_baud(now, Some(74_880));
    board.receive(now, read_magic);
    assert_eq!(sent_until(&mut board, 3_000), b"", "no command in garbage");
    board.set_host_baud(now, Some(115_200));
    board.receive(LATER + Duration::from_millis(3_000), b"\xC0\xC0");
    board.receive(LATER + Duration::from_millis(3_000), read_magic);
    board.set_host_baud(now, Some(74_880));
    let garbage = sent_until(&mut board, 4_000);
    assert!(!garbage.is_empty());
    assert!(!garbage.starts_with(b"\xC0\x01\x0A"), "{garbage:02x?}");
}

#[test]
fn the_rate_changes_behind_the_reply() {
    let mut board = synced_at(115_200);
    sent_until(&mut board, 1_000);
    let mut frame = b"\xC0\x00\x0F\x08\0\0\0\0\0".to_vec();
    frame.extend(921_600_u32.to_le_bytes());
    frame.extend([0; 4]);
    frame.push(0xC0);
    board.receive(LATER + Duration::from_millis(1_000), &frame);
    assert!(board.baud().abs_diff(921_600) < 9_000);
    // The reply was sent at the old rate, although the board has left it long before it is read.
    let reply = sent_until(&mut board, 2_000);
    assert!(reply.starts_with(b"\xC0\x01\x0F\x04"), "{reply:02x?}");
    board.set_host_baud(LATER, Some(921_600));
    board.receive(LATER + Duration::from_millis(2_000), &sync_frame());
    assert!(sent_until(&mut board, 3_000).starts_with(b"\xC0\x01\x08\x04"));
}

#[test]
fn a_break_spoils_the_frame_it_falls_into() {
    let mut board = synced_at(115_200);
    sent_until(&mut board, 1_000);
    let read_magic = b"\xC0\x00\x0A\x04\0\0\0\0\0\x00\x10\x00\x40\xC0";
    board.receive(LATER, &read_magic[..1]);
    board.receive_break(LATER);
    board.receive(LATER, &read_magic[1..]);
    let spoilt = sent_until(&mut board, 2_000);
    assert!(!spoilt.starts_with(b"\xC0\x01\x0A\x04\0\x83"), "{spoilt:02x?}");
    board.receive(LATER + Duration::from_millis(2_000), read_magic);
    assert!(sent_until(&mut board, 3_000).starts_with(b"\xC0\x01\x0A\x04\0\x83"));
}

/// Plays line changes (milliseconds, DTR, RTS) and tells what the chip does at the end.
fn after_lines(wiring: Wiring, changes: &[(u64, u8, u8)]) -> Mode {
    let setup = BoardSetup { wiring, strap: STRAP_FLASH_BOOT, ..BoardSetup::default() };
    let mut board = Board::power_on(setup, NoFlash);
    assert_eq!(board.mode(), Mode::BootRetry);
    let mut now = LATER;
    for (ms, dtr, rts) in changes {
        now = LATER + Duration::from_millis(*ms);
        board.set_lines(now, ControlLines { dtr: *dtr == 1, rts: *rts == 1 });
    }
    board.advance(now + Duration::from_millis(300));
    board.mode()
}

/// esptool's `UnixTight`, times as measured (DEPS 1b.5).
const TIGHT: &[(u64, u8, u8)] = &[(0, 0, 0), (0, 1, 1), (0, 0, 1), (104, 1, 0), (152, 0, 0)];
/// esptool's classic sequence: one line at a time, so both are up for a moment.
const CLASSIC: &[(u64, u8, u8)] = &[(0, 0, 0), (0, 0, 1), (100, 1, 1), (100, 1, 0), (150, 0, 0)];
/// The same over RFC 2217, where each change takes 50 ms (DEPS 1c.2).
const CLASSIC_SLOW: &[(u64, u8, u8)] =
    &[(0, 0, 0), (50, 0, 1), (200, 1, 1), (250, 1, 0), (350, 0, 0)];
const HARD_RESET: &[(u64, u8, u8)] = &[(0, 0, 1), (100, 0, 0)];

#[test]
fn wirings_and_reset_sequences() {
    let (latch, fast) = (Wiring::Latch, Wiring::Transistors { rise_ms: 1 });
    let (medium, slow) =
        (Wiring::Transistors { rise_ms: 60 }, Wiring::Transistors { rise_ms: 110 });
    let (loader, boot) = (Mode::WaitingForSync, Mode::BootRetry);
    for (wiring, sequence, mode) in [
        (latch, TIGHT, loader),
        (latch, CLASSIC, loader),
        (latch, CLASSIC_SLOW, loader),
        (latch, HARD_RESET, boot),
        (fast, TIGHT, loader),
        (fast, CLASSIC, loader),
        // EN rises while both lines are up: GPIO0 is high (esptool issue 383).
        (fast, CLASSIC_SLOW, boot),
        (medium, CLASSIC_SLOW, loader),
        (fast, HARD_RESET, boot),
        // GPIO0 is low for 48 ms only.
        (slow, TIGHT, boot),
        (Wiring::Direct, TIGHT, loader),
        (Wiring::Direct, HARD_RESET, boot),
        (Wiring::Inverted, &[(0, 0, 0), (100, 0, 1)], loader),
        (Wiring::Inverted, &[(0, 1, 0), (100, 1, 1)], boot),
        (Wiring::Inverted, HARD_RESET, Mode::Held),
        (Wiring::None, TIGHT, boot),
    ] {
        assert_eq!(after_lines(wiring, sequence), mode, "{wiring:?} {sequence:?}");
    }
}

#[test]
fn wrong_reset_sequences_do_not_enter_the_loader() {
    for wiring in [Wiring::Latch, Wiring::Transistors { rise_ms: 1 }, Wiring::Direct] {
        for sequence in [
            // DTR alone; GPIO0 let go before EN; never released.
            &[(0, 1, 0), (100, 0, 0)][..],
            &[(0, 0, 1), (50, 0, 1), (100, 0, 0), (150, 1, 0)],
            &[(0, 0, 1), (100, 0, 1)],
        ] {
            let mode = after_lines(wiring, sequence);
            assert_ne!(mode, Mode::WaitingForSync, "{wiring:?} {sequence:?}");
        }
    }
    assert_eq!(after_lines(Wiring::Latch, &[(0, 0, 1)]), Mode::Held);
}

#[test]
fn a_glitch_on_en_starts_its_rise_anew() {
    let wiring = Wiring::Transistors { rise_ms: 20 };
    let glitch = &[(0, 0, 1), (100, 1, 0), (115, 0, 1), (116, 0, 0)];
    assert_eq!(after_lines(wiring, glitch), Mode::BootRetry);
    let early = &[(0, 0, 1), (100, 1, 0), (121, 0, 0)];
    assert_eq!(after_lines(wiring, early), Mode::WaitingForSync);
}

/// What a host with such frames hears of an answered `READ_REG`, which it asks for
/// with eight bits.
fn heard_with(data_bits: u8, parity: u8) -> Vec<u8> {
    let mut board = synced_at(115_200);
    sent_until(&mut board, 1_000);
    let now = LATER + Duration::from_millis(2_000);
    board.receive(now, b"\xC0\x00\x0A\x04\0\0\0\0\0\x00\x10\x00\x40\xC0");
    board.set_host_format(now, Format { data_bits, parity, stop_bits: 1 });
    sent_until(&mut board, 3_000)
}

#[test]
fn a_host_with_other_frames_is_not_understood_and_hears_something_else() {
    let read_magic = b"\xC0\x00\x0A\x04\0\0\0\0\0\x00\x10\x00\x40\xC0";
    for (data_bits, parity) in [(7, 1), (7, 3), (6, 1), (5, 2), (8, 2), (8, 5)] {
        let mut board = synced_at(115_200);
        sent_until(&mut board, 1_000);
        let now = LATER + Duration::from_millis(2_000);
        board.set_host_format(now, Format { data_bits, parity, stop_bits: 1 });
        board.receive(now, read_magic);
        sent_until(&mut board, 3_000);
        // The frame's ends may arrive whole, and the ROM then refuses an unknown command.
        let read = |entry: &crate::trace::Entry| {
            matches!(entry.event, Event::Command { opcode: 0x0A, reply: Some((0, 0)) })
        };
        assert!(!board.trace().entries().any(read), "{data_bits} bits, parity {parity}");
        // What arrived may have crashed the loader: a command with other words.
        board.host_reset(LATER + Duration::from_millis(3_000));
        board.set_host_format(now, Format::EIGHT_N_ONE);
        sent_until(&mut board, 3_500);
        board.receive(LATER + Duration::from_millis(4_000), &[sync_frame(), sync_frame()].concat());
        let answer = sent_until(&mut board, 5_000);
        assert!(answer.starts_with(b"\xC0\x01\x08\x04"), "{answer:02x?}");
    }
    let whole = heard_with(8, 1);
    assert!(whole.starts_with(b"\xC0\x01\x0A\x04"));
    // Seven bits: the last data bit stands where the stop bit is looked for, and is lost.
    assert_eq!(heard_with(7, 1), whole.iter().map(|byte| byte & 0x7F).collect::<Vec<_>>());
    // Parity: the stop bit is taken for it, and the driver hands wrong bytes on.
    assert_eq!(heard_with(8, 3), whole);
}

/// Two stop bits are a pause, and mark parity is a second stop bit.
#[test]
fn frames_that_only_look_different_pass() {
    for (parity, stop_bits) in [(1, 2), (1, 3), (4, 1)] {
        let mut board = synced_at(115_200);
        sent_until(&mut board, 1_000);
        let now = LATER + Duration::from_millis(2_000);
        board.set_host_format(now, Format { data_bits: 8, parity, stop_bits });
        board.receive(now, b"\xC0\x00\x0A\x04\0\0\0\0\0\x00\x10\x00\x40\xC0");
        let answer = sent_until(&mut board, 3_000);
        assert!(answer.starts_with(b"\xC0\x01\x0A\x04"), "parity {parity}, stop {stop_bits}");
    }
}

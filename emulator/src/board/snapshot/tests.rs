//! A board and its copy, after whatever a client has sent, go the same way.

use proptest::{collection::vec, prelude::*};
use spi_nor::part::RegisterName;

use super::*;
use crate::{
    board::{ControlLines, Mode},
    case::{CaseBoard, LoadedBoard},
    flash::Pins,
    time::{Duration, Instant},
    trace::Entry,
};

const CODE: u32 = 0x4008_0000;

/// Waits for a byte and sends it back with the number of bytes before it added: its state is in a
/// register of the processor alone.
const COUNTING_ECHO: &str = "j start
    .align 4
    receive: .word 0x400092A4
    send: .word 0x40009200
    start: entry a1, 32
    movi a3, 0
    again: l32r a8, receive
    callx8 a8
    add a10, a10, a3
    addi a3, a3, 1
    l32r a8, send
    callx8 a8
    j again";

/// A frame of the serial protocol with its checksum.
fn frame(op: u8, words: &[u32], data: &[u8]) -> Vec<u8> {
    let mut body: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    body.extend(data);
    let size = u16::try_from(body.len()).unwrap().to_le_bytes();
    let checksum = data.iter().fold(0xEF, |sum, byte| sum ^ byte);
    let payload = [&[0, op, size[0], size[1], checksum, 0, 0, 0][..], &body].concat();
    let mut wire = Vec::new();
    esp_protocol::slip::encode(&payload, &mut wire);
    wire
}

fn sync() -> Vec<u8> {
    frame(0x08, &[0x2012_0707], &[0x55; 32])
}

/// The frames that upload and start the program.
fn start_echo() -> Vec<u8> {
    let image = xtensa::asm::assemble(CODE, COUNTING_ECHO).unwrap();
    let len = u32::try_from(image.len()).unwrap();
    [
        frame(0x05, &[len, 1, 0x1800, CODE], &[]),
        frame(0x07, &[len, 0, 0, 0], &image),
        frame(0x06, &[0, CODE], &[]),
    ]
    .concat()
}

/// What happens to a board from outside.
#[derive(Debug, Clone)]
enum Step {
    Bytes(Vec<u8>),
    Wait(u64),
    Lines(bool, bool),
    Reset,
    HostBaud(Option<u32>),
    WpPin(bool),
}

/// A command whose effects last, in the middle of some transfer perhaps.
fn command() -> impl Strategy<Value = Vec<u8>> {
    let sector = 0_u32..64;
    prop_oneof![
        Just(sync()),
        Just(frame(0x0D, &[0, 0], &[])),
        (0_u32..0x100).prop_map(|at| frame(0x0A, &[0x3FFF_0000 + at * 4], &[])),
        (0_u32..0x100, any::<u32>()).prop_map(|(at, value)| frame(
            0x09,
            &[0x3FFF_0000 + at * 4, value, u32::MAX, 0],
            &[]
        )),
        sector.clone().prop_map(|at| frame(0x02, &[0x1000, 4, 0x400, at * 0x1000], &[])),
        (0_u32..4, any::<u8>()).prop_map(|(number, fill)| frame(
            0x03,
            &[0x400, number, 0, 0],
            &[fill; 0x400]
        )),
        // A deflate stream of 64 KiB of zeros in two packets, of which the second may never come.
        sector.prop_map(|at| frame(0x10, &[0x10_000, 2, 0x40, at * 0x1000], &[])),
        (0_u32..2).prop_map(|number| {
            let stream = miniz_oxide::deflate::compress_to_vec_zlib(&[0; 0x10_000], 9);
            let half = stream.len() / 2;
            let piece = if number == 0 { &stream[..half] } else { &stream[half..] };
            let len = u32::try_from(piece.len()).unwrap();
            frame(0x11, &[len, number, 0, 0], piece)
        }),
        (0_u32..0x1_0000).prop_map(|at| frame(0x13, &[at, 0x100, 0, 0], &[])),
        Just(frame(0x0F, &[230_400, 0], &[])),
        Just(start_echo()),
        vec(any::<u8>(), 0..40),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => command().prop_map(Step::Bytes),
        // A frame that is cut.
        3 => (command(), any::<prop::sample::Index>()).prop_map(|(bytes, cut)| {
            let end = cut.index(bytes.len() + 1);
            Step::Bytes(bytes[..end].to_vec())
        }),
        4 => (0_u64..400).prop_map(Step::Wait),
        1 => (any::<bool>(), any::<bool>()).prop_map(|(dtr, rts)| Step::Lines(dtr, rts)),
        1 => Just(Step::Reset),
        1 => prop_oneof![Just(None), Just(Some(115_200)), Just(Some(74_880))].prop_map(Step::HostBaud),
        1 => any::<bool>().prop_map(Step::WpPin),
    ]
}

fn apply(board: &mut CaseBoard, step: &Step, out: &mut Vec<u8>) {
    let now = board.now();
    match step {
        Step::Bytes(bytes) => board.receive(now, bytes),
        Step::Wait(ms) => board.transmit(now + Duration::from_millis(*ms), out),
        Step::Lines(dtr, rts) => board.set_lines(now, ControlLines { dtr: *dtr, rts: *rts }),
        Step::Reset => board.host_reset(now),
        Step::HostBaud(rate) => board.set_host_baud(now, *rate),
        Step::WpPin(high) => {
            board.flash_mut().nor_mut().set_pins(Pins { wp_high: *high, hold_high: true });
        }
    }
}

/// Everything that can be seen of a run from outside and inside.
#[derive(Debug, PartialEq)]
struct Seen {
    out: Vec<u8>,
    trace: Vec<Entry>,
    now: Instant,
    next: Option<Instant>,
    mode: Mode,
    cells: Vec<u8>,
    registers: [u8; 3],
    instructions: u64,
}

fn run(board: &mut CaseBoard, steps: &[Step]) -> Seen {
    *board.trace_mut() = Trace::default();
    let mut out = Vec::new();
    for step in steps {
        apply(board, step, &mut out);
    }
    board.transmit(board.now() + Duration::from_millis(50), &mut out);
    let mut cells = vec![0; 0x8_0000];
    board.flash().nor().read_cells(0, &mut cells);
    Seen {
        out,
        trace: board.trace().entries().cloned().collect(),
        now: board.now(),
        next: board.next_event(),
        mode: board.mode(),
        cells,
        registers: [RegisterName::Sr1, RegisterName::Sr2, RegisterName::Sr3]
            .map(|name| board.flash().nor().register(name)),
        instructions: board.guest_instructions(),
    }
}

fn board() -> CaseBoard {
    LoadedBoard::with_part("W25Q32JV").into_board().unwrap()
}

/// A board that has heard SYNC.
fn synced() -> CaseBoard {
    let mut board = board();
    let mut out = Vec::new();
    for step in [
        Step::Wait(500),
        Step::Bytes(sync()),
        Step::Wait(100),
        Step::Bytes(frame(0x0D, &[0, 0], &[])),
    ] {
        apply(&mut board, &step, &mut out);
    }
    assert_eq!(board.mode(), Mode::Loader);
    board
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_restored_board_goes_on_bit_for_bit(
        before in vec(step(), 0..12),
        other in vec(step(), 0..6),
        behind in vec(step(), 1..12),
    ) {
        let mut one = synced();
        run(&mut one, &before);
        let snapshot = one.snapshot();
        let went = run(&mut one, &behind);
        // The same board put back, and put back once more.
        one.restore(&snapshot);
        prop_assert_eq!(&run(&mut one, &behind), &went);
        // Another board with a history of its own.
        let mut two = board();
        run(&mut two, &other);
        two.restore(&snapshot);
        prop_assert_eq!(&run(&mut two, &behind), &went);
    }
}

#[test]
fn a_program_goes_on_where_it_was() {
    let mut board = synced();
    let mut out = Vec::new();
    apply(&mut board, &Step::Bytes(start_echo()), &mut out);
    apply(&mut board, &Step::Wait(100), &mut out);
    assert_eq!(board.mode(), Mode::Guest);
    let said = |board: &mut CaseBoard, text: &[u8]| {
        run(board, &[Step::Bytes(text.to_vec()), Step::Wait(100)]).out
    };
    assert_eq!(said(&mut board, b"AAA"), b"ABC");
    let snapshot = board.snapshot();
    let then = board.now();
    assert_eq!(said(&mut board, b"AA"), b"DE");
    board.host_reset(board.now());
    board.restore(&snapshot);
    assert_eq!((board.now(), board.mode()), (then, Mode::Guest));
    assert_eq!(said(&mut board, b"AA"), b"DE", "the count is in a register");
    // Bytes that are on the line come as well.
    let now = board.now();
    board.receive(now, b"AAAA");
    let in_flight = board.snapshot();
    let wait = [Step::Wait(100)];
    let first = run(&mut board, &wait).out;
    assert_eq!(first, b"FGHI");
    board.restore(&in_flight);
    assert_eq!(run(&mut board, &wait).out, first);
}

#[test]
fn what_differs_is_stored_and_nothing_else() {
    let mut board = synced();
    board.flash_mut().nor_mut().load_image(0x5000, &[1]);
    let snapshot = board.snapshot();
    board.flash_mut().nor_mut().load_image(0x9000, &[2]);
    let _ = board.flash_mut().nor_mut().take_dirty();
    let before = board.restore(&snapshot);
    board.flash_mut().replaces(&before);
    assert_eq!(board.flash_mut().nor_mut().take_dirty().sectors, [9]);
    assert!(!board.take_unsaved_efuses());
    let mut cells = *board.efuses();
    cells.set_word(0, 0, 1 << 20);
    board.set_efuses(cells);
    let before = board.restore(&snapshot);
    board.flash_mut().replaces(&before);
    assert!(board.take_unsaved_efuses(), "the disk has the burned bit");
}

//! Small programs on a board: uploaded the way a client does it.

mod callbacks;
mod interrupts;

use crate::{
    board::{Board, BoardSetup, Mode},
    spi::{SpiDevice, Transaction},
    time::{Duration, Instant},
    trace::{Event, Trace},
};

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

const CODE: u32 = 0x4008_0000;

fn slip(payload: &[u8]) -> Vec<u8> {
    let mut wire = vec![0xC0];
    for &byte in payload {
        match byte {
            0xC0 => wire.extend([0xDB, 0xDC]),
            0xDB => wire.extend([0xDB, 0xDD]),
            byte => wire.push(byte),
        }
    }
    wire.push(0xC0);
    wire
}

fn exchange(board: &mut Board<NoFlash>, wire: &[u8], ms: u64) -> Vec<u8> {
    let now = board.now();
    board.receive(now, wire);
    let mut out = Vec::new();
    board.transmit(board.now() + Duration::from_millis(ms), &mut out);
    out
}

fn command(
    board: &mut Board<NoFlash>,
    op: u8,
    checksum: u8,
    words: &[u32],
    data: &[u8],
) -> Vec<u8> {
    let mut body: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    body.extend(data);
    let size = u16::try_from(body.len()).unwrap().to_le_bytes();
    let mut payload = vec![0, op, size[0], size[1], checksum, 0, 0, 0];
    payload.extend(body);
    exchange(board, &slip(&payload), 1000)
}

/// Assembles, uploads and calls a program; gives the board and what came within a second.
fn run(source: &str) -> (Board<NoFlash>, String) {
    let image = xtensa::asm::assemble(CODE, source).unwrap();
    let mut board = Board::power_on(BoardSetup::default(), NoFlash);
    exchange(&mut board, &[], 1000);
    command(&mut board, 0x08, 0, &[0x2012_0707], &[0x55; 32]);
    let len = u32::try_from(image.len()).unwrap();
    command(&mut board, 0x05, 0, &[len, 1, 0x1800, CODE], &[]);
    let checksum = image.iter().fold(0xEF, |sum, byte| sum ^ byte);
    command(&mut board, 0x07, checksum, &[len, 0, 0, 0], &image);
    let answer = command(&mut board, 0x06, 0, &[0, CODE], &[]);
    let (reply, text) = answer.split_at(14);
    assert_eq!(reply[..2], [0xC0, 0x01]);
    let text = String::from_utf8(text.to_vec()).unwrap();
    (board, text)
}

fn diagnosis(board: &Board<NoFlash>) -> String {
    let lines = board.trace().entries().filter_map(|entry| match &entry.event {
        Event::Guest { what } => Some(what.as_str()),
        _ => None,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Calls the ROM function in `address` with a2..a4 of the source as its arguments.
fn calling(address: u32, setup: &str, behind: &str) -> String {
    format!(
        "j start
         .align 4
         text: .word 0x64253d41, 0x0000000a
         f: .word {address:#x}
         start: entry a1, 32
         {setup}
         l32r a8, f
         callx8 a8
         {behind}"
    )
}

#[test]
fn a_program_that_returns_gives_the_rom_the_word() {
    let (board, text) = run("entry a1, 32\nretw.n");
    assert_eq!(text, "user code done\r\n");
    assert_eq!(board.mode(), Mode::Deaf);
}

#[test]
fn printing_for_ever_is_paced_by_the_line_and_ends_with_a_reset() {
    let source = calling(0x4000_7D54, "again: l32r a10, place\nmovi a11, 42", "j again")
        .replace("f: .word", &format!("place: .word {:#x}\nf: .word", CODE + 4));
    let source = source.replace("l32r a8, f", "l32r a8, f\n");
    let (mut board, text) = run(&source);
    // 11520 bytes a second at 115200 baud.
    assert!((5_000..=11_600).contains(&text.len()), "{}", text.len());
    assert!(text.starts_with("A=42\r\nA=42\r\n"));
    board.host_reset(board.now());
    let mut out = Vec::new();
    board.transmit(board.now() + Duration::from_millis(500), &mut out);
    assert!(out.ends_with(b"waiting for download\r\n"), "{:?}", String::from_utf8_lossy(&out));
}

#[test]
fn a_software_reset_leads_back_to_the_loader() {
    let (board, text) = run(&calling(0x4000_824C, "", "j start"));
    assert!(text.contains("rst:0x3 (SW_RESET)"), "{text}");
    assert_eq!(board.mode(), Mode::WaitingForSync);
}

#[test]
fn a_bad_load_prints_the_rom_text_and_leaves_a_diagnosis() {
    let (board, text) = run("entry a1, 32\nmovi a3, 0\nl32i a2, a3, 16\nretw.n");
    assert!(
        text.starts_with("Fatal exception (28): LoadProhibited\r\nepc1=0x40080006, "),
        "{text}"
    );
    assert!(text.contains("excvaddr=0x00000010"), "{text}");
    assert_eq!(board.mode(), Mode::Deaf);
    assert!(diagnosis(&board).contains("l32i"), "{}", diagnosis(&board));
}

#[test]
fn an_unknown_rom_function_is_named_with_its_arguments() {
    let (board, text) = run(&calling(0x4000_66BC, "movi a10, 17", "retw.n"));
    assert!(text.starts_with("Fatal exception (20): "), "{text}");
    let said = diagnosis(&board);
    assert!(said.contains("0x400066bc (ets_run)") && said.contains("(0x11, "), "{said}");
}

#[test]
fn waiting_for_a_byte_costs_nothing_and_goes_on_when_it_comes() {
    // uart_rx_one_char_block, then uart_tx_one_char of what came.
    let source = calling(0x4000_92A4, "again:", "l32r a8, g\ncallx8 a8\nj again")
        .replace("f: .word", "g: .word 0x40009200\nf: .word");
    let (mut board, text) = run(&source);
    assert_eq!(text, "");
    assert_eq!(board.next_event(), None);
    assert_eq!(exchange(&mut board, b"echo", 100), b"echo");
    assert_eq!(board.next_event(), None);
}

#[test]
fn asking_for_a_byte_again_and_again_is_idle_too() {
    // uart_rx_one_char until it gives 0, then uart_tx_one_char of what came.
    let source = calling(
        0x4000_92D0,
        "again: mov a10, a1",
        "bnez a10, again\nl8ui a10, a1, 0\nl32r a8, g\ncallx8 a8\nl32r a8, f\nj again",
    );
    let source = source.replace("f: .word", "g: .word 0x40009200\nf: .word");
    let (mut board, text) = run(&source);
    assert_eq!(text, "");
    assert_eq!(board.next_event(), None, "turns end in the function now and then");
    assert_eq!(exchange(&mut board, b"echo", 100), b"echo");
}

#[test]
fn an_endless_loop_is_idle() {
    let (board, _) = run("entry a1, 32\nloop: j loop");
    assert_eq!(board.next_event(), None);
    assert_eq!(board.mode(), Mode::Guest);
}

/// Everything that is left behind, with more than 32 instructions before the end.
fn last_words(end: &str) -> String {
    let source = calling(0x4000_66BC, "movi a3, 20\nmovi a10, 17\nwait: addi a3, a3, -1", end);
    let (board, text) = run(&source.replace("l32r a8, f", "bnez a3, wait\nl32r a8, f"));
    format!("{}\n{}", text.replace("\r\n", "\n"), diagnosis(&board))
}

#[test]
fn diagnosis_of_an_unknown_rom_function() {
    let words = last_words("retw.n");
    assert_eq!(words.lines().filter(|line| line.starts_with("0x400")).count(), 32);
    insta::assert_snapshot!(words);
}

#[test]
fn diagnosis_of_an_unknown_instruction() {
    let (board, text) = run("entry a1, 32\nmovi a2, 1\n.byte 0, 0, 0x3f");
    insta::assert_snapshot!(format!("{}\n{}", text.replace("\r\n", "\n"), diagnosis(&board)));
}

/// A program in the place of the ROM: sends a letter, leaves exception mode, and makes a system
/// call, whose vector sends another.
const SMALL_ROM: &str = ".space 0x340
        j vector
        .align 4
uart:   .word 0x3ff40000
vector: l32r a2, uart
        movi a3, 0x56
        s32i a3, a2, 0
done:   j done
        .align 0x400
        l32r a2, uart
        movi a3, 0x52
        s32i a3, a2, 0
        movi a4, 0x20
        wsr a4, ps
        rsync
        syscall";

#[test]
fn a_rom_image_runs_from_its_reset_vector_with_its_own_exception_vectors() {
    use crate::board::{RomImage, RomImageError};
    let mut dump = xtensa::asm::assemble(0x4000_0000, SMALL_ROM).unwrap();
    assert_eq!(RomImage::parse(&dump), Err(RomImageError::Length { bytes: dump.len() }));
    dump.resize(448 << 10, 0);
    // ROM 1 has two addresses.
    dump[(384 << 10) + 4] = 0x5A;
    let mut board = Board::power_on(BoardSetup::default(), NoFlash);
    exchange(&mut board, &[], 1000);
    let now = board.now();
    board.insert_rom(now, RomImage::parse(&dump).unwrap());
    assert_eq!(exchange(&mut board, &[], 1000), b"RV");
    assert_eq!(board.mode(), Mode::Guest);
    let mut byte = [0];
    for address in [0x3FF9_0004, 0x4006_0004] {
        assert!(board.peek(address, &mut byte));
        assert_eq!(byte, [0x5A]);
    }
    board.host_reset(board.now());
    assert_eq!(exchange(&mut board, &[], 1000), b"RV");
}

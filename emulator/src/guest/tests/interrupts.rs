//! Received bytes while the ROM's native functions are at work, and what the FIFO loses.

use super::*;
use crate::case::{CaseBoard, LoadedBoard};

const DATA: u32 = 0x3FFB_0000;
/// Words that the program leaves: interrupts so far, interrupts when the function had returned,
/// cycles of the function, cycles from its start to the last interrupt.
const WORDS: usize = 4;

/// Counts received bytes in a handler while it calls the ROM's `function`.
fn program(function: u32, argument: u32, unmasked: u32) -> Vec<u8> {
    let source = format!(
        "j start
        .align 4
attach: .word 0x400067ec
unmask: .word 0x40006808
f:      .word {function:#x}
arg:    .word {argument}
data:   .word {DATA:#x}
uart:   .word 0x3ff40000
isr:    .word handler
start:  entry a1, 32
        l32r a2, data
        movi a10, 5
        l32r a11, isr
        mov a12, a2
        l32r a8, attach
        callx8 a8
        movi a10, {unmasked}
        l32r a8, unmask
        callx8 a8
        l32r a10, arg
        l32r a8, f
        rsr a4, ccount
        s32i a4, a2, 16
        callx8 a8
        rsr a5, ccount
        sub a5, a5, a4
        s32i a5, a2, 8
        l32i a6, a2, 0
        s32i a6, a2, 4
wait:   j wait
        .align 4
handler: entry a1, 32
        rsr a5, ccount
        l32i a4, a2, 16
        sub a5, a5, a4
        s32i a5, a2, 12
        l32r a3, uart
        l32i a4, a3, 0
        l32i a4, a2, 0
        addi a4, a4, 1
        s32i a4, a2, 0
        retw"
    );
    xtensa::asm::assemble(CODE, &source).unwrap()
}

/// A board whose loader has attached the flash.
fn attached() -> CaseBoard {
    let mut board = LoadedBoard::with_part("W25Q32JV").into_board().unwrap();
    board.advance(board.now() + Duration::from_millis(500));
    let sync = [&[0, 8, 36, 0, 0, 0, 0, 0, 7, 7, 0x12, 0x20][..], &[0x55; 32]].concat();
    let attach = [0, 13, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for request in [sync.as_slice(), &attach] {
        board.receive(board.now(), &slip(request));
        board.advance(board.now() + Duration::from_millis(500));
    }
    board
}

/// Runs the program on a board with a flash; the host sends a byte after each of `at` milliseconds.
fn run_with_bytes(code: &[u8], at: &[u64]) -> (CaseBoard, [u32; WORDS]) {
    let mut board = attached();
    let now = board.now() + Duration::from_millis(500);
    board.run_program(now, [(CODE, code)], CODE).unwrap();
    for ms in at {
        board.receive(now + Duration::from_millis(*ms), b"x");
    }
    board.advance(now + Duration::from_millis(2000));
    let word = |index: usize| {
        let mut bytes = [0; 4];
        assert!(board.peek(DATA + 4 * u32::try_from(index).unwrap(), &mut bytes));
        u32::from_le_bytes(bytes)
    };
    let mut words = [0; WORDS];
    let mut read = word;
    for (index, value) in words.iter_mut().enumerate() {
        *value = read(index);
    }
    (board, words)
}

const DELAY_US: u32 = 0x4000_8534;
const ERASE_SECTOR: u32 = 0x4006_2CCC;
const UART0_INTERRUPT: u32 = 1 << 5;

#[test]
fn a_delay_is_interrupted_at_its_moment_and_takes_no_longer() {
    let (_, words) = run_with_bytes(&program(DELAY_US, 50_000, UART0_INTERRUPT), &[10, 30]);
    let [all, inside, cycles, last] = words;
    assert_eq!((all, inside), (2, 2));
    let per_ms = cycles / 50;
    assert!(cycles.abs_diff(50 * per_ms) < per_ms, "{cycles}");
    // The second byte begins 30 ms behind the program's start and is noticed three byte times later,
    // or at the end of the turn of a millisecond that had begun when the host sent it.
    let at_us = u64::from(last) * 50_000 / u64::from(cycles);
    assert!((30_000..31_300).contains(&at_us), "{at_us} us");
}

#[test]
fn a_masked_interrupt_waits_for_nobody() {
    let [all, inside, cycles, _] = run_with_bytes(&program(DELAY_US, 50_000, 0), &[10, 30]).1;
    assert_eq!((all, inside), (0, 0));
    assert!(cycles > 0, "it has returned");
}

#[test]
fn a_handler_runs_for_each_byte_before_an_erase_returns() {
    let code = program(ERASE_SECTOR, 1, UART0_INTERRUPT);
    let [all, inside, cycles, _] = run_with_bytes(&code, &[5, 10, 15]).1;
    assert_eq!((all, inside), (3, 3), "in {cycles} cycles");
    // The same bytes, the same trace of the flash.
    let (quiet, _) = run_with_bytes(&code, &[]);
    let (busy, _) = run_with_bytes(&code, &[5, 10, 15]);
    let transfers = |board: &CaseBoard| {
        let entries = board.trace().entries();
        entries.filter(|entry| format!("{:?}", entry.event).contains("Spi")).count()
    };
    assert_eq!(transfers(&quiet), transfers(&busy));
}

#[test]
fn the_fifo_loses_what_is_not_fetched_in_time_where_time_is_wall_time() {
    let code = program(DELAY_US, 50_000, 0);
    for (real, count, overflow) in [(false, 127, 0), (true, 128, 16)] {
        let mut board = LoadedBoard::with_part("W25Q32JV").into_board().unwrap();
        if real {
            board.receive_one_by_one();
        }
        let now = board.now() + Duration::from_millis(500);
        board.run_program(now, [(CODE, code.as_slice())], CODE).unwrap();
        board.receive(now, &[0x55; 300]);
        board.advance(now + Duration::from_millis(2000));
        let mut bytes = [0; 4];
        assert!(board.peek(0x3FF4_001C, &mut bytes));
        assert_eq!(bytes[0], count, "real: {real}");
        assert!(board.peek(0x3FF4_0004, &mut bytes));
        assert_eq!(bytes[0] & 16, overflow, "real: {real}");
        let told = board.trace().entries().filter(|entry| {
            matches!(&entry.event, Event::Note { what } if what.contains("receive FIFO is full"))
        });
        assert_eq!(told.count(), usize::from(real));
    }
}

//! Functions of the ROM that call the program back, or leave by another way.

use super::*;

const DATA: u32 = 0x3FFB_0000;

/// Runs a program with `words` at `DATA`; gives what it printed and the words behind.
fn run_on(source: &str, words: &[u32]) -> (String, Vec<u32>) {
    let image = xtensa::asm::assemble(CODE, source).unwrap();
    let data: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let mut board = Board::power_on(BoardSetup::default(), NoFlash);
    let now = board.now() + Duration::from_millis(500);
    board.transmit(now, &mut Vec::new());
    let segments = [(CODE, image.as_slice()), (DATA, data.as_slice())];
    board.run_program(now, segments, CODE).unwrap();
    let mut out = Vec::new();
    board.transmit(now + Duration::from_millis(500), &mut out);
    let mut bytes = vec![0; data.len()];
    assert!(board.peek(DATA, &mut bytes));
    let words = bytes.chunks(4).map(|word| u32::from_le_bytes(word.try_into().unwrap()));
    (String::from_utf8(out).unwrap(), words.collect())
}

#[test]
fn qsort_calls_the_programs_comparison() {
    // The comparison uses a function of the ROM and deep windows itself.
    let source = "j start
        .align 4
qsort:  .word 0x40056424
abs:    .word 0x40056340
data:   .word 0x3ffb0000
by:     .word compare
start:  entry a1, 32
        l32r a10, data
        movi a11, 7
        movi a12, 4
        l32r a13, by
        l32r a8, qsort
        movi a7, 77
        callx8 a8
        l32r a2, data
        s32i a7, a2, 28
        retw
        .align 4
compare: entry a1, 32
        l32i a10, a2, 0
        l32r a8, abs
        callx8 a8
        mov a4, a10
        l32i a10, a3, 0
        callx8 a8
        sub a2, a4, a10
        retw";
    // a8 is the callee's after a call, so the second call loads it again.
    let source = source.replace("l32i a10, a3, 0", "l32i a10, a3, 0\nl32r a8, abs");
    let negative = |value: u32| value.wrapping_neg();
    let words = [5, negative(3), 9, 0, negative(5), 7, 1, 0];
    let (text, words) = run_on(&source, &words);
    assert_eq!(text, "user code done\r\n");
    assert_eq!(words, [0, 1, negative(3), 5, negative(5), 7, 9, 77], "equal ones keep their order");
}

#[test]
fn longjmp_leaves_deep_frames_and_finds_the_callers_registers() {
    let source = "j start
        .align 4
setjmp: .word 0x40056268
longjmp: .word 0x400562cc
data:   .word 0x3ffb0000
start:  entry a1, 64
        call8 middle
        l32r a3, data
        s32i a10, a3, 8
        retw
        .align 4
middle: entry a1, 64
        movi a5, 55
        movi a7, 7
        addi a10, a1, 0
        l32r a10, data
        addi a10, a10, 64
        l32r a8, setjmp
        callx8 a8
        l32r a3, data
        l32i a4, a3, 0
        addi a4, a4, 1
        s32i a4, a3, 0
        bnez a10, back
        movi a5, 55
        movi a10, 20
        call8 deep
back:   s32i a10, a3, 4
        add a2, a5, a7
        retw
        .align 4
deep:   entry a1, 32
        movi a5, 1
        movi a7, 2
        addi a10, a2, -1
        beqz a2, leave
        call8 deep
leave:  l32r a10, data
        addi a10, a10, 64
        movi a11, 9
        l32r a8, longjmp
        callx8 a8
        ill";
    let (text, words) = run_on(source, &[0; 32]);
    assert_eq!(text, "user code done\r\n");
    assert_eq!(words[..3], [2, 9, 62], "setjmp returned twice, the second time with 9");
}

#[test]
fn printf_goes_where_the_program_wants() {
    let source = "j start
        .align 4
printf: .word 0x40007d54
putc1:  .word 0x40007d18
putc2:  .word 0x40007d38
uart:   .word 0x40007d28
text:   .word format
own:    .word capital
tx:     .word 0x40009200
format: .word 0x0a6925, 0
start:  entry a1, 32
        l32r a10, own
        l32r a8, putc1
        callx8 a8
        call8 print
        l32r a10, own
        l32r a8, putc2
        callx8 a8
        l32r a8, uart
        callx8 a8
        call8 print
        retw
        .align 4
print:  entry a1, 32
        l32r a10, text
        movi a11, 4
        l32r a8, printf
        callx8 a8
        retw
        .align 4
capital: entry a1, 32
        addi a10, a2, 16
        l32r a8, tx
        callx8 a8
        retw";
    let (text, _) = run_on(source, &[0]);
    // 4 and the line feed, sixteen further on; then on the UART as well.
    assert_eq!(text, "D\u{1a}4D\r\n\u{1a}user code done\r\n");
}

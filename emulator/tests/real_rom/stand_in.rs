//! A stand-in for the mask ROM: code of our own that does over the real registers what the ROM does
//! for SYNC, `SPI_ATTACH`, a flash write and its digest. It proves that what a ROM needs is there:
//! straps and reset cause, UART0 with its measurement of the rate, SPI1, words of RAM.
//!
//! `CALL0` throughout and no stack: a0 is kept in a register of each level. a15 is UART0, a14 SPI1,
//! a13 the received frame.

use std::fmt::Write as _;

/// Bytes of a dump.
const ROM_BYTES: usize = 448 << 10;
/// Where the program notes what it found: straps, reset state, the divider it measured.
pub(crate) const NOTES: u32 = 0x3FFB_0000;

/// Literals, by name.
const LITERALS: &[(&str, u32)] = &[
    ("uart", 0x3FF4_0000),
    ("spi1", 0x3FF4_2000),
    ("frame", 0x3FFC_0000),
    ("block", 0x3FFC_4000),
    ("notes", NOTES),
    ("strap", 0x3FF4_4038),
    ("reset", 0x3FF4_8034),
    ("sync_value", 0x2012_0707),
    ("wren", 1 << 30),
    ("rdsr", 1 << 27),
    ("pp", 1 << 25),
    ("se", 1 << 24),
    ("res", 1 << 20),
    ("usr", 1 << 18),
    // Command, address and data in; as the reset leaves USER but for these.
    ("user_read", 0xD000_0040),
    ("command_03", 0x7000_0003),
    ("md5_a", 0x6745_2301),
    ("md5_b", 0xEFCD_AB89),
    ("md5_c", 0x98BA_DCFE),
    ("md5_d", 0x1032_5476),
];

/// Turns of MD5, four of each round (RFC 1321).
const TURNS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];

/// The program without its literals.
const MAIN: &str = "
        l32r a15, uart
        l32r a14, spi1
        l32r a13, frame
        l32r a12, notes
        l32r a2, strap
        l32i a2, a2, 0
        s32i a2, a12, 0
        l32r a2, reset
        l32i a2, a2, 0
        s32i a2, a12, 4
        call0 measure
        s32i a2, a12, 8
        movi a12, 0
next:   call0 receive
        l8ui a2, a13, 1
        movi a3, 8
        beq a2, a3, sync
        movi a3, 13
        beq a2, a3, attach
        beqi a2, 2, begin
        beqi a2, 3, data
        movi a3, 19
        beq a2, a3, go_md5
        j next
go_md5: j md5

# Eight answers. The value field keeps what the request had behind its header.
sync:   l32r a12, sync_value
        movi a11, 8
sync_1: movi a2, 4
        call0 head
        call0 status
        addi a11, a11, -1
        bnez a11, sync_1
        j next

# The pins are the default ones: a dummy RES wakes the flash.
attach: l32r a2, res
        call0 command
        j answer

# Erases the sectors of size at offset.
begin:  l32i a11, a13, 20
        l32i a10, a13, 8
erase:  l32r a2, wren
        call0 command
        s32i a11, a14, 4
        l32r a2, se
        call0 command
        call0 ready
        movi a2, 1
        slli a2, a2, 12
        add a11, a11, a2
        sub a10, a10, a2
        bgei a10, 1, erase
        l32i a2, a13, 20
        l32r a3, block
        s32i a2, a3, 64
        j answer

# Programs the block 32 bytes at a time, at the place that begin noted.
data:   l32i a10, a13, 8
        addi a9, a13, 24
        l32r a3, block
        l32i a11, a3, 64
write:  l32r a2, wren
        call0 command
        movi a2, 32
        slli a2, a2, 24
        or a2, a2, a11
        s32i a2, a14, 4
        movi a3, 8
        mov a4, a14
copy:   l32i a2, a9, 0
        s32i a2, a4, 128
        addi a9, a9, 4
        addi a4, a4, 4
        addi a3, a3, -1
        bnez a3, copy
        l32r a2, pp
        call0 command
        call0 ready
        addi a11, a11, 32
        addi a10, a10, -32
        bnez a10, write
        l32r a3, block
        s32i a11, a3, 64
        j answer

answer: movi a2, 4
        call0 head
        call0 status
        j next

# Starts the command in a2 and waits for the controller.
command: s32i a2, a14, 0
busy:   l32i a2, a14, 0
        bnez a2, busy
        ret

# Waits for the flash.
ready:  mov a8, a0
poll:   l32r a2, rdsr
        call0 command
        l32i a2, a14, 16
        bbsi a2, 0, poll
        mov a0, a8
        ret

# Measures the host's rate by its edges, sets the divider; the bytes until then are lost.
measure: movi a2, 0
        s32i a2, a15, 24
        movi a2, 1
        s32i a2, a15, 24
        movi a3, 127
edges:  l32i a2, a15, 48
        bge a3, a2, edges
        l32i a2, a15, 40
        l32i a3, a15, 44
        add a2, a2, a3
        slli a2, a2, 3
        movi a3, 144
        add a2, a2, a3
        srli a3, a2, 4
        extui a4, a2, 0, 4
        slli a4, a4, 20
        or a3, a3, a4
        s32i a3, a15, 20
        movi a4, 0
        s32i a4, a15, 24
        l32i a4, a15, 32
        movi a5, 1
        slli a5, a5, 17
        or a5, a5, a4
        s32i a5, a15, 32
        s32i a4, a15, 32
        ret

# One byte of the line, in a2.
get:    l32i a2, a15, 28
        extui a2, a2, 0, 8
        beqz a2, get
        l32i a2, a15, 0
        ret

# The byte in a2 as it is.
put:    l32i a3, a15, 28
        extui a3, a3, 16, 8
        movi a4, 126
        bltu a4, a3, put
        s32i a2, a15, 0
        ret

# The byte in a2 within a frame.
send:   mov a7, a0
        movi a5, 0xc0
        movi a6, 0xdc
        beq a2, a5, escape
        movi a5, 0xdb
        movi a6, 0xdd
        beq a2, a5, escape
        call0 put
        mov a0, a7
        ret
escape: movi a2, 0xdb
        call0 put
        mov a2, a6
        call0 put
        mov a0, a7
        ret

# Start of an answer whose body has a2 bytes: the operation is the request's, the value a12.
head:   mov a8, a0
        mov a9, a2
        movi a2, 0xc0
        call0 put
        movi a2, 1
        call0 send
        l8ui a2, a13, 1
        call0 send
        mov a2, a9
        call0 send
        movi a2, 0
        call0 send
        mov a9, a12
        movi a10, 4
value:  extui a2, a9, 0, 8
        call0 send
        srli a9, a9, 8
        addi a10, a10, -1
        bnez a10, value
        mov a0, a8
        ret

# Four zeros and the end.
status: mov a8, a0
        movi a10, 4
zeros:  movi a2, 0
        call0 send
        addi a10, a10, -1
        bnez a10, zeros
        movi a2, 0xc0
        call0 put
        mov a0, a8
        ret

# One frame into a13, without its delimiters.
receive: mov a8, a0
start:  call0 get
        movi a3, 0xc0
        bne a2, a3, start
first:  mov a9, a13
inside: call0 get
        movi a3, 0xc0
        beq a2, a3, end
        movi a3, 0xdb
        bne a2, a3, keep
        call0 get
        movi a3, 0xdc
        movi a4, 0xc0
        beq a2, a3, other
        movi a4, 0xdb
other:  mov a2, a4
keep:   s8i a2, a9, 0
        addi a9, a9, 1
        j inside
end:    beq a9, a13, first
        mov a0, a8
        ret
";

/// Reads the flash in blocks of 64 bytes, digests them, and answers in hexadecimal digits.
const MD5_AROUND: &str = "
        .align 4
md5:    l32i a11, a13, 8
        l32i a10, a13, 12
        s32i a10, a13, 64
        l32r a2, md5_a
        l32r a3, md5_b
        l32r a4, md5_c
        l32r a5, md5_d
        l32r a8, block
        movi a7, 23
        slli a7, a7, 26
        s32i a7, a14, 32
        l32r a6, command_03
        s32i a6, a14, 36
        l32r a6, user_read
        s32i a6, a14, 28
        movi a6, 0x1ff
        s32i a6, a14, 44
more:   slli a6, a11, 8
        s32i a6, a14, 4
        l32r a6, usr
        s32i a6, a14, 0
wait:   l32i a6, a14, 0
        bnez a6, wait
        movi a6, 16
        mov a7, a14
        mov a9, a8
fetch:  l32i a1, a7, 128
        s32i a1, a9, 0
        addi a7, a7, 4
        addi a9, a9, 4
        addi a6, a6, -1
        bnez a6, fetch
        call0 digest
        movi a6, 64
        add a11, a11, a6
        sub a10, a10, a6
        bnez a10, more
        movi a6, 0x80
        s32i a6, a8, 0
        movi a6, 0
        movi a7, 15
        addi a9, a8, 4
blank:  s32i a6, a9, 0
        addi a9, a9, 4
        addi a7, a7, -1
        bnez a7, blank
        l32i a6, a13, 64
        slli a6, a6, 3
        s32i a6, a8, 56
        call0 digest
        s32i a2, a8, 0
        s32i a3, a8, 4
        s32i a4, a8, 8
        s32i a5, a8, 12
        movi a2, 36
        call0 head
        l32r a9, block
        movi a10, 16
digits: l8ui a2, a9, 0
        srli a2, a2, 4
        call0 digit
        l8ui a2, a9, 0
        extui a2, a2, 0, 4
        call0 digit
        addi a9, a9, 1
        addi a10, a10, -1
        bnez a10, digits
        call0 status
        j next
digit:  mov a11, a0
        movi a3, 10
        blt a2, a3, number
        addi a2, a2, 39
number: addi a2, a2, 48
        call0 send
        mov a0, a11
        ret
        .align 4
digest: mov a12, a0
        addmi a9, a8, 256
        s32i a2, a9, 0
        s32i a3, a9, 4
        s32i a4, a9, 8
        s32i a5, a9, 12
";

/// The 64 steps of MD5 on the 64 bytes at a8, for the state in a2 to a5.
fn steps() -> String {
    let mut text = String::new();
    let [mut a, mut b, mut c, mut d] = [2, 3, 4, 5];
    for step in 0..64_u32 {
        let (mix, word) = match step / 16 {
            0 => (format!("xor a6, a{c}, a{d}\nand a6, a6, a{b}\nxor a6, a6, a{d}"), step),
            1 => (format!("xor a6, a{b}, a{c}\nand a6, a6, a{d}\nxor a6, a6, a{c}"), 5 * step + 1),
            2 => (format!("xor a6, a{b}, a{c}\nxor a6, a6, a{d}"), 3 * step + 5),
            _ => (
                format!("movi a7, -1\nxor a7, a7, a{d}\nor a6, a7, a{b}\nxor a6, a6, a{c}"),
                7 * step,
            ),
        };
        let turn = 32 - TURNS[(step / 16) as usize][(step % 4) as usize];
        writeln!(
            text,
            "{mix}\nadd a6, a6, a{a}\nl32r a7, k{step}\nadd a6, a6, a7\nl32i a7, a8, {}\n\
             add a6, a6, a7\nssai {turn}\nsrc a6, a6, a6\nadd a{a}, a6, a{b}",
            word % 16 * 4
        )
        .expect("text");
        [a, b, c, d] = [d, a, b, c];
    }
    for (register, at) in (2..6).zip([0, 4, 8, 12]) {
        writeln!(text, "l32i a6, a9, {at}\nadd a{register}, a{register}, a6").expect("text");
    }
    text + "mov a0, a12\nl32r a12, sync_value\nret\n"
}

/// The whole ROM.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "RFC 1321's table")]
pub(crate) fn image() -> Vec<u8> {
    let sines = (0..64_u32).map(|step| {
        let value = (f64::from(step + 1).sin().abs() * 4_294_967_296.0) as u32;
        (format!("k{step}"), value)
    });
    let literals = LITERALS.iter().map(|(name, value)| ((*name).to_owned(), *value));
    let mut source = String::new();
    let mut count = 0;
    for (name, value) in literals.chain(sines) {
        writeln!(source, "{name}: .word {value:#x}").expect("text");
        count += 1;
    }
    writeln!(source, ".space {}", 0x400 - 4 * count).expect("text");
    // Targets of CALL0 are words.
    for line in MAIN.lines().chain(MD5_AROUND.lines()) {
        let called = ["command:", "ready:", "measure:", "get:", "put:", "send:", "head:"];
        let called = called.iter().chain(&["status:", "receive:", "digit:"]);
        if called.into_iter().any(|label| line.starts_with(label)) {
            source.push_str(".align 4\n");
        }
        source.push_str(line);
        source.push('\n');
    }
    source.push_str(&steps());
    let mut image = xtensa::asm::assemble(0x4000_0000, &source)
        .unwrap_or_else(|error| panic!("{error}: {:?}", source.lines().nth(error.line - 1)));
    assert!(image.len() < ROM_BYTES);
    image.resize(ROM_BYTES, 0);
    image
}

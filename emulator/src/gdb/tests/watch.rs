//! Watchpoints, breakpoints on the ROM's functions, and a processor whose programs come and go.

use super::*;

/// Stores, loads, lets the ROM fill memory, and stores to a register of SPI1.
const PROGRAM: &str = "j start
        .align 4
data:   .word 0x3ffb0100
memset: .word 0x4000c44c
spi:    .word 0x3ff42080
start:  entry a1, 32
        l32r a2, data
        movi a3, 7
        s8i a3, a2, 2
        l32i a4, a2, 0
        s32i a3, a2, 8
        mov.n a10, a2
        movi a11, 85
        movi a12, 4
        l32r a8, memset
        callx8 a8
        movi a5, 1
        l32r a6, spi
        s32i a3, a6, 0
        retw.n";
const START: u32 = CODE + 0x10;

/// Where an instruction of the program stands.
fn address_of(instruction: &str) -> u32 {
    let image = xtensa::asm::assemble(CODE, PROGRAM).unwrap();
    let mut pc = START;
    loop {
        let at = (pc - CODE) as usize;
        let bytes = [image[at], image[at + 1], image.get(at + 2).copied().unwrap_or(0)];
        if xtensa::disasm(pc, bytes) == instruction {
            return pc;
        }
        pc += xtensa::decode(pc, bytes).len();
    }
}

#[test]
fn watchpoints_stop_behind_the_access_and_name_it() {
    let mut client = Client::new(PROGRAM);
    assert_eq!(client.ask("Z2,3ffb0100,4"), "OK");
    assert_eq!(client.ask("c"), "T05watch:3ffb0102;thread:1;");
    assert_eq!(client.register("pc"), address_of("l32i a4, a2, 0"));
    assert_eq!(client.ask("m3ffb0100,4"), "00000700", "the store is done");
    // The load is not watched, the ROM's memset is.
    assert_eq!(client.ask("c"), "T05watch:3ffb0100;thread:1;");
    assert_eq!(client.register("pc"), address_of("movi a5, 1"));
    assert_eq!(client.ask("m3ffb0100,4"), "55555555");
    assert_eq!(client.ask("z2,3ffb0100,4"), "OK");
    assert_eq!(client.ask("Z4,3ff42080,4"), "OK");
    assert_eq!(client.ask("c"), "T05awatch:3ff42080;thread:1;");
    assert_eq!(client.ask("c"), "W00");
}

#[test]
fn reads_are_told_from_writes() {
    let mut client = Client::new(PROGRAM);
    assert_eq!(client.ask("Z3,3ffb0103,1"), "OK");
    assert_eq!(client.ask("c"), "T05rwatch:3ffb0100;thread:1;");
    assert_eq!(client.register("pc"), address_of("s32i a3, a2, 8"));
    assert_eq!(client.ask("Z2,3ffb0100,0"), "E01", "nothing to watch");
    assert_eq!(client.ask("Z5,3ffb0100,4"), "");
    assert_eq!(client.ask("c"), "W00");
}

#[test]
fn functions_of_the_rom_can_be_stopped_at_and_are_one_step() {
    let mut client = Client::new(PROGRAM);
    client.ask("qSupported:swbreak+;hwbreak+");
    assert_eq!(client.ask("Z1,4000c44c,3"), "OK");
    assert_eq!(client.ask("c"), "T05hwbreak:;thread:1;");
    assert_eq!(client.register("pc"), 0x4000_c44c);
    assert_eq!(client.register("a10"), 0x3ffb_0100);
    assert_eq!(client.ask("m3ffb0102,1"), "07");
    assert_eq!(client.ask("s"), "T05thread:1;");
    assert_eq!(client.register("pc"), address_of("movi a5, 1"));
    assert_eq!(client.ask("m3ffb0102,1"), "55");
    let last = address_of("retw.n");
    assert_eq!(client.ask(&format!("Z0,{last:x},2")), "OK");
    assert_eq!(client.ask("c"), "T05swbreak:;thread:1;");
    assert_eq!(client.register("pc"), last);
}

#[test]
fn a_served_processor_is_halted_in_the_rom_and_outlives_its_programs() {
    let mut board = Board::power_on(BoardSetup::default(), NoFlash);
    let session = Session::attach(&mut board);
    let mut client = Client { board, session };
    assert!(client.board.is_halted());
    assert_eq!(client.ask("?"), "T02thread:1;");
    assert_eq!(client.register("pc"), 0x4000_7c15);
    assert_eq!(client.ask("g").len(), 105 * 8);
    assert_eq!(client.ask("P0=00000840"), "E01", "nobody knows the ROM's registers");
    assert_eq!(client.ask("M3ffb0101,3:010203"), "OK", "memory is there");
    assert_eq!(client.ask("m3ffb0100,4"), "00010203");
    // One step of the ROM ends at the next program's first instruction.
    assert_eq!(client.ask("s"), "");
    assert!(!client.board.is_halted());
    let image = xtensa::asm::assemble(CODE, PROGRAM).unwrap();
    let now = client.board.now();
    client.board.run_program(now, [(CODE, image.as_slice())], CODE).unwrap();
    assert!(client.send(b"").starts_with("$T05thread:1;"));
    assert_eq!(client.register("pc"), CODE);
    // It jumps over its literals and returns; the session goes on.
    assert_eq!(client.ask(&format!("P0={:08x}", START.swap_bytes())), "OK");
    assert_eq!(client.ask("c"), "");
    assert!(client.board.core().is_none());
    assert!(client.send(&[3]).starts_with("$T02thread:1;"));
    assert_eq!(client.register("pc"), 0x4000_7c15);
    client.ask("k");
    assert_eq!(client.session.outcome(), Some(Outcome::Killed));
    assert!(!client.board.is_halted(), "the board belongs to others");
}

#[test]
fn without_stops_the_program_runs_unobserved() {
    let mut client = Client::new("entry a1, 32\nloop: addi a2, a2, 1\nj loop");
    assert!(!client.board.probe().unwrap().is_active());
    client.ask("Z2,3ffb0000,4");
    assert!(client.board.probe().unwrap().is_active());
    client.ask("D");
    assert!(!client.board.probe().unwrap().is_active());
}

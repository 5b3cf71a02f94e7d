//! Register windows: spills and reloads in hardware's memory layout.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{CODE, MAGIC, STACK, machine, recursive_sum};
use xtensa::{Cause, NoBus, Stop};

/// CALL4 leaves the callee only a0..a3 of the caller, so the sum needs the stack there.
const SUM4: &str = "
    entry a1, 48
    s32i a2, a1, 0
    movi a3, 0
    beqz a2, done
    addi a6, a2, -1
    call4 0x40080000
    l32i a2, a1, 0
    add a2, a2, a6
done: retw
";

#[test]
fn deep_recursion_with_every_window_size_returns_the_sum() {
    for (step, source) in [(4, SUM4.to_owned()), (8, recursive_sum(8)), (12, recursive_sum(12))] {
        let mut cpu = machine(&source, &[300]);
        let outcome = cpu.run(&mut NoBus, 1_000_000);
        assert_eq!(outcome.stop, Stop::OutsideRam { pc: MAGIC }, "call{step}");
        assert_eq!(cpu.call_result(), 300 * 301 / 2, "call{step}");
        assert_eq!(cpu.a(1), STACK);
    }
}

/// The words that hardware's overflow handlers store, for each size of frame (XTENSA 3.3).
#[test]
#[expect(clippy::too_many_lines, reason = "the program and what it leaves belong together")]
fn spilled_frames_lie_where_hardware_puts_them() {
    // Frame 0 calls f (CALL8), f calls g (CALL12), g calls h (CALL4), h calls i (CALL8); more
    // calls follow until these are spilled. Every register gets a value that names its frame.
    let source = "
        entry a1, 64
        movi a3, 0x103
        movi a4, 0x104
        movi a5, 0x105
        movi a6, 0x106
        movi a7, 0x107
        movi a8, 0x108
        movi a9, 0x109
        movi a10, 0x10a
        movi a11, 0x10b
        call12 g
        retw
        .align 4
g:      entry a1, 96
        movi a2, 0x202
        movi a3, 0x203
        call4 h
        retw
        .align 4
h:      entry a1, 48
        movi a2, 0x302
        movi a3, 0x303
        movi a4, 0x304
        movi a5, 0x305
        movi a6, 0x306
        movi a7, 0x307
        call8 i
        retw
        .align 4
i:      entry a1, 64
        call12 j
        retw
        .align 4
j:      entry a1, 64
        call12 k
        retw
        .align 4
k:      entry a1, 64
        call12 l
        retw
        .align 4
l:      entry a1, 64
        call12 m
        retw
        .align 4
m:      entry a1, 64
        break 1, 1
        retw
    ";
    let mut cpu = machine(source, &[0x102]);
    let outcome = cpu.run(&mut NoBus, 1000);
    assert!(matches!(outcome.stop, Stop::Break { s: 1, t: 1, .. }), "{outcome:?}");
    let f = STACK - 64;
    let g = f - 96;
    let h = g - 48;
    let word = |addr: u32| cpu.mem.read_word(addr).unwrap();
    // f: a0..a3 under g's stack pointer, a4..a11 under f's caller's.
    assert_eq!(word(g - 16) >> 30, 2);
    assert_eq!(word(g - 12), f);
    assert_eq!(word(g - 8), 0x102);
    assert_eq!(word(g - 4), 0x103);
    for n in 4..12 {
        assert_eq!(word(STACK - 48 + (n - 4) * 4), 0x100 + n);
    }
    // g: only a0..a3, under h's stack pointer; its return address came by CALL12.
    assert_eq!(word(h - 16) >> 30, 3);
    assert_eq!(word(h - 12), g);
    assert_eq!(word(h - 8), 0x202);
    assert_eq!(word(h - 4), 0x203);
    // h: a4..a7 under g's stack pointer, eight bytes in from its base area.
    let i = h - 64;
    assert_eq!(word(i - 12), h);
    assert_eq!(word(i - 8), 0x302);
    for n in 4..8 {
        assert_eq!(word(g - 32 + (n - 4) * 4), 0x300 + n);
    }
    // And everything comes back.
    cpu.pc += 3;
    assert_eq!(cpu.run(&mut NoBus, 1000).stop, Stop::OutsideRam { pc: MAGIC });
    assert_eq!(cpu.a(1), STACK);
}

#[test]
fn a_spill_to_nowhere_is_a_store_exception_at_the_entry() {
    let mut cpu = machine(&recursive_sum(12), &[20]);
    cpu.set_a(1, 0x1000);
    let Stop::Exception(exception) = cpu.run(&mut NoBus, 10_000).stop else { panic!() };
    assert_eq!(exception.cause, Cause::StoreProhibited);
    assert_eq!(exception.pc, CODE);
    assert!(exception.vaddr < 0x1000);
}

#[test]
fn rotating_through_the_file_spills_all_frames() {
    // What an operating system's context switch does: touch, rotate, 16 positions in all.
    let leaf = "
        entry a1, 64
        movi a7, 0x77
        addi a10, a2, -1
        beqz a2, spill
        call8 0x40080000
        retw
spill:  rotw 3
        rotw 3
        rotw 3
        rotw 3
        rotw 4
        break 0, 0
        retw
    ";
    let mut cpu = machine(leaf, &[3]);
    assert!(matches!(cpu.run(&mut NoBus, 1000).stop, Stop::Break { .. }));
    assert_eq!(cpu.window_start().count_ones(), 1);
    cpu.pc += 3;
    assert_eq!(cpu.run(&mut NoBus, 1000).stop, Stop::OutsideRam { pc: MAGIC });
    assert_eq!(cpu.a(1), STACK);
}

#[test]
fn flushing_the_windows_changes_no_result() {
    let mut plain = machine(&recursive_sum(8), &[50]);
    let mut flushed = machine(&recursive_sum(8), &[50]);
    while flushed.run(&mut NoBus, 7).stop == Stop::Budget {
        // Only between a call and its ENTRY is the callee's frame not there yet.
        flushed.flush_windows(&mut NoBus).unwrap();
    }
    plain.run(&mut NoBus, 100_000);
    assert_eq!(plain.call_result(), flushed.call_result());
    assert_eq!(plain.executed(), flushed.executed());
}

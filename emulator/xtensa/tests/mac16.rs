//! The MAC16 option: hand-computed results, encodings, and loads that fail.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use xtensa::{Access, Cause, Cpu, NoBus, Stop, asm, decode, disasm};

const PC: u32 = 0x4008_0100;
const DATA: u32 = 0x3ffb_0000;
const ACCLO: u32 = 16;
const ACCHI: u32 = 17;
const M0: u32 = 32;

/// Runs one instruction with a4, a5, the accumulator and m0..m3 as given.
fn run(text: &str, [a4, a5]: [u32; 2], acc: u64, mr: [u32; 4]) -> (Cpu, Stop) {
    let mut cpu = Cpu::new();
    cpu.mem.map(PC & !0xfff, 0x1000, Access::CODE).unwrap();
    cpu.mem.map(DATA, 0x1000, Access::DATA).unwrap();
    cpu.mem.write_word(DATA + 4, 0x1122_3344).unwrap();
    let code = asm::assemble(PC, text).unwrap();
    cpu.mem.write(PC, &code).unwrap();
    cpu.set_a(4, a4);
    cpu.set_a(5, a5);
    cpu.set_special_register(ACCLO, (acc & 0xffff_ffff) as u32);
    cpu.set_special_register(ACCHI, (acc >> 32) as u32);
    for (number, value) in (M0..).zip(mr) {
        cpu.set_special_register(number, value);
    }
    cpu.pc = PC;
    let stop = cpu.run(&mut NoBus, 1).stop;
    (cpu, stop)
}

/// The 40 bits of the accumulator.
fn accumulator(cpu: &Cpu) -> u64 {
    let part = |number| u64::from(cpu.special_register(number).unwrap());
    (part(ACCHI) & 0xff) << 32 | part(ACCLO)
}

#[test]
fn products_and_sums_are_what_the_manual_says() {
    // a4 = 2 : -3, a5 = 5 : 7 (high : low); m0 = 11 : 13, m1 = -1 : 1, m2 = 17 : 19, m3 = -8 : 3.
    let a = [0x0002_fffd, 0x0005_0007];
    let m = [0x000b_000d, 0xffff_0001, 0x0011_0013, 0xfff8_0003];
    for (text, acc, expected) in [
        ("mul.aa.ll a4, a5", 99, 0xff_ffff_ffeb),
        ("mul.aa.hl a4, a5", 99, 14),
        ("mul.aa.lh a4, a5", 99, 0xff_ffff_fff1),
        ("mul.aa.hh a4, a5", 99, 10),
        ("umul.aa.ll a4, a5", 99, 0xfffd * 7),
        ("umul.aa.hh a4, a5", 99, 10),
        ("mula.aa.hl a4, a5", 1, 15),
        ("muls.aa.hl a4, a5", 1, 0xff_ffff_fff3),
        // The sum carries into the high part, and wraps at 40 bits.
        ("mula.aa.hh a4, a5", 0xffff_ffff, 0x1_0000_0009),
        ("mula.aa.hh a4, a5", 0xff_ffff_ffff, 9),
        ("muls.aa.hh a4, a5", 0x80_0000_0000, 0x7f_ffff_fff6),
        ("mul.ad.lh a4, m3", 0, 24),
        ("mula.ad.hl a4, m2", 2, 40),
        ("muls.ad.ll a4, m3", 0, 9),
        ("mul.da.hl m1, a5", 0, 0xff_ffff_fff9),
        ("mula.da.lh m0, a5", 5, 70),
        ("muls.da.hh m0, a5", 60, 5),
        ("mul.dd.lh m0, m3", 0, 0xff_ffff_ff98),
        ("mula.dd.hl m0, m2", 1, 210),
        ("muls.dd.ll m1, m2", 19, 0),
    ] {
        let (cpu, stop) = run(text, a, acc, m);
        assert_eq!(stop, Stop::Budget, "{text}");
        assert_eq!(accumulator(&cpu), expected, "{text}: {:#x}", accumulator(&cpu));
        assert_eq!(cpu.pc, PC + 3);
    }
}

#[test]
fn the_high_part_reads_with_its_sign() {
    let (cpu, _) = run("muls.aa.ll a4, a5", [1, 1], 0, [0; 4]);
    assert_eq!(cpu.special_register(ACCHI), Some(0xffff_ffff));
    assert_eq!(cpu.special_register(ACCLO), Some(0xffff_ffff));
    let (cpu, _) = run("wsr a4, acchi", [0x1234_5680, 0], 0, [0; 4]);
    assert_eq!(cpu.special_register(ACCHI), Some(0xffff_ff80));
}

#[test]
fn loads_move_the_pointer_first_and_multiply_the_old_value() {
    let m = [7, 3, 2, 5];
    // m0 is an operand and the target: the product is of its old value.
    let (cpu, _) = run("mula.dd.ll.ldinc m0, a4, m0, m2", [DATA, 0], 1, m);
    assert_eq!((accumulator(&cpu), cpu.a(4)), (15, DATA + 4));
    assert_eq!(cpu.special_register(M0), Some(0x1122_3344));
    let (cpu, _) = run("mula.da.ll.lddec m3, a4, m1, a5", [DATA + 8, 4], 0, m);
    assert_eq!((accumulator(&cpu), cpu.a(4)), (12, DATA + 4));
    assert_eq!(cpu.special_register(M0 + 3), Some(0x1122_3344));
    // The factor may be the pointer: its old value again.
    let (cpu, _) = run("mula.da.lh.ldinc m1, a4, m1, a4", [DATA, 0], 0, m);
    assert_eq!(accumulator(&cpu), 3 * 0x3ffb);
    let (cpu, _) = run("ldinc m1, a4", [DATA, 0], 5, m);
    assert_eq!((accumulator(&cpu), cpu.special_register(M0 + 1)), (5, Some(0x1122_3344)));
    let (cpu, _) = run("lddec m2, a4", [DATA + 8, 0], 5, m);
    assert_eq!((cpu.a(4), cpu.special_register(M0 + 2)), (DATA + 4, Some(0x1122_3344)));
}

#[test]
fn a_load_that_fails_changes_nothing() {
    let (cpu, stop) = run("mula.dd.ll.ldinc m0, a4, m0, m2", [0, 0], 1, [7, 3, 2, 5]);
    let Stop::Exception(exception) = stop else { panic!("{stop:?}") };
    assert_eq!((exception.cause, exception.vaddr, cpu.pc), (Cause::LoadProhibited, 4, PC));
    assert_eq!((accumulator(&cpu), cpu.a(4), cpu.special_register(M0)), (1, 0, Some(7)));
}

/// All words of the option: either text that assembles to the same word, or no instruction. How
/// many are instructions follows from the widths of their operands.
#[test]
fn every_word_decodes_to_itself_or_not_at_all() {
    let mut found = 0;
    for bits in 0..1_u32 << 20 {
        let [a, b, c, _] = (bits << 4 | 4).to_le_bytes();
        if decode(PC, [a, b, c]).op.name() == "(unknown)" {
            continue;
        }
        found += 1;
        let text = disasm(PC, [a, b, c]);
        assert_eq!(asm::assemble(PC, &text).unwrap(), [a, b, c], "{text}");
    }
    let halves = 4;
    let two_registers = 4 * halves * 256;
    let register_and_mr = 2 * 3 * halves * 32;
    let two_mrs = 3 * halves * 4;
    let with_load = 2 * halves * (8 * 256 + 8 * 16 * 2);
    let loads = 2 * 64;
    assert_eq!(found, two_registers + register_and_mr + two_mrs + with_load + loads);
}

#[test]
fn operands_out_of_their_file_are_refused() {
    for text in ["mul.dd.ll m2, m2", "mul.dd.ll m0, m1", "mul.aa.xx a1, a2", "mul.aa a1, a2"] {
        assert!(asm::assemble(PC, text).is_err(), "{text}");
    }
}

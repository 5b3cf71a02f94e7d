//! Properties over random programs: interrupts are invisible, nothing panics, nothing escapes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{CODE, DATA, MAGIC, data, machine, recursive_sum};
use proptest::prelude::*;
use xtensa::{Access, Bus, BusFault, Cpu, NoBus, Stop, Width};

const HANDLER_MAGIC: u32 = 0x4000_08a9;

/// A program that fills and sums memory by calls, loops and shifts, and a handler that uses deep
/// windows and its own stack, changes SAR, and counts in one word.
fn program() -> (String, u32) {
    let source = format!(
        "entry a1, 64
        s32i a2, a1, 0
        movi a7, 0x7f
        beqz a2, done
        ssl a2
        sll a6, a7
        addi a10, a2, -1
        movi a11, 11
        call8 {CODE}
        l32i a3, a1, 0
        loopnez a3, end
        addi a6, a6, 3
end:    xor a2, a10, a6
        add a2, a2, a7
        s32i a2, a1, 4
done:   retw
        .align 4
handler: entry a1, 48
        l32i a3, a2, 0
        addi a3, a3, 1
        s32i a3, a2, 0
        ssai 7
        movi a10, 12
        call8 deep
        retw
        .align 4
deep:   entry a1, 48
        movi a4, -1
        movi a5, -1
        movi a6, -1
        movi a7, -1
        addi a10, a2, -1
        beqz a2, out
        call8 deep
out:    retw"
    );
    let (_, labels) = xtensa::asm::assemble_with_labels(CODE, &source).unwrap();
    (source, labels["handler"])
}

#[test]
fn an_interrupt_at_any_instruction_changes_nothing_that_the_code_sees() {
    let (source, handler) = program();
    let mut plain = machine(&source, &[9]);
    let length = plain.run(&mut NoBus, 100_000).instructions;
    for at in 0..length {
        let mut cpu = machine(&source, &[9]);
        cpu.run(&mut NoBus, at);
        let (stack, registers, pc) = (cpu.a(1), *cpu.physical(), cpu.pc);
        // The caller's save area under the stack pointer and everything above belongs to the code.
        let above = |cpu: &Cpu| data(cpu)[(stack - 16 - DATA) as usize..].to_vec();
        let memory = above(&cpu);
        assert!(cpu.enter_level1_handler(handler, DATA, HANDLER_MAGIC));
        assert!(!cpu.enter_level1_handler(handler, DATA, HANDLER_MAGIC), "no nesting");
        assert_eq!(cpu.ps(), 0x0007_0020);
        let stop = cpu.run(&mut NoBus, 100_000).stop;
        assert_eq!(stop, Stop::OutsideRam { pc: HANDLER_MAGIC });
        assert!(cpu.leave_level1_handler());
        assert_eq!((cpu.physical(), cpu.pc), (&registers, pc));
        assert_eq!(above(&cpu), memory, "interrupted after {at}");
        assert_eq!(cpu.run(&mut NoBus, 100_000).stop, Stop::OutsideRam { pc: MAGIC });
        assert_eq!(cpu.call_result(), plain.call_result(), "interrupted after {at}");
        assert_eq!(cpu.mem.read_word(DATA), Ok(1));
        assert_eq!(cpu.sar(), plain.sar());
        assert_eq!(cpu.physical()[..2], plain.physical()[..2]);
    }
}

#[test]
fn the_same_program_leaves_the_same_trace_whatever_the_budget() {
    let (source, _) = program();
    let mut whole = machine(&source, &[9]);
    whole.run(&mut NoBus, 100_000);
    for budget in [1, 2, 7, 300] {
        let mut pieces = machine(&source, &[9]);
        while pieces.run(&mut NoBus, budget).stop == Stop::Budget {}
        assert_eq!(pieces.executed(), whole.executed());
        assert_eq!(pieces.history(), whole.history());
        assert_eq!(pieces.physical(), whole.physical());
        assert_eq!(data(&pieces), data(&whole));
    }
}

/// Refuses everything, and notes what was asked for.
#[derive(Default)]
struct Strict {
    asked: Vec<u32>,
}

impl Bus for Strict {
    fn load(&mut self, addr: u32, _: Width) -> Result<u32, BusFault> {
        self.asked.push(addr);
        if addr & 4 == 0 { Ok(addr) } else { Err(BusFault::Prohibited) }
    }

    fn store(&mut self, addr: u32, _: Width, _: u32) -> Result<(), BusFault> {
        self.asked.push(addr);
        if addr & 4 == 0 { Ok(()) } else { Err(BusFault::Refused) }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

    #[test]
    fn random_code_never_panics_and_stays_in_its_memory(
        code in proptest::collection::vec(any::<u8>(), 64..2048),
        registers in proptest::collection::vec(any::<u32>(), 64),
        near in any::<bool>(),
        start in 0_u16..,
        ps in any::<u32>(),
    ) {
        let mut cpu = Cpu::new();
        cpu.mem.map(CODE, 0x1000, Access::CODE).unwrap();
        cpu.mem.map(DATA, 0x1000, Access::DATA).unwrap();
        cpu.mem.map(0x4000_0000, 0x1000, Access::ROM).unwrap();
        cpu.mem.write(CODE, &code).unwrap();
        for (index, value) in (0_u8..).zip(&registers) {
            let value = if near { DATA + value % 0x1000 } else { *value };
            cpu.set_physical(index, value);
        }
        cpu.set_window(5, start | 1 << 5);
        cpu.set_ps(ps);
        let mut bus = Strict::default();
        cpu.pc = CODE;
        for _ in 0..200 {
            let outcome = cpu.run(&mut bus, 50);
            prop_assert!(outcome.instructions <= 50);
            if outcome.stop != Stop::Budget {
                cpu.pc = CODE + (cpu.pc.wrapping_mul(7) % 64);
                cpu.set_ps(cpu.ps() & !0x1f);
            }
        }
        prop_assert_eq!(cpu.mem.slice(0x4000_0000, 0x1000).unwrap(), &[0; 0x1000][..]);
        prop_assert!(bus.asked.iter().all(|addr| !cpu.mem.is_mapped(*addr)));
        prop_assert!(cpu.history_text().len() <= 32);
    }

    #[test]
    fn the_cache_never_shows_old_code(
        writes in proptest::collection::vec((0_u32..64, any::<u8>()), 1..12),
        start in proptest::collection::vec(any::<u8>(), 64),
    ) {
        // Executing with a warm cache must equal executing the same bytes with a cold one.
        let mut warm = Cpu::new();
        warm.mem.map(CODE, 0x1000, Access::CODE).unwrap();
        warm.mem.write(CODE, &start).unwrap();
        for (offset, byte) in writes {
            for pc in CODE..CODE + 64 {
                warm.pc = pc;
                warm.run(&mut NoBus, 1);
            }
            warm.mem.write(CODE + offset, &[byte]).unwrap();
            // The same core with an emptied cache: every byte is changed and changed back.
            let bytes = warm.mem.slice(CODE, 0x1000).unwrap().to_vec();
            let mut cold = warm.clone();
            let inverted: Vec<u8> = bytes.iter().map(|byte| !byte).collect();
            cold.mem.write(CODE, &inverted).unwrap();
            cold.mem.write(CODE, &bytes).unwrap();
            for pc in (offset.saturating_sub(3) + CODE)..=(CODE + offset) {
                let (mut a, mut b) = (warm.clone(), cold.clone());
                (a.pc, b.pc) = (pc, pc);
                prop_assert_eq!(a.run(&mut NoBus, 1), b.run(&mut NoBus, 1));
                prop_assert_eq!(a.pc, b.pc);
                prop_assert_eq!(a.physical(), b.physical());
            }
        }
    }

    #[test]
    fn sums_are_right_at_any_depth(depth in 0_u32..400) {
        let mut cpu = machine(&recursive_sum(8), &[depth]);
        prop_assert_eq!(cpu.run(&mut NoBus, 100_000).stop, Stop::OutsideRam { pc: MAGIC });
        prop_assert_eq!(cpu.call_result(), depth * (depth + 1) / 2);
    }
}

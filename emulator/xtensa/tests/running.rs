//! Loops, native calls, the decode cache, idle detection, exceptions, observers.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{CODE, DATA, MAGIC, STACK, data, machine};
use xtensa::{Access, Bus, BusFault, Cause, Cpu, Insn, NoBus, Observer, Op, Stop, Width, asm};

#[test]
fn zero_overhead_loops_run_the_body_so_often() {
    for (instruction, count, times) in
        [("loop", 5, 5), ("loopnez", 0, 0), ("loopnez", 3, 3), ("loopgtz", -4, 0), ("loop", 1, 1)]
    {
        let source = format!(
            "entry a1, 32
             movi a3, 0
             movi a4, {count}
             {instruction} a4, end
             addi.n a3, a3, 1
             nop
        end: mov.n a2, a3
             retw.n"
        );
        let mut cpu = machine(&source, &[]);
        assert_eq!(cpu.run(&mut NoBus, 1000).stop, Stop::OutsideRam { pc: MAGIC });
        assert_eq!(cpu.call_result(), times, "{instruction} {count}");
    }
}

#[test]
fn a_taken_branch_to_the_loops_end_leaves_it() {
    let source = "
        entry a1, 32
        movi a3, 0
        movi a4, 9
        loop a4, end
        addi a3, a3, 1
        beqi a3, 4, end
        nop
   end: mov a2, a3
        retw";
    let mut cpu = machine(source, &[]);
    cpu.run(&mut NoBus, 1000);
    assert_eq!(cpu.call_result(), 4);
}

#[test]
fn native_functions_get_arguments_and_give_results() {
    let source = "
        j start
        .align 4
rom:    .word 0x40007d54
start:  entry a1, 64
        movi a3, 77
        s32i a3, a1, 0
        movi a3, 88
        s32i a3, a1, 4
        movi a10, 10
        movi a11, 11
        movi a12, 12
        movi a13, 13
        movi a14, 14
        movi a15, 15
        l32r a3, rom
        callx8 a3
        addi a2, a10, 1
        retw";
    let mut cpu = machine(source, &[]);
    assert_eq!(cpu.run(&mut NoBus, 100).stop, Stop::OutsideRam { pc: 0x4000_7d54 });
    assert_eq!(cpu.call_args(), [10, 11, 12, 13, 14, 15]);
    assert_eq!(cpu.argument(&mut NoBus, 6), Some(77));
    assert_eq!(cpu.argument(&mut NoBus, 7), Some(88));
    cpu.return_from_native(41);
    assert_eq!(cpu.run(&mut NoBus, 100).stop, Stop::OutsideRam { pc: MAGIC });
    assert_eq!(cpu.call_result(), 42);
}

#[test]
fn native_functions_can_be_called_without_windows() {
    let source = "
        j start
        .align 4
rom:    .word 0x40007d54
start:  movi a2, 5
        movi a3, 6
        l32r a9, rom
        callx0 a9
        addi a2, a2, 1
        break 0, 0";
    let mut cpu = machine(source, &[]);
    assert_eq!(cpu.run(&mut NoBus, 100).stop, Stop::OutsideRam { pc: 0x4000_7d54 });
    assert_eq!(cpu.call_args()[..2], [5, 6]);
    cpu.return_from_native(9);
    assert!(matches!(cpu.run(&mut NoBus, 100).stop, Stop::Break { .. }));
    assert_eq!(cpu.a(2), 10);
}

#[test]
fn stores_to_code_take_effect_at_once() {
    // The loop's body is replaced from `addi a3, a3, 1` to `addi a3, a3, 2` after the first pass,
    // by bytes that are not the instruction's first.
    let source = "
        entry a1, 32
        movi a3, 0
        movi a4, 3
again:  addi a3, a3, 1
        s8i a2, a5, 2
        addi a4, a4, -1
        bnez a4, again
        mov a2, a3
        retw";
    let (_, labels) = asm::assemble_with_labels(CODE, source).unwrap();
    let mut cpu = machine(
        &source.replace("movi a3, 0", "mov a5, a3\n movi a3, 0"),
        &[2, labels["again"] + 3],
    );
    cpu.run(&mut NoBus, 100);
    assert_eq!(cpu.call_result(), 1 + 2 + 2);
}

#[test]
fn host_writes_to_code_take_effect_at_once() {
    let mut cpu = machine("again: addi a2, a2, 1\n j again", &[]);
    cpu.run(&mut NoBus, 100);
    let code = asm::assemble(CODE, "break 1, 2").unwrap();
    cpu.mem.write(CODE, &code).unwrap();
    assert_eq!(cpu.run(&mut NoBus, 3).stop, Stop::Break { pc: CODE, s: 1, t: 2 });
}

#[test]
fn waiting_code_is_found_idle_and_working_code_is_not() {
    // Polls a word, and stores the same value each pass (as the second stub generation does).
    let source = "
        entry a1, 32
        movi a4, 1
poll:   s32i a4, a2, 4
        l32i a3, a2, 0
        beqz a3, poll
        mov a2, a3
        retw";
    let mut cpu = machine(source, &[DATA]);
    let outcome = cpu.run(&mut NoBus, 1_000_000);
    assert!(matches!(outcome.stop, Stop::Idle { .. }), "{outcome:?}");
    assert!(outcome.instructions < 20_000);
    cpu.mem.write_word(DATA, 7).unwrap();
    assert_eq!(cpu.run(&mut NoBus, 1000).stop, Stop::OutsideRam { pc: MAGIC });
    assert_eq!(cpu.call_result(), 7);

    let counting = "movi a3, 0\n again: addi a3, a3, 1\n j again";
    assert_eq!(machine(counting, &[]).run(&mut NoBus, 100_000).stop, Stop::Budget);
    let storing = "again: xor a4, a4, a3\n s32i a4, a10, 0\n movi a3, 1\n j again";
    assert_eq!(machine(storing, &[DATA]).run(&mut NoBus, 100_000).stop, Stop::Budget);
    let timing = "again: rsr a4, ccount\n movi a4, 0\n j again";
    assert_eq!(machine(timing, &[]).run(&mut NoBus, 100_000).stop, Stop::Budget);
}

#[test]
fn a_waiting_core_rests_while_what_it_looks_at_is_the_same() {
    let mut cpu = machine("poll: l32i a3, a10, 0\n beqz a3, poll\n break 0, 1", &[DATA]);
    assert!(!cpu.rests(), "nothing has been found");
    assert!(matches!(cpu.run(&mut NoBus, 100_000).stop, Stop::Idle { .. }));
    assert!(cpu.rests());
    cpu.mem.write_word(DATA + 4, 1).unwrap();
    assert!(cpu.rests(), "it does not look there");
    for (address, value) in [(DATA, 1), (CODE, 0)] {
        let before = cpu.mem.read_word(address).unwrap();
        cpu.mem.write_word(address, value).unwrap();
        assert!(!cpu.rests(), "{address:#x}");
        cpu.mem.write_word(address, before).unwrap();
        assert!(cpu.rests());
    }
    let before = cpu.a(9);
    cpu.set_a(9, before + 1);
    assert!(!cpu.rests(), "another state");
    cpu.set_a(9, before);
    cpu.mem.write_word(DATA, 7).unwrap();
    assert!(matches!(cpu.run(&mut NoBus, 100).stop, Stop::Break { .. }));
    assert!(!cpu.rests(), "it is elsewhere");
}

#[test]
fn what_waits_for_a_register_or_for_time_does_not_rest() {
    let mut cpu = machine("poll: l32i a3, a10, 0\n beqz a3, poll", &[0x3ff4_0000]);
    assert!(matches!(cpu.run(&mut Zeroes, 100_000).stop, Stop::Idle { .. }));
    assert!(!cpu.rests());
}

/// A bus on which everything is 0.
struct Zeroes;

impl Bus for Zeroes {
    fn load(&mut self, _: u32, _: Width) -> Result<u32, BusFault> {
        Ok(0)
    }

    fn store(&mut self, _: u32, _: Width, _: u32) -> Result<(), BusFault> {
        Ok(())
    }
}

#[test]
fn polling_through_a_native_function_is_idle_too() {
    let source = "
        j start
        .align 4
rom:    .word 0x400092d0
start:  entry a1, 32
        l32r a3, rom
poll:   mov a10, a2
        callx8 a3
        bnez a10, poll
        retw";
    let mut cpu = machine(source, &[DATA]);
    let mut calls = 0;
    loop {
        match cpu.run(&mut NoBus, 100_000).stop {
            Stop::OutsideRam { pc: 0x4000_92d0 } => cpu.return_from_native(1),
            stop => {
                assert!(matches!(stop, Stop::Idle { .. }), "{stop:?}");
                break;
            }
        }
        calls += 1;
        assert!(calls < 10_000);
    }
}

#[test]
fn waiti_waits_for_an_interrupt() {
    let mut cpu = machine("waiti 0\n break 0, 1", &[]);
    assert_eq!(cpu.run(&mut NoBus, 100).stop, Stop::Idle { pc: CODE + 3 });
    assert_eq!(cpu.run(&mut NoBus, 100).stop, Stop::Idle { pc: CODE + 3 });
    let mut line = Line(1 << 5);
    cpu.set_interrupts_enabled(1 << 5);
    assert_eq!(cpu.run(&mut line, 100).stop, Stop::Interrupt { level: 1, lines: 1 << 5 });
    assert!(matches!(cpu.run(&mut NoBus, 100).stop, Stop::Break { .. }));
}

/// A bus with interrupt lines and one register that reads 0x55 and refuses words.
struct Line(u32);

impl Bus for Line {
    fn load(&mut self, addr: u32, width: Width) -> Result<u32, BusFault> {
        match (addr, width) {
            (0x3ff4_0000, Width::Byte) => Ok(0x55),
            (0x3ff4_0000, _) => Err(BusFault::Refused),
            _ => Err(BusFault::Prohibited),
        }
    }

    fn store(&mut self, _: u32, _: Width, _: u32) -> Result<(), BusFault> {
        Err(BusFault::Prohibited)
    }

    fn interrupt_lines(&mut self) -> u32 {
        self.0
    }
}

#[test]
fn bus_answers_become_values_or_exceptions() {
    let mut cpu = machine("l8ui a3, a10, 0\n l32i a4, a10, 0", &[0x3ff4_0000]);
    let Stop::Exception(exception) = cpu.run(&mut Line(0), 100).stop else { panic!() };
    assert_eq!(cpu.a(3), 0x55);
    assert_eq!(exception.cause, Cause::LoadStoreError);
    assert_eq!((exception.pc, exception.vaddr), (CODE + 3, 0x3ff4_0000));
    let text = exception.to_string();
    assert!(text.contains("LoadStoreError") && text.contains("0x3ff40000"), "{text}");
}

#[test]
fn exceptions_go_to_a_vector_in_memory_if_there_is_one() {
    let source = "
        movi a3, 1
        syscall
        movi a4, 2
        simcall
        .align 1024
        .space 832
        rsr a5, epc1
        addi a5, a5, 3
        wsr a5, epc1
        rsr a6, exccause
        rfe";
    let mut cpu = machine(source, &[]);
    assert!(cpu.set_special_register(231, CODE + 0x400));
    assert!(matches!(cpu.run(&mut NoBus, 100).stop, Stop::Simcall { .. }));
    assert_eq!((cpu.a(3), cpu.a(4), cpu.a(6)), (1, 2, 1));
}

#[test]
fn iram_takes_words_only_and_rom_no_stores() {
    let mut cpu = machine("l8ui a3, a10, 0", &[0x4009_0000]);
    cpu.mem.map(0x4009_0000, 0x1000, Access::CODE_WORDS).unwrap();
    let Stop::Exception(exception) = cpu.run(&mut NoBus, 10).stop else { panic!() };
    assert_eq!(exception.cause, Cause::LoadStoreError);
    let mut cpu = machine("s32i a3, a10, 0", &[0x4009_0000]);
    cpu.mem.map(0x4009_0000, 0x1000, Access::ROM).unwrap();
    assert!(matches!(cpu.run(&mut NoBus, 10).stop, Stop::Exception(_)));
    assert_eq!(cpu.mem.read_word(0x4009_0000), Ok(0));
}

#[test]
fn the_history_holds_the_last_32_instructions() {
    let mut cpu = machine("movi a3, 40\n again: addi.n a3, a3, -1\n bnez a3, again\n ill", &[]);
    assert!(matches!(cpu.run(&mut NoBus, 1000).stop, Stop::Exception(_)));
    let lines = cpu.history_text();
    assert_eq!(lines.len(), 32);
    assert_eq!(lines[31], format!("{:#010x}: ill", CODE + 8));
    assert_eq!(lines[30], format!("{:#010x}: bnez a3, {:#010x}", CODE + 5, CODE + 3));
}

#[derive(Default)]
struct Recorder {
    calls: Vec<(u32, u32)>,
    returns: usize,
    seen: usize,
    stop_at: Option<u32>,
}

impl Observer for Recorder {
    fn before(&mut self, _: &Cpu, pc: u32, insn: Insn) -> bool {
        assert_ne!(insn.op, Op::Undecoded);
        self.seen += 1;
        self.stop_at != Some(pc)
    }

    fn enter(&mut self, pc: u32, target: u32) {
        self.calls.push((pc, target));
    }

    fn leave(&mut self, _: u32, _: u32) {
        self.returns += 1;
    }
}

#[test]
fn observers_see_everything_and_change_nothing() {
    let source = common::recursive_sum(8);
    let mut plain = machine(&source, &[20]);
    let mut watched = machine(&source, &[20]);
    let mut recorder = Recorder::default();
    let first = plain.run(&mut NoBus, 100_000);
    let second = watched.run_observed(&mut NoBus, &mut recorder, 100_000);
    assert_eq!(first, second);
    assert_eq!(data(&plain), data(&watched));
    assert_eq!(recorder.seen as u64, first.instructions);
    assert_eq!((recorder.calls.len(), recorder.returns), (20, 21));
    let mut stopper = Recorder { stop_at: Some(CODE + 3), ..Recorder::default() };
    let mut cpu = machine(&source, &[20]);
    let outcome = cpu.run_observed(&mut NoBus, &mut stopper, 1000);
    assert_eq!(outcome.stop, Stop::Observer { pc: CODE + 3 });
    assert_eq!(outcome.instructions, 1);
}

#[test]
fn timers_interrupt_at_their_cycle() {
    let source = "
        rsr a3, ccount
        movi a4, 1000
        add a3, a3, a4
        wsr a3, ccompare0
        movi a4, 64
        wsr a4, intenable
 again: addi a5, a5, 1
        j again";
    let mut cpu = machine(source, &[]);
    let outcome = cpu.run(&mut NoBus, 100_000);
    assert_eq!(outcome.stop, Stop::Interrupt { level: 1, lines: 64 });
    assert_eq!(outcome.instructions, 1000);
}

#[test]
fn floating_point_needs_its_coprocessor_switched_on() {
    let source = "
        movi a3, 3
        float.s f1, a3, 0
        float.s f2, a3, 1
        madd.s f1, f1, f2
        trunc.s a4, f1, 1
        break 0, 0";
    let mut cpu = machine(source, &[]);
    let Stop::Exception(exception) = cpu.run(&mut NoBus, 100).stop else { panic!() };
    assert_eq!(exception.cause, Cause::Coprocessor0Disabled);
    assert!(cpu.set_special_register(224, 1));
    assert!(matches!(cpu.run(&mut NoBus, 100).stop, Stop::Break { .. }));
    assert_eq!(cpu.a(4), 15, "(3 + 3 * 1.5) * 2");
}

#[test]
fn the_stack_pointer_is_the_callers_again_after_a_call() {
    let mut cpu = machine("entry a1, 32\n retw", &[]);
    cpu.run(&mut NoBus, 10);
    assert_eq!(cpu.a(1), STACK);
}

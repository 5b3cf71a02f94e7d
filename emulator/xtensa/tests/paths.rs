//! Compiled paths against single steps: random programs with loops, calls, peripherals and code that
//! changes itself end every run in the same state, wherever it is cut and interrupted.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{CODE, DATA, MAGIC, data, machine};
use proptest::prelude::*;
use xtensa::{Bus, BusFault, Cpu, Observer, Outcome, Stop, Width, asm};

const PERIPHERAL: u32 = 0x3ff4_0000;
const HANDLER_MAGIC: u32 = 0x4000_08a9;
/// Interrupt 5, of level 1.
const LINE: u32 = 1 << 5;

/// Sees each instruction, so that nothing is compiled.
struct Steps;

impl Observer for Steps {}

/// Registers that answer with what they were asked before, and refuse some accesses; the interrupt
/// line goes up with some stores and down with some loads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Device {
    log: Vec<(u32, Option<u32>)>,
    line: bool,
}

impl Bus for Device {
    fn load(&mut self, addr: u32, width: Width) -> Result<u32, BusFault> {
        self.log.push((addr, None));
        let count = u32::try_from(self.log.len()).unwrap();
        self.line &= count % 5 != 0;
        if count % 97 == 0 {
            return Err(BusFault::Prohibited);
        }
        let value = count.wrapping_mul(0x9e37_79b9) ^ addr;
        Ok(if width == Width::Byte { value & 0xff } else { value })
    }

    fn store(&mut self, addr: u32, _: Width, value: u32) -> Result<(), BusFault> {
        self.log.push((addr, Some(value)));
        self.line = value & 7 == 1;
        Ok(())
    }

    fn interrupt_lines(&mut self) -> u32 {
        if self.line { LINE } else { 0 }
    }
}

/// An instruction or two of registers.
fn arithmetic(kind: u8, [x, y, z]: [u8; 3], number: u8) -> String {
    let bit = number & 31;
    match kind {
        0 => format!("add a{x}, a{y}, a{z}"),
        1 => format!("sub a{x}, a{y}, a{z}"),
        2 => format!("and a{x}, a{y}, a{z}"),
        3 => format!("or a{x}, a{y}, a{y}"),
        4 => format!("xor a{x}, a{y}, a{z}"),
        5 => format!("addx4 a{x}, a{y}, a{z}"),
        6 => format!("movi a{x}, {number}"),
        7 => format!("addi a{x}, a{y}, {}", number.cast_signed()),
        8 => format!("slli a{x}, a{y}, {}", bit.max(1)),
        9 => format!("srai a{x}, a{y}, {bit}"),
        10 => format!("extui a{x}, a{y}, {}, 8", bit & 15),
        11 => format!("extui a{x}, a{y}, 0, 16"),
        12 => format!("sext a{x}, a{y}, 15"),
        13 => format!("neg a{x}, a{y}"),
        14 => format!("moveqz a{x}, a{y}, a{z}"),
        15 => format!("movltz a{x}, a{y}, a{z}"),
        16 => format!("ssl a{y}\n sll a{x}, a{z}"),
        17 => format!("ssai {bit}\n src a{x}, a{y}, a{z}"),
        18 => format!("mull a{x}, a{y}, a{z}"),
        _ => format!("maxu a{x}, a{y}, a{z}\n nsau a{z}, a{y}"),
    }
}

/// What compiled paths make one operation of, or none.
fn idiom(n: usize, kind: u8, [x, y, z]: [u8; 3]) -> String {
    match kind {
        // A store that may go to what was loaded from a known place just before.
        45 => format!(
            "l32r a13, pointer\n l32i a{x}, a13, 4\n extui a13, a{y}, 0, 4\n add a13, a13, a6\n\
             s8i a{z}, a13, 2\n l32r a13, pointer\n l32i a{y}, a13, 4\n l16ui a{z}, a13, 6"
        ),
        46 => format!(
            "l32r a13, pointer\n l16ui a{x}, a13, 12\n addi a{x}, a{x}, 1\n s16i a{x}, a13, 12\n\
             l16ui a{z}, a13, 12\n extui a13, a{y}, 0, 3\n slli a13, a13, 1\n add a13, a13, a6\n\
             s16i a{z}, a13, 8\n l32r a13, pointer\n l8ui a{y}, a13, 12\n bnei a{y}, 7, l{n}\n\
             s32i a{x}, a13, 12\nl{n}: l16ui a{z}, a13, 12"
        ),
        47 => format!(
            "l32r a13, pointer\n l32i a{x}, a13, 16\n bnei a{x}, 1, l{n}\n addi a{y}, a{x}, 2\n\
             l{n}: extui a{z}, a{z}, 0, 1\n s32i a{z}, a13, 16"
        ),
        48 => format!(
            "l32r a13, device\n l32i a{x}, a13, 4\n extui a{x}, a{x}, 0, 4\n beqi a{x}, 5, l{n}\n\
             beqi a{x}, 6, l{n}\n add a{y}, a{y}, a{x}\nl{n}: memw"
        ),
        49 => format!(
            "movi a13, -3\nl{n}: add a{x}, a6, a13\n l8ui a{x}, a{x}, 4\n addi a13, a13, 1\n\
             xor a{y}, a{y}, a{x}\n blt a13, a5, l{n}"
        ),
        _ => format!("l32r a13, device\n l16si a{x}, a13, 0\n extui a{x}, a{x}, 0, 4"),
    }
}

/// One statement of the loop's body; `n` makes labels unique. a5 counts, a6 points to data, a7 to
/// the peripheral, a14 to a word of code, a15 to a literal.
fn statement(n: usize, kind: u8, registers: [u8; 3], number: u8) -> String {
    // Registers that the body may change.
    let [x, y, z] = registers.map(|n| [2, 3, 4, 8, 9, 10, 11, 12][usize::from(n & 7)]);
    let bit = number & 31;
    match kind % 53 {
        kind @ 0..20 => arithmetic(kind, [x, y, z], number),
        20 => format!("l32i a{x}, a6, {}", u32::from(number & 15) * 4),
        21 => format!("l16si a{x}, a6, {}", u32::from(number & 15) * 2),
        22 => format!("l8ui a{x}, a6, {}", number & 63),
        23 => format!("s32i a{x}, a6, {}", u32::from(number & 15) * 4),
        24 => format!("s16i a{x}, a6, {}", u32::from(number & 15) * 2),
        25 => format!("s8i a{x}, a6, {}", number & 63),
        26 => format!("extui a13, a{y}, 0, 9\n add a13, a13, a6\n s8i a{x}, a13, 3"),
        27 => format!("extui a13, a{y}, 0, 9\n add a13, a13, a6\n l8ui a{x}, a13, 1"),
        28 => format!("l32i a{x}, a7, {}", u32::from(number & 3) * 4),
        29 => format!("s32i a{x}, a7, {}", u32::from(number & 3) * 4),
        30 => format!("bne a{x}, a{y}, l{n}\n addi a{z}, a{z}, 1\nl{n}: memw"),
        31 => format!("blti a{x}, 8, l{n}\n mov a{y}, a{z}\n addi a{x}, a{x}, -3\nl{n}: memw"),
        32 => format!("bbci a{x}, {bit}, l{n}\n xor a{y}, a{y}, a{z}\nl{n}: memw"),
        33 => format!("mov a10, a{x}\n call8 leaf\n mov a{y}, a10"),
        34 => format!("l32r a{x}, number\n add a{y}, a{x}, a{z}"),
        // Every sixteenth time round or so the literal or the code changes.
        35 => format!("extui a13, a5, 0, 4\n bnez a13, l{n}\n s32i a{x}, a15, 0\nl{n}: memw"),
        36 => format!(
            "extui a13, a5, 0, 4\n bnei a13, 3, l{n}\n l32i a13, a6, 1016\n l32i a{z}, a14, 0\n\
             s32i a13, a14, 0\n s32i a{z}, a6, 1016\nl{n}: memw"
        ),
        37 => format!("movi a13, 2\n loopnez a13, l{n}\n addi a{x}, a{x}, 5\nl{n}: memw"),
        38 => format!(
            "movi a13, {bit}\nl{n}: addi a{x}, a{x}, 7\n addi a13, a13, -1\n bgez a13, l{n}"
        ),
        39 => "s32i a5, a1, 0\n s32i a6, a1, 4\n s32i a7, a1, 8\n call4 leaf\n l32i a5, a1, 0\n\
               l32i a6, a1, 4\n l32i a7, a1, 8"
            .into(),
        40 => {
            "mov a14, a2\n call12 leaf\n mov a2, a14\n l32r a14, place\n l32r a15, literal".into()
        }
        41 => format!(
            "l32r a13, pointer\n l16ui a{x}, a13, {}\n addi a{y}, a{x}, 3\n beqi a{x}, 5, l{n}\n\
             addi a{x}, a{x}, 1\nl{n}: s16i a{x}, a13, {}",
            number & 0xe,
            number & 0xe
        ),
        42 => format!("l32r a13, device\n l8ui a{x}, a13, 0\n l32i a{y}, a13, 4"),
        43 => format!("l32r a13, device\n s32i a{x}, a13, 0\n s8i a{y}, a6, 1"),
        44 => format!(
            "l32r a13, pointer\n l8ui a{x}, a13, 7\n mov a{y}, a{z}\n bnez a{x}, l{n}\n\
             movi a{z}, 77\nl{n}: s8i a{z}, a13, 7"
        ),
        45..51 => idiom(n, kind % 53, [x, y, z]),
        // Elsewhere from time to time: the bus instead of memory.
        _ => format!(
            "mov a13, a6\n extui a{z}, a5, 0, 3\n bnez a{z}, l{n}\n mov a13, a7\n\
             l{n}: l32i a{x}, a13, 8\n s32i a{y}, a13, 8"
        ),
    }
}

fn program(statements: &[(u8, [u8; 3], u8)], rounds: u8) -> String {
    let body: Vec<String> = statements
        .iter()
        .enumerate()
        .map(|(n, (kind, registers, number))| statement(n, *kind, *registers, *number))
        .collect();
    format!(
        "j start
        .align 4
pointer: .word {DATA}
device: .word {PERIPHERAL}
number: .word 0x12345
place:  .word 0
literal: .word 0
start:  entry a1, 64
        l32r a6, pointer
        l32r a7, device
        l32r a14, place
        l32r a15, literal
        movi a5, {rounds}
        j loop
        .align 4
        nop
        nop
        nop
        nop
loop:   {}
        j patch
        .align 4
again:  l32r a13, number
        xor a2, a2, a13
        add a4, a4, a8
        addi a5, a5, -1
        beqz a5, end
        j loop
end:    memw
        retw
        .align 4
leaf:   entry a1, 32
        beqz a2, out
        l32i a3, a7, 4
        addi a2, a2, -1
        slli a2, a2, 1
        xor a2, a2, a3
out:    retw
        .align 4
handler: entry a1, 48
        l32i a3, a2, 0
        addi a3, a3, 1
        s32i a3, a2, 0
        ssai 3
        retw
        .align 4
patch:  movi.n a8, 5
        nop.n
        j again",
        body.join("\n")
    )
}

/// Everything that a core shows.
fn shown(cpu: &Cpu) -> impl PartialEq + std::fmt::Debug {
    let special: Vec<_> = (0..256).map(|number| cpu.special_register(number)).collect();
    (
        (cpu.pc, *cpu.physical(), cpu.window_base(), cpu.window_start(), cpu.ps()),
        (cpu.executed(), cpu.history(), special, cpu.call_args()),
        data(cpu),
        cpu.mem.slice(CODE, 0x1000).unwrap().to_vec(),
    )
}

/// One core of the pair, with what it is driven by.
struct Side {
    cpu: Cpu,
    device: Device,
    compiled: bool,
    handler: u32,
}

impl Side {
    fn run(&mut self, budget: u64) -> Outcome {
        if self.compiled {
            self.cpu.run(&mut self.device, budget)
        } else {
            self.cpu.run_observed(&mut self.device, &mut Steps, budget)
        }
    }

    /// Runs `budget` instructions and deals with what stops it; false at the end of the program.
    fn turn(&mut self, budget: u64) -> (Outcome, bool) {
        let outcome = self.run(budget);
        let goes_on = match outcome.stop {
            Stop::Budget => true,
            Stop::Interrupt { .. } => {
                self.device.line = false;
                self.interrupt();
                true
            }
            Stop::Exception(_) => {
                // Behind the access that the device refused.
                self.cpu.pc += 3;
                true
            }
            Stop::OutsideRam { pc: HANDLER_MAGIC } => self.cpu.leave_level1_handler(),
            _ => false,
        };
        (outcome, goes_on)
    }

    fn interrupt(&mut self) -> bool {
        self.cpu.enter_level1_handler(self.handler, DATA + 0x800, HANDLER_MAGIC)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn compiled_paths_and_single_steps_end_alike(
        statements in proptest::collection::vec((any::<u8>(), any::<[u8; 3]>(), any::<u8>()), 1..14),
        rounds in 40_u8..120,
        budgets in proptest::collection::vec((1_u64..900, any::<bool>()), 1..40),
    ) {
        let source = program(&statements, rounds);
        let (_, labels) = asm::assemble_with_labels(CODE, &source).unwrap();
        let mut cpu = machine(&source, &[7]);
        cpu.set_interrupts_enabled(LINE);
        cpu.mem.write_word(labels["place"], labels["patch"]).unwrap();
        cpu.mem.write_word(labels["literal"], labels["number"]).unwrap();
        let other = asm::assemble(CODE, "movi.n a8, 9\n addi.n a8, a8, 1").unwrap();
        cpu.mem.write(DATA + 1016, &other[..4]).unwrap();
        let device = Device::default();
        let handler = labels["handler"];
        let mut fast =
            Side { cpu: cpu.clone(), device: device.clone(), compiled: true, handler };
        let mut slow = Side { cpu, device, compiled: false, handler };
        let mut pieces = budgets.iter().cycle();
        for _ in 0..5000 {
            let &(budget, interrupts) = pieces.next().unwrap();
            let ((a, goes_on), (b, _)) = (fast.turn(budget), slow.turn(budget));
            prop_assert_eq!(a, b);
            prop_assert_eq!(shown(&fast.cpu), shown(&slow.cpu));
            prop_assert_eq!(&fast.device, &slow.device);
            if !goes_on {
                prop_assert_eq!(a.stop, Stop::OutsideRam { pc: MAGIC });
                break;
            }
            if interrupts {
                prop_assert_eq!(fast.interrupt(), slow.interrupt());
            }
        }
    }
}

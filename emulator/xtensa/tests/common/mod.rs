//! A small machine for the tests.
#![allow(dead_code, reason = "each test file uses its part")]

use xtensa::{Access, Cpu, asm};

pub(crate) const CODE: u32 = 0x4008_0000;
pub(crate) const DATA: u32 = 0x3ffb_0000;
pub(crate) const STACK: u32 = 0x3ffb_f000;
pub(crate) const MAGIC: u32 = 0x4000_7c18;

/// A core with 64 KiB of code and data, the program at `CODE`, called with `args`.
pub(crate) fn machine(source: &str, args: &[u32]) -> Cpu {
    let mut cpu = Cpu::new();
    cpu.mem.map(CODE, 0x1_0000, Access::CODE).unwrap();
    cpu.mem.map(DATA, 0x1_0000, Access::DATA).unwrap();
    let image = asm::assemble(CODE, source).unwrap_or_else(|error| panic!("{error}"));
    cpu.mem.write(CODE, &image).unwrap();
    cpu.reset_frame(STACK);
    // The outermost frame's caller, for spills of registers 4 and up.
    cpu.mem.write_word(STACK - 12, STACK + 0x100).unwrap();
    cpu.begin_call(CODE, args, MAGIC);
    cpu
}

/// All data memory.
pub(crate) fn data(cpu: &Cpu) -> Vec<u8> {
    cpu.mem.slice(DATA, 0x1_0000).unwrap().to_vec()
}

/// Recursive sum 1..=n with `call{step}`, keeping the argument in the highest register that the
/// callee does not overwrite.
pub(crate) fn recursive_sum(step: u32) -> String {
    // The frame size leaves room for registers 4 and up under the caller's stack pointer.
    let keep = step - 1;
    let link = step + 2;
    format!(
        "entry a1, 64
         mov a{keep2}, a2
         beqz a2, done
         addi a{link}, a2, -1
         call{step} {CODE}
         mov a3, a{link}
         add a2, a{keep2}, a3
 done:   retw",
        keep2 = if step == 4 { 2 } else { keep },
    )
}

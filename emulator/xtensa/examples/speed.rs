//! Prints the interpreter's speed on a hand-written loop with loads, stores and calls:
//! `cargo run --release -p xtensa --example speed`.
#![expect(clippy::print_stdout, reason = "an example prints")]
#![expect(clippy::disallowed_methods, reason = "it measures real time")]

use std::time::Instant;

use xtensa::{Access, Cpu, NoBus, asm};

/// About the mix of a flasher stub: one instruction in eight is a call, `ENTRY` or return.
const PROGRAM: &str = "
        j start
        .align 4
table:  .word 0x3ffb0000
start:  entry a1, 32
        l32r a2, table
        movi a3, 0
outer:  movi a4, 64
        mov.n a5, a2
inner:  l32i.n a6, a5, 0
        l8ui a7, a5, 4
        add.n a6, a6, a3
        extui a7, a7, 2, 4
        s32i.n a6, a5, 8
        mov.n a10, a6
        mov.n a11, a7
        call8 leaf
        addi.n a5, a5, 4
        addi a4, a4, -1
        xor a3, a3, a10
        bnez a4, inner
        memw
        j outer
        .align 4
leaf:   entry a1, 32
        slli a2, a2, 3
        addx4 a2, a3, a2
        srli a3, a2, 7
        bgeu a3, a2, skip
        xor a2, a2, a3
skip:   retw.n
";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut cpu = Cpu::new();
    cpu.mem.map(0x4008_0000, 0x2_0000, Access::CODE)?;
    cpu.mem.map(0x3ffb_0000, 0x2_0000, Access::DATA)?;
    cpu.mem.write(0x4008_0000, &asm::assemble(0x4008_0000, PROGRAM)?)?;
    cpu.reset_frame(0x3ffc_0000);
    cpu.begin_call(0x4008_0000, &[], 0x4000_7c18);
    for _ in 0..5 {
        let start = Instant::now();
        let outcome = cpu.run(&mut NoBus, 200_000_000);
        let seconds = start.elapsed().as_secs_f64();
        let count = u32::try_from(outcome.instructions)?;
        println!(
            "{:6.1} million instructions/s, {:?}",
            f64::from(count) / seconds / 1e6,
            outcome.stop
        );
    }
    Ok(())
}

//! Interpreted instructions a second on a loop with loads, stores and calls, and how many times that
//! is what a real board's pace needs: `cargo bench --bench cpu`.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![expect(clippy::expect_used, reason = "a bench may stop")]
#![expect(clippy::disallowed_methods, reason = "it measures real time")]

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rustix::time::{ClockId, clock_gettime};
use xtensa::{Access, Cpu, NoBus, asm};

/// Instructions of one measurement.
const COUNT: u32 = 10_000_000;
/// Instructions a second that the stubs need for 90 kB/s on the wire (XTENSA 2): the least and the
/// most of the four in circulation, in millions.
const NEEDED_MILLIONS: (f64, f64) = (4.2, 7.2);

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

fn core() -> Cpu {
    let mut cpu = Cpu::new();
    cpu.mem.map(0x4008_0000, 0x2_0000, Access::CODE).expect("free addresses");
    cpu.mem.map(0x3ffb_0000, 0x2_0000, Access::DATA).expect("free addresses");
    let image = asm::assemble(0x4008_0000, PROGRAM).expect("a sound program");
    cpu.mem.write(0x4008_0000, &image).expect("memory");
    cpu.reset_frame(0x3ffc_0000);
    cpu.begin_call(0x4008_0000, &[], 0x4000_7c18);
    cpu
}

/// Time that this process has had a core for, which other load on the machine hardly changes.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The best of twenty runs, by the wall and by the processor's time.
fn figures() {
    let mut cpu = core();
    let mut best = [0.0_f64; 2];
    for _ in 0..20 {
        let (wall, used) = (Instant::now(), cpu_time());
        let outcome = cpu.run(&mut NoBus, COUNT.into());
        assert_eq!(outcome.instructions, u64::from(COUNT));
        for (best, span) in best.iter_mut().zip([wall.elapsed(), cpu_time().saturating_sub(used)]) {
            *best = best.max(f64::from(COUNT) / span.as_secs_f64() / 1e6);
        }
    }
    let (least, most) = NEEDED_MILLIONS;
    for (clock, millions) in ["wall", "CPU"].iter().zip(best) {
        println!(
            "{millions:.0} million instructions a second of {clock} time: {:.0} to {:.0} times \
             what 90 kB/s on the wire need ({least} to {most} million)",
            millions / most,
            millions / least
        );
    }
}

fn interpreter(criterion: &mut Criterion) {
    figures();
    let mut cpu = core();
    let mut group = criterion.benchmark_group("xtensa");
    group.throughput(Throughput::Elements(COUNT.into()));
    group.sample_size(20);
    group.bench_function("loads, stores and calls", |bencher| {
        bencher.iter(|| cpu.run(&mut NoBus, COUNT.into()));
    });
    group.finish();
}

criterion_group!(benches, interpreter);
criterion_main!(benches);

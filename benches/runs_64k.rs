//! Complete flash-and-verify runs of 64 KiB in virtual time, on one core: board powered on, reset
//! into download mode, SYNC, attach, write, verify.

#![expect(clippy::expect_used, reason = "a bench stops where something is wrong")]

mod support;

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use esp_protocol::response::Dialect;
use esp32_emulator::board::{Board, BoardSetup};
use esp32_emulator::case::{BoardFlash, CaseBoard};
use esp32_flasher::write::Prepared;

const IMAGE_BYTES: usize = 64 << 10;
/// Runs a second that must hold.
const RUNS_MIN: u32 = 2_000;
/// Runs of one measurement: a few milliseconds, so that the best one is undisturbed.
const RUNS: u32 = 10;

fn power_on(flash: &BoardFlash) -> CaseBoard {
    Board::power_on(BoardSetup::default(), flash.clone())
}

fn run(flash: &BoardFlash, prepared: &Prepared) {
    let mut session = support::session(power_on(flash));
    session.write(prepared, &mut |_| {}).expect("the board takes the image");
    session.verify(prepared).expect("the flash holds the image");
}

#[expect(clippy::print_stdout, reason = "a bench reports")]
fn report(kind: &str, flash: &BoardFlash, prepared: &Prepared) {
    let batch = || (0..RUNS).for_each(|_| run(flash, prepared));
    let took = support::best(100, batch);
    let rate = f64::from(RUNS) / took.as_secs_f64();
    println!("64 KiB flash-and-verify runs, {kind}: {rate:.0} a second (bound {RUNS_MIN})");
}

fn runs_64k(criterion: &mut Criterion) {
    let image = support::image(0x10000, IMAGE_BYTES);
    let flash = support::board().flash().clone();
    let deflated = Prepared::new(&image, Dialect::Rom, true);
    let raw = Prepared::new(&image, Dialect::Rom, false);
    report("deflated", &flash, &deflated);
    report("raw", &flash, &raw);

    let mut group = criterion.benchmark_group("runs_64k");
    group.warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_secs(1));
    group.sample_size(20);
    group.bench_function("64 KiB deflated", |bencher| bencher.iter(|| run(&flash, &deflated)));
    group.finish();
}

criterion_group!(benches, runs_64k);
criterion_main!(benches);

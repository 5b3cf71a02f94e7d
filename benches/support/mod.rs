//! What the benches share: images, boards, sessions, and the plain line with the ratio.

#![allow(
    dead_code,
    clippy::expect_used,
    reason = "each bench uses its part, and stops where something is wrong"
)]

use std::{
    hint::black_box,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use esp32_emulator::case::{CaseBoard, LoadedBoard, bootable};
use esp32_flasher::{
    port::{Port, virtual_board::VirtualPort},
    reset::ResetStrategy,
    session::Session,
    write::Image,
};
use spi_nor::{catalog, part::JedecId};

/// The board's part: 16 MiB, the id that the public thread's boards report most.
const JEDEC: JedecId = JedecId([0xef, 0x40, 0x18]);

/// Whether this run measures. `cargo test --benches` only checks that the benches run.
pub(crate) fn measures() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// The shortest of `rounds` runs of `work`: the one that other processes disturbed least.
pub(crate) fn best<R>(rounds: u32, mut work: impl FnMut() -> R) -> Duration {
    let rounds = if measures() { rounds } else { 1 };
    (0..rounds).map(|_| time(&mut work)).min().unwrap_or_default()
}

#[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
pub(crate) fn time<R>(work: impl FnOnce() -> R) -> Duration {
    let start = Instant::now();
    black_box(work());
    start.elapsed()
}

/// Prints `what: A, B alone; ratio R (bound N)`.
#[expect(clippy::print_stdout, reason = "a bench reports")]
pub(crate) fn report_ratio(
    what: &str,
    took: Duration,
    alone: &str,
    base: Duration,
    bound: Option<f64>,
) {
    let ratio = took.as_secs_f64() / base.as_secs_f64();
    let bound = bound.map(|bound| format!(" (bound {bound})")).unwrap_or_default();
    println!("{what}: {took:.2?}, {alone}: {base:.2?}; ratio {ratio:.2}{bound}");
}

/// Prints the ratios of `work` to `base`, run in turn so that what else the machine does meets both:
/// `what: median R of N pairs (lowest to highest), K within the bound`.
#[expect(clippy::print_stdout, reason = "a bench reports")]
pub(crate) fn report_pairs<R, S>(
    what: &str,
    pairs: usize,
    bound: f64,
    mut work: impl FnMut() -> R,
    mut base: impl FnMut() -> S,
) {
    let pairs = if measures() { pairs } else { 1 };
    let mut ratios: Vec<f64> =
        (0..pairs).map(|_| time(&mut work).as_secs_f64() / time(&mut base).as_secs_f64()).collect();
    ratios.sort_by(f64::total_cmp);
    let within = ratios.iter().filter(|ratio| **ratio <= bound).count();
    let (low, median, high) = (ratios[0], ratios[pairs / 2], ratios[pairs - 1]);
    println!(
        "{what}: median {median:.2} of {pairs} pairs in turn ({low:.2} to {high:.2}), \
         {within} within {bound}"
    );
}

/// An image that looks like firmware to a deflater.
pub(crate) fn image(offset: u32, bytes: usize) -> Image {
    Image { name: "image".into(), offset, data: bootable(915, bytes) }
}

/// A blank board with a 16 MiB part, in download mode as soon as a session resets it.
pub(crate) fn board() -> CaseBoard {
    let found = catalog::names()
        .find(|name| catalog::part(name).is_some_and(|part| part.jedec_id == JEDEC));
    LoadedBoard::with_part(found.expect("the part is in the catalogue"))
        .into_board()
        .expect("the board powers on")
}

/// A session with `board` in process, flash attached.
pub(crate) fn session(board: CaseBoard) -> Session {
    connect(Box::new(VirtualPort::new("virtual", Arc::new(Mutex::new(board)))))
}

/// A session over `port`, flash attached.
pub(crate) fn connect(port: Box<dyn Port>) -> Session {
    let mut session = Session::new(port);
    session.connect(&[ResetStrategy::unix_tight()], 3).expect("the board answers");
    session.attach_flash().expect("the flash answers");
    session
}

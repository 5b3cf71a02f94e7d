//! What the board costs stock esptool: the thread's image over a PTY, against a device that answers
//! at once whatever comes. The figure that counts is the release build's, `cargo bench --bench
//! esptool_wall`; this is the same in a test build.

use std::{
    fs,
    time::{Duration, Instant},
};

use esp32_emulator::case::bootable;

use crate::{bench::Bench, clients::ESPTOOL_4_5_1, instant_device::with_instant_device};

const IMAGE_BYTES: usize = 1_611_488;
/// What the client's wall time on the board should be at most, against the instant device.
const RATIO_AIM: f64 = 1.3;
const ROUNDS: usize = 3;

/// Wall time of the client's whole run on `port`.
fn time(port: &str, file: &str) -> Option<Duration> {
    let mut command = ESPTOOL_4_5_1.command()?;
    command.args(["--chip", "esp32", "--port", port, "--baud", "921600", "--before", "no_reset"]);
    command.args(["--after", "no_reset_stub", "write_flash", "-z", "0x1000", file]);
    #[expect(clippy::disallowed_methods, reason = "wall time is what is measured")]
    let start = Instant::now();
    let output = command.output().expect("it runs");
    let took = start.elapsed();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("Hash of data verified"), "{text}");
    Some(took)
}

fn time_board(file: &str) -> Option<Duration> {
    let bench = Bench::part("GD25Q128C");
    bench.enter_download_mode();
    time(bench.port(), file)
}

#[test]
fn a_stock_client_flashes_the_board_and_an_instant_device() {
    let folder = tempfile::tempdir().expect("a folder");
    let image = bootable(1, IMAGE_BYTES);
    let file = folder.path().join("image.bin");
    fs::write(&file, &image).expect("a file");
    let file = file.to_str().expect("UTF-8");
    let md5 = md5::compute(&image).0;
    let mut best = [Duration::MAX; 2];
    for _ in 0..ROUNDS {
        let instant = with_instant_device(md5, |port| time(port, file));
        let Some(instant) = instant else { return };
        let board = time_board(file).expect("installed above");
        best = [best[0].min(instant), best[1].min(board)];
    }
    let [instant, board] = best;
    let ratio = board.as_secs_f64() / instant.as_secs_f64();
    eprintln!(
        "esptool 4.5.1, {IMAGE_BYTES} bytes: board {board:.2?}, instant device {instant:.2?}, ratio {ratio:.2} (aim {RATIO_AIM})"
    );
}

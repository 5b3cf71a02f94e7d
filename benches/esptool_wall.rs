//! What the board costs stock esptool: the wall time of a whole run that writes the image of the
//! public thread (esptool issue 915) over a PTY, against a device that answers at once. The runs
//! alternate, and the ratio is that of the medians.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![expect(clippy::expect_used, clippy::print_stderr, reason = "a bench may stop")]

#[path = "../tests/hosted/clients.rs"]
#[allow(dead_code, reason = "the hosted tests use all of it")]
mod clients;
#[path = "../tests/hosted/instant_device.rs"]
mod instant_device;
mod support;

use std::{fs, process::Command, time::Duration};

use clients::ESPTOOL_4_5_1;
use esp32_emulator::{
    board::STRAP_DOWNLOAD,
    case::{CaseBoard, LoadedBoard, bootable},
    transport::server::{Handle, Options, Server},
};
use instant_device::with_instant_device;
use rustix::time::{ClockId, clock_gettime};

const IMAGE_BYTES: usize = 1_611_488;
const PART: &str = "GD25Q128C";
const ROUNDS: u32 = 15;
/// Issue 3: what the wall time on the board may be at most, against the instant device.
const BOUND: f64 = 1.3;

/// A whole run of the client on `port`; `None` if there is no client.
fn run(port: &str, file: &str) -> Option<Duration> {
    let mut command: Command = ESPTOOL_4_5_1.command()?;
    command.args(["--chip", "esp32", "--port", port, "--baud", "921600", "--before", "no_reset"]);
    command.args(["--after", "no_reset_stub", "write_flash", "-z", "0x1000", file]);
    Some(support::time(|| {
        let output = command.output().expect("it runs");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("Hash of data verified"), "{text}");
    }))
}

fn serve() -> Handle<CaseBoard> {
    let board = LoadedBoard::with_part(PART).into_board().expect("the board powers on");
    let server = Server::spawn(board, &Options::default()).expect("a PTY");
    let reset = server.with(|board| {
        board.set_strap(STRAP_DOWNLOAD);
        board.host_reset(board.now());
    });
    reset.expect("the server runs");
    server
}

/// Processor time of the board's thread, and the instructions of its program.
fn cost(server: &Handle<CaseBoard>) -> (Duration, u64) {
    let cost = server.with(|board| {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
        (Duration::new(seconds, nanos), board.program_instructions())
    });
    cost.expect("the server runs")
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let image = bootable(1, IMAGE_BYTES);
    let file = folder.path().join("image.bin");
    fs::write(&file, &image).expect("a file");
    let file = file.to_str().expect("UTF-8");
    let md5 = md5::compute(&image).0;
    let (mut instant, mut board, mut processor) = (Vec::new(), Vec::new(), Vec::new());
    let mut instructions = 0;
    for _ in 0..if support::measures() { ROUNDS } else { 1 } {
        let Some(took) = with_instant_device(md5, |port| run(port, file)) else { return };
        instant.push(took);
        let server = serve();
        board.push(run(server.path().to_str().expect("ASCII"), file).expect("it is installed"));
        let (time, executed) = cost(&server);
        processor.push(time);
        instructions = executed;
        server.shutdown().expect("the server ends");
    }
    for (number, (instant, board)) in instant.iter().zip(&board).enumerate() {
        eprintln!("run {number:2}: board {board:.1?}, instant device {instant:.1?}");
    }
    println!(
        "the board's thread used {:.1?} of processor time for {instructions} instructions",
        median(processor)
    );
    let what = "esptool 4.5.1, 1,611,488 bytes on the board";
    support::report_ratio(what, median(board), "instant device", median(instant), Some(BOUND));
}

//! What the board costs stock esptool: the wall time of a whole run that writes the image of the
//! public thread (esptool issue 915) over a PTY, against a device that answers at once. The runs
//! alternate, and the ratio is that of the medians. The board has heard the client's rate before, as
//! one that is flashed a second time; what a reset in front costs the client is printed besides.

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
use esp_protocol::slip;
use esp32_emulator::{
    board::{Mode, STRAP_DOWNLOAD},
    case::{CaseBoard, LoadedBoard, bootable},
    time::Duration as Span,
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

/// A board in download mode. After a reset the ROM measures the line's rate and loses the first SYNC
/// to that, for which the client waits 0.15 s; on a `warm` board that has happened before.
fn serve(warm: bool) -> Handle<CaseBoard> {
    let board = LoadedBoard::with_part(PART).into_board().expect("the board powers on");
    let server = Server::spawn(board, &Options::default()).expect("a PTY");
    let reset = server.with(move |board| {
        board.set_strap(STRAP_DOWNLOAD);
        board.host_reset(board.now());
        if warm {
            measure_rate(board);
        }
    });
    reset.expect("the server runs");
    server
}

/// Lets the ROM hear two SYNCs, the first of which it needs for its measurement.
fn measure_rate(board: &mut CaseBoard) {
    board.set_host_baud(board.now(), Some(115_200));
    let mut wire = Vec::new();
    let request = [&[0, 8, 36, 0, 0, 0, 0, 0, 7, 7, 18, 32][..], &[0x55; 32]].concat();
    slip::encode(&request, &mut wire);
    for _ in 0..2 {
        board.receive(board.now(), &wire);
        board.transmit(board.now() + Span::from_millis(1000), &mut Vec::new());
    }
    assert_eq!(board.mode(), Mode::Loader, "it has heard a SYNC");
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
    let (mut instant, mut board, mut cold) = (Vec::new(), Vec::new(), Vec::new());
    let mut processor = Vec::new();
    let mut instructions = 0;
    for _ in 0..if support::measures() { ROUNDS } else { 1 } {
        let Some(took) = with_instant_device(md5, |port| run(port, file)) else { return };
        instant.push(took);
        let server = serve(false);
        cold.push(run(server.path().to_str().expect("ASCII"), file).expect("it is installed"));
        server.shutdown().expect("the server ends");
        let server = serve(true);
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
    let instant = median(instant);
    support::report_ratio(what, median(board), "instant device", instant, Some(BOUND));
    let what = "the same on a board just reset, which loses the first SYNC as silicon does";
    support::report_ratio(what, median(cold), "instant device", instant, None);
}

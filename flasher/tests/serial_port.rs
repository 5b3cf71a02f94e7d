//! The command over a real PTY: the port code, signals, and a board that goes away.

#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "a process is watched in wall time")]

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use esp32_emulator::{
    case::{self, CaseBoard, LoadedBoard},
    transport::{
        pace::Pace,
        pty::PtyPort,
        server::{Handle, Options, Server},
    },
};
use esp32_flasher::{
    port::{Lines, Port, PortError, serial::SerialPort},
    reset::ResetStrategy,
    session::{Session, Warning},
};

fn serve(pace: Pace) -> Handle<CaseBoard> {
    let board = LoadedBoard::with_part("W25Q32JV").into_board().unwrap();
    Server::spawn(board, &Options { pace, link: None }).unwrap()
}

fn start(port: &Path, arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_flasher"))
        .env_remove("FLASHER_PORT")
        .arg("--port")
        .arg(port)
        .args(["--before", "none"])
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn image(folder: &Path, len: usize) -> String {
    let path = folder.join("app.bin");
    let mut random = fastrand::Rng::with_seed(1);
    let data: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(len).collect();
    fs::write(&path, data).unwrap();
    path.display().to_string()
}

#[test]
fn a_write_over_a_pty_verifies_and_the_missing_lines_are_told_once() {
    let served = serve(Pace::Max);
    let folder = tempfile::tempdir().unwrap();
    let path = image(folder.path(), 200_000);
    let output = Command::new(env!("CARGO_BIN_EXE_flasher"))
        .env_remove("FLASHER_PORT")
        .arg("--port")
        .arg(served.path())
        .args(["--json", "write", "0x10000", &path])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert_eq!(text.matches("no-modem-lines").count(), 1, "{text}");
    assert!(text.contains("\"event\":\"verified\""));
    served.shutdown().unwrap();
}

#[test]
fn a_session_in_process_over_the_real_port() {
    let served = serve(Pace::Max);
    let path = served.path().display().to_string();
    let mut session = Session::new(Box::new(SerialPort::open(&path, 115_200).unwrap()));
    session.connect(&[ResetStrategy::classic()], 3).unwrap();
    assert_eq!(session.warnings(), [Warning::NoModemLines]);
    session.change_baud(115_200, 460_800).unwrap();
    assert_eq!(session.attach_flash().unwrap().jedec, [0xef, 0x40, 0x16]);
    let rate = served.with(|board| board.baud()).unwrap();
    assert!(rate.abs_diff(460_800) < 5_000, "{rate}");
    served.shutdown().unwrap();
}

#[test]
fn a_peer_that_does_not_read_ends_a_write_with_an_error() {
    let master = PtyPort::open().unwrap();
    let path = master.path().display().to_string();
    let mut port = SerialPort::open(&path, 115_200).unwrap();
    let lines = port.set_lines(Lines { dtr: true, rts: false });
    assert!(matches!(lines, Err(PortError::LinesUnsupported)), "{lines:?}");
    let begun = Instant::now();
    let error = port.write(&vec![0x55; 1 << 20]).unwrap_err();
    assert!(matches!(error, PortError::Stalled { total: 0x10_0000, .. }), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_missing_port_is_named() {
    let Err(error) = SerialPort::open("/dev/ttyNOTHING", 115_200) else { panic!() };
    assert!(error.to_string().contains("/dev/ttyNOTHING"), "{error}");
}

#[test]
fn an_interrupt_ends_a_write_quickly_and_nothing_is_left_locked() {
    let served = serve(Pace::Real);
    let folder = tempfile::tempdir().unwrap();
    // At 115200 baud this takes about a minute.
    let path = image(folder.path(), 600_000);
    let child = start(served.path(), &["write", "0x10000", &path]);
    std::thread::sleep(Duration::from_secs(3));
    let pid = rustix::process::Pid::from_child(&child);
    let sent = Instant::now();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(9), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(sent.elapsed() < Duration::from_secs(2), "{:?}", sent.elapsed());
    let protected = served.with(|board| board.flash().nor().protected()).unwrap();
    assert!(protected.is_empty());
    // The port is free again at once.
    SerialPort::open(&served.path().display().to_string(), 115_200).unwrap();
    served.shutdown().unwrap();
}

#[test]
fn a_port_that_vanishes_during_a_write_is_a_clear_error() {
    let served = serve(Pace::Real);
    let folder = tempfile::tempdir().unwrap();
    let path = image(folder.path(), 600_000);
    let child = start(served.path(), &["write", "0x10000", &path]);
    std::thread::sleep(Duration::from_secs(2));
    served.shutdown().unwrap();
    let begun = Instant::now();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[test]
fn protection_in_the_way_is_named_with_its_partitions() {
    use esp_protocol::partition::{Partition, Table};
    let mut board = case::load("by25q64as-cmp").unwrap().into_board().unwrap();
    let partition = |label: &str, offset, size| Partition {
        kind: 1,
        subtype: 2,
        offset,
        size,
        label: label.to_owned(),
        flags: 0,
    };
    let partitions = vec![partition("nvs", 0x9000, 0x6000), partition("app0", 0x1_0000, 0x10_0000)];
    let table = Table { partitions, digest_checked: true };
    let mut records = table.emit();
    records.resize(0xc00, 0xff);
    board.flash_mut().nor_mut().load_image(0x8000, &records);
    let served = Server::spawn(board, &Options { pace: Pace::Max, link: None }).unwrap();
    let erase = ["erase", "region", "0x10000", "0x1000"];
    let output = start(served.path(), &erase).wait_with_output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(7), "{text}");
    assert!(text.contains("partitions nvs, app0"), "{text}");
    assert!(text.contains("CMP") && text.contains("0x000000 to 0x800000"), "{text}");
    served.shutdown().unwrap();
}

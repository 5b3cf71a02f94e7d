//! Whole processes, from start to exit: `flasher write` on a board that `emulator serve` has on its
//! PTY, against a process that pushes the same file through a bare PTY pair.

use std::{
    fs,
    fs::File,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use super::{emulator, pair, support, take};

/// First argument of this very program, if it is to push a file.
const PUSH: &str = "push";
/// Pairs of one `flasher write` and one bare push.
const PAIRS: usize = 45;

/// Pushes the file, if that is what this process was started for.
pub(crate) fn push_if_asked() -> bool {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, what, port, file] = arguments.as_slice() else { return false };
    if what != PUSH {
        return false;
    }
    let data = fs::read(file).expect("the file");
    let mut slave = File::options().write(true).open(port).expect("the PTY opens");
    slave.write_all(&data).expect("the PTY takes the bytes");
    true
}

/// Starts a process that pushes `file` through a raw PTY pair, and ends with it.
fn push(file: &Path, bytes: usize) {
    let (mut master, _slave) = pair();
    let port = rustix::pty::ptsname(&master, Vec::new()).expect("it has a name");
    let mut pusher = Command::new(std::env::current_exe().expect("this program"));
    pusher.arg(PUSH).arg(port.to_str().expect("ASCII")).arg(file);
    let mut pusher = pusher.spawn().expect("it starts");
    take(&mut master, bytes, &mut [0; 8 << 10]);
    assert!(pusher.wait().expect("it ends").success());
}

/// A served board; its PTY.
fn serve() -> (Child, String) {
    let mut server = emulator::emulator();
    server.args(["serve", "--json"]).stdout(Stdio::piped());
    let mut server = server.spawn().expect("it starts");
    let mut line = String::new();
    let out = server.stdout.take().expect("it is piped");
    BufReader::new(out).read_line(&mut line).expect("it says where it serves");
    let ready: serde_json::Value = serde_json::from_str(&line).expect("one JSON line");
    let port = ready["port"].as_str().expect("the PTY").to_owned();
    (server, port)
}

fn write(port: &str, file: &Path) {
    let mut flasher = emulator::flasher();
    flasher.args(["--port", port, "write", "0x1000"]).arg(file);
    let output = flasher.output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("Verified"), "{text}");
}

/// Prints the ratios of the pairs.
pub(crate) fn compare(data: &[u8], ratio_max: f64) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("image.bin");
    fs::write(&file, data).expect("a file");
    let (mut server, port) = serve();
    write(&port, &file);
    let what = "1,611,488 bytes by `flasher write`, start to exit / a process that pushes them";
    let work = || write(&port, &file);
    support::report_pairs(what, PAIRS, ratio_max, work, || push(&file, data.len()));
    let pid = Pid::from_child(&server);
    kill_process(pid, Signal::TERM).expect("it runs");
    server.wait().expect("it ends");
}

//! What `emulator serve` costs: time to the first SYNC answer, memory, processor time when idle.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use esp_protocol::{command::Request, slip};

use crate::emulator::emulator;

/// Resident memory that a board with a blank 16 MiB part stays under.
const RESIDENT_KIB_MAX: u64 = 20 * 1024;
/// How long an idle board is watched.
const IDLE: Duration = Duration::from_millis(500);
/// Longest wait for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// A served board; killed when dropped.
struct Served {
    child: Child,
    port: String,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve(mut command: Command) -> Served {
    command.args(["serve", "--part", "W25Q128FV", "--json"]).stdout(Stdio::piped());
    let mut child = command.spawn().expect("the emulator starts");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("it is piped");
    BufReader::new(stdout).read_line(&mut line).expect("one line");
    let said: serde_json::Value = serde_json::from_str(&line).expect("the line is JSON");
    let port = said["port"].as_str().expect("it names the port").to_owned();
    Served { child, port }
}

/// Asks for SYNC until an answer begins.
fn sync(port: &str) {
    let mut tty = serialport::new(port, 115_200)
        .timeout(Duration::from_millis(100))
        .open()
        .expect("the port opens");
    let mut frame = Vec::new();
    slip::encode(&Request::Sync.emit(), &mut frame);
    // The first frame after a reset is used up by the rate measurement (ROM-FACTS 3.2).
    tty.write_all(&frame.repeat(2)).expect("the port takes frames");
    let mut decoder = slip::Decoder::new(1024);
    let mut bytes = [0; 512];
    let mut tries = ANSWER_MAX.as_millis() / 100;
    loop {
        match tty.read(&mut bytes) {
            Ok(count) => {
                let mut rest = &bytes[..count];
                if let Some(Ok(answer)) = decoder.next_frame(&mut rest) {
                    assert_eq!(answer[..2], [0x01, 0x08], "an answer to SYNC");
                    return;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::TimedOut => {
                tries -= 1;
                assert!(tries > 0, "no answer to SYNC");
            }
            Err(error) => panic!("the port fails: {error}"),
        }
    }
}

/// One number of `/proc/PID/status`, in KiB.
pub(crate) fn status_kib(pid: u32, key: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = text.lines().find(|line| line.starts_with(key)).expect("the kernel tells it");
    let number = line.split_whitespace().nth(1).expect("a number follows");
    number.parse().expect("it is one")
}

/// Processor time so far, user and system, in ticks of 10 ms.
pub(crate) fn ticks(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
    // The name in parentheses may hold anything; fields 14 and 15 are the 12th and 13th behind it.
    let behind = text.rsplit(") ").next().expect("the name ends");
    behind.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().expect("ticks")).sum()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "this is about wall time")]
fn a_board_answers_soon_and_costs_little() {
    let command = emulator();
    let start = Instant::now();
    let served = serve(command);
    sync(&served.port);
    let answered = start.elapsed();
    let pid = served.child.id();
    let before = ticks(pid);
    std::thread::sleep(IDLE);
    let idle_ticks = ticks(pid) - before;
    let (now, peak) = (status_kib(pid, "VmRSS:"), status_kib(pid, "VmHWM:"));
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    eprintln!(
        "emulator serve ({build} build): first SYNC answer {answered:.1?} after process start, \
         {now} KiB resident (peak {peak}), {idle_ticks} ticks of processor time in {IDLE:?} idle"
    );
    assert!(peak < RESIDENT_KIB_MAX, "{peak} KiB resident");
}

//! Seeded nonsense on every way in of a running process: none of it ends the process or keeps it
//! from serving the next client.

#![expect(clippy::expect_used, reason = "helpers of tests")]
use std::{
    fs::OpenOptions,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::{fs::OpenOptionsExt, net::UnixStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

const ROUNDS: u64 = 12;
/// `O_NONBLOCK` of Linux.
const NONBLOCK: i32 = 0o4000;
/// Longest wait for an answer; generous, because the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(20);

struct Process {
    child: Child,
    ready: Value,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    fn start(control: &Path, pace: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_emulator"));
        command.args(["serve", "--part", "W25Q32JV", "--json", "--pace", pace]);
        command.args(["--rfc2217", "0", "--tcp", "0", "--serprog", "0", "--control"]).arg(control);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let mut line = String::new();
        let out = child.stdout.take().expect("piped");
        BufReader::new(out).read_line(&mut line).expect("a line");
        Self { child, ready: serde_json::from_str(&line).expect("JSON") }
    }

    fn address(&self, front: &str) -> &str {
        self.ready[front].as_str().expect("the front is open")
    }

    fn connect(&self, front: &str) -> TcpStream {
        let stream = TcpStream::connect(self.address(front)).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream.set_write_timeout(Some(Duration::from_millis(200))).expect("a socket");
        stream
    }
}

/// Bytes that a parser may trip over: those of its protocol, mixed with any others.
fn nonsense(random: &mut fastrand::Rng, likely: &[u8]) -> Vec<u8> {
    let len = random.usize(1..4000);
    let mut pick = || match random.u8(0..3) {
        0 => random.u8(..),
        _ => likely[random.usize(0..likely.len())],
    };
    std::iter::repeat_with(&mut pick).take(len).collect()
}

/// What each way in likes to hear: telnet with COM-PORT, SLIP with opcodes, serprog, JSON.
const TELNET: &[u8] = &[255, 255, 250, 240, 251, 252, 253, 254, 44, 0, 1, 3, 5, 8, 11, 12, 243];
const SLIP: &[u8] = b"\xc0\xc0\xc0\xdb\xdc\xdd\x00\x00\x00\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x55";
const SERPROG: &[u8] = &[0x00, 0x10, 0x12, 0x13, 0x13, 0x14, 0x15, 0x0B, 0x0E, 0x0F, 0x01, 0x9F];
const JSON: &[u8] =
    b"{}{}[]\"\"::,,\n\n\\u0do status reset power trace last board 0123456789truefalsenull";

/// One client of each way in says something and goes, some of them without reading.
fn throw(process: &Process, control: &Path, random: &mut fastrand::Rng) {
    for (front, likely) in [("rfc2217", TELNET), ("tcp", SLIP), ("serprog", SERPROG)] {
        let mut stream = process.connect(front);
        stream.set_nonblocking(true).expect("a socket");
        for _ in 0..random.u8(1..6) {
            // A server that takes no more is allowed to.
            let _ = stream.write(&nonsense(random, likely));
            if random.bool() {
                let _ = stream.read(&mut [0; 4096]);
            }
        }
    }
    let port = process.ready["port"].as_str().expect("a PTY");
    let mut options = OpenOptions::new();
    let pty = options.read(true).write(true).custom_flags(NONBLOCK).open(port);
    let _ = pty.expect("the port opens").write(&nonsense(random, SLIP));
    let mut socket = UnixStream::connect(control).expect("it listens");
    socket.set_nonblocking(true).expect("a socket");
    for _ in 0..random.u8(1..6) {
        let _ = socket.write(&nonsense(random, JSON));
    }
}

fn ask(control: &Path, line: &str) -> Value {
    let mut socket = UnixStream::connect(control).expect("it listens");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    socket.write_all(line.as_bytes()).and_then(|()| socket.write_all(b"\n")).expect("it reads");
    let mut answer = String::new();
    BufReader::new(socket).read_line(&mut answer).expect("an answer in time");
    serde_json::from_str(&answer).expect("JSON")
}

/// Reads until `wanted` occurs.
#[expect(clippy::disallowed_methods, reason = "another process is waited for")]
fn await_bytes(stream: &mut impl Read, wanted: &[u8], what: &str) {
    let (mut seen, mut chunk, begun) = (Vec::<u8>::new(), [0; 4096], Instant::now());
    while !seen.windows(wanted.len()).any(|it| it == wanted) {
        assert!(begun.elapsed() < PATIENCE, "{what}: {wanted:02x?} did not come");
        match stream.read(&mut chunk) {
            Ok(count) => seen.extend(&chunk[..count]),
            Err(_) => thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// Every way in serves the next client.
fn assert_serves(process: &Process, control: &Path) {
    let mut serprog = process.connect("serprog");
    serprog.write_all(&[0x10]).expect("it reads");
    await_bytes(&mut serprog, &[0x15, 0x06], "serprog");
    let mut telnet = process.connect("rfc2217");
    telnet.write_all(&[255, 253, 44]).expect("it reads");
    await_bytes(&mut telnet, &[255, 251, 44], "RFC 2217");
    for request in
        [r#"{"do":"faults","set":{}}"#, r#"{"do":"strap","value":3}"#, r#"{"do":"power"}"#]
    {
        assert_eq!(ask(control, request)["ok"], true, "{request}");
    }
    let sync =
        b"\xc0\x00\x08\x24\x00\x00\x00\x00\x00\x07\x07\x12\x20UUUUUUUUUUUUUUUUUUUUUUUUUUUUUUUU\xc0";
    let mut tcp = process.connect("tcp");
    // The first one is used up by the rate measurement (ROM-FACTS 3.2).
    tcp.write_all(&sync.repeat(2)).expect("it reads");
    await_bytes(&mut tcp, b"\xc0\x01\x08", "SYNC over TCP");
}

fn survive(pace: &str, seed: u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let control = folder.path().join("control");
    let mut process = Process::start(&control, pace);
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..ROUNDS {
        throw(&process, &control, &mut random);
    }
    assert_serves(&process, &control);
    assert!(process.child.try_wait().expect("a child").is_none(), "it still runs");
}

#[test]
fn nonsense_on_every_front_at_full_speed() {
    for seed in 1..4 {
        survive("max", seed);
    }
}

#[test]
fn nonsense_on_every_front_at_the_pace_of_a_real_board() {
    survive("real", 4);
}

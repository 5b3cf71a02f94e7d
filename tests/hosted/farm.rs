//! Many boards in one process: all flashed at once, and what they cost when nobody does anything.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use esp32_flasher::{
    port,
    reset::ResetStrategy,
    session::Session,
    write::{Compression, Image, WriteOptions},
};
use serde_json::Value;

use crate::{
    emulator::emulator,
    start::{status_kib, ticks},
};

/// A running farm; ended with the value.
struct Farm {
    child: Child,
    ports: Vec<String>,
    control: PathBuf,
}

impl Drop for Farm {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Farm {
    /// `count` boards, with the soft limit of descriptors that a login has.
    fn start(folder: &Path, count: usize, more: &str) -> Self {
        let control = folder.join("control");
        let file = folder.join("farm.toml");
        let control_text = control.display();
        let text = format!(
            "control = \"{control_text}\"\n[[board]]\nname = \"b\"\ncount = {count}\n\
             part = \"W25Q128FV\"\n{more}\n"
        );
        fs::write(&file, text).expect("a file");
        let binary = emulator().get_program().to_owned();
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -Sn 1024; exec \"$0\" farm \"$1\""]).arg(binary).arg(&file);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the emulator runs");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let ports = lines.take(count).map(|line| {
            let ready: Value = serde_json::from_str(&line.expect("a line")).expect("JSON");
            ready["port"].as_str().expect("it names the port").to_owned()
        });
        let ports: Vec<_> = ports.collect();
        assert_eq!(ports.len(), count);
        Self { child, ports, control }
    }

    fn ask(&self, line: &str) -> Value {
        let mut socket = UnixStream::connect(&self.control).expect("it listens");
        socket.write_all(line.as_bytes()).and_then(|()| socket.write_all(b"\n")).expect("it reads");
        let mut answer = String::new();
        BufReader::new(socket).read_line(&mut answer).expect("it answers");
        serde_json::from_str(&answer).expect("JSON")
    }
}

/// Flashes and verifies 1 MiB that only this board gets.
fn flash(port: &str, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let data = std::iter::repeat_with(|| random.u8(..)).take(1 << 20).collect();
    let image = Image { name: port.to_owned(), offset: 0x1_0000, data };
    let mut session = Session::new(port::open(port, 115_200).expect("the port opens"));
    session.connect(&[ResetStrategy::none()], 5).expect("it answers");
    session.attach_flash().expect("it has a flash");
    let options = WriteOptions { compression: Compression::Never, ..WriteOptions::default() };
    session.write_image(&image, options, &mut |_| {}).expect("it verifies");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "it tells the wall time")]
fn thirty_two_boards_are_flashed_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let farm = Farm::start(folder.path(), 32, "");
    let begun = Instant::now();
    thread::scope(|scope| {
        let clients: Vec<_> = (0..)
            .zip(&farm.ports)
            .map(|(seed, port)| scope.spawn(move || flash(port, seed)))
            .collect();
        for client in clients {
            client.join().expect("every board verifies");
        }
    });
    let kib = status_kib(farm.child.id(), "VmRSS:");
    eprintln!("32 boards of one process, 1 MiB each: {:.1?}, {kib} KiB resident", begun.elapsed());
    let status = farm.ask(r#"{"do":"status","board":"b-31"}"#);
    assert_eq!((&status["ok"], &status["mode"]), (&true.into(), &"Loader".into()), "{status}");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "idleness is watched in wall time")]
fn two_hundred_and_fifty_six_boards_cost_little_when_idle() {
    let folder = tempfile::tempdir().expect("a folder");
    let farm = Farm::start(folder.path(), 256, "rfc2217 = \"0\"");
    let pid = farm.child.id();
    thread::sleep(Duration::from_millis(200));
    let before = ticks(pid);
    thread::sleep(Duration::from_secs(1));
    let idle_ticks = ticks(pid) - before;
    let kib = status_kib(pid, "VmRSS:");
    eprintln!("256 idle boards: {kib} KiB resident, {idle_ticks} ticks of 10 ms in 1 s");
    assert!(kib < 200 * 1024 && idle_ticks <= 2, "{kib} KiB, {idle_ticks} ticks");
    // One inotify instance watches them all: the last one sees its clients as the first does.
    for port in [&farm.ports[0], &farm.ports[255]] {
        for _ in 0..3 {
            let mut session = Session::new(port::open(port, 115_200).expect("the port opens"));
            session.connect(&[ResetStrategy::none()], 5).expect("it answers");
        }
    }
}

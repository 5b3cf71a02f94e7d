//! `emulator proxy` between real clients and real ports, and `flasher --record`.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use tempfile::TempDir;

use crate::{
    clients::{ESPTOOL_4_5_1, ESPTOOL_5, Esptool},
    emulator::{emulator, flasher},
};

/// A command with its first line of output, ended when this goes.
struct Running {
    child: Child,
    first_lines: Vec<String>,
}

impl Running {
    /// Starts it and reads so many lines.
    fn start(mut command: Command, lines: usize) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let out = child.stdout.take().expect("it is piped");
        let first_lines = BufReader::new(out).lines().take(lines).map_while(Result::ok).collect();
        Self { child, first_lines }
    }

    fn end(mut self) -> Output {
        let _ = self.child.kill();
        self.child.wait_with_output().expect("it ends")
    }
}

fn text(output: &Output) -> String {
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    out + &String::from_utf8_lossy(&output.stderr)
}

fn interpreter(release: Esptool) -> Option<String> {
    Some(release.command()?.get_program().to_string_lossy().into_owned())
}

/// `proxy` with these options in front of esptool with these arguments.
fn esptool_behind(options: &[&str], python: &str, arguments: &[&str]) -> Output {
    let mut command = emulator();
    command.arg("proxy").args(options).args(["--", python, "-m", "esptool", "--port", "{port}"]);
    command.args(arguments).output().expect("it runs")
}

fn replay(recording: &Path, more: &[&str]) -> (bool, String) {
    let output = emulator().arg("replay").arg(recording).args(more).output().expect("it runs");
    (output.status.success(), text(&output))
}

fn served(folder: &TempDir) -> (Running, String) {
    let link = folder.path().join("board").display().to_string();
    let mut serve = emulator();
    serve.args(["serve", "--part", "W25Q32JV", "--link", &link, "--rfc2217", "0", "--tcp", "0"]);
    (Running::start(serve, 3), link)
}

#[test]
fn a_recorded_flashing_replays_and_two_releases_differ_at_the_unlock() {
    let (Some(old), Some(new)) = (interpreter(ESPTOOL_4_5_1), interpreter(ESPTOOL_5)) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let image = folder.path().join("app.bin");
    fs::write(&image, [0x5a; 3000]).expect("writable");
    let image = image.display().to_string();
    let mut recordings = Vec::new();
    for (name, python, write) in [("old", &old, "write_flash"), ("new", &new, "write-flash")] {
        let recording = folder.path().join(name).display().to_string();
        let options = ["--part", "W25Q32JV", "--record", &recording];
        let output =
            esptool_behind(&options, python, &["--chip", "esp32", write, "0x10000", &image]);
        assert!(output.status.success(), "{}", text(&output));
        let (same, told) = replay(Path::new(&recording), &[]);
        assert!(same, "{name}: {told}");
        recordings.push(recording);
    }
    // Played to a protected board, the flash itself tells who unlocks.
    let mut diff = emulator();
    let output = diff.args(["diff", &recordings[0], &recordings[1], "--case", "sr1-bp"]).output();
    let output = output.expect("it runs");
    let told = text(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    for line in ["01h 00 02                A      2  B      0  only A", "02h (refused)", "99h"] {
        assert!(told.contains(line), "no {line:?} in:\n{told}");
    }
}

#[test]
fn between_esptool_and_ports_of_each_kind() {
    let Some(python) = interpreter(ESPTOOL_4_5_1) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (board, link) = served(&folder);
    let network: Vec<String> =
        board.first_lines[1..].iter().map(|line| line.replace("tcp://", "socket://")).collect();
    for (name, port, reset) in [
        ("pty", link.as_str(), "no_reset"),
        ("rfc2217", network[0].as_str(), "default_reset"),
        ("socket", network[1].as_str(), "no_reset"),
    ] {
        let recording = folder.path().join(name).display().to_string();
        let options = ["--to", port, "--record", &recording];
        let arguments = ["--before", reset, "--after", "no_reset", "--no-stub", "flash_id"];
        let output = esptool_behind(&options, &python, &arguments);
        let said = text(&output);
        assert!(output.status.success() && said.contains("Device: 4016"), "{name}: {said}");
        let more: &[&str] = &["--part", "W25Q32JV", "--allow-leftovers"];
        let (same, told) = replay(Path::new(&recording), more);
        assert!(same, "{name}: {told}");
    }
    board.end();
}

#[test]
fn faults_on_the_wire_are_met_and_counted() {
    let Some(python) = interpreter(ESPTOOL_4_5_1) else { return };
    let arguments = ["--before", "no_reset", "--after", "no_reset", "--no-stub", "flash_id"];
    let options = ["--part", "W25Q32JV", "--drops", "1000000"];
    let output = esptool_behind(&options, &python, &arguments);
    let said = text(&output);
    assert!(!output.status.success(), "{said}");
    assert!(
        said.contains("bytes to the board: 0 flipped, ") && !said.contains(" 0 lost"),
        "{said}"
    );
}

/// A fault plan of the tree.
fn plan(name: &str) -> String {
    format!("{}/fixtures/faults/{name}.toml", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_line_of_a_fault_plan_is_played_and_other_kinds_are_refused() {
    for (name, kinds) in
        [("supply-cut", "[supply]"), ("worn-cells", "[cells]"), ("resets", "[board]")]
    {
        let mut proxy = emulator();
        proxy.args(["proxy", "--part", "W25Q32JV", "--faults", &plan(name)]);
        let output = proxy.output().expect("it ends by itself");
        let said = text(&output);
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains(kinds) && said.contains("only [link]"), "{said}");
    }
    let mut both = emulator();
    both.args(["proxy", "--part", "W25Q32JV", "--faults", &plan("noisy-line"), "--flips", "1"]);
    assert_eq!(both.output().expect("it ends by itself").status.code(), Some(2));
    let Some(python) = interpreter(ESPTOOL_4_5_1) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("plan.toml");
    let lost = "seed = 4\n[link.to-chip]\nsplits-per-million = 500_000\n\
                [link.from-chip]\ndisconnects-per-million = 1_000_000\n\
                disconnect-max-us = 60_000_000\n";
    fs::write(&file, lost).expect("writable");
    let options = ["--part", "W25Q32JV", "--faults", file.to_str().expect("UTF-8")];
    let arguments = ["--before", "no_reset", "--after", "no_reset", "--no-stub", "flash_id"];
    let output = esptool_behind(&options, &python, &arguments);
    let said = text(&output);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("times unplugged") && said.contains("cut apart"), "{said}");
}

/// What a hostile user hands over: the exit status, and words that name the culprit.
#[test]
fn what_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        fs::write(&path, content).expect("writable");
        path.display().to_string()
    };
    let quiet = file("quiet.toml", "seed = 4\n");
    let silent = file("silent.trace", "TRACE +0.000 nothing that anybody knows\n");
    let empty = file("empty", "");
    let nowhere = folder.path().join("no/such/folder").display().to_string();
    let part = ["--part", "W25Q32JV"];
    let cases: [(&[&str], &[&str], i32, &str); 7] = [
        (&["proxy", "--faults", &quiet], &part, 3, "nothing under [link]"),
        (&["proxy", "--record", &nowhere], &part, 1, "no/such/folder: No such file"),
        (&["proxy", "--record", "/dev/full"], &part, 1, "/dev/full: No space left"),
        (&["proxy", "--to", "/dev/null"], &[], 1, "/dev/null: it is no serial port"),
        (&["replay", &silent], &part, 3, "nothing in it can be compared"),
        (&["replay", &silent, "--json"], &part, 3, "nothing in it can be compared"),
        (&["diff", &silent, &empty], &[], 3, "an empty file"),
    ];
    for (arguments, more, status, words) in cases {
        let mut command = emulator();
        // Past its first second, /dev/full has refused what the board says at its start.
        command.args(arguments).args(more);
        if arguments[0] == "proxy" {
            command.args(["--", "sleep", "1"]);
        }
        let output = command.output().expect("it ends by itself");
        let said = text(&output);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: no {words:?} in {said}");
    }
    let mut list = emulator();
    list.args(["list", "parts"]).stderr(Stdio::piped());
    let mut list = list.stdout(Stdio::piped()).spawn().expect("it starts");
    drop(list.stdout.take());
    let output = list.wait_with_output().expect("it ends");
    assert_eq!(text(&output), "", "a reader that has seen enough is no error to tell");
}

#[test]
fn a_port_that_vanishes_ends_the_proxy_with_words() {
    let folder = tempfile::tempdir().expect("a folder");
    let (board, link) = served(&folder);
    let mut proxy = emulator();
    proxy.args(["proxy", "--to", &link]).stderr(Stdio::piped());
    let proxy = Running::start(proxy, 1);
    assert!(proxy.first_lines[0].starts_with("/dev/pts/"), "{:?}", proxy.first_lines);
    board.end();
    let output = proxy.child.wait_with_output().expect("it ends by itself");
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output);
    assert!(said.contains(&format!("{link} is gone: ")), "{said}");
}

#[test]
fn what_the_flasher_records_replays_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let (board, link) = served(&folder);
    let image = folder.path().join("app.bin");
    fs::write(&image, [0xa5; 5000]).expect("writable");
    let recording = folder.path().join("session").display().to_string();
    let mut command = flasher();
    command.args(["--port", &link, "--before", "none", "--record", &recording]);
    let output = command.arg("write").arg("0x10000").arg(&image).output().expect("it runs");
    assert!(output.status.success(), "{}", text(&output));
    let (same, told) = replay(Path::new(&recording), &["--part", "W25Q32JV", "--allow-leftovers"]);
    assert!(same, "{told}");
    // The same board is another one for a client that expects a part with another id.
    let (same, told) = replay(Path::new(&recording), &["--part", "GD25Q32C"]);
    assert!(!same && told.contains("difference 1: the answers differ"), "{told}");
    board.end();
    let output = flasher().args(["--record", "x", "list-ports"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
}

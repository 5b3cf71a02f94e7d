//! What every command prints with `--json`, against the committed schema.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "tests")]

#[path = "schema/validate.rs"]
mod validate;

use std::{cell::RefCell, collections::BTreeSet, fs, path::Path};

use assert_cmd::Command;
use esp32_emulator::{
    board::{STRAP_DOWNLOAD, STRAP_FLASH_BOOT},
    case::{self, CaseBoard},
    time::Instant,
    transport::server::{Options, Server},
};
use esp32_flasher::{port::virtual_board::board, schema};
use serde_json::Value;
use tempfile::TempDir;
use validate::validate;

/// Runs commands and keeps the kinds of lines that came.
struct Runner {
    folder: TempDir,
    seen: RefCell<BTreeSet<String>>,
}

impl Runner {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..20_000_u32).map(|at| (at.wrapping_mul(97) >> 3) as u8).collect();
        fs::write(folder.path().join("app.bin"), bytes).unwrap();
        Self { folder, seen: RefCell::default() }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs `command` (the words before its arguments) on `port`.
    fn run(&self, port: &str, command: &str, arguments: &[&str]) -> Vec<Value> {
        let mut run = Command::cargo_bin("flasher").unwrap();
        run.env_remove("FLASHER_PORT").env_remove("FLASHER_BAUD").current_dir(self.path());
        run.args(["--json", "--port", port]);
        let output = run.args(command.split(' ')).args(arguments).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let schema = schema::of_command(command).unwrap();
        let lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(!lines.is_empty(), "{command} {arguments:?} on {port} says nothing");
        for line in &lines {
            let kind = line["event"].as_str().unwrap();
            // The alternative of its kind says better what is wrong than `oneOf` does.
            let own = &schema["$defs"][format!("event-{kind}")];
            assert!(!own.is_null(), "{command}: {kind} is not among what it prints");
            let result = validate(&schema, own, line, kind);
            result.unwrap_or_else(|wrong| panic!("{command} on {port}: {wrong}\n{line}"));
            assert_eq!(validate(&schema, &schema, line, kind), Ok(()));
            self.seen.borrow_mut().insert(kind.to_owned());
        }
        let last = lines.last().unwrap();
        if last["event"] == "error" {
            assert_eq!(last["exit"], output.status.code().unwrap(), "{last}");
        }
        lines
    }
}

fn everything_on_cases(runner: &Runner) {
    for name in case::list() {
        let port = format!("virtual:{name}");
        runner.run(&port, "doctor", &[]);
        runner.run(&port, "doctor", &["--probe", "0x100000"]);
        runner.run(&port, "protect status", &[]);
        runner.run(&port, "protect list", &[]);
        runner.run(&port, "write", &["0x10000", "app.bin"]);
        runner.run(&port, "write", &["--unprotect", "0x10000", "app.bin"]);
        runner.run(&port, "write", &["--no-preflight", "0x10000", "app.bin"]);
        runner.run(&port, "erase region", &["0x10000", "0x2000"]);
        runner.run(&port, "erase chip", &["--no-preflight"]);
    }
}

fn everything_on_parts(runner: &Runner) {
    for name in ["W25Q128FV", "GD25Q128E", "SST26VF032B", "MX25L12835F"] {
        let port = format!("virtual:{name}");
        runner.run(&port, "chip", &[]);
        runner.run(&port, "flash-id", &[]);
        runner.run(&port, "status read", &[]);
        runner.run(&port, "status write", &["0x1c", "--bytes", "1"]);
        runner.run(&port, "verify", &["0x10000", "app.bin"]);
        runner.run(&port, "read", &["0x10000", "64", "back.bin"]);
        runner.run(&port, "protect list", &[]);
        runner.run(&port, "protect clear", &[]);
        let journal = format!("{name}.json");
        let set = ["0x0", "0x10000", "--journal", &journal];
        runner.run(&port, "protect set", &set);
        runner.run(&port, "protect restore", &[&journal, "--journal", &format!("{name}-2.json")]);
    }
    runner.run("virtual:W25Q128FV", "write", &["--via", "instructions", "0x0", "app.bin"]);
    runner.run("virtual:srp-locked", "protect clear", &[]);
    runner.run("virtual:nothing", "chip", &[]);
}

/// A board that has run what was flashed, back in download mode.
fn booted(name: &str) -> CaseBoard {
    let seconds = |count: u64| Instant::from_nanos(count * 1_000_000_000);
    let mut board = board(name).unwrap();
    board.flash_mut().nor_mut().load_image(0x1000, &case::bootable(1, 0x4000));
    board.set_strap(STRAP_FLASH_BOOT);
    board.power_cycle(seconds(1));
    board.advance(seconds(4));
    board.set_strap(STRAP_DOWNLOAD);
    board.host_reset(seconds(5));
    board
}

#[test]
fn every_line_of_every_command_fits_the_schema() {
    let runner = Runner::new();
    everything_on_cases(&runner);
    everything_on_parts(&runner);
    runner.run("none", "list-ports", &[]);
    runner.run("none", "reproduce", &["esptool-915"]);
    runner.run("none", "matrix", &["--only", "flasher --unprotect", "--jobs", "8"]);
    let plan = r#"ports = ["virtual:W25Q32JV#1", "virtual:wps-locked#2", "virtual:sst-a25bf", "/nowhere"]
        unprotect = "lift"
        serial = { first = 7 }
        [[image]]
        address = 0x10000
        file = "app.bin""#;
    fs::write(runner.path().join("plan.toml"), plan).unwrap();
    runner.run("none", "batch", &["plan.toml"]);
    // A PTY has no modem lines, which is worth a warning.
    let server = Server::spawn(board("W25Q32JV").unwrap(), &Options::default()).unwrap();
    runner.run(server.path().to_str().unwrap(), "chip", &[]);
    // Protection that no register shows, after the first boot of what was flashed.
    let server = Server::spawn(booted("esptool-915"), &Options::default()).unwrap();
    let port = server.path().to_str().unwrap();
    let lines = runner.run(port, "protect clear", &["--search", "0x200000"]);
    assert!(lines.iter().any(|line| line["report"]["found"]["bit"]["bit"] == 1), "{lines:?}");
    runner.run(port, "protect clear", &["--search", "0x200000"]);
    let known = schema::document();
    let known = known["$defs"].as_object().unwrap().keys();
    let known: BTreeSet<String> =
        known.filter_map(|name| name.strip_prefix("event-")).map(str::to_owned).collect();
    assert_eq!(runner.seen.into_inner(), known, "kinds that nothing printed");
}

#[test]
fn the_command_prints_the_schema() {
    let print = |arguments: &[&str]| {
        let output = Command::cargo_bin("flasher").unwrap().arg("schema").args(arguments).unwrap();
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    assert_eq!(print(&[]), schema::document());
    assert_eq!(Some(print(&["protect", "clear"])), schema::of_command("protect clear"));
    Command::cargo_bin("flasher").unwrap().args(["schema", "nothing"]).assert().code(2);
}

#[test]
fn the_validator_finds_what_is_wrong() {
    let root = schema::of_command("chip").unwrap();
    let check = |text: &str| validate(&root, &root, &serde_json::from_str(text).unwrap(), "line");
    assert_eq!(check(r#"{"event": "error", "message": "m", "advice": null, "exit": 4}"#), Ok(()));
    for wrong in [
        r#"{"event": "error", "message": "m", "advice": null}"#,
        r#"{"event": "error", "message": "m", "advice": null, "exit": 300}"#,
        r#"{"event": "error", "message": 5, "advice": null, "exit": 4}"#,
        r#"{"event": "error", "message": "m", "advice": null, "exit": 4, "more": 1}"#,
        r#"{"event": "verified", "file": "f", "offset": 0, "len": 1, "md5": "00"}"#,
    ] {
        assert!(check(wrong).is_err(), "{wrong}");
    }
}

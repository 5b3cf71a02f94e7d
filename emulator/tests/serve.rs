//! The `emulator serve` process: its link, its signals, its image.

#![expect(clippy::expect_used, reason = "helpers of tests")]
mod process;

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    path::Path,
    process::{Command, Stdio},
};

use process::{Process, serve};

/// A SYNC request and how the ROM's first answer begins (ROM-FACTS 3.1).
const SYNC: &[u8] = &[0xc0, 0x00, 0x08, 0x04, 0x00, 0, 0, 0, 0, 0x07, 0x07, 0x12, 0x20, 0xc0];

fn open(path: impl AsRef<Path>) -> File {
    OpenOptions::new().read(true).write(true).open(path).expect("the port opens")
}

/// Sends one frame and returns its answer without the delimiters.
fn ask(port: &mut File, frame: &[u8]) -> Vec<u8> {
    port.write_all(frame).expect("written");
    let (mut answer, mut byte) = (Vec::new(), [0]);
    loop {
        port.read_exact(&mut byte).expect("answered");
        match byte {
            [0xc0] if answer.is_empty() => {}
            [0xc0] => return answer,
            [other] => answer.push(other),
        }
    }
}

fn sync(port: &mut File) {
    // The ROM measures the rate first (ROM-FACTS 3.3), and drops these later on.
    port.write_all(&[0x55; 16]).expect("written");
    let answer = ask(port, SYNC);
    assert_eq!(answer.get(..2), Some(&[0x01, 0x08][..]));
}

fn signal(process: &Process, name: &str) {
    let id = process.child.id().to_string();
    assert!(Command::new("kill").args([name, &id]).status().expect("kill runs").success());
}

#[test]
fn the_link_is_there_for_clients_and_gone_after_sigterm() {
    let folder = tempfile::tempdir().expect("a folder");
    let link = folder.path().join("esp32");
    let mut process = serve(&["--link", link.to_str().expect("text")]);
    assert_eq!(fs::read_link(&link).expect("a link").display().to_string(), process.ready);
    sync(&mut open(&link));
    signal(&process, "-TERM");
    assert!(process.child.wait().expect("ends").success());
    assert!(link.symlink_metadata().is_err());
}

#[test]
fn three_hundred_clients_in_a_row_are_answered() {
    let process = serve(&[]);
    for _ in 0..300 {
        sync(&mut open(&process.ready));
    }
}

#[test]
fn a_client_that_floods_and_never_reads_does_not_stop_the_next_one() {
    let process = serve(&[]);
    let mut flood = open(&process.ready);
    for _ in 0..512 {
        flood.write_all(&SYNC.repeat(64)).expect("the board keeps reading");
    }
    drop(flood);
    // The rest of the flood may still be answered: look for the end of it by a fresh client.
    sync(&mut open(&process.ready));
}

#[test]
fn a_killed_process_has_lost_nothing_that_the_client_was_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let image = folder.path().join("flash.bin");
    let image_text = image.to_str().expect("text");
    let process = serve(&["--part", "W25Q32JV", "--flash", image_text]);
    let mut port = open(&process.ready);
    sync(&mut port);
    // SPI_ATTACH to the default pins, FLASH_BEGIN of 4 bytes in one block at 0, then FLASH_DATA.
    let mut attach = vec![0xc0, 0x00, 0x0d, 0x08, 0x00, 0, 0, 0, 0];
    attach.extend([0, 0, 0, 0, 0, 0, 0, 0, 0xc0]);
    let mut begin = vec![0xc0, 0x00, 0x02, 0x10, 0x00, 0, 0, 0, 0];
    begin.extend([4, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0xc0]);
    let mut data = vec![0xc0, 0x00, 0x03, 0x14, 0x00, 0xef ^ 0x11 ^ 0x22 ^ 0x33 ^ 0x44, 0, 0, 0];
    data.extend([4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x11, 0x22, 0x33, 0x44, 0xc0]);
    until(&mut port, &attach, 0x0d);
    until(&mut port, &begin, 0x02);
    until(&mut port, &data, 0x03);
    signal(&process, "-KILL");
    assert_eq!(
        fs::read(&image).expect("there").get(..5),
        Some(&[0x11, 0x22, 0x33, 0x44, 0xff][..])
    );
    // The next process goes on with it.
    let next = serve(&["--part", "W25Q32JV", "--flash", image_text]);
    sync(&mut open(&next.ready));
}

/// Sends `frame` and skips what is left of the eight SYNC answers.
fn until(port: &mut File, frame: &[u8], opcode: u8) {
    let mut answer = ask(port, frame);
    for _ in 0..8 {
        if answer.get(1) == Some(&opcode) {
            break;
        }
        answer = ask(port, &[]);
    }
    assert_eq!(answer.get(..2), Some(&[0x01, opcode][..]));
    assert_eq!(answer.get(8), Some(&0), "{answer:x?}");
}

#[test]
fn wrong_boards_end_with_the_documented_status() {
    let run = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_emulator"))
            .args(arguments)
            .stderr(Stdio::null())
            .status()
            .expect("runs")
            .code()
    };
    assert_eq!(run(&["serve", "--case", "esptool-916"]), Some(3));
    assert_eq!(run(&["serve", "--board", "/nonexistent"]), Some(3));
    assert_eq!(run(&["serve", "--fast"]), Some(2));
}

#[test]
fn lists_and_cases_look_as_documented() {
    let print = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_emulator")).args(arguments).output();
        String::from_utf8(output.expect("runs").stdout).expect("text")
    };
    insta::assert_snapshot!("list_cases", print(&["list", "cases"]));
    insta::assert_snapshot!("show_case", print(&["show", "esptool-915"]));
    insta::assert_snapshot!("show_part", print(&["show", "W25Q32JV"]));
}

#[test]
fn a_fault_plan_is_at_work_and_counted_at_the_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("plan.toml");
    let exec = |plan: &str| {
        fs::write(&path, plan).expect("written");
        Command::new(env!("CARGO_BIN_EXE_emulator"))
            .args(["exec", "--part", "W25Q32JV", "--no-lines", "--faults"])
            .arg(&path)
            .args(["--", "sh", "-c", "printf abc > {port}"])
            .output()
            .expect("runs")
    };
    let output = exec("[link.to-chip]\nflips-per-million = 1_000_000");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("faults: link-flip 3"), "{said}");
    let output = exec("[link.to-chip]\nflips-per-million = 1_000_001");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(3) && said.contains("flips-per-million"), "{said}");
}

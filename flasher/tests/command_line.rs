//! The `flasher` command as a user sees it, with boards in process.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{fs, path::Path};

use assert_cmd::Command;

fn flasher(arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("flasher").unwrap();
    command.env_remove("FLASHER_PORT").env_remove("FLASHER_BAUD").args(arguments);
    command
}

fn output(arguments: &[&str]) -> String {
    let assert = flasher(arguments).assert().success();
    String::from_utf8(assert.get_output().stdout.clone()).unwrap()
}

fn file(folder: &Path, name: &str, bytes: &[u8]) -> String {
    let path = folder.join(name);
    fs::write(&path, bytes).unwrap();
    path.display().to_string()
}

#[test]
fn chip_and_flash() {
    insta::assert_snapshot!(output(&["-p", "virtual:W25Q128FV", "chip"]));
    insta::assert_snapshot!(output(&["-p", "virtual:W25Q128FV", "flash-id"]));
}

#[test]
fn a_write_in_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "app.bin", &vec![0x11; 40_000]);
    let text = output(&["-p", "virtual:GD25Q32C", "write", "0x10000", &path]);
    insta::assert_snapshot!(text.replace(&path, "app.bin"));
}

#[test]
fn json_is_one_object_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "app.bin", &vec![0x11; 40_000]);
    let text = output(&["-p", "virtual:GD25Q32C", "--json", "write", "0x10000", &path]);
    let events: Vec<String> = text
        .lines()
        .map(|line| {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            event["event"].as_str().unwrap().to_owned()
        })
        .filter(|event| event != "progress")
        .collect();
    assert_eq!(events, ["connected", "written", "verified"]);
}

#[test]
fn a_mismatch_shows_three_digests_and_ends_with_its_code() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "app.bin", &[0x11; 5000]);
    let assert = flasher(&["-p", "virtual:GD25Q32C", "verify", "0x10000", &path]).assert().code(6);
    let text = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
    insta::assert_snapshot!(text);
}

#[test]
fn wrong_input_is_refused_before_the_port_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "app.bin", &[0x11; 5000]);
    let nowhere = ["-p", "/nowhere", "write"];
    for pairs in [
        vec!["0x10001", path.as_str()],
        vec!["0x10000", &path, "0x11000", &path],
        vec!["0x10000"],
        vec!["x", &path],
        vec!["0x10000", "/missing"],
        vec![],
    ] {
        flasher(&nowhere).args(pairs).assert().code(2);
    }
    flasher(&nowhere).args(["0x10000", &path]).assert().code(3);
}

#[test]
fn a_file_that_does_not_fit_is_refused_before_the_erase() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "app.bin", &[0x11; 5000]);
    let assert = flasher(&["-p", "virtual:GD25Q32C", "write", "4092K", &path]).assert().code(2);
    assert!(!String::from_utf8_lossy(&assert.get_output().stdout).contains("Writing"));
}

#[test]
fn completions_need_no_port() {
    assert!(output(&["completions", "bash"]).contains("flash-id"));
}

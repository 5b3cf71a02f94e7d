//! Recorded sessions are replayed on the board that they came from, and compared with each other.

use std::path::{Path, PathBuf};

use clap::Parser;
use esp32_emulator::cli::Cli;

fn recording(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/recordings").join(name);
    path.display().to_string()
}

/// Runs the command in this process; what it says, and whether it says that all is equal.
fn emulator(arguments: &[&str]) -> (String, bool) {
    let command = Cli::try_parse_from(["emulator"].iter().chain(arguments)).expect("it parses");
    let mut out = Vec::new();
    let status = command.run(&mut out).expect("the files can be read");
    let is_equal = status == std::process::ExitCode::SUCCESS;
    (String::from_utf8(out).expect("it is text"), is_equal)
}

/// The output without the folder of this tree.
fn shown(text: &str) -> String {
    text.replace(&recording(""), "")
}

fn all() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(recording("")).expect("the folder is there");
    let mut all: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    all.sort();
    all
}

#[test]
fn every_recording_replays_on_the_board_that_it_came_from() {
    let mut compared = 0;
    for path in all() {
        let name = path.display().to_string();
        let names_a_board = path.extension().is_some_and(|extension| extension == "jsonl");
        let mut arguments = vec!["replay", name.as_str(), "--all", "--json"];
        if !names_a_board {
            arguments.extend(["--part", "W25Q32JV"]);
        }
        let (text, is_equal) = emulator(&arguments);
        assert!(is_equal, "{name}: {text}");
        let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        compared += report["compared"].as_u64().unwrap_or_default();
    }
    assert!(compared > 3_000, "{compared} answers are too few to mean something");
}

#[test]
fn the_first_difference_to_another_part_reads_like_this() {
    let trace = recording("esptool-4.5.1-flash_id.trace.txt");
    let (text, is_equal) = emulator(&["replay", &trace, "--part", "GD25Q32C"]);
    assert!(!is_equal);
    insta::assert_snapshot!(shown(&text));
}

#[test]
fn a_suite_run_is_told_from_one_on_another_board() {
    let suite = recording("suite-W25Q32JV.jsonl");
    let (text, is_equal) = emulator(&["replay", &suite, "--case", "sr1-bp", "--all"]);
    assert!(!is_equal);
    // Its registers differ, so do the reads of the scratch range.
    assert!(text.contains("READ_REG register=SPI1_W0"), "{text}");
    assert!(text.contains("READ_FLASH_SLOW offset=0x3fc000"), "{text}");
}

#[test]
fn what_esptool_5_does_that_esptool_4_did_not() {
    let old = recording("esptool-4.5.1-write_flash.trace.txt");
    let new = recording("esptool-5.6.0-write_flash.trace.txt");
    let (text, is_equal) = emulator(&["diff", &old, &new]);
    assert!(!is_equal);
    insta::assert_snapshot!(shown(&text));
    let (text, is_equal) = emulator(&["diff", &old, &old]);
    assert!(is_equal, "{text}");
}

#[test]
fn files_that_are_no_transcripts_are_refused_with_their_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let bad = folder.path().join("bad.jsonl");
    let header = r#"{"transcript":1,"recorder":"x","clock":"wall"}"#;
    std::fs::write(&bad, format!("{header}\n{{\"us\":1,\"to\":\"zz\"}}\n")).expect("writable");
    let bad = bad.display().to_string();
    for (arguments, expected) in [
        (vec!["replay", &bad, "--part", "W25Q32JV"], "line 2: an odd number of digits"),
        (vec!["diff", &bad, &bad], "line 2: an odd number of digits"),
        (vec!["replay", "/no/such/file"], "/no/such/file: No such file"),
    ] {
        let command = Cli::try_parse_from(["emulator"].iter().chain(&arguments)).expect("parses");
        let error = command.run(&mut Vec::new()).expect_err("it is refused");
        assert!(error.to_string().contains(expected), "{error}");
    }
    let nameless = recording("esptool-4.5.1-flash_id.trace.txt");
    let command = Cli::try_parse_from(["emulator", "replay", &nameless]).expect("parses");
    let error = command.run(&mut Vec::new()).expect_err("no board is named");
    assert!(error.to_string().contains("names no board: give --case"), "{error}");
}

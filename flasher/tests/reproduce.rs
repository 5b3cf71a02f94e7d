//! Every public case and every hypothesis, played as a user plays it.
#![expect(clippy::expect_used, reason = "a test says what went wrong")]

use std::process::{Command, Output};

use esp32_emulator::case;

fn flasher(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_flasher"))
        .arg("--no-progress")
        .args(args)
        .output()
        .expect("the binary runs")
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn plays_to_the_end(args: &[&str]) {
    let output = flasher(args);
    assert!(output.status.success(), "{args:?}:\n{}", text(&output));
    assert!(text(&output).contains("Everything was seen as expected."), "{args:?}");
}

#[test]
fn every_case_shows_what_its_report_tells() {
    for name in case::list() {
        plays_to_the_end(&["reproduce", name]);
    }
}

#[test]
fn every_hypothesis_of_issue_915_can_be_played() {
    let loaded = case::load("esptool-915").expect("a built-in case");
    let names: Vec<&String> = loaded.file.hypotheses.keys().collect();
    assert!(["h1", "h2", "h3", "h5", "h7"].iter().all(|name| names.iter().any(|it| it == name)));
    for name in names {
        plays_to_the_end(&["reproduce", "esptool-915", "--hypothesis", name]);
    }
}

#[test]
fn the_user_whom_the_command_did_not_help_can_be_played() {
    plays_to_the_end(&["reproduce", "esptool-220", "--hypothesis", "not-helped"]);
}

#[test]
fn issue_915_reads_like_this() {
    let output = flasher(&["reproduce", "esptool-915"]);
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"/dev/pts/\d+", "/dev/pts/N");
    settings.bind(|| insta::assert_snapshot!(text(&output)));
}

#[test]
fn the_lock_that_the_rom_itself_sets_reads_like_this() {
    let output = flasher(&["reproduce", "rom-flash-end"]);
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"/dev/pts/\d+", "/dev/pts/N");
    settings.bind(|| insta::assert_snapshot!(text(&output)));
}

/// The digest of 1,611,488 bytes of 0xFF that the reporter's tool printed.
#[test]
fn the_blank_digest_is_that_of_the_thread() {
    let digest = esp32_flasher::write::Digest::of_erased(1_611_488);
    assert_eq!(digest.to_string(), "f5031d16530b9c6e7e501fb52423bef0");
    let output = flasher(&["reproduce", "esptool-915", "--json"]);
    assert!(text(&output).contains("f5031d16530b9c6e7e501fb52423bef0"), "{}", text(&output));
}

#[test]
fn json_is_one_object_a_line() {
    let output = flasher(&["reproduce", "rom-flash-end", "--json"]);
    let events: Vec<String> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| {
            let value: serde_json::Value = serde_json::from_str(line).expect("a JSON object");
            value["event"].as_str().expect("an event").to_owned()
        })
        .collect();
    assert_eq!(events.first().map(String::as_str), Some("case"));
    assert_eq!(events.last().map(String::as_str), Some("verdict"));
    assert!(events.iter().filter(|event| *event == "step").count() >= 7);
}

#[test]
fn an_unknown_case_or_hypothesis_is_a_usage_error_that_names_the_choices() {
    let output = flasher(&["reproduce", "esptool-916"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains("esptool-916"), "{}", text(&output));
    let output = flasher(&["reproduce", "esptool-915", "--hypothesis", "h9"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains("h1"), "{}", text(&output));
}

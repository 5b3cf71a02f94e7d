//! The `flasher` command as a user sees it, with boards in process.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "tests")]

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
    assert_eq!(events, ["connected", "preflight", "written", "verified"]);
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

#[test]
fn protection_stops_an_erase_and_names_the_way_on() {
    let folder = tempfile::tempdir().unwrap();
    let stopped = flasher(&["-p", "virtual:sr1-bp", "erase", "chip"]).assert().code(7);
    let text = String::from_utf8(stopped.get_output().stderr.clone()).unwrap();
    assert!(text.contains("BP0, BP1, BP2"), "{text}");
    assert!(text.contains("flasher --port virtual:sr1-bp protect clear"), "{text}");
    let gone_on = flasher(&["-p", "virtual:sr1-bp", "erase", "chip", "--unprotect"])
        .current_dir(folder.path())
        .assert()
        .success();
    let text = String::from_utf8(gone_on.get_output().stdout.clone()).unwrap();
    insta::assert_snapshot!(text);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "the journal");
}

#[test]
fn an_erase_that_was_refused_is_a_failure() {
    let arguments = ["-p", "virtual:by25q64as-cmp", "erase", "chip", "--no-preflight"];
    flasher(&arguments).assert().code(7);
}

#[test]
fn protection_that_cannot_be_lifted_has_its_own_code() {
    let folder = tempfile::tempdir().unwrap();
    let clear = |case: &str| {
        let port = format!("virtual:{case}");
        flasher(&["-p", &port, "protect", "clear"]).current_dir(folder.path()).assert()
    };
    // Locked for good, and nothing is protected: nothing to lift.
    clear("srp-locked").success();
    clear("by25q64as-cmp").success();
    flasher(&["-p", "virtual:srp-locked", "status", "write", "0"]).assert().code(8);
}

#[test]
fn the_doctor_in_words() {
    for case in ["by25q64as-cmp", "wps-locked", "vdd-sdio", "srp-locked"] {
        let text = output(&["-p", &format!("virtual:{case}"), "doctor"]);
        insta::assert_snapshot!(format!("doctor_{case}"), text);
    }
}

#[test]
fn a_mismatch_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(
        folder.path(),
        "app.bin",
        &(0..20_000_u32).map(|at| at as u8 ^ 0x5a).collect::<Vec<u8>>(),
    );
    let assert = flasher(&["-p", "virtual:reads-ff", "write", "0x10000", &path]).assert().code(6);
    let text = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
    assert!(text.contains("erased and not programmed"), "{text}");
    assert!(text.contains("this is no write protection"), "{text}");
}

#[test]
fn an_unknown_case_or_hypothesis_is_a_usage_error() {
    flasher(&["-p", "virtual:nothing", "chip"]).assert().code(2);
    flasher(&["-p", "virtual:esptool-915/nothing", "chip"]).assert().code(2);
    flasher(&["-p", "virtual:esptool-915/h2", "chip"]).assert().success();
}

#[test]
fn a_status_write_that_is_not_taken_is_a_failure() {
    flasher(&["-p", "virtual:kincony-2535/misread", "status", "write", "0"]).assert().failure();
    flasher(&["-p", "virtual:W25Q32JV", "status", "write", "0x1c"]).assert().success();
}

#[test]
fn every_command_speaks_json() {
    let folder = tempfile::tempdir().unwrap();
    let dump = folder.path().join("dump.bin").display().to_string();
    for (arguments, event) in [
        (&["protect", "status"][..], "protection"),
        (&["protect", "list"], "choices"),
        (&["protect", "clear"], "protection-changed"),
        (&["protect", "set", "0", "0x10000"], "protection-changed"),
        (&["doctor"], "diagnosis"),
        (&["doctor", "--probe", "0x100000"], "diagnosis"),
        (&["status", "read"], "status"),
        (&["status", "write", "0"], "status-written"),
        (&["status", "write", "0", "--burst"], "status-written"),
        (&["erase", "region", "0x1000", "0x1000", "--unprotect"], "erased"),
        (&["read", "0x1000", "64", &dump], "read"),
        (&["flash-id"], "flash"),
        (&["chip"], "chip"),
    ] {
        let assert = flasher(&["-p", "virtual:nodemcu-523", "--json"])
            .current_dir(folder.path())
            .args(arguments)
            .assert()
            .success();
        let text = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
        let events: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(events.iter().any(|line| line["event"] == event), "{arguments:?}: {text}");
    }
}

#[test]
fn a_journal_undoes_a_change() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("old.json").display().to_string();
    let clear = ["-p", "virtual:sr1-bp", "protect", "clear", "--journal", &journal];
    flasher(&clear).assert().success();
    // The same place is not written twice: nothing was changed then.
    flasher(&clear).assert().code(1);
    let again = folder.path().join("again.json").display().to_string();
    // Every run begins at the case's own state, so there is nothing to restore in this one.
    let text =
        output(&["-p", "virtual:sr1-bp", "protect", "restore", &journal, "--journal", &again]);
    assert!(text.contains("the registers hold this already"), "{text}");
    // And on the same part without protection the old values come back.
    let other =
        output(&["-p", "virtual:W25Q32FV", "protect", "restore", &journal, "--journal", &again]);
    assert!(other.contains("0x000000 to 0x400000 is write protected"), "{other}");
    flasher(&["-p", "virtual:GD25Q32C", "protect", "restore", &journal]).assert().code(5);
}

#[test]
fn a_mismatch_that_is_protection_ends_as_protected() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "app.bin", &vec![0x5a; 20_000]);
    let port = ["-p", "virtual:wps-locked", "write", "--no-preflight", "0x10000", &path];
    let assert = flasher(&port).assert().code(7);
    let text = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
    assert!(text.contains("write-protect"), "{text}");
}

#[test]
fn a_batch_counts_its_failures_and_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    file(folder.path(), "app.bin", &vec![0x5a; 9000]);
    let plan = r#"ports = ["virtual:W25Q32JV#1", "virtual:wps-locked#2", "/nowhere"]
        [[image]]
        address = 0x10000
        file = "app.bin""#;
    let plan = file(folder.path(), "plan.toml", plan.as_bytes());
    let text = |assert: &assert_cmd::assert::Assert| {
        String::from_utf8(assert.get_output().stdout.clone()).unwrap()
    };
    let first = flasher(&["batch", &plan]).assert().code(102);
    assert!(text(&first).contains("1 done, 0 were done before, 2 failed"), "{}", text(&first));
    let again = flasher(&["--json", "batch", &plan, "--resume"]).assert().code(102);
    let lines = text(&again);
    let events: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let outcome = |port: &str| {
        let ends =
            events.iter().find(|event| event["event"] == "board-finished" && event["port"] == port);
        ends.unwrap()["outcome"].as_str().unwrap().to_owned()
    };
    assert_eq!(outcome("virtual:W25Q32JV#1"), "skipped");
    assert_eq!(outcome("virtual:wps-locked#2"), "protected");
    assert_eq!(outcome("/nowhere"), "port");
    assert_eq!(events.last().unwrap()["event"], "batch-ended");
    let record = folder.path().join("plan.toml.records/240ac4000001.json");
    assert!(fs::read_to_string(record).unwrap().contains("\"outcome\": \"done\""));
    flasher(&["batch", "/nowhere.toml"]).assert().code(2);
}

#[test]
fn a_write_that_differs_little_sends_little() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "app.bin", &vec![0xff; 40_000]);
    // The flash of this board is blank, so nothing differs.
    for option in ["--diff", "--resume"] {
        let text = output(&["-p", "virtual:W25Q32JV", "write", option, "0x10000", &path]);
        assert!(text.contains("were right already"), "{text}");
    }
    let text = output(&["-p", "virtual:W25Q32JV", "write", "--read-back", "0x10000", &path]);
    assert!(text.contains("Verified 40000 bytes"), "{text}");
    flasher(&["write", "--diff", "--resume", "0x10000", &path]).assert().code(2);
}

#[test]
fn a_flash_that_the_loader_would_hang_is_written_around_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "app.bin", &[0x5a; 3000]);
    for port in ["virtual:m5stack-2931", "virtual:MX25L12835F"] {
        let text = output(&["-p", port, "write", "0x10000", &path]);
        assert!(text.contains("plain flash instructions") && text.contains("Verified"), "{text}");
        flasher(&["-p", port, "write", "--via", "loader", "0x10000", &path]).assert().code(1);
    }
    let text = output(&["-p", "virtual:W25Q32JV", "write", "--via", "instructions", "0", &path]);
    assert!(text.contains("Verified 3000 bytes"), "{text}");
}

#[test]
fn what_is_no_protection_is_not_blamed_on_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "app.bin", &vec![0x5a; 20_000]);
    flasher(&["-p", "virtual:sst-a25bf", "write", "0x10000", &path]).assert().code(10);
    for case in ["vdd-sdio", "kincony-2535"] {
        let port = format!("virtual:{case}");
        for arguments in [
            &["write", "--no-preflight", "0x1000", &path][..],
            &["erase", "region", "0x1000", "0x1000", "--no-preflight"],
        ] {
            let assert = flasher(&["-p", &port]).args(arguments).assert().failure();
            let assert = assert.code(6);
            let text = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
            assert!(text.contains("this is no write protection"), "{case} {arguments:?}: {text}");
            assert!(!text.contains("protect clear"), "{case} {arguments:?}: {text}");
        }
    }
}

/// SRP0 set and WP# low, of which the wire shows the bit alone.
#[test]
fn a_lock_by_the_pin_is_told_before_the_cure_and_when_it_was_refused() {
    const BOARD: &str = "virtual:esptool-220/not-helped";
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("old.json").display().to_string();
    let doctor = output(&["-p", BOARD, "doctor"]);
    assert!(doctor.contains("SRP0 is set") && doctor.contains("GPIO10"), "{doctor}");
    let status = output(&["-p", BOARD, "protect", "status"]);
    assert!(status.contains("only while WP# is high"), "{status}");
    let clear = ["-p", BOARD, "protect", "clear", "--no-trial", "--journal", &journal];
    let assert = flasher(&clear).assert().failure();
    let said = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
    assert!(said.contains("pull WP# of the flash up") && said.contains("GPIO10"), "{said}");
}

//! The suite's own promises, on boards that it knows nothing about.

use std::{
    fs,
    io::Write as _,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use esp32_emulator::case::{Faults, LoadedBoard, RegisterReadFault};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{
    bench::{Bench, Trouble},
    emulator::{Served, emulator, old_content, this_program},
    settings::Settings,
    steps,
    suite::{Outcome, Step, Verdict, run},
};

/// Scratch range of the tests that need no more: the last 16 KiB of 4 MiB.
const SMALL: (u32, u32) = (0x3f_c000, 0x4000);

fn settings(port: &str, folder: &TempDir) -> Settings {
    let mut settings = Settings::of(port, folder.path());
    settings.scratch = Some(SMALL);
    settings
}

/// Runs without a log in between the lines of the test harness.
fn run_quietly(settings: &Settings, steps: &[Step]) -> (Verdict, String) {
    let mut log = Vec::new();
    let verdict = run(settings, steps, &mut log);
    (verdict, String::from_utf8(log).expect("the log is text"))
}

fn assert_restored(board: &Served) {
    let (found, status) = board.end_of_flash(0x1_0000);
    assert!(found == old_content(0x1_0000), "the scratch range is not as it was");
    assert_eq!(status[0], 0, "{status:02x?}");
}

#[test]
fn on_a_pty_everything_passes_and_agrees_with_the_emulator() {
    let folder = tempfile::tempdir().expect("a folder");
    let board = Served::new(LoadedBoard::with_part("W25Q32JV"));
    let mut settings = Settings::of(&board.port(), folder.path());
    settings.allow_status_writes = true;
    let (verdict, log) = run_quietly(&settings, steps::ALL);
    assert!(verdict.is_good(&settings), "{log}");
    assert_eq!(verdict.skipped.len(), 2, "a PTY has no modem lines:\n{log}");
    assert!(verdict.compared.is_some_and(|count| count > 500), "{verdict}");
    assert_restored(&board);
    assert!(!folder.path().join("240ac4000001.journal.json").exists());
    assert!(folder.path().join("240ac4000001.jsonl").exists());
}

#[test]
fn over_rfc_2217_everything_passes_resets_included() {
    let folder = tempfile::tempdir().expect("a folder");
    let board = Served::new(LoadedBoard::with_part("W25Q32JV"));
    let mut settings = settings(&board.network_port(), &folder);
    settings.allow_status_writes = true;
    let (verdict, log) = run_quietly(&settings, steps::ALL);
    assert!(verdict.is_good(&settings), "{log}");
    assert_eq!(verdict.skipped, ["write through the loader, compressed"], "{log}");
    assert_restored(&board);
}

#[test]
fn quad_enable_is_not_lost_and_nothing_is_written_without_leave() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut loaded = LoadedBoard::with_part("W25Q32JV");
    loaded.file.flash.registers.insert(spi_nor::part::RegisterName::Sr2, 0x02);
    let board = Served::new(loaded);
    let mut settings = settings(&board.port(), &folder);
    let (verdict, log) = run_quietly(&settings, steps::ALL);
    assert!(verdict.is_good(&settings), "{log}");
    assert!(verdict.skipped.contains(&"write through the loader"), "{log}");
    assert_eq!(board.end_of_flash(1).1, [0, 0x02, 0x60], "no register was written");
    settings.allow_status_writes = true;
    board.reset();
    let (verdict, log) = run_quietly(&settings, steps::ALL);
    assert!(verdict.is_good(&settings), "{log}");
    assert!(verdict.passed.contains(&"block protection"), "{log}");
    assert_restored(&board);
    assert_eq!(board.end_of_flash(1).1, [0, 0x02, 0x60], "the registers are as they were");
}

#[test]
fn another_part_than_expected_is_a_difference_with_both_byte_strings() {
    let folder = tempfile::tempdir().expect("a folder");
    let board = Served::new(LoadedBoard::with_part("W25Q32JV"));
    let mut settings = settings(&board.port(), &folder);
    settings.part = Some("GD25Q32C".to_owned());
    let (verdict, log) = run_quietly(&settings, steps::ALL);
    assert!(!verdict.is_good(&settings) && verdict.failures.is_empty(), "{log}");
    // The answer to 9Fh as it was, and as the other part's would be.
    for bytes in ["010a0400ef40160000000000", "010a0400c840160000000000", "register=SPI1_W0"] {
        assert!(log.contains(bytes), "no {bytes} in:\n{log}");
    }
    settings.allow_differences = true;
    assert!(verdict.is_good(&settings));
}

/// Parts that a step could leave deaf, or that take no change, or are larger than what is reached.
#[test]
fn parts_that_are_not_as_others_pass_or_are_skipped_with_a_reason() {
    let id = "another part of the same id";
    for (part, skipped) in [
        ("IS25LP064", "four-line mode until the power is cut"),
        ("SST26VF032B", "it is write-protected"),
        ("W25Q256FV", ""),
        ("GD25Q32C", id),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let board = Served::new(LoadedBoard::with_part(part));
        let mut settings = Settings::of(&board.network_port(), folder.path());
        settings.allow_status_writes = true;
        let (verdict, log) = run_quietly(&settings, steps::ALL);
        assert!(verdict.is_good(&settings), "{part}: {log}");
        let needs_word = !skipped.is_empty() && skipped != id;
        assert!(!needs_word || log.contains(skipped), "{part}: {log}");
        assert_eq!(verdict.skipped.is_empty(), !needs_word, "{part}: {log}");
        let (found, _) = board.end_of_flash(0x1_0000);
        assert!(found == old_content(0x1_0000), "{part} is not as it was");
    }
}

#[test]
fn a_board_that_deviates_is_found_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut loaded = LoadedBoard::with_part("W25Q32JV");
    // From the third look on, SR2 shows LB1.
    let fault = RegisterReadFault { opcode: 0x35, value: 0x08, from: 3, count: None };
    loaded.file.faults = Faults { register_reads: vec![fault], ..Faults::default() };
    let board = Served::new(loaded);
    let settings = settings(&board.port(), &folder);
    let (verdict, log) = run_quietly(&settings, &steps::ALL[..5]);
    assert!(!verdict.is_good(&settings), "{log}");
    assert!(!verdict.differences.is_empty(), "{log}");
    assert_restored(&board);
}

/// Erases the scratch range and then does what a test wants.
fn erase_then(bench: &mut Bench, then: fn()) -> Result<Outcome, Trouble> {
    let (start, len) = (bench.scratch.start, bench.scratch.end - bench.scratch.start);
    bench.session.erase_region(start, len, &mut |_| {})?;
    then();
    Ok(Outcome::Passed)
}

#[test]
fn a_panic_in_the_middle_leaves_the_board_as_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let board = Served::new(LoadedBoard::with_part("W25Q32JV"));
    let settings = settings(&board.port(), &folder);
    let panics =
        [Step { name: "panics", run: |bench| erase_then(bench, || panic!("in the middle")) }];
    let panicked = catch_unwind(AssertUnwindSafe(|| run_quietly(&settings, &panics)));
    assert!(panicked.is_err(), "the panic is handed on");
    assert!(folder.path().join("240ac4000001.jsonl").exists(), "what passed before it is kept");
    assert_restored(&board);
}

#[test]
fn what_a_killed_run_left_is_put_back_by_the_next() {
    let folder = tempfile::tempdir().expect("a folder");
    let board = Served::new(LoadedBoard::with_part("W25Q32JV"));
    let mut settings = settings(&board.port(), &folder);
    // Without modem lines the registers are as the session that puts back has left them.
    settings.allow_differences = true;
    // A run that vanishes after the erase: its journal is there, the board is blank.
    let keep = folder.path().join("kept");
    let path = folder.path().join("240ac4000001.journal.json");
    let steal = [Step { name: "erases", run: |bench| erase_then(bench, || {}) }];
    let (verdict, log) = run_quietly(&settings, &steal);
    assert!(verdict.is_good(&settings), "{log}");
    let content = &old_content(0x1_0000)[0xc000..];
    let hex = esp32_emulator::transcript::format::hex(content);
    let journal = format!(
        r#"{{"mac":"24:0a:c4:00:00:01","scratch":{},"content":"{hex}","status":[0,2,96]}}"#,
        SMALL.0
    );
    fs::write(&keep, &journal).expect("writable");
    fs::rename(&keep, &path).expect("writable");
    blank(&settings, &board);
    board.reset();
    let (verdict, log) = run_quietly(&settings, &steps::ALL[2..4]);
    assert!(verdict.is_good(&settings), "{log}");
    assert!(log.contains("an earlier run was killed: 4 sectors put back"), "{log}");
    assert!(!path.exists());
    assert_restored(&board);
}

/// Erases the scratch range behind the suite's back.
fn blank(settings: &Settings, board: &Served) {
    let port = crate::port::open(&settings.port).expect("the port opens");
    let mut session = esp32_flasher::session::Session::new(port);
    session.connect(&crate::bench::strategies(), 3).expect("it answers");
    session.attach_flash().expect("a flash");
    session.erase_region(SMALL.0, SMALL.1, &mut |_| {}).expect("it erases");
    assert_eq!(board.end_of_flash(0x4000).0, vec![0xff; 0x4000]);
}

/// Runs the suite in a process of its own on `port`.
fn child(port: &str, folder: &Path) -> Command {
    let mut command = Command::new(this_program());
    command.args(["--exact", "on_the_given_port", "--nocapture"]);
    command.env("ESP_PORT", port).env("ESP_RECORDS", folder);
    command.env("ESP_SCRATCH", format!("{:#x}+{:#x}", SMALL.0, SMALL.1));
    command.env_remove("ESP_ALLOW_STATUS_WRITES").env_remove("ESP_PART");
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

#[test]
fn ctrl_c_in_the_middle_leaves_the_board_as_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let board = Served::new(LoadedBoard::with_part("W25Q32JV"));
    let process = child(&board.port(), folder.path()).spawn().expect("it starts");
    let pid = Pid::from_raw(i32::try_from(process.id()).expect("a pid")).expect("a pid");
    // The moment at which the scratch range is not what it was.
    let deadline = wall_now() + Duration::from_mins(1);
    while board.end_of_flash(0x4000).0 == old_content(0x1_0000)[0xc000..] {
        assert!(wall_now() < deadline, "the suite changes nothing");
        pause(Duration::from_millis(1));
    }
    kill_process(pid, Signal::INT).expect("it runs");
    let output = process.wait_with_output().expect("it ends");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "an interrupted run is no success:\n{log}");
    assert!(log.contains("put back: ") && log.contains("interrupted"), "{log}");
    assert_restored(&board);
    assert!(!folder.path().join("240ac4000001.journal.json").exists());
}

#[test]
fn a_port_that_is_not_there_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = settings("/dev/no-such-port", &folder);
    let (verdict, _) = run_quietly(&settings, steps::ALL);
    let text = verdict.to_string();
    assert!(text.contains("connecting: cannot open /dev/no-such-port"), "{text}");
    assert!(!text.contains("ESP_PART"), "there was nothing to compare:\n{text}");
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0, "nothing is left behind");
    for (port, problem) in [("", "it names no port"), ("/dev/null", "it is no serial port")] {
        let output = child(port, folder.path()).output().expect("it ends");
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && log.contains(problem), "{log}");
    }
}

#[test]
fn a_board_that_was_reset_behind_the_suite_is_not_taken_for_one_that_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut loaded = LoadedBoard::with_part("W25Q32JV");
    loaded.file.flash.registers.insert(spi_nor::part::RegisterName::Sr2, 0x02);
    let board = Served::new(loaded);
    let mut settings = settings(&board.network_port(), &folder);
    settings.allow_status_writes = true;
    // As after Ctrl-C between a reset and the connection of the flash: all reads as FFh.
    let resets = [Step {
        name: "resets",
        run: |bench| {
            erase_then(bench, || {})?;
            bench.session.reset(&esp32_flasher::reset::ResetStrategy::unix_tight())?;
            Err(format!("on purpose: {}", bench.session.sync(5)?).into())
        },
    }];
    let (verdict, log) = run_quietly(&settings, &resets);
    assert!(verdict.restored, "{log}");
    assert_eq!(verdict.failures, ["resets: on purpose: true"], "{log}");
    assert_restored(&board);
    assert_eq!(board.end_of_flash(1).1, [0, 0x02, 0x60], "no register was written");
}

#[test]
fn registers_that_changed_are_told_without_leave_and_put_back_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let board = Served::new(LoadedBoard::with_part("W25Q32JV"));
    let mut settings = settings(&board.network_port(), &folder);
    // Erases, and protects everything.
    let protects = [Step {
        name: "protects",
        run: |bench| {
            erase_then(bench, || {})?;
            let persistence = esp32_flasher::status::Persistence::NonVolatile;
            bench.session.write_status_of(&bench.identity, &[0x1c], persistence)?;
            Ok(Outcome::Passed)
        },
    }];
    let (verdict, log) = run_quietly(&settings, &protects);
    assert!(!verdict.is_good(&settings) && !verdict.restored, "{log}");
    let told = verdict.failures.concat();
    for words in ["and not 0x600200 as before", "ESP_ALLOW_STATUS_WRITES=1", "0x3fc000 does not"] {
        assert!(told.contains(words), "no {words} in {told}");
    }
    // WEL stays behind a refused erase.
    assert_eq!(board.end_of_flash(1).1[0] & 0xfc, 0x1c, "nothing was written without leave");
    // The journal waits for leave.
    let (verdict, log) = run_quietly(&settings, &steps::ALL[2..4]);
    assert!(verdict.passed.is_empty() && !verdict.restored, "{log}");
    assert!(
        verdict.failures.concat().starts_with("putting back what an earlier run left"),
        "{log}"
    );
    settings.allow_status_writes = true;
    let (verdict, log) = run_quietly(&settings, &steps::ALL[2..4]);
    assert!(verdict.is_good(&settings), "{log}");
    assert!(log.contains("4 sectors put back, registers changed: true"), "{log}");
    assert_restored(&board);
}

#[test]
fn over_a_pty_with_modem_lines_the_resets_are_played_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = emulator();
    command.args([
        "exec",
        "--part",
        "W25Q32JV",
        "--",
        "sh",
        "-c",
        r#"ESP_PORT="$0" exec "$1" --exact on_the_given_port --nocapture"#,
    ]);
    command.arg("{port}").arg(this_program());
    command.env("ESP_RECORDS", folder.path()).env("ESP_SCRATCH", "0x3fc000+0x4000");
    let output = command.output().expect("it runs");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    assert!(log.contains("reset into the program and back ... ok"), "{log}");
}

#[expect(clippy::disallowed_methods, reason = "a test of processes waits by the wall clock")]
fn wall_now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "a test of processes waits by the wall clock")]
fn pause(span: Duration) {
    thread::sleep(span);
}

#[test]
fn a_log_that_is_closed_does_not_end_a_run() {
    struct Closed;
    impl std::io::Write for Closed {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    assert!(Closed.write_all(b"x").is_err());
    let folder = tempfile::tempdir().expect("a folder");
    let board = Served::new(LoadedBoard::with_part("W25Q32JV"));
    let settings = settings(&board.port(), &folder);
    let verdict = run(&settings, &steps::ALL[2..4], &mut Closed);
    assert!(verdict.is_good(&settings), "{verdict}");
    assert_restored(&board);
}

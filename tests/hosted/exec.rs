//! `emulator exec`: unmodified clients with all their defaults, and modem lines on the PTY.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    path::Path,
    process::{Command, Output, Stdio},
};

use crate::{clients::ESPTOOLS, emulator::emulator};

/// A board that runs from flash after power-on: only its lines bring it into the loader.
const FLASH_BOOT: &str = "[flash]\npart = \"W25Q128FV\"\n[chip]\nstrap = 0x13\n";

fn exec(options: &[&str], client: &[&str]) -> Output {
    let mut command = emulator();
    command.arg("exec").args(options).arg("--").args(client);
    command.output().expect("the emulator runs")
}

fn said(output: &Output) -> String {
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    text
}

fn path_text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are UTF-8")
}

fn sample(folder: &Path) -> (String, String) {
    let mut random = fastrand::Rng::with_seed(5);
    let bytes: Vec<u8> = (0..20_000).map(|_| random.u8(..)).collect();
    let file = folder.join("app.bin");
    fs::write(&file, bytes).expect("a file");
    let file = path_text(&file).to_owned();
    (file.clone(), format!("{file}@0x10000"))
}

#[test]
fn every_esptool_flashes_with_its_default_resets() {
    let folder = tempfile::tempdir().expect("a folder");
    let board = folder.path().join("board.toml");
    fs::write(&board, FLASH_BOOT).expect("a file");
    let (file, expected) = sample(folder.path());
    let options = ["--board", path_text(&board), "--expect-flash", &expected];
    for release in ESPTOOLS {
        let Some(esptool) = release.command() else { return };
        let program = esptool.get_program().to_str().expect("text").to_owned();
        let client = [&program, "-m", "esptool", "--port", "{port}", "--no-stub"];
        let task = ["write_flash", "0x10000", &file];
        let output = exec(&options, &[&client[..], &task[..]].concat());
        let text = said(&output);
        assert!(output.status.success(), "esptool {}:\n{text}", release.version);
        assert!(text.contains("Hash of data verified"), "{text}");
        assert!(text.contains("Hard resetting"), "{text}");
        assert!(!text.contains("NOT reset"), "{text}");
    }
}

#[test]
fn without_lines_a_running_board_is_not_reached() {
    let folder = tempfile::tempdir().expect("a folder");
    let board = folder.path().join("board.toml");
    fs::write(&board, FLASH_BOOT).expect("a file");
    let Some(esptool) = ESPTOOLS[0].command() else { return };
    let program = esptool.get_program().to_str().expect("text");
    let options = ["--board", path_text(&board), "--no-lines"];
    let client = ["-m", "esptool", "--port", "{port}", "--before", "no_reset"];
    let attempt = ["--connect-attempts", "1", "--no-stub", "flash_id"];
    let output = exec(&options, &[&[program], &client[..], &attempt[..]].concat());
    assert!(!output.status.success());
    assert!(said(&output).contains("Failed to connect"), "{}", said(&output));
}

#[test]
fn the_clients_status_is_handed_on() {
    assert_eq!(exec(&[], &["sh", "-c", "exit 7"]).status.code(), Some(7));
    assert_eq!(exec(&[], &["sh", "-c", "kill -9 $$"]).status.code(), Some(137));
    let output = exec(&[], &["sh", "-c", "test -c {port} && test -S $MODEM_SHIM_SOCKET"]);
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn an_alias_stands_for_the_port() {
    let Some(esptool) = ESPTOOLS[0].command() else { return };
    let program = esptool.get_program().to_str().expect("text");
    let client = [program, "-m", "esptool", "--port", "{port}", "--no-stub", "read_mac"];
    let output = exec(&["--alias", "/dev/no-such-port"], &client);
    let text = said(&output);
    assert!(output.status.success() && text.contains("port /dev/no-such-port"), "{text}");
}

#[test]
fn expectations_that_fail_fail() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, expected) = sample(folder.path());
    let output = exec(&["--part", "W25Q32JV", "--expect-flash", &expected], &["true"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("flash differs from"), "{}", said(&output));
    let beyond = format!("{file}@0x3ff000");
    let output = exec(&["--part", "W25Q32JV", "--expect-flash", &beyond], &["true"]);
    assert!(said(&output).contains("does not fit the flash"), "{}", said(&output));
    let output = exec(&["--expect-trace", "Programmed"], &["true"]);
    assert!(said(&output).contains("nothing in the board's trace"), "{}", said(&output));
    assert!(exec(&["--expect-trace", "PowerOn"], &["true"]).status.success());
}

#[test]
fn a_static_client_is_told_the_alternative() {
    let folder = tempfile::tempdir().expect("a folder");
    let client = folder.path().join("static");
    // An ELF header with one program header, which is no PT_INTERP.
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(64 + 56, 0);
    elf[54] = 56;
    elf[56] = 1;
    elf[64] = 1;
    fs::write(&client, elf).expect("a file");
    fs::set_permissions(&client, fs::Permissions::from_mode(0o755)).expect("its owner");
    let output = exec(&[], &[path_text(&client)]);
    assert_eq!(output.status.code(), Some(1));
    let text = said(&output);
    assert!(text.contains("statically linked") && text.contains("rfc2217"), "{text}");
}

#[test]
fn signals_reach_the_client() {
    let mut command = emulator();
    command.args([
        "exec",
        "--",
        "sh",
        "-c",
        "trap 'exit 42' TERM; echo up; while :; do sleep 0.1; done",
    ]);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("the emulator runs");
    let mut up = [0; 3];
    std::io::Read::read_exact(child.stdout.as_mut().expect("piped"), &mut up).expect("it starts");
    let kill = Command::new("kill").arg(child.id().to_string()).status().expect("kill runs");
    assert!(kill.success());
    let status = child.wait().expect("a child");
    assert_eq!((status.code(), status.signal()), (Some(42), None));
}

//! espflash as installed from crates.io, with its defaults, under `emulator exec`.

use std::{fs, path::Path};

use crate::{client::Said, clients::espflash, emulator::emulator};

/// espflash only takes ports that sysfs lists.
const ALIAS: &str = "/dev/ttyS0";
const AT: &str = "0x10000";
const LENGTH: usize = 20_000;

fn noise(seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..LENGTH).map(|_| random.u8(..)).collect()
}

/// Runs espflash on a board that holds `content`; `None` if it cannot be had.
fn run(folder: &Path, content: &[u8], expect: &[&str], command: &[&str]) -> Option<Said> {
    let client = espflash()?;
    fs::write(folder.join("content.bin"), content).expect("a file");
    let board = folder.join("board.toml");
    let text = "[flash]\npart = \"W25Q32JV\"\n\
                image = { file = { path = \"content.bin\", at = 0x10000 } }\n\
                [chip]\nstrap = 0x13\n";
    fs::write(&board, text).expect("a file");
    let mut exec = emulator();
    exec.args(["exec", "--alias", ALIAS, "--board"]).arg(&board).args(expect).arg("--");
    exec.arg(client).args(["--skip-update-check", command[0], "--chip", "esp32"]);
    exec.args(["--port", "{port}"]).args(&command[1..]);
    exec.env("XDG_CONFIG_HOME", folder).env("HOME", folder);
    Some(exec.output().expect("the emulator runs").into())
}

#[test]
fn every_command_with_its_defaults() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let [held, image] = [noise(1), noise(2)];
    let path = |name: &str| folder.join(name).to_str().expect("UTF-8").to_owned();
    let (file, back, blank) = (path("image.bin"), path("back.bin"), path("blank.bin"));
    fs::write(&file, &image).expect("a file");
    fs::write(&blank, vec![0xFF; LENGTH]).expect("a file");
    let length = LENGTH.to_string();

    let Some(said) = run(folder, &held, &[], &["board-info"]) else { return };
    said.says("esp32 (revision v3.0)")
        .says("Flash size:        4MB")
        .says("24:0a:c4:00:00:01")
        .done();

    let expect = format!("{file}@{AT}");
    let said = run(folder, &held, &["--expect-flash", &expect], &["write-bin", AT, &file]);
    said.expect("installed above").says("successfully written").done();

    let said = run(folder, &held, &[], &["checksum-md5", AT, &length]).expect("installed above");
    said.says(&format!("0x{:x}", md5::compute(&held))).done();

    let said = run(folder, &held, &[], &["read-flash", AT, &length, &back]);
    said.expect("installed above").done();
    assert!(fs::read(&back).expect("it was read") == held);

    let expect = format!("{blank}@{AT}");
    let said = run(folder, &held, &["--expect-flash", &expect], &["erase-region", AT, "0x5000"]);
    said.expect("installed above").done();

    let said = run(folder, &held, &["--expect-flash", &expect], &["erase-flash"]);
    said.expect("installed above").says("Flash has been erased").done();
}

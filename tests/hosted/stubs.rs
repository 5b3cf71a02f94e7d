//! Stock esptool with its own stubs, executed by the board, over the PTY.

use std::fs;

use crate::{
    bench::Bench,
    clients::{ESPTOOL_4_5_1, ESPTOOL_4_12_0, ESPTOOL_5, Esptool},
};

/// Releases with the stub generations that they carry.
const CLIENTS: [(Esptool, &str); 5] = [
    (ESPTOOL_4_5_1, "1"),
    (ESPTOOL_4_12_0, "1"),
    (ESPTOOL_4_12_0, "2"),
    (ESPTOOL_5, "1"),
    (ESPTOOL_5, "2"),
];

/// Runs a client and demands success; `None` if it cannot be had.
fn run(bench: &Bench, client: (Esptool, &str), after: &str, args: &[&str]) -> Option<String> {
    let (release, generation) = client;
    let mut command = release.command()?;
    command.env("ESPTOOL_STUB_VERSION", generation);
    command.args(["--chip", "esp32", "--port", bench.port(), "--before", "no_reset"]);
    let output = command.args(["--after", after]).args(args).output().expect("it runs");
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    let name = release.version;
    assert!(output.status.success(), "esptool {name} stub {generation} {args:?}:\n{text}");
    Some(text)
}

/// Bytes that do not compress.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..length).map(|_| random.u8(..)).collect()
}

#[test]
fn write_verify_read_and_erase_through_every_stub() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("image.bin");
    let back = folder.path().join("back.bin");
    let (file_text, back_text) = (file.to_str().expect("UTF-8"), back.to_str().expect("UTF-8"));
    for (seed, client) in (0..).zip(CLIENTS) {
        // Not a multiple of 4, so the last word is padded by the client.
        let image = noise(70_001, seed);
        fs::write(&file, &image).expect("a file");
        let bench = Bench::part("W25Q32JV");
        bench.enter_download_mode();
        let write = ["--baud", "921600", "write_flash", "0x11000", file_text];
        let Some(text) = run(&bench, client, "no_reset_stub", &write) else { return };
        assert!(text.contains("Hash of data verified"), "{text}");
        let held = bench.with(|board| {
            let mut cells = vec![0; 70_001];
            board.flash_mut().nor_mut().read_cells(0x11000, &mut cells);
            cells
        });
        assert!(held == image, "{client:?}");
        // The same stub again: it kept running.
        let read = ["read_flash", "0x11000", "70001", back_text];
        let text = run(&bench, client, "no_reset_stub", &read).expect("installed above");
        assert!(text.contains("already running"), "{text}");
        assert!(fs::read(&back).expect("it was read") == image, "{client:?}");
        run(&bench, client, "no_reset_stub", &["erase_region", "0x10000", "0x20000"]);
        run(&bench, client, "no_reset_stub", &["read_flash", "0x11000", "70001", back_text]);
        assert!(fs::read(&back).expect("it was read").iter().all(|byte| *byte == 0xFF));
        run(&bench, client, "no_reset_stub", &["erase_flash"]);
    }
}

#[test]
fn status_registers_through_every_stub() {
    for client in CLIENTS {
        let bench = Bench::part_with_status("W25Q32JV", [0x1C, 0, 0]);
        bench.enter_download_mode();
        let read = ["read_flash_status", "--bytes", "2"];
        let Some(text) = run(&bench, client, "no_reset_stub", &read) else { return };
        assert!(text.contains("0x001c"), "{client:?}: {text}");
        let write = ["write_flash_status", "--bytes", "2", "--non-volatile", "0"];
        run(&bench, client, "no_reset_stub", &write);
        let text = run(&bench, client, "no_reset_stub", &read).expect("installed above");
        assert!(text.contains("0x0000"), "{client:?}: {text}");
    }
}

//! The thread of esptool issue 915 and the rows of ROM-FACTS section 8, with the very client.

use std::{fs, path::Path};

use esp32_emulator::case::{self, bootable};

use crate::{
    bench::Bench,
    client::{Client, Stub, WITH_STUB, WITHOUT_STUB},
    clients::{ESPTOOL_4_5_1, ESPTOOL_5},
};

const REPORTER: Client = Client { release: ESPTOOL_4_5_1, stub: Stub::V1 };
/// Length of the thread's file, and the MD5 of as many 0xFF, as the thread quotes it.
const IMAGE_BYTES: usize = 1_611_488;
const ERASED_MD5: &str = "f5031d16530b9c6e7e501fb52423bef0";
const CURE: [&str; 5] = ["write_flash_status", "--bytes", "2", "--non-volatile", "0"];
const READ_STATUS: [&str; 3] = ["read_flash_status", "--bytes", "2"];
const MISMATCH: &str = "A fatal error occurred: MD5 of file does not match data in flash!";

fn image(folder: &Path, seed: u64, bytes: usize) -> (String, Vec<u8>) {
    let content = bootable(seed, bytes);
    let file = folder.join(format!("{seed}.bin"));
    fs::write(&file, &content).expect("a file");
    (file.to_str().expect("UTF-8").to_owned(), content)
}

fn md5_of(bytes: &[u8]) -> String {
    format!("{:x}", md5::compute(bytes))
}

/// The thread from the first flashing to the one after the cure; `false` without the client.
fn play(bench: &Bench, bytes: usize) -> bool {
    let folder = tempfile::tempdir().expect("a folder");
    let (first, first_bytes) = image(folder.path(), 1, bytes);
    let (second, second_bytes) = image(folder.path(), 2, bytes);
    let write = |file: &str| {
        REPORTER.run_after(
            bench,
            "no_reset",
            &["--baud", "921600", "write_flash", "-z", "0x1000", file],
        )
    };
    bench.enter_download_mode();
    let Some(said) = write(&first) else { return false };
    said.says("Hash of data verified.").done();
    assert!(bench.cells(0x1000, bytes) == first_bytes);
    bench.boot();

    bench.enter_download_mode();
    let text = write(&second).expect("installed above").says("Wrote ").failed();
    let [file_md5, flash_md5] = [md5_of(&second_bytes), md5_of(&first_bytes)];
    assert!(text.trim_end().ends_with(MISMATCH), "{text}");
    assert!(text.contains(&format!("File  md5: {file_md5}")), "{text}");
    assert!(text.contains(&format!("Flash md5: {flash_md5}")), "{text}");
    let erased = md5_of(&vec![0xFF; bytes]);
    assert!(text.contains(&format!("MD5 of 0xFF is {erased}")), "{text}");

    // The client's hard reset lets the firmware boot between the commands.
    bench.boot();
    bench.enter_download_mode();
    let run = |args: &[&str]| REPORTER.run(bench, args).expect("installed above");
    run(&READ_STATUS).says("Status value: 0x0200").done();
    bench.enter_download_mode();
    let said = run(&CURE).says("Initial flash status: 0x0200");
    said.says("After flash status:   0x0000").done();
    run(&READ_STATUS).says("Status value: 0x0000").done();
    bench.enter_download_mode();
    write(&second).expect("installed above").says("Hash of data verified.").done();
    assert!(bench.cells(0x1000, bytes) == second_bytes);
    true
}

#[test]
fn the_thread_itself() {
    assert_eq!(md5_of(&vec![0xFF; IMAGE_BYTES]), ERASED_MD5);
    play(&Bench::case("esptool-915"), IMAGE_BYTES);
}

#[test]
fn the_thread_on_other_hypotheses() {
    for hypothesis in ["h1-two-byte", "h2"] {
        let board = case::load("esptool-915").and_then(|board| board.assume(hypothesis));
        if !play(&Bench::loaded(board.expect("a hypothesis")), 0x2_0000) {
            return;
        }
    }
}

/// Whether the write verifies, and SR1 and SR2 then.
type Outcome = (bool, [u8; 2]);

/// A part and what comes of a write.
struct Row {
    /// Board file.
    board: &'static str,
    /// Nothing is in the way: the flash is blank.
    blank: bool,
    legacy: Outcome,
    newer: Outcome,
    rom: Outcome,
}

/// Write enable latch in SR1.
const WEL: u8 = 0x02;

/// ROM-FACTS section 8. In order: nothing wrong; BP0..2 and QE set (the legacy stub keeps QE, the
/// ROM loses it), blank and not; CMP alone, so the whole array (the ROM keeps it); frozen by SRP1
/// with BP set, blank and not.
const ROWS: [Row; 6] = [
    Row {
        board: "[flash]\npart = \"W25Q32JV\"\nregisters = { sr2 = 0x00 }\n",
        blank: true,
        legacy: (true, [0, 0]),
        newer: (true, [0, 0]),
        rom: (true, [0, 0]),
    },
    Row {
        board: "[flash]\npart = \"W25Q32JV\"\nregisters = { sr1 = 0x1c, sr2 = 0x02 }\n",
        blank: true,
        legacy: (true, [0, 2]),
        newer: (false, [0x1C, 2]),
        rom: (true, [0, 0]),
    },
    Row {
        board: "[flash]\npart = \"W25Q32JV\"\nregisters = { sr1 = 0x1c, sr2 = 0x02 }\n\
                image = { pattern = { at = 0x10000, bytes = 0x4000, seed = 9 } }\n",
        blank: false,
        legacy: (true, [0, 2]),
        newer: (false, [0x1C, 2]),
        rom: (true, [0, 0]),
    },
    Row {
        board: "[flash]\npart = \"W25Q32JV\"\nregisters = { sr2 = 0x40 }\n",
        blank: true,
        legacy: (true, [0, 0]),
        newer: (false, [0, 0x40]),
        rom: (false, [0, 0x40]),
    },
    Row {
        board: "[flash]\npart = \"W25Q128FV\"\nregisters = { sr1 = 0x9c, sr2 = 0x01 }\n",
        blank: true,
        legacy: (false, [0x9C, 1]),
        newer: (false, [0x9C, 1]),
        rom: (false, [0x9C, 1]),
    },
    Row {
        board: "[flash]\npart = \"W25Q128FV\"\nregisters = { sr1 = 0x9c, sr2 = 0x01 }\n\
                image = { pattern = { at = 0x10000, bytes = 0x4000, seed = 9 } }\n",
        blank: false,
        legacy: (false, [0x9C, 1]),
        newer: (false, [0x9C, 1]),
        rom: (false, [0x9C, 1]),
    },
];

/// The words for a refused write: those of the client, not of the stub.
fn refusal(client: Client, blank: bool) -> &'static str {
    match client {
        Client { stub: Stub::None, .. } => "0105",
        Client { release: ESPTOOL_5, .. } if blank => {
            "Write failed, the written flash region is empty."
        }
        _ => "MD5 of file does not match data in flash!",
    }
}

#[test]
fn what_the_user_sees_when_the_flash_does_not_take_the_data() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, image_bytes) = image(folder.path(), 3, 6000);
    for client in WITH_STUB.into_iter().chain(WITHOUT_STUB) {
        for row in &ROWS {
            let board = case::parse("a row", row.board, Path::new(".")).expect("a board");
            let bench = Bench::loaded(board);
            bench.enter_download_mode();
            let Some(reply) = client.run(&bench, &["write_flash", "0x10000", &file]) else {
                return;
            };
            let (verifies, expected) = match client.stub {
                Stub::V1 => row.legacy,
                Stub::V2 => row.newer,
                Stub::None => row.rom,
            };
            let context = format!("{} on {}: {}", client.name(), row.board, reply.text);
            assert_eq!(reply.success, verifies, "{context}");
            if verifies {
                assert!(bench.cells(0x10000, 6000) == image_bytes, "{context}");
            } else {
                assert!(reply.text.contains(refusal(client, row.blank)), "{context}");
            }
            // WEL after a refused operation is the part's own rule.
            let [sr1, sr2, _] = bench.status();
            assert_eq!([sr1 & !WEL, sr2], expected, "{context}");
        }
    }
}

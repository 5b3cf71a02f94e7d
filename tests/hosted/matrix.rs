//! Every client on every case: who unlocks silently, who fails with which words, and what the status
//! registers hold then. The table is committed; this writes it again:
//!
//! ```sh
//! UPDATE_MATRIX=1 cargo test --test hosted matrix
//! ```
//!
//! A column whose client is not installed is taken from the committed table, after a loud message.

use std::{
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
    thread,
};

use esp32_emulator::case::{self, Step, WriteOutcome, bootable};

use spi_nor::part::RegisterName;

use crate::{
    bench::Bench,
    client::{Client, Said, Stub, WITH_STUB, WITHOUT_STUB},
    clients::{ESPTOOL_4_12_0, espflash},
    emulator::{flasher, modem_library},
};

/// Where the image is written, and its length: enough for several blocks of every protocol.
const AT: u32 = 0x1000;
const BYTES: usize = 0x5000;
/// Clients at once: they wait for each other's start-up more than they compute.
const WORKERS: usize = 4;
/// espflash only takes ports that sysfs lists.
const ALIAS: &str = "/dev/ttyS0";
/// Write enable and busy: not the subject.
const VOLATILE_BITS: u8 = 0x03;

/// A column.
#[derive(Debug, Clone)]
enum Column {
    Esptool(Client),
    Espflash(Option<PathBuf>),
    Flasher { unprotect: bool },
}

impl Column {
    fn all() -> Vec<Self> {
        let esptool = WITH_STUB.into_iter().chain(WITHOUT_STUB).map(Self::Esptool);
        let others = [Self::Espflash(espflash()), Self::flasher(false), Self::flasher(true)];
        esptool.chain(others).collect()
    }

    const fn flasher(unprotect: bool) -> Self {
        Self::Flasher { unprotect }
    }

    fn title(&self) -> String {
        match self {
            Self::Esptool(client) => client.name(),
            Self::Espflash(_) => "espflash 4.7.0".to_owned(),
            Self::Flasher { unprotect: false } => "flasher".to_owned(),
            Self::Flasher { unprotect: true } => "flasher --unprotect".to_owned(),
        }
    }

    /// Flashes `file`; `None` if the client cannot be had. espflash waits for less than a loaded
    /// machine may need, so it may try again.
    fn write(&self, bench: &Bench, file: &str) -> Option<Said> {
        let mut said = self.try_to_write(bench, file)?;
        for _ in 0..3 {
            if said.success || !said.text.contains("Timeout while running") {
                break;
            }
            said = self.try_to_write(bench, file)?;
        }
        Some(said)
    }

    fn try_to_write(&self, bench: &Bench, file: &str) -> Option<Said> {
        bench.enter_download_mode();
        let at = format!("{AT:#x}");
        match self {
            // As with its default of a hard reset, a session without a stub ends without FLASH_END.
            Self::Esptool(client) => {
                client.run_after(bench, "no_reset", &["write_flash", &at, file])
            }
            Self::Espflash(client) => {
                let mut command = Command::new(client.as_ref()?);
                bench.lend_lines(&mut command, &modem_library(), ALIAS);
                command.args(["--skip-update-check", "write-bin", "--chip", "esp32"]);
                command.args(["--after", "no-reset", "--port", ALIAS, &at, file]);
                Some(command.output().expect("it runs").into())
            }
            Self::Flasher { unprotect } => {
                let mut command = flasher();
                // It journals old register values in its folder.
                command.current_dir(Path::new(file).parent().expect("a folder"));
                command.args(["--port", bench.port(), "--before", "none", "--after", "none"]);
                command.args(["--no-progress", "write"]);
                if *unprotect {
                    command.arg("--unprotect");
                }
                Some(command.args([&at, file]).output().expect("it runs").into())
            }
        }
    }
}

/// What came of it, in the words of the table.
fn outcome(column: &Column, said: &Said, held: bool) -> String {
    if said.success {
        return if held { "verified" } else { "**false success**" }.to_owned();
    }
    if matches!(column, Column::Flasher { .. }) {
        return match said.code {
            Some(6) => "verify failed".to_owned(),
            Some(7) => "told: protected".to_owned(),
            Some(8) => "told: protected for good".to_owned(),
            code => format!("exit {}", code.unwrap_or(-1)),
        };
    }
    let known = [
        ("MD5 of file does not match", "MD5 mismatch"),
        ("flash region is empty", "region is empty"),
        ("result was 0105", "error 0105"),
        ("01050000", "error 0105"),
        ("Verification of flash content failed", "verification failed"),
    ];
    let found = known.iter().find(|(text, _)| said.text.contains(text));
    let last = said.text.lines().rev().find(|line| !line.trim().is_empty());
    found
        .map_or_else(|| last.unwrap_or("no word").trim().to_owned(), |(_, word)| (*word).to_owned())
}

/// Plays the case to its first write that fails, with this client's writes; then that write.
fn cell(name: &str, column: &Column, images: &[String; 2]) -> Option<String> {
    let mut loaded = case::load(name).expect("a built-in case");
    let story = loaded.file.case.clone().expect("a case has its story");
    // No client here ends a session with the ROM by FLASH_END; somebody else's did (S0).
    let flash_end = |step: &Step| matches!(step, Step::Write(write) if write.flash_end);
    let ended = story.play.iter().any(flash_end);
    if ended {
        loaded.file.flash.registers.insert(RegisterName::Sr1, 0x1C);
    }
    let bench = Bench::loaded(loaded);
    let failing =
        |step: &Step| matches!(step, Step::Write(write) if write.expect != WriteOutcome::Verifies);
    let any = |step: &Step| matches!(step, Step::Write(_));
    let end = story.play.iter().position(failing).or_else(|| story.play.iter().position(any));
    for step in story.play.iter().take(end.unwrap_or(story.play.len())) {
        match step {
            Step::Write(_) if ended => {}
            Step::Write(_) => {
                let said = column.write(&bench, &images[0])?;
                if !said.success {
                    return Some(format!("first write: {}", outcome(column, &said, false)));
                }
            }
            // A boot that comes to nothing leaves the flash as it is.
            Step::Boot(boot) if boot.expect.is_some() => {}
            Step::Boot(_) => bench.boot(),
            Step::WriteStatus(write) => {
                bench.enter_download_mode();
                let (bytes, value) = (write.bytes.to_string(), format!("{:#x}", write.value));
                let args = ["write_flash_status", "--bytes", &bytes, "--non-volatile", &value];
                Client { release: ESPTOOL_4_12_0, stub: Stub::V1 }.run(&bench, &args)?;
            }
            _ => {}
        }
    }
    let said = column.write(&bench, &images[1])?;
    let held = bench.cells(AT, BYTES) == bootable(2, BYTES);
    let [sr1, sr2, _] = bench.status();
    let status = u16::from_le_bytes([sr1 & !VOLATILE_BITS, sr2]);
    Some(format!("{}, {status:#06x}", outcome(column, &said, held)))
}

/// All cells, a row a case, by a few workers.
fn measure(cases: &[&str], columns: &[Column], images: &[String; 2]) -> Vec<Vec<Option<String>>> {
    let work = cases.iter().enumerate().flat_map(|(row, name)| {
        columns.iter().enumerate().map(move |(column, client)| (row, *name, column, client))
    });
    let work = Mutex::new(work);
    let table = Mutex::new(vec![vec![None; columns.len()]; cases.len()]);
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let next = work.lock().expect("no worker panicked").next();
                    let Some((row, name, column, client)) = next else { break };
                    let text = cell(name, client, images);
                    table.lock().expect("no worker panicked")[row][column] = text;
                }
            });
        }
    });
    table.into_inner().expect("no worker panicked")
}

/// The cells of a Markdown table's line.
fn split(line: &str) -> Vec<String> {
    line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
}

fn table_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hosted/snapshots/matrix.md")
}

#[test]
fn every_client_on_every_case_is_as_in_the_committed_table() {
    let folder = tempfile::tempdir().expect("a folder");
    let images = [1, 2].map(|seed| {
        let file = folder.path().join(format!("{seed}.bin"));
        fs::write(&file, bootable(seed, BYTES)).expect("a file");
        file.to_str().expect("UTF-8").to_owned()
    });
    let committed = fs::read_to_string(table_file()).unwrap_or_default();
    let known: Vec<Vec<String>> =
        committed.lines().filter(|line| line.starts_with('|')).map(split).collect();
    let old = |case: &str, title: &str| {
        let column = known.first()?.iter().position(|cell| cell == title)?;
        known.iter().find(|row| row[0] == case)?.get(column).cloned()
    };
    let (cases, columns): (Vec<_>, _) = (case::list().collect(), Column::all());
    let titles: Vec<String> = columns.iter().map(Column::title).collect();
    let rows = measure(&cases, &columns, &images);
    let mut text =
        format!("| case | {} |\n|---{}|\n", titles.join(" | "), "|---".repeat(titles.len()));
    for (name, row) in cases.iter().zip(rows) {
        let cells = row.into_iter().zip(&titles).map(|(cell, title)| {
            cell.or_else(|| old(name, title)).unwrap_or_else(|| "not tried".to_owned())
        });
        let cells: Vec<String> = cells.collect();
        let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
    }
    if env::var_os("UPDATE_MATRIX").is_some() {
        fs::create_dir_all(table_file().parent().expect("a folder")).expect("a folder");
        fs::write(table_file(), &text).expect("the table");
    } else {
        assert_eq!(text, committed, "UPDATE_MATRIX=1 cargo test --test hosted matrix");
    }
}

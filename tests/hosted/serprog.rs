//! Stock flashrom on the board's flash, over serprog.

use std::{fs, path::Path, process::Command};

use esp32_emulator::{
    case::CaseBoard,
    transport::{fronts::Fronts, server::Handle},
};
use spi_nor::part::RegisterName;

use crate::{clients, emulator};

mod parts;
mod set;

/// Where Debian puts it; not in an ordinary user's PATH.
const FLASHROM: [&str; 2] = ["/usr/sbin/flashrom", "/usr/local/sbin/flashrom"];

/// flashrom, installed if it can be; `None` after a loud message if not.
fn flashrom() -> Option<Command> {
    let find = || FLASHROM.into_iter().find(|path| Path::new(path).is_file()).map(Command::new);
    find().or_else(|| {
        let install = Command::new("apt-get").args(["install", "-y", "flashrom"]).output();
        let reason = match install {
            Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
            Err(error) => error.to_string(),
        };
        let found = find();
        if found.is_none() {
            clients::skip("flashrom", &reason);
        }
        found
    })
}

struct Bench {
    board: Handle<CaseBoard>,
    programmer: String,
    chip: &'static str,
}

impl Bench {
    fn new(part: &str, chip: &'static str) -> Self {
        let (board, address) = emulator::serve(part, Fronts::listen_serprog);
        Self { board, programmer: format!("serprog:ip={address}"), chip }
    }

    /// Runs flashrom; whether it succeeded and what it said.
    fn run(&self, args: &[&str]) -> Option<(bool, String)> {
        let mut command = flashrom()?;
        command.args(["-p", &self.programmer, "-c", self.chip]).args(args);
        let output = command.output().expect("flashrom runs");
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        Some((output.status.success(), text))
    }

    fn ok(&self, args: &[&str]) -> Option<String> {
        let (success, text) = self.run(args)?;
        assert!(success, "flashrom {args:?} failed:\n{text}");
        Some(text)
    }
}

fn path_text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are UTF-8")
}

#[test]
fn the_part_is_identified() {
    let (_board, address) = emulator::serve("W25Q32JV", Fronts::listen_serprog);
    let Some(mut command) = flashrom() else { return };
    let output = command.args(["-p", &format!("serprog:ip={address}")]).output().expect("runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("Winbond") && text.contains("4096 kB"), "{text}");
}

#[test]
fn protection_is_read_set_and_lifted() {
    let bench = Bench::new("W25Q128FV", "W25Q128.V");
    let Some(text) = bench.ok(&["--wp-status"]) else { return };
    assert!(text.contains("start=0x00000000 length=0x00000000 (none)"), "{text}");

    bench.ok(&["--wp-range", "0x00c00000,0x00400000"]);
    let protected = bench.board.with(|board| board.flash().nor().protected());
    assert_eq!(protected.expect("it serves"), 0xC0_0000..0x100_0000);
    let text = bench.ok(&["--wp-status"]).expect("installed above");
    assert!(text.contains("start=0x00c00000 length=0x00400000"), "{text}");

    bench.ok(&["--wp-range", "0,0"]);
    let status = bench.board.with(|board| board.flash().nor().register(RegisterName::Sr1));
    assert_eq!(status.expect("it serves") & 0x7C, 0);
}

#[test]
fn an_image_is_written_verified_and_read_back() {
    let bench = Bench::new("W25Q32JV", "W25Q32.V");
    let folder = tempfile::tempdir().expect("a folder");
    let mut random = fastrand::Rng::with_seed(915);
    let mut image = vec![0xFF; 4 << 20];
    for byte in image.iter_mut().skip(0x1000).take(0x2_3456) {
        *byte = random.u8(..);
    }
    let (written, read) = (folder.path().join("written"), folder.path().join("read"));
    fs::write(&written, &image).expect("a file");
    let Some(text) = bench.ok(&["-w", path_text(&written)]) else { return };
    assert!(text.contains("VERIFIED"), "{text}");
    bench.ok(&["-r", path_text(&read)]);
    assert!(fs::read(&read).expect("flashrom wrote it") == image);
    let cells = bench.board.with(|board| {
        let mut cells = vec![0; 4 << 20];
        board.flash().nor().read_cells(0, &mut cells);
        cells
    });
    assert!(cells.expect("it serves") == image);
    bench.ok(&["-E"]);
    let blank = bench.board.with(|board| {
        let mut cells = vec![0; 4 << 20];
        board.flash().nor().read_cells(0, &mut cells);
        cells.iter().all(|byte| *byte == 0xFF)
    });
    assert!(blank.expect("it serves"));
}

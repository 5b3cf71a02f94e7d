//! The eFuse controller as espefuse sees it, of both generations of the tool.
//!
//! Each command is a process of its own with a board of its own: what is burned lives in the file
//! beside the flash image, so every test is also one of persistence.

use std::{fs, path::Path, process::Command};

use crate::{
    client::Said,
    clients::{ESPTOOL_4_5_1, ESPTOOL_5, Esptool},
    emulator::emulator,
};

const RELEASES: [Esptool; 2] = [ESPTOOL_4_5_1, ESPTOOL_5];

/// A chip that keeps its eFuses in a folder.
struct Chip {
    release: Esptool,
    folder: tempfile::TempDir,
}

impl Chip {
    /// A chip with these lines in its board file, and espefuse for it; `None` after a loud message.
    fn new(release: Esptool, lines: &str) -> Option<Self> {
        release.espefuse()?;
        let folder = tempfile::tempdir().expect("a folder");
        let board = format!("[flash]\npart = \"W25Q32JV\"\n{lines}");
        fs::write(folder.path().join("board.toml"), board).expect("a file");
        Some(Self { release, folder })
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    /// A file of `count` bytes that count up from `first`.
    fn file(&self, name: &str, first: u8, count: u8) -> String {
        let bytes: Vec<u8> = (first..first + count).collect();
        fs::write(self.folder.path().join(name), bytes).expect("a file");
        self.path(name)
    }

    fn run(&self, client: &Command, args: &[&str]) -> Said {
        let mut exec = emulator();
        exec.args(["exec", "--board", &self.path("board.toml")]);
        exec.args(["--flash", &self.path("flash.bin"), "--"]);
        exec.arg(client.get_program()).args(client.get_args()).args(args);
        exec.output().expect("the emulator runs").into()
    }

    fn espefuse(&self, args: &[&str]) -> Said {
        let client = self.release.espefuse().expect("it was there");
        self.run(&client, &[&["--port", "{port}", "--do-not-confirm"], args].concat())
    }

    /// Burns and demands success.
    #[track_caller]
    fn burn(&self, args: &[&str]) -> String {
        self.espefuse(args).says("Successful").done()
    }

    /// The lines of the summary from the one that begins with `field`, two of them: long values
    /// are on the second.
    #[track_caller]
    fn field(&self, field: &str) -> String {
        let text = self.espefuse(&["summary"]).done();
        let mut lines = text.lines().skip_while(|line| !line.starts_with(field));
        let found = [lines.next(), lines.next()].map(|line| line.unwrap_or_default().to_owned());
        assert!(!found[0].is_empty(), "no {field} in:\n{text}");
        found.join("\n")
    }
}

/// Bytes as the summary has them.
fn hex(bytes: impl IntoIterator<Item = u8>) -> String {
    bytes.into_iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

#[test]
fn bits_are_burned_and_never_cleared() {
    for release in RELEASES {
        let Some(chip) = Chip::new(release, "") else { return };
        let blank = chip.field("MAC (BLOCK0)");
        assert!(blank.contains("24:0a:c4:00:00:01 (CRC 0xbe OK) R/W"), "{blank}");
        chip.burn(&["burn_efuse", "JTAG_DISABLE", "1", "FLASH_CRYPT_CNT", "1"]);
        let burned = chip.field("JTAG_DISABLE");
        assert!(burned.contains("= True R/W"), "{burned}");
        chip.espefuse(&["burn_efuse", "JTAG_DISABLE", "0"]).failed();
        chip.burn(&["burn_bit", "BLOCK3", "5", "200"]);
        chip.burn(&["burn_bit", "BLOCK3", "6"]);
        let bits = chip.field("BLOCK3 (BLOCK3)");
        let mut block = [0; 32];
        (block[0], block[25]) = (0x60, 0x01);
        assert!(bits.contains(&hex(block)), "{bits}");
        chip.espefuse(&["check_error"]).says("No errors detected").done();
        chip.espefuse(&["adc_info"]).says("1093").done();
    }
}

#[test]
fn keys_blocks_and_protection() {
    for release in RELEASES {
        let Some(chip) = Chip::new(release, "") else { return };
        let key = chip.file("key", 1, 32);
        chip.burn(&["burn_key", "flash_encryption", &key]);
        let hidden = chip.field("BLOCK1 (BLOCK1)");
        assert!(hidden.contains("?? ?? ??") && hidden.contains("-/-"), "{hidden}");
        let data = chip.file("data", 64, 32);
        chip.burn(&["burn_block_data", "BLOCK3", &data]);
        assert!(chip.field("BLOCK3 (BLOCK3)").contains(&hex(64..96)));
        chip.burn(&["write_protect_efuse", "BLOCK3"]);
        assert!(chip.field("BLOCK3 (BLOCK3)").contains("R/-"));
        // The tool refuses by itself; told to go on, it finds that the controller did nothing.
        let ones = chip.file("ones", 96, 32);
        chip.espefuse(&["burn_block_data", "BLOCK3", &ones]).failed();
        assert!(chip.field("BLOCK3 (BLOCK3)").contains(&hex(64..96)));
        chip.burn(&["read_protect_efuse", "BLOCK2"]);
        assert!(chip.field("BLOCK2 (BLOCK2)").contains("-/W"));
        chip.burn(&["write_protect_efuse", "RD_DIS"]);
        chip.espefuse(&["read_protect_efuse", "BLOCK3"]).failed();
    }
}

#[test]
fn a_custom_mac_and_the_flash_voltage() {
    for release in RELEASES {
        let Some(chip) = Chip::new(release, "") else { return };
        chip.espefuse(&["get_custom_mac"]).says("not set").done();
        chip.burn(&["burn_custom_mac", "24:0a:c4:01:02:03"]);
        let custom = chip.espefuse(&["get_custom_mac"]).done();
        assert!(custom.contains("version 1: 24:0a:c4:01:02:03 (CRC 0x38 OK)"), "{custom}");
        chip.burn(&["set_flash_voltage", "3.3V"]);
        let summary = chip.espefuse(&["summary"]).done();
        assert!(summary.contains("set to 3.3V by"), "{summary}");
    }
}

#[test]
fn three_quarters_coding_and_what_a_second_burn_does_to_it() {
    for release in RELEASES {
        let Some(chip) = Chip::new(release, "[efuse]\ncoding-scheme = \"three-quarters\"\n") else {
            return;
        };
        let key = chip.file("key", 1, 24);
        chip.burn(&["burn_key", "--no-protect-key", "secure_boot_v1", &key]);
        let shown = chip.field("BLOCK2 (BLOCK2)");
        assert!(shown.contains(&hex((1..25).rev())) && shown.contains("R/W"), "{shown}");
        chip.espefuse(&["check_error"]).says("No errors detected").done();
        let other = chip.file("other", 96, 24);
        let again = ["burn_block_data", "BLOCK2", &other];
        chip.espefuse(&again).failed();
        chip.espefuse(&[&["burn_block_data", "--force-write-always"], &again[1..]].concat());
        chip.espefuse(&["check_error"]).says("BLOCK2").failed();
    }
}

#[test]
fn a_burned_board_file_shows_what_espefuse_would_have_burned() {
    let lines = "[efuse]\ncustom-mac = \"24:0a:c4:01:02:03\"\nread-disable = 1\n\
                 write-disable = 0x80\nflash-crypt-count = 1\nflash-crypt-config = 15\n\
                 secure-boot-key = \"0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20\"\n";
    for release in RELEASES {
        let Some(chip) = Chip::new(release, lines) else { return };
        let custom = chip.espefuse(&["get_custom_mac"]).done();
        assert!(custom.contains("version 1: 24:0a:c4:01:02:03 (CRC 0x38 OK)"), "{custom}");
        assert!(chip.field("BLOCK1 (BLOCK1)").contains("-/-"));
        assert!(chip.field("BLOCK2 (BLOCK2)").contains(&hex((1..33).rev())));
        assert!(chip.field("FLASH_CRYPT_CNT").contains("= 1 R/W"));
        assert!(chip.field("FLASH_CRYPT_CONFIG").contains("(0xf)"));
    }
}

#[test]
fn the_download_mode_can_be_burned_away() {
    let Some(chip) = Chip::new(ESPTOOL_5, "") else { return };
    chip.burn(&["burn_efuse", "UART_DOWNLOAD_DIS", "1"]);
    assert!(Path::new(&chip.path("flash.bin.efuses")).is_file());
    let esptool = ESPTOOL_5.command().expect("it was there");
    let args = ["--port", "{port}", "--connect-attempts", "1", "--no-stub", "read-mac"];
    chip.run(&esptool, &args).says("Failed to connect").failed();
}

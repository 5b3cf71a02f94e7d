//! What the hardware tests of flashing tools ask of an ESP32 besides: flash encryption, a second
//! flash, parts of 32 MiB, memory that reads back, wrong reset sequences. All clients run with
//! their default resets.

use std::fs;

use crate::{
    client::Said,
    clients::{ESPTOOL_4_5_1, ESPTOOL_5, ESPTOOLS, Esptool},
    emulator::emulator,
};

/// A board file in a folder, and the files of a test.
struct Board {
    folder: tempfile::TempDir,
}

impl Board {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("board.toml"), text).expect("a file");
        Self { folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    fn file(&self, name: &str, content: &[u8]) -> String {
        fs::write(self.folder.path().join(name), content).expect("a file");
        self.path(name)
    }

    fn noise(&self, name: &str, bytes: usize) -> (String, Vec<u8>) {
        let mut random = fastrand::Rng::with_seed(bytes as u64);
        let content: Vec<u8> = (0..bytes).map(|_| random.u8(..)).collect();
        (self.file(name, &content), content)
    }

    /// esptool under `exec` with `options`.
    fn esptool(&self, release: Esptool, options: &[&str], args: &[&str]) -> Option<Said> {
        let client = release.command()?;
        let mut exec = emulator();
        exec.current_dir(self.folder.path());
        exec.args(["exec", "--board", &self.path("board.toml")]).args(options).arg("--");
        exec.arg(client.get_program()).args(["-m", "esptool", "--port", "{port}"]).args(args);
        Some(exec.output().expect("the emulator runs").into())
    }

    /// Several runs of esptool at one board, one after the other; all have to succeed.
    fn session(&self, release: Esptool, runs: &[&[&str]]) -> Option<String> {
        let client = release.command()?;
        let program = client.get_program().to_str().expect("UTF-8");
        let lines: Vec<String> = runs
            .iter()
            .map(|args| format!("{program} -m esptool --port {{port}} {}", args.join(" ")))
            .collect();
        let mut exec = emulator();
        exec.current_dir(self.folder.path());
        exec.args(["exec", "--board", &self.path("board.toml"), "--", "sh", "-ec"]);
        exec.arg(lines.join("\n"));
        Some(Said::from(exec.output().expect("the emulator runs")).done())
    }
}

const KEY: &str = "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20";

/// What espsecure of the same release makes of `plain` at 0x10000.
fn encrypted(
    board: &Board,
    release: Esptool,
    key: &str,
    config: &str,
    plain: &[u8],
) -> Option<String> {
    let mut padded = plain.to_vec();
    padded.resize(plain.len().next_multiple_of(32), 0xFF);
    let plain = board.file("padded.bin", &padded);
    let out = board.path("encrypted.bin");
    let mut espsecure = release.espsecure()?;
    let is_old = release.version.starts_with("4.");
    let (command, conf) = if is_old {
        ("encrypt_flash_data", "--flash_crypt_conf")
    } else {
        ("encrypt-flash-data", "--flash-crypt-conf")
    };
    espsecure.args([command, "--keyfile", key, "--address", "0x10000", conf, config]);
    espsecure.args(["--output", &out, &plain]);
    Said::from(espsecure.output().expect("python runs")).done();
    Some(out)
}

#[test]
fn encrypted_writes_are_what_espsecure_makes() {
    let efuses = format!(
        "[flash]\npart = \"W25Q32JV\"\n[efuse]\nflash-encryption-key = \"{KEY}\"\n\
         flash-crypt-config = 15\nread-disable = 1\nwrite-disable = 0x80\n"
    );
    for release in ESPTOOLS {
        let board = Board::new(&efuses);
        let key = board.file("key.bin", &(1..=32).collect::<Vec<u8>>());
        let (app, content) = board.noise("app.bin", 10_011);
        let Some(cipher) = encrypted(&board, release, &key, "15", &content) else { return };
        let (expected, plain) = (format!("{cipher}@0x10000"), format!("{app}@0x20000"));
        let options = ["--expect-flash", &expected];
        for form in [&["--encrypt"][..], &["--encrypt", "-z"], &["--encrypt", "-u"]] {
            let args = [&["write_flash"], form, &["0x10000", &app]].concat();
            let Some(said) = board.esptool(release, &options, &args) else { return };
            said.done();
        }
        let both = ["--expect-flash", &expected, "--expect-flash", &plain];
        let args = ["write_flash", "0x20000", &app, "--encrypt-files", "0x10000", &app];
        let Some(said) = board.esptool(release, &both, &args) else { return };
        said.says("Hash of data verified").done();
    }
}

#[test]
fn a_blank_key_is_refused_by_the_client_and_is_all_zeros_on_the_chip() {
    for (release, ignore) in [
        (ESPTOOL_4_5_1, "--ignore-flash-encryption-efuse-setting"),
        (ESPTOOL_5, "--ignore-flash-enc-efuse"),
    ] {
        let board = Board::new("[flash]\npart = \"W25Q32JV\"\n");
        let key = board.file("key.bin", &[0; 32]);
        let (app, content) = board.noise("app.bin", 4096);
        let refused = ["write_flash", "--encrypt", "0x10000", &app];
        let Some(said) = board.esptool(release, &[], &refused) else { return };
        said.says("encryption key is not programmed").failed();
        let Some(cipher) = encrypted(&board, release, &key, "0", &content) else { return };
        let options = ["--expect-flash", &format!("{cipher}@0x10000")];
        let args = ["write_flash", "--encrypt", ignore, "0x10000", &app];
        board.esptool(release, &options, &args).expect("it was there").done();
    }
}

#[test]
fn an_encrypted_application_boots_and_reads_as_cipher_text() {
    let efuses = format!(
        "[flash]\npart = \"W25Q32JV\"\n[efuse]\nflash-encryption-key = \"{KEY}\"\n\
         flash-crypt-config = 15\nflash-crypt-count = 1\n"
    );
    let board = Board::new(&efuses);
    let image = esp32_emulator::case::bootable(1, 4096);
    let app = board.file("app.bin", &image);
    let write = ["write_flash", "--force", "--encrypt", "0x1000", &app];
    let reads = [&write[..], &["read_flash", "0x1000", "4096", "read.bin"]];
    if board.session(ESPTOOL_5, &reads).is_none() {
        return;
    }
    let read = fs::read(board.path("read.bin")).expect("esptool made it");
    assert_ne!(read, image);
    let listen = "import serial, sys, time\n\
                  p = serial.Serial(sys.argv[1], 115200, timeout=1)\n\
                  p.dtr = False\np.rts = True\np.rts = False\nprint(p.read(600))\n";
    let script = board.file("listen.py", listen.as_bytes());
    let python = ESPTOOL_5.python().expect("it was there");
    let program = python.get_program().to_str().expect("UTF-8");
    for (content, boots) in [(&read, true), (&image, false)] {
        let image = "[flash.image]\nfile = { path = \"content.bin\", at = 0x1000 }\n";
        let board = Board::new(&format!("{efuses}{image}[chip]\nstrap = 0x13\n"));
        board.file("content.bin", content);
        let mut exec = emulator();
        exec.args(["exec", "--board", &board.path("board.toml"), "--"]);
        let said = Said::from(
            exec.args([program, &script, "{port}"]).output().expect("the emulator runs"),
        )
        .done();
        assert_eq!(said.contains("entry 0x40080400"), boots, "{said}");
        assert_eq!(said.contains("invalid header"), !boots, "{said}");
    }
}

#[test]
fn a_second_flash_on_hspi_or_custom_pins() {
    let first = "[flash]\npart = \"W25Q32JV\"\n[second-flash]\nflash = { part = \"GD25Q64C\" }\n";
    let gpio = "pins = { gpio = { clk = 6, q = 17, d = 8, hd = 11, cs = 16 } }\n";
    let hspi = "pins = \"hspi\"\n";
    for (pins, connection, release) in
        [(hspi, "HSPI", ESPTOOL_4_5_1), (gpio, "6,17,8,11,16", ESPTOOL_5)]
    {
        let board = Board::new(&format!("{first}{pins}"));
        let (one, ones) = board.noise("one.bin", 5000);
        let (two, twos) = board.noise("two.bin", 6000);
        let elsewhere = ["--spi-connection", connection];
        for stub in [&[][..], &["--no-stub"]] {
            let Some(said) = board.session(
                release,
                &[
                    &[stub, &["write_flash", "0x0", &one]].concat(),
                    &[stub, &["write_flash"], &elsewhere[..], &["0x0", &two]].concat(),
                    &[stub, &["read_flash"], &elsewhere[..], &["0", "6000", "b.bin"]].concat(),
                    &[stub, &["read_flash", "0", "5000", "a.bin"]].concat(),
                    &[stub, &["flash_id"], &elsewhere[..]].concat(),
                ],
            ) else {
                return;
            };
            assert!(said.contains("Device: 4017"), "{said}");
            assert_eq!(said.matches("Hash of data verified").count(), 2, "{said}");
            assert_eq!(fs::read(board.path("a.bin")).expect("read"), ones, "{connection}");
            assert_eq!(fs::read(board.path("b.bin")).expect("read"), twos, "{connection}");
        }
    }
}

#[test]
fn pins_without_a_flash_read_all_ones_or_zeros() {
    for (level, id) in [("high", "Device: ffff"), ("low", "Device: 0000")] {
        let text = format!("[flash]\npart = \"W25Q32JV\"\n[pins]\ndata-pull = \"{level}\"\n");
        let args = ["--no-stub", "flash_id", "--spi-connection", "HSPI"];
        let Some(said) = Board::new(&text).esptool(ESPTOOL_5, &[], &args) else { return };
        said.says(id).says("Failed to communicate with the flash chip").done();
    }
}

/// An ESP32 addresses 16 MiB: what is written behind them lands in the lower half.
#[test]
fn a_part_of_32_mib() {
    let board = Board::new("[flash]\npart = \"W25Q256FV\"\n");
    let (image, content) = board.noise("image.bin", 1024);
    for stub in [&[][..], &["--no-stub"]] {
        let Some(said) = board.session(
            ESPTOOL_5,
            &[
                &[stub, &["flash_id"]].concat(),
                &[stub, &["write_flash", "0x1fffc00", &image]].concat(),
                &[stub, &["read_flash", "0xfffc00", "1024", "low.bin"]].concat(),
            ],
        ) else {
            return;
        };
        assert!(said.contains("Detected flash size: 32MB"), "{said}");
        assert!(said.contains("Hash of data verified"), "{said}");
        assert_eq!(fs::read(board.path("low.bin")).expect("read"), content);
        let args = [stub, &["read_flash", "0x1fffc00", "1024", "high.bin"]].concat();
        let said = board.esptool(ESPTOOL_5, &[], &args).expect("it was there");
        said.says("larger than 16MB").failed();
    }
}

#[test]
fn security_info_is_refused() {
    let board = Board::new("[flash]\npart = \"W25Q32JV\"\n");
    for release in ESPTOOLS {
        let Some(said) = board.esptool(release, &[], &["get_security_info"]) else { return };
        said.says("Failed to get security info (result was FF00").failed();
        let said = board.esptool(release, &[], &["--no-stub", "get_security_info"]);
        said.expect("it was there").failed();
    }
}

/// RTC memory through both buses, RTC slow memory and RAM, with the ROM and with the stub.
#[test]
fn memory_reads_back() {
    let script = "import sys, esptool\n\
                  port = sys.argv[1]\n\
                  esp = esptool.get_default_connected_device([port], port, 10, 115200, 'esp32')\n\
                  for stub in (False, True):\n\
                  \x20   esp = esp.run_stub() if stub else esp\n\
                  \x20   for at in (0x3FF80000, 0x400C0000, 0x50000000, 0x3FFD0000):\n\
                  \x20       old = esp.read_reg(at)\n\
                  \x20       for value in (0x1234567, 0):\n\
                  \x20           esp.write_reg(at, value, delay_us=100)\n\
                  \x20           assert esp.read_reg(at) == value, hex(at)\n\
                  \x20       esp.write_reg(at, old)\n\
                  print('all read back')\n";
    for release in ESPTOOLS {
        let board = Board::new("[flash]\npart = \"W25Q32JV\"\n");
        let script = board.file("memory.py", script.as_bytes());
        let Some(python) = release.python() else { return };
        let mut exec = emulator();
        exec.args(["exec", "--board", &board.path("board.toml"), "--"]).arg(python.get_program());
        let output = exec.args([&script, "{port}"]).output().expect("the emulator runs");
        Said::from(output).says("all read back").done();
        let Some(said) = board.session(
            release,
            &[
                &["write_mem", "0x400C0000", "0xabad1dea", "0x0000ffff"],
                &["dump_mem", "0x50000000", "128", "dump.bin"],
            ],
        ) else {
            return;
        };
        assert!(said.contains("abad1dea"), "{said}");
        assert_eq!(fs::metadata(board.path("dump.bin")).expect("made").len(), 128);
    }
}

#[test]
fn a_reset_sequence_that_leaves_gpio0_high_does_not_enter_the_loader() {
    let board = Board::new("[flash]\npart = \"W25Q32JV\"\n[chip]\nstrap = 0x13\n");
    let sequence = "[esptool]\ncustom_reset_sequence = D0|W0.1|R1|R0|W0.1|R1|R0\n\
                    connect_attempts = 1\n";
    board.file("esptool.cfg", sequence.as_bytes());
    for release in ESPTOOLS {
        let Some(said) = board.esptool(release, &[], &["flash_id"]) else { return };
        // Which of two words for it depends on what the booting chip says meanwhile.
        said.says("Failed to connect to").failed();
    }
    // The right one by hand.
    board.file("esptool.cfg", b"[esptool]\ncustom_reset_sequence = D0|R1|W0.1|D1|R0|W0.05|D0\n");
    for release in ESPTOOLS {
        let said = board.esptool(release, &[], &["flash_id"]).expect("it was there");
        said.says("Device: 4016").done();
    }
}

#[test]
fn a_stub_outlives_the_port() {
    let board = Board::new("[flash]\npart = \"W25Q32JV\"\n[chip]\nstrap = 0x13\n");
    for release in ESPTOOLS {
        let Some(said) = board.session(
            release,
            &[
                &["--after", "no_reset_stub", "flash_id"],
                &["--before", "no_reset", "--after", "no_reset_stub", "flash_id"],
                &["--before", "no_reset", "flash_id"],
            ],
        ) else {
            return;
        };
        assert_eq!(said.matches("Device: 4016").count(), 3, "{said}");
    }
}

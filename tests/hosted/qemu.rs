//! `emulator` under the name of Espressif's QEMU, with the options that suites pass.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    os::unix::fs::symlink,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use esp32_flasher::{
    port::{self, PortError},
    reset::ResetStrategy,
    session::Session,
    write::{Image, WriteOptions},
};

use crate::{clients::ESPTOOL_4_5_1, emulator::emulator};

/// A running look-alike, ended with the value.
struct Qemu(Child);

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts `qemu-system-xtensa` in `folder` on the image `flash.bin` there.
fn start(folder: &Path, more: &[&str]) -> Qemu {
    let link = folder.join("qemu-system-xtensa");
    if !link.exists() {
        symlink(emulator().get_program(), &link).expect("a link");
    }
    let mut command = Command::new(link);
    command.env_remove("ESP_EMULATOR_PART").current_dir(folder).stdout(Stdio::piped());
    command.args(["-machine", "esp32", "-drive", "file=flash.bin,if=mtd,format=raw"]);
    command.args(["-global", "driver=esp32.gpio,property=strap_mode,value=0x0f"]);
    Qemu(command.args(more).spawn().expect("the emulator runs"))
}

fn connect(name: &str) -> Session {
    for _ in 0..200 {
        match port::open(name, 115_200) {
            Ok(port) => {
                let mut session = Session::new(port);
                session.connect(&[ResetStrategy::none()], 5).expect("it answers");
                return session;
            }
            Err(PortError::Open { .. }) => pause(),
            Err(error) => panic!("{name}: {error}"),
        }
    }
    panic!("nobody listens at {name}");
}

#[expect(clippy::disallowed_methods, reason = "another process is waited for")]
fn pause() {
    std::thread::sleep(Duration::from_millis(50));
}

fn random(len: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(9);
    std::iter::repeat_with(|| random.u8(..)).take(len).collect()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
    listener.local_addr().expect("it is bound").port()
}

#[test]
fn images_of_every_size_are_written_through_over_tcp() {
    for mib in [2_usize, 4, 8, 16] {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("flash.bin");
        fs::write(&file, vec![0xFF; mib << 20]).expect("a file");
        let port = free_port();
        let serial = format!("tcp::{port},server,nowait");
        let qemu = start(folder.path(), &["-display", "none", "-nographic", "-serial", &serial]);
        let mut session = connect(&format!("socket://localhost:{port}"));
        let id = session.attach_flash().expect("a flash").jedec;
        assert_eq!(1_usize << id[2], mib << 20, "{id:02x?}");
        let data = random(70_000);
        let offset = u32::try_from((mib << 20) - 0x2_0000).expect("it is small");
        let image = Image { name: "random".to_owned(), offset, data: data.clone() };
        let written = session.write_image(&image, WriteOptions::default(), &mut |_| {});
        written.expect("it verifies");
        // The APB alias is the same register: SPI1's clock setting, and the strap.
        for (register, alias) in [(0x3FF4_2018, 0x6000_2018), (0x3FF4_4038, 0x6000_4038)] {
            let value = session.read_register(register).expect("a register");
            assert_eq!(session.read_register(alias).expect("its alias"), value);
        }
        assert_eq!(session.read_register(0x6000_4038).expect("the strap"), 0x0F);
        drop((session, qemu));
        let image = fs::read(&file).expect("the image");
        let begin = offset as usize;
        assert!(image[begin..begin + data.len()] == data, "{mib} MiB");
        assert!(image[..begin].iter().all(|byte| *byte == 0xFF), "{mib} MiB");
    }
}

#[test]
fn esptool_works_on_the_pty_that_is_told_as_qemu_tells_it() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("flash.bin"), vec![0xFF; 4 << 20]).expect("a file");
    let mut qemu = start(folder.path(), &["-nographic", "-serial", "pty"]);
    let mut line = String::new();
    let out = qemu.0.stdout.take().expect("piped");
    BufReader::new(out).read_line(&mut line).expect("it says where");
    let port = line.strip_prefix("char device redirected to ").expect("as QEMU says it");
    let (port, label) = port.trim_end().split_once(' ').expect("port and label");
    assert_eq!(label, "(label serial0)");
    let Some(mut esptool) = ESPTOOL_4_5_1.command() else { return };
    esptool.args(["--port", port, "--before", "no_reset", "--after", "no_reset", "flash_id"]);
    let output = esptool.output().expect("the interpreter runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("Detected flash size: 4MB"), "{text}");
}

/// What QEMU's documents give for a chip of revision 3 without a MAC.
fn efuse_image() -> Vec<u8> {
    let mut bytes = vec![0; 124];
    (bytes[13], bytes[22]) = (0x80, 0x10);
    bytes
}

#[test]
fn the_efuse_drive_is_read_and_what_is_burned_is_written_through() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("flash.bin"), vec![0xFF; 4 << 20]).expect("a file");
    let file = folder.path().join("efuse.bin");
    fs::write(&file, efuse_image()).expect("a file");
    let drive = ["-drive", "file=efuse.bin,if=none,format=raw,id=efuse"];
    let global = ["-global", "driver=nvram.esp32.efuse,property=drive,value=efuse"];
    let mut qemu =
        start(folder.path(), &[&drive[..], &global, &["-nographic", "-serial", "pty"]].concat());
    let mut line = String::new();
    let out = qemu.0.stdout.take().expect("piped");
    BufReader::new(out).read_line(&mut line).expect("it says where");
    let port = line.split(' ').nth(4).expect("the port").to_owned();
    {
        let mut session = connect(&port);
        // Words 3 and 5 of block 0.
        for (register, bit) in [(0x3FF5_A00C, 15), (0x3FF5_A014, 20)] {
            let value = session.read_register(register).expect("a register");
            assert_eq!(value >> bit & 1, 1, "{register:#x} is {value:#010x}");
        }
    }
    let Some(mut espefuse) = ESPTOOL_4_5_1.espefuse() else { return };
    espefuse.args(["--chip", "esp32", "--port", &port, "--before", "no_reset"]);
    espefuse.args(["--do-not-confirm", "burn_bit", "BLOCK3", "5", "200"]);
    let output = espefuse.output().expect("the interpreter runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("Successful"), "{text}");
    let mut wanted = efuse_image();
    (wanted[28 + 64], wanted[28 + 64 + 25]) = (0x20, 0x01);
    assert_eq!(fs::read(&file).expect("the file"), wanted);
    let missing = start(folder.path(), &[&global[..], &["-serial", "pty"]].concat()).0.wait();
    assert_eq!(missing.expect("a child").code(), Some(2), "no drive has the id");
}

#[test]
fn what_it_cannot_do_ends_it_with_words() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("flash.bin"), vec![0xFF; 3 << 20]).expect("a file");
    let mut qemu = start(folder.path(), &["-serial", "pty"]);
    assert_eq!(qemu.0.wait().expect("a child").code(), Some(2), "no part has 3 MiB");
    let version = Command::new(folder.path().join("qemu-system-xtensa")).arg("--version").output();
    assert!(version.expect("the emulator runs").status.success());
}

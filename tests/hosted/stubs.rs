//! Stock esptool with its own stubs, executed by the board, over the PTY.

use std::{fs, io::Read as _, path::Path, time::Duration};

use esp32_emulator::board::Mode;

use crate::{
    bench::Bench,
    client::{Client, Said, Stub, WITH_STUB},
    ram_image,
};

/// Bytes that do not compress.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..length).map(|_| random.u8(..)).collect()
}

fn save(folder: &Path, name: &str, content: &[u8]) -> String {
    let file = folder.join(name);
    fs::write(&file, content).expect("a file");
    file.to_str().expect("UTF-8").to_owned()
}

/// A second command to the same stub, so the client is there.
fn again(client: Client, bench: &Bench, args: &[&str]) -> Said {
    client.run(bench, args).expect("installed above").says("already running")
}

#[test]
fn write_verify_read_and_erase_through_every_stub() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    for (seed, client) in (0..).zip(WITH_STUB) {
        // Not a multiple of 4, so the last word is padded by the client.
        let image = noise(70_001, seed);
        let file = save(folder, "image.bin", &image);
        let back = save(folder, "back.bin", &[]);
        let bench = Bench::part("W25Q32JV");
        bench.enter_download_mode();
        // At the first rate: the next client begins there, and the stub keeps the last one.
        let write = ["write_flash", "0x11000", &file];
        let Some(said) = client.run(&bench, &write) else { return };
        said.says("Hash of data verified").done();
        assert!(bench.cells(0x11000, 70_001) == image, "{client:?}");
        again(client, &bench, &["verify_flash", "0x11000", &file]).done();
        again(client, &bench, &["read_flash", "0x11000", "70001", &back]).done();
        assert!(fs::read(&back).expect("it was read") == image, "{client:?}");
        again(client, &bench, &["erase_region", "0x10000", "0x20000"]).done();
        assert!(bench.cells(0x11000, 70_001).iter().all(|byte| *byte == 0xFF));
        let other = again(client, &bench, &["verify_flash", "0x11000", &file]).failed();
        assert!(other.to_lowercase().contains("verif"), "{other}");
        again(client, &bench, &["write_flash", "0x0", &file]).done();
        again(client, &bench, &["erase_flash"]).done();
        assert!(bench.cells(0, 70_001).iter().all(|byte| *byte == 0xFF));
        assert_eq!(bench.denials(), 0, "{client:?}");
    }
}

#[test]
fn several_files_uncompressed_and_unaligned_through_every_stub() {
    let folder = tempfile::tempdir().expect("a folder");
    let images = [noise(5_000, 1), noise(4_097, 2), noise(333, 3)];
    let names = ["a.bin", "b.bin", "c.bin"];
    let [a, b, c] = [0, 1, 2].map(|n| save(folder.path(), names[n], &images[n]));
    let pairs = ["0x1000", &a, "0x8004", &b, "0x20010", &c];
    for client in WITH_STUB {
        for form in ["--compress", "--no-compress"] {
            let bench = Bench::part("GD25Q32C");
            bench.enter_download_mode();
            let args = [&["write_flash", form], &pairs[..]].concat();
            let Some(said) = client.run(&bench, &args) else { return };
            let text = said.done();
            assert_eq!(text.matches("Hash of data verified").count(), 3, "{text}");
            for (at, image) in [0x1000, 0x8004, 0x20010].into_iter().zip(&images) {
                assert!(bench.cells(at, image.len()) == *image, "{client:?} {form} {at:#x}");
            }
        }
    }
}

#[test]
fn status_registers_and_id_through_every_stub() {
    for client in WITH_STUB {
        let bench = Bench::part_with_status("W25Q32JV", [0x1C, 0, 0]);
        bench.enter_download_mode();
        let Some(said) = client.run(&bench, &["flash_id"]) else { return };
        said.says("Manufacturer: ef").says("Device: 4016").says("4MB").done();
        let read = ["read_flash_status", "--bytes", "2"];
        again(client, &bench, &read).says("0x001c").done();
        let write = ["write_flash_status", "--bytes", "2", "--non-volatile", "0"];
        again(client, &bench, &write).done();
        again(client, &bench, &read).says("0x0000").done();
        assert_eq!(bench.status()[..2], [0, 0]);
    }
}

#[test]
fn a_program_in_ram_prints_for_ever_and_the_board_can_still_be_reset() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = save(folder.path(), "ram.bin", &ram_image::prints_for_ever());
    for client in WITH_STUB {
        for stub in [client.stub, Stub::None] {
            let client = Client { stub, ..client };
            let bench = Bench::part("W25Q32JV");
            bench.enter_download_mode();
            let Some(said) = client.run(&bench, &["load_ram", &file]) else { return };
            said.says("40080404").says("Exiting immediately").done();
            let port = serialport::new(bench.port(), 115_200).timeout(Duration::from_secs(10));
            let mut printed = vec![0; 20_000];
            port.open().expect("the PTY").read_exact(&mut printed).expect("it prints");
            let tail = &printed[1000..];
            assert!(tail.iter().all(|byte| *byte == ram_image::PRINTED), "{client:?}");
            bench.enter_download_mode();
            client.run(&bench, &["flash_id"]).expect("installed above").says("Device: 4016").done();
        }
    }
}

#[test]
fn every_end_of_a_session() {
    for client in WITH_STUB {
        let bench = Bench::part("W25Q32JV");
        bench.enter_download_mode();
        // The legacy stub goes back to the ROM loader, which then takes the next stub; the newer one
        // has no such end and runs on (XTENSA section 1).
        let Some(said) = client.run_after(&bench, "no_reset", &["flash_id"]) else { return };
        said.done();
        let next = client.run(&bench, &["flash_id"]).expect("installed above");
        let uploads = client.stub == Stub::V1;
        next.says(if uploads { "Uploading" } else { "already running" }).done();
        again(client, &bench, &["run"]).done();
        bench.enter_download_mode();
        // By the modem lines: the blank flash then boots to nothing.
        let said = client.run_after(&bench, "hard_reset", &["flash_id"]).expect("installed above");
        said.says("Hard resetting").done();
        assert_ne!(bench.with(|board| board.mode()), Mode::Guest, "{client:?}");
        bench.enter_download_mode();
        let soft = client.run_after(&bench, "soft_reset", &["flash_id"]).expect("installed above");
        assert!(soft.text.contains("oft reset"), "{}", soft.text);
    }
}

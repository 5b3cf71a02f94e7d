//! Stock esptool, three releases, talking to the mask ROM (`--no-stub`) over the PTY.

use std::{fs, path::Path};

use crate::{
    bench::Bench,
    clients::{ESPTOOL_4_5_1, ESPTOOLS, Esptool},
};

/// What one run of a client said.
struct Run {
    success: bool,
    text: String,
}

/// Runs esptool on the bench's port without reset lines (a PTY has none); `None` if not installed.
fn esptool(bench: &Bench, release: Esptool, global: &[&str], args: &[&str]) -> Option<Run> {
    let mut command = release.command()?;
    command.args(["--chip", "esp32", "--port", bench.port()]);
    command.args(["--before", "no_reset", "--after", "no_reset"]).args(global).args(args);
    let output = command.output().expect("the interpreter runs");
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    Some(Run { success: output.status.success(), text })
}

/// Runs without the stub and demands success.
fn no_stub(bench: &Bench, release: Esptool, args: &[&str]) -> Option<String> {
    let run = esptool(bench, release, &["--no-stub"], args)?;
    assert!(run.success, "esptool {} {args:?} failed:\n{}", release.version, run.text);
    Some(run.text)
}

/// Bytes that neither compress to nothing nor repeat.
fn sample(length: usize, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..length).map(|i| if i % 3 == 0 { 0x5A } else { random.u8(..) }).collect()
}

fn path_text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are UTF-8")
}

#[test]
fn identity() {
    let bench = Bench::case("esptool-915");
    for release in ESPTOOLS {
        let Some(text) = no_stub(&bench, release, &["flash_id"]) else { return };
        for expected in ["ESP32-D0WD-V3", "v3.0", "40MHz", "c8", "4018", "16MB"] {
            assert!(text.contains(expected), "{expected} missing in {}:\n{text}", release.version);
        }
        let text = no_stub(&bench, release, &["read_mac"]).expect("installed above");
        assert!(text.contains("94:e6:86:24:8b:9c"), "{text}");
        let text = no_stub(&bench, release, &["chip_id"]).expect("installed above");
        assert!(text.contains("ESP32"), "{text}");
    }
}

#[test]
fn status_registers_are_read_and_written() {
    for release in ESPTOOLS {
        let bench = Bench::part("W25Q128FV");
        let Some(text) = no_stub(&bench, release, &["read_flash_status", "--bytes", "3"]) else {
            return;
        };
        assert!(text.contains("0x600000"), "factory status of the part:\n{text}");
        no_stub(
            &bench,
            release,
            &["write_flash_status", "--bytes", "2", "--non-volatile", "0x0204"],
        );
        assert_eq!(bench.status(), [0x04, 0x02, 0x60]);
        let text = no_stub(&bench, release, &["read_flash_status", "--bytes", "2"]).expect("ok");
        assert!(text.contains("0x0204"), "{text}");
        // The thread's cure.
        no_stub(&bench, release, &["write_flash_status", "--bytes", "2", "--non-volatile", "0"]);
        assert_eq!(bench.status(), [0x00, 0x00, 0x60]);
    }
}

#[test]
fn write_verify_read_erase() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let image = folder.path().join("image.bin");
    let back = folder.path().join("back.bin");
    let data = sample(40_000, 915);
    fs::write(&image, &data).expect("writable");
    for release in ESPTOOLS {
        for form in ["--compress", "--no-compress"] {
            let bench = Bench::part("W25Q32JV");
            let write = ["write_flash", form, "0x10000", path_text(&image)];
            let Some(text) = no_stub(&bench, release, &write) else { return };
            assert!(text.contains("Hash of data verified"), "{}:\n{text}", release.version);
            assert_eq!(bench.cells(0x1_0000, data.len()), data, "{} {form}", release.version);

            let text = no_stub(&bench, release, &["verify_flash", "0x10000", path_text(&image)])
                .expect("installed above");
            assert!(text.to_lowercase().contains("verif"), "{text}");

            no_stub(&bench, release, &["read_flash", "0x10000", "4096", path_text(&back)]);
            assert_eq!(fs::read(&back).expect("esptool wrote it"), data[..4096]);

            let erase = ["erase_region", "0x11000", "0x1000"];
            let run = esptool(&bench, release, &["--no-stub"], &erase).expect("installed above");
            let mut left = data.clone();
            if release == ESPTOOL_4_5_1 {
                // This client refuses by itself without its stub: nothing may have changed.
                assert!(
                    run.text.contains("does not support function erase_region"),
                    "{}",
                    run.text
                );
            } else {
                assert!(run.success, "{}:\n{}", release.version, run.text);
                left[0x1000..0x2000].fill(0xFF);
            }
            assert_eq!(bench.cells(0x1_0000, data.len()), left, "{}", release.version);
        }
    }
}

/// ROM-FACTS section 8: without a stub, a range that refuses shows as error 0x08, which esptool's
/// one retry turns into 0105.
#[test]
fn a_protected_range_fails_as_on_the_rom() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let image = folder.path().join("image.bin");
    fs::write(&image, sample(6_000, 8)).expect("writable");
    for release in ESPTOOLS {
        // CMP = 1 with BP = 0 protects all (QUIRKS Q13); the ROM's unlock keeps CMP (6.4).
        let bench = Bench::part_with_status("W25Q32JV", [0x00, 0x40, 0x00]);
        let write = ["write_flash", "--no-compress", "0x10000", path_text(&image)];
        let Some(run) = esptool(&bench, release, &["--no-stub"], &write) else { return };
        assert!(!run.success, "{}", run.text);
        assert!(run.text.contains("0105"), "{}:\n{}", release.version, run.text);
        assert_eq!(bench.cells(0x1_0000, 6_000), vec![0xFF; 6_000]);
        // Compressed, nothing fails until the digest (5.5).
        let write = ["write_flash", "--compress", "0x10000", path_text(&image)];
        let run = esptool(&bench, release, &["--no-stub"], &write).expect("installed above");
        assert!(!run.success, "{}", run.text);
        let told = run.text.contains("MD5 of file does not match data in flash!")
            || run.text.contains("region is empty");
        assert!(told, "{}:\n{}", release.version, run.text);
        assert!(bench.denials() > 0);
    }
}

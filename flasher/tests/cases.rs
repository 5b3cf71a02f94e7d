//! Every public case with the flasher's own means: what it says, what it cures, what it keeps.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "tests")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    sync::{Arc, Mutex},
    time::Duration,
};

use esp_protocol::command::Request;
use esp32_emulator::{
    case::{self, CaseBoard, Class},
    flash::NorFlash,
};
use esp32_flasher::{
    chip::Chip,
    diagnose::{Cause, Diagnosis, decide},
    identity::Identity,
    port::virtual_board::{VirtualPort, board},
    preflight::Changer,
    protect::{Guard, Trial},
    reset::ResetStrategy,
    session::Session,
    status::Persistence,
    write::{Image, Prepared, Transfer, WriteError, WriteOptions},
};
use spi_nor::part::RegisterName;

type Shared = Arc<Mutex<CaseBoard>>;

/// A blank place on every board.
const SPARE_SECTOR: u32 = 0x10_0000;
const IMAGE_BYTES: usize = 0x6000;
const SEEDS: u64 = 20;

struct Bench {
    session: Session,
    board: Shared,
    chip: Chip,
    identity: Identity,
}

impl Bench {
    fn new(name: &str) -> Self {
        let board = Arc::new(Mutex::new(board(name).unwrap()));
        let mut session = Session::new(Box::new(VirtualPort::new(name, Arc::clone(&board))));
        session.connect(&[ResetStrategy::unix_tight()], 3).unwrap();
        let chip = Chip::read(&mut session).unwrap();
        let identity = Identity::of(session.attach_flash().unwrap());
        Self { session, board, chip, identity }
    }

    fn reconnect(&mut self) {
        self.session.connect(&[ResetStrategy::unix_tight()], 3).unwrap();
        self.session.attach_flash().unwrap();
    }

    fn nor<R>(&self, look: impl FnOnce(&NorFlash) -> R) -> R {
        look(self.board.lock().unwrap().flash().nor())
    }

    fn write(&mut self, image: &Image) -> Result<(), WriteError> {
        let prepared = Prepared::new(image, self.session.dialect(), true);
        self.session.write(&prepared, &mut |_| {})?;
        self.session.verify(&prepared)
    }

    /// Brings the board to the state in which its owner asked for help.
    fn play(&mut self, name: &str) {
        if name.starts_with("esptool-915") {
            let data = case::bootable(1, 0x8000);
            let image = Image { name: "image".into(), offset: 0x1000, data };
            self.write(&image).unwrap();
            self.session.reset(&ResetStrategy::run()).unwrap();
            self.session.port().wait(Duration::from_secs(2));
            self.reconnect();
        }
        if name == "puya-7bfc" {
            let zero = [0, 0];
            self.session.write_status_burst(&zero, Persistence::NonVolatile).unwrap();
        }
        if name == "rom-flash-end" {
            let data = vec![0x5a; 0x400];
            let image = Image { name: "image".into(), offset: 0x1000, data };
            let prepared = Prepared::new(&image, self.session.dialect(), false);
            self.session.write(&prepared, &mut |_| {}).unwrap();
            let end = Request::FlashEnd { action: 1 };
            let _ = self.session.command(&end, Duration::from_secs(1));
            self.reconnect();
        }
    }

    fn doctor(&mut self, probe: Option<u32>) -> Diagnosis {
        let evidence = self.session.examine(&self.chip, &self.identity, None, probe).unwrap();
        decide(&evidence)
    }

    /// What `write` says; `None` if the image verified.
    fn diagnose_write(&mut self, image: &Image) -> Option<Diagnosis> {
        let range = image.offset..image.offset + image.data.len() as u32;
        let looked =
            self.session.preflight(&self.identity, std::slice::from_ref(&range), Changer::AsItIs);
        let written = looked.unwrap().write_enable;
        if written {
            // As the command does: around the ROM loader where that would hang.
            let transfer = Transfer::for_flash(&self.identity, self.session.dialect());
            let options = WriteOptions { transfer, ..WriteOptions::default() };
            match self.session.write_image(image, options, &mut |_| {}) {
                Ok(_) => return None,
                Err(WriteError::Session(error)) => panic!("{error}"),
                Err(_) => {}
            }
        }
        let mut evidence =
            self.session.examine(&self.chip, &self.identity, Some(range), None).unwrap();
        if written {
            evidence.differences = self.session.compare(image).unwrap();
        }
        Some(decide(&evidence))
    }
}

/// Of one seed in four, nothing.
fn noise(seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let len = if seed.is_multiple_of(4) { 0 } else { 0x1000 };
    std::iter::repeat_with(|| random.u8(..)).take(len).collect()
}

fn image(seed: u64) -> Image {
    let mut random = fastrand::Rng::with_seed(seed);
    let data = std::iter::repeat_with(|| random.u8(..)).take(IMAGE_BYTES).collect();
    Image { name: "image".into(), offset: 0x1000, data }
}

/// All presets: each case, and each of its hypotheses.
fn presets() -> Vec<String> {
    let mut names = Vec::new();
    for name in case::list() {
        let loaded = case::load(name).unwrap();
        names.push(name.to_owned());
        names.extend(loaded.file.hypotheses.keys().map(|other| format!("{name}/{other}")));
    }
    names
}

fn class(name: &str) -> Class {
    case::load(name.split('/').next().unwrap()).unwrap().file.case.unwrap().class
}

fn word(cause: Cause) -> String {
    serde_json::to_value(cause).unwrap().as_str().unwrap().to_owned()
}

/// What each class of case demands of a diagnosis, `probed` being the better informed.
fn judge(name: &str, looked: &Diagnosis, probed: &Diagnosis) {
    let visible = |cause| assert_eq!((looked.cause, probed.cause), (cause, cause), "{name}");
    match class(name) {
        // A protection of this case that shows in the registers is named as what it is.
        Class::HiddenProtection if name.ends_with("/h3") => visible(Cause::IndividualLocks),
        Class::HiddenProtection if name.ends_with("/h5") => visible(Cause::RegisterBits),
        Class::HiddenProtection if name.ends_with("/h7") => {
            assert_eq!(probed.cause, Cause::Supply, "{name}");
            assert!(!looked.open.is_empty(), "{name}");
        }
        Class::HiddenProtection => {
            assert_eq!(probed.cause, Cause::HiddenProtection, "{name}");
            assert!(!looked.open.is_empty(), "{name}");
        }
        // Whether WP# is low cannot be read: the bits are named, and a cure that fails says no more.
        Class::RegisterBits => visible(Cause::RegisterBits),
        Class::IndividualLocks => visible(Cause::IndividualLocks),
        Class::RegistersLocked => visible(Cause::RegistersLocked),
        Class::UnsupportedPart => visible(Cause::UnsupportedPart),
        Class::Supply => visible(Cause::Supply),
        Class::Wiring => {
            assert!(!looked.is_protection(), "{name}");
            assert_eq!(probed.cause, Cause::Wiring, "{name}");
        }
        Class::Harmless => {
            assert!(!looked.is_protection() && !probed.is_protection(), "{name}");
            assert!(looked.array_open && probed.array_open, "{name}");
        }
        Class::Open if name.ends_with("/wps") => visible(Cause::IndividualLocks),
        Class::Open => {
            assert!(!looked.is_protection() && !probed.is_protection(), "{name}");
            assert!(!looked.open.is_empty(), "{name}: {looked:?}");
        }
    }
}

#[test]
fn the_confusion_table() {
    let mut table = String::new();
    writeln!(table, "preset | truth | doctor | doctor --probe | write").unwrap();
    for name in presets() {
        let mut said: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for seed in 0..SEEDS {
            let mut bench = Bench::new(&name);
            bench.play(&name);
            // What lies in the spare sector, and everywhere, differs from seed to seed.
            bench
                .board
                .lock()
                .unwrap()
                .flash_mut()
                .nor_mut()
                .load_image(SPARE_SECTOR, &noise(seed));
            let looked = bench.doctor(None);
            let probed = bench.doctor(Some(SPARE_SECTOR));
            judge(&name, &looked, &probed);
            said.entry("doctor").or_default().insert(word(looked.cause));
            said.entry("probe").or_default().insert(word(probed.cause));
            let written = bench.diagnose_write(&image(seed));
            if let Some(diagnosis) = &written {
                judge(&name, diagnosis, diagnosis);
            }
            let written = written.map(|diagnosis| diagnosis.cause);
            let written = written.map_or_else(|| "verifies".to_owned(), word);
            said.entry("write").or_default().insert(written);
        }
        let list = |which| said[which].iter().cloned().collect::<Vec<_>>().join(" ");
        let truth = serde_json::to_value(class(&name)).unwrap();
        writeln!(
            table,
            "{name} | {} | {} | {} | {}",
            truth.as_str().unwrap(),
            list("doctor"),
            list("probe"),
            list("write")
        )
        .unwrap();
    }
    insta::assert_snapshot!(table);
}

#[test]
fn every_curable_preset_is_cured_and_keeps_qe() {
    for name in [
        "by25q64as-cmp",
        "nodemcu-523",
        "sr1-bp",
        "gd-16bit-wrsr",
        "wps-locked",
        "rom-flash-end",
        "esptool-915/h3",
        "esptool-915/h5",
        "arduino-1890",
        "esptool-220",
    ] {
        let mut bench = Bench::new(name);
        bench.play(name);
        let quad =
            |nor: &NorFlash| nor.part().quad_enable().map(|at| at.of(nor.register(at.register)));
        let before = bench.nor(quad);
        let mut journals = Vec::new();
        let identity = bench.identity.clone();
        let done = bench
            .session
            .clear_protection(&identity, Trial::Auto, &mut |entry| {
                journals.push(entry.clone());
                Ok(())
            })
            .unwrap();
        assert!(done.is_some() && journals.len() == 1, "{name}");
        assert!(bench.nor(NorFlash::protected).is_empty(), "{name}");
        assert_eq!(bench.nor(quad), before, "{name}: QE");
        let probe = bench.session.try_sector(SPARE_SECTOR).unwrap();
        assert!(probe.works(), "{name}: {probe:?}");
        // And back, by the journal.
        let old = journals.remove(0);
        let report = bench.session.restore_registers(&identity, &old, &mut |_| Ok(())).unwrap();
        assert_eq!(report.after.to_string(), old.before.to_string(), "{name}");
    }
}

#[test]
fn the_preflight_takes_at_most_eight_instructions() {
    for name in spi_nor::catalog::names() {
        let mut bench = Bench::new(name);
        let identity = bench.identity.clone();
        bench.board.lock().unwrap().trace_mut().record_spi();
        let range = 0x1000..0x2000;
        bench.session.preflight(&identity, &[range], Changer::RomLoader).unwrap();
        let sent = bench.board.lock().unwrap().trace_mut().take_spi();
        let opcodes: Vec<u8> = sent.iter().map(|record| record.mosi[0]).collect();
        assert!(opcodes.len() <= 8, "{name}: {opcodes:02x?}");
    }
}

#[test]
fn qe_survives_a_write_through_the_rom() {
    for part in ["W25Q32JV", "GD25Q32C", "XM25QH128C", "BY25Q64AS", "GD25Q128E"] {
        let mut bench = Bench::new(part);
        let identity = bench.identity.clone();
        bench.session.write_status_of(&identity, &[0, 2], Persistence::NonVolatile).unwrap();
        let guard = Guard::before(&mut bench.session, &identity).unwrap();
        bench.write(&image(7)).unwrap();
        let report = guard.after(&mut bench.session).unwrap();
        assert!(!report.quad_enable_lost, "{part}: {report:?}");
        assert_eq!(bench.nor(|nor| nor.register(RegisterName::Sr2)) & 2, 2, "{part}");
    }
}

#[test]
fn a_protection_that_the_rom_lifts_is_told() {
    let mut bench = Bench::new("sr1-bp");
    let identity = bench.identity.clone();
    let range = 0x1000..0x7000;
    let found = bench.session.preflight(&identity, &[range], Changer::RomLoader).unwrap();
    assert!(found.obstacle().is_none() && found.lifted().is_some());
    let guard = Guard::before(&mut bench.session, &identity).unwrap();
    bench.write(&image(7)).unwrap();
    assert!(guard.after(&mut bench.session).unwrap().protection_lifted);
}

#[test]
fn status_writes_of_the_whole_catalogue_reach_their_value_and_keep_the_rest() {
    for name in spi_nor::catalog::names() {
        let mut bench = Bench::new(name);
        let identity = bench.identity.clone();
        let before = bench.session.read_known_status(&identity).unwrap();
        // BP0 alone: bit 2 of register 1 on every part that has BP bits.
        if bench.nor(|nor| nor.part().find_bit("BP0").is_none()) {
            continue;
        }
        let first = before.values[0].unwrap() & 0xfc | 0x04;
        let done = bench.session.write_status_of(&identity, &[first], Persistence::NonVolatile);
        let after = done.unwrap_or_else(|error| panic!("{name}: {error}")).after;
        assert_eq!(after.values[1..], before.values[1..], "{name}");
    }
}

#[test]
fn ranges_are_set_exactly() {
    for (name, start, end) in
        [("W25Q128FV", 0, 0x4_0000), ("GD25Q32C", 0x3f_0000, 0x40_0000), ("EN25QH32B", 0, 0x1_0000)]
    {
        let mut bench = Bench::new(name);
        let identity = bench.identity.clone();
        let part = identity.candidates.iter().find(|part| part.name == name).unwrap();
        let choices = esp32_flasher::protect::choices(part);
        let Some(choice) = choices.iter().find(|choice| choice.range == (start..end)) else {
            panic!("{name}: no such range")
        };
        let now = bench.session.read_registers(&identity, part).unwrap();
        let wanted = esp32_flasher::protect::with_choice(part, &now, choice);
        let trial = Trial::Skip;
        let done = bench.session.change_registers(&identity, part, &wanted, trial, &mut |_| Ok(()));
        if name == "EN25QH32B" {
            // TB is one-time programmable there: never set.
            assert!(done.is_err() || bench.nor(NorFlash::protected) == (start..end), "{done:?}");
        } else {
            done.unwrap();
            assert_eq!(bench.nor(NorFlash::protected), start..end, "{name}");
        }
    }
}

/// A flash of the catalogue with the most protected that needs no one-time bit.
#[test]
fn every_part_of_the_catalogue_is_protected_and_cleared_again() {
    let mut tried = 0;
    for name in spi_nor::catalog::names() {
        let mut bench = Bench::new(name);
        let identity = bench.identity.clone();
        let part = spi_nor::catalog::part(name).unwrap();
        let now = bench.session.read_registers(&identity, &part).unwrap();
        let choices = esp32_flasher::protect::choices(&part);
        let mut done = false;
        for choice in choices.iter().rev().filter(|choice| !choice.range.is_empty()) {
            let wanted = esp32_flasher::protect::with_choice(&part, &now, choice);
            let trial = Trial::Skip;
            let set =
                bench.session.change_registers(&identity, &part, &wanted, trial, &mut |_| Ok(()));
            if set.is_ok() {
                assert_eq!(bench.nor(NorFlash::protected), choice.range, "{name}");
                done = true;
                break;
            }
        }
        let locked = matches!(bench.nor(|nor| nor.individually_locked(SPARE_SECTOR)), Some(true));
        if !done && !locked {
            continue;
        }
        tried += 1;
        let quad =
            |nor: &NorFlash| nor.part().quad_enable().map(|at| at.of(nor.register(at.register)));
        let before = bench.nor(quad);
        let cleared = bench.session.clear_protection(&identity, Trial::Auto, &mut |_| Ok(()));
        let report = cleared.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(report.is_some(), "{name}");
        assert!(bench.nor(NorFlash::protected).is_empty(), "{name}: {report:?}");
        assert_eq!(bench.nor(quad), before, "{name}");
        let probe = bench.session.try_sector(SPARE_SECTOR).unwrap();
        assert!(probe.works() || part.program.max_bytes == 1, "{name}: {probe:?}");
    }
    assert!(tried > 60, "{tried} parts");
}

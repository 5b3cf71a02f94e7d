//! Block protection registers by unit, parts without rules, and cures that leave no trace.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::{Arc, Mutex};

use esp32_emulator::{
    case::CaseBoard,
    flash::{NorFlash, Pins},
};
use esp32_flasher::{
    chip::Chip,
    diagnose::{Open, Remedy, decide},
    identity::Identity,
    port::virtual_board::{VirtualPort, board},
    preflight::Changer,
    protect::{ChangeError, Journal, Protected, Trial, choices_of_all},
    reset::ResetStrategy,
    session::Session,
    status::Persistence,
};
use spi_nor::part::RegisterName;

const SPARE_SECTOR: u32 = 0x10_0000;

struct Bench {
    session: Session,
    board: Arc<Mutex<CaseBoard>>,
    chip: Chip,
    identity: Identity,
}

fn bench(name: &str) -> Bench {
    let board = Arc::new(Mutex::new(board(name).unwrap()));
    let mut session = Session::new(Box::new(VirtualPort::new(name, Arc::clone(&board))));
    session.connect(&[ResetStrategy::unix_tight()], 3).unwrap();
    let chip = Chip::read(&mut session).unwrap();
    let identity = Identity::of(session.attach_flash().unwrap());
    Bench { session, board, chip, identity }
}

impl Bench {
    fn nor<R>(&self, look: impl FnOnce(&NorFlash) -> R) -> R {
        look(self.board.lock().unwrap().flash().nor())
    }

    fn locked(&self, address: u32) -> bool {
        self.nor(|nor| nor.individually_locked(address)).unwrap()
    }
}

#[test]
fn a_block_protection_register_is_set_by_unit_and_restored() {
    let mut bench = bench("SST26VF032B");
    let identity = bench.identity.clone();
    let part = &identity.candidates[0];
    let old = bench.session.read_block_locks(part).unwrap();
    assert_eq!(old.locked_ranges(part).first(), Some(&(0..0x40_0000)), "as it powers up");
    let wanted = old.protecting(part, &(0x8000..0x3_0000)).unwrap();
    let mut kept = Vec::new();
    let report = bench
        .session
        .change_block_locks(&identity, part, &wanted, &mut |entry| {
            kept.push(entry.clone());
            Ok(())
        })
        .unwrap();
    assert_eq!(report.locks.unwrap().after.first(), Some(&(0x8000..0x3_0000)));
    for (address, locked) in [
        (0, false),
        (0x7fff, false),
        (0x8000, true),
        (0x2_ffff, true),
        (0x3_0000, false),
        (0x3f_ffff, false),
    ] {
        assert_eq!(bench.locked(address), locked, "{address:#x}");
    }
    // The look before a write knows the units.
    let look = |bench: &mut Bench, range| {
        let found = bench.session.preflight(&identity, &[range], Changer::RomLoader).unwrap();
        found.obstacle().map(|state| state.overlaps.clone())
    };
    assert_eq!(look(&mut bench, 0x4_0000..0x5_0000), None);
    let overlaps = look(&mut bench, 0x2_0000..0x5_0000).unwrap();
    assert_eq!(overlaps.first(), Some(&(0x2_0000..0x3_0000)));
    // Nothing is written that changes nothing.
    let again =
        bench.session.change_block_locks(&identity, part, &wanted, &mut |_| panic!("no journal"));
    assert!(again.unwrap().sent.is_empty());
    let back = bench.session.restore_registers(&identity, &kept[0], &mut |_| Ok(())).unwrap();
    assert_eq!(back.locks.unwrap().after.first(), Some(&(0..0x40_0000)));
    assert!(bench.locked(0) && bench.locked(0x3f_ffff));
}

#[test]
fn a_journal_of_another_flash_is_refused_and_nothing_is_sent() {
    let mut one = bench("sr1-bp");
    let identity = one.identity.clone();
    let status = one.session.read_known_status(&identity).unwrap();
    let kept = Journal::of_status(&identity, status, &[0, 2]);
    let mut other = bench("GD25Q32C");
    let identity = other.identity.clone();
    let error = other.session.restore_registers(&identity, &kept, &mut |_| Ok(())).unwrap_err();
    assert!(
        matches!(error, ChangeError::OtherFlash { journal: [0xef, ..], found: [0xc8, ..] }),
        "{error}"
    );
}

#[test]
fn registers_of_a_part_without_rules_are_restored_by_the_usual_forms() {
    let mut bench = bench("W25Q32JV");
    // As if the catalogue did not know it.
    let unknown = Identity { candidates: Vec::new(), ..bench.identity.clone() };
    let before = bench.session.read_status(2).unwrap();
    let kept = Journal::of_status(&unknown, before, &[0x1c, 0x02]);
    bench.session.write_status_of(&unknown, &[0x1c, 0x02], Persistence::NonVolatile).unwrap();
    assert!(!bench.nor(NorFlash::protected).is_empty());
    let text = serde_json::to_string(&kept).unwrap();
    let kept: Journal = serde_json::from_str(&text).unwrap();
    let report = bench.session.restore_registers(&unknown, &kept, &mut |_| Ok(())).unwrap();
    assert_eq!(report.part, None);
    assert!(bench.nor(NorFlash::protected).is_empty());
    let now =
        [RegisterName::Sr1, RegisterName::Sr2].map(|name| bench.nor(|nor| nor.register(name)));
    assert_eq!([Some(now[0]), Some(now[1])], before.values[..2]);
}

#[test]
fn the_doctor_tries_the_cure_and_leaves_no_trace() {
    for name in ["sr1-bp", "by25q64as-cmp", "gd-16bit-wrsr", "esptool-220", "arduino-1890"] {
        let mut bench = bench(name);
        let registers = |bench: &Bench| {
            bench.nor(|nor| {
                let names = nor.part().registers.keys();
                names.map(|name| nor.register(*name)).collect::<Vec<u8>>()
            })
        };
        let content: Vec<u8> = (0..0x1000_u32).map(|at| at.to_le_bytes()[0]).collect();
        bench.board.lock().unwrap().flash_mut().nor_mut().load_image(SPARE_SECTOR, &content);
        let before = registers(&bench);
        let (chip, identity) = (bench.chip.clone(), bench.identity.clone());
        let evidence = bench.session.examine(&chip, &identity, None, Some(SPARE_SECTOR)).unwrap();
        assert_eq!(evidence.cure, Some(true), "{name}");
        assert_eq!(registers(&bench), before, "{name}");
        let mut held = vec![0; content.len()];
        bench.nor(|nor| nor.read_cells(SPARE_SECTOR, &mut held));
        assert!(held == content, "{name}: the sector was not put back");
    }
}

#[test]
fn parts_that_share_an_id_are_listed_with_what_tells_them_apart() {
    let bench = bench("W25Q128FV");
    let lists = choices_of_all(&bench.identity.candidates);
    let names: Vec<&String> = lists.iter().flat_map(|list| &list.parts).collect();
    assert_eq!(names.len(), bench.identity.candidates.len());
    assert!(lists.len() > 1, "one of them has individual locks, one has not");
    assert!(lists.iter().any(|list| list.lock_select.as_deref() == Some("WPS")));
    assert!(lists.iter().any(|list| list.lock_units.is_empty()));
}

/// SRP0 is set and WP# is low on this board; the program sees only the bit.
#[test]
fn a_lock_by_the_pin_is_named_before_the_cure_and_when_it_is_refused() {
    let mut bench = bench("esptool-220/not-helped");
    let (chip, identity) = (&bench.chip, &bench.identity);
    let evidence = bench.session.examine(chip, identity, None, None).unwrap();
    let before = decide(&evidence);
    assert_eq!(before.remedy, Remedy::ProtectClearIfPinHigh, "{before:?}");
    assert!(before.open.contains(&Open::WriteProtectPin));
    let refused = bench.session.clear_protection(identity, Trial::Skip, &mut |_| Ok(()));
    let error = refused.unwrap_err();
    assert!(matches!(error, ChangeError::NotTaken { obeys_pin: true, .. }), "{error}");
    // The doctor's own attempt finds the same.
    let evidence =
        bench.session.examine(&bench.chip, &bench.identity, None, Some(SPARE_SECTOR)).unwrap();
    let after = decide(&evidence);
    let volatile = !bench.identity.candidates[0].instructions.write_enable_volatile.is_empty();
    if volatile {
        assert_eq!(evidence.pin_refused, Some(true));
        assert_eq!(after.remedy, Remedy::RaiseWriteProtectPin, "{after:?}");
    }
    // With the pin pulled up the cure works.
    let high = Pins { wp_high: true, hold_high: true };
    bench.board.lock().unwrap().flash_mut().nor_mut().set_pins(high);
    let done = bench.session.clear_protection(&bench.identity, Trial::Auto, &mut |_| Ok(()));
    assert_eq!(done.unwrap().unwrap().protected, Protected::Range(0..0));
}

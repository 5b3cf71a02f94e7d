//! Protection that no register shows: found by trying, on the hypotheses of esptool issue 915.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use esp32_emulator::case::{self, CaseBoard};
use esp32_flasher::{
    identity::Identity,
    port::virtual_board::{VirtualPort, board},
    protect::{ChangeError, Found, Journal, SearchReport, Trial},
    reset::ResetStrategy,
    session::Session,
    write::{Image, WriteOptions},
};
use spi_nor::part::RegisterName;

const SPARE_SECTOR: u32 = 0x20_0000;

type Shared = Arc<Mutex<CaseBoard>>;

fn connect(board: &Shared) -> (Session, Identity) {
    let mut session = Session::new(Box::new(VirtualPort::new("virtual", Arc::clone(board))));
    session.connect(&[ResetStrategy::unix_tight()], 3).unwrap();
    let identity = Identity::of(session.attach_flash().unwrap());
    (session, identity)
}

/// The board after the first boot of what was flashed first.
fn booted(name: &str) -> Shared {
    let board = Arc::new(Mutex::new(board(name).unwrap()));
    let (mut session, _) = connect(&board);
    let image = image(1);
    session.write_image(&image, WriteOptions::default(), &mut |_| {}).unwrap();
    session.reset(&ResetStrategy::run()).unwrap();
    session.port().wait(Duration::from_secs(2));
    board
}

fn image(seed: u64) -> Image {
    Image { name: "image".into(), offset: 0x1000, data: case::bootable(seed, 0x8000) }
}

fn search(
    session: &mut Session,
    identity: &Identity,
    kept: &mut Vec<Journal>,
) -> Result<SearchReport, ChangeError> {
    session.search_protection(identity, SPARE_SECTOR, &mut |entry| {
        kept.push(entry.clone());
        Ok(())
    })
}

fn registers(board: &Shared) -> [u8; 3] {
    let names = [RegisterName::Sr1, RegisterName::Sr2, RegisterName::Sr3];
    names.map(|name| board.lock().unwrap().flash().nor().register(name))
}

#[test]
fn a_bit_with_another_meaning_is_found_and_cleared() {
    for name in ["esptool-915", "esptool-915/h1-two-byte"] {
        let board = booted(name);
        let (mut session, identity) = connect(&board);
        let before = registers(&board);
        let open = session.clear_protection(&identity, Trial::default(), &mut |_| Ok(()));
        assert!(open.unwrap().is_none(), "{name}: no register shows it");
        let mut kept = Vec::new();
        let report = search(&mut session, &identity, &mut kept).unwrap();
        let Found::Bit(suspect) = &report.found else { panic!("{name}: {report:?}") };
        assert_eq!((suspect.register, suspect.bit), (RegisterName::Sr2, 1), "{name}");
        assert_eq!(kept.len(), 1, "{name}");
        let [sr1, sr2, sr3] = before;
        assert_eq!(registers(&board), [sr1, sr2 & !0x02, sr3], "{name}: nothing else changed");
        session.write_image(&image(2), WriteOptions::default(), &mut |_| {}).unwrap();
        // And back, by the journal.
        session.restore_registers(&identity, &kept[0], &mut |_| Ok(())).unwrap();
        assert_eq!(registers(&board), before, "{name}");
    }
}

#[test]
fn a_damaged_row_is_stored_anew_and_its_bits_stay() {
    let board = booted("esptool-915/h2");
    let (mut session, identity) = connect(&board);
    let before = registers(&board);
    let report = search(&mut session, &identity, &mut Vec::new()).unwrap();
    assert!(matches!(report.found, Found::Row(_)), "{report:?}");
    assert_eq!(registers(&board), before);
    assert!(session.try_sector(SPARE_SECTOR).unwrap().works());
}

#[test]
fn a_flash_that_is_not_protected_is_left_alone() {
    let mut kept = Vec::new();
    let (mut session, identity) = connect(&Arc::new(Mutex::new(board("GD25Q128E").unwrap())));
    let report = search(&mut session, &identity, &mut kept).unwrap();
    assert!(report.found == Found::Open && report.sent.is_empty(), "{report:?}");
    // Programs that are lost (a loose wire) are no refusal.
    let (mut session, identity) = connect(&Arc::new(Mutex::new(board("status-clean").unwrap())));
    let result = search(&mut session, &identity, &mut kept);
    assert!(matches!(result, Err(ChangeError::NotRefused { .. })), "{result:?}");
    assert!(kept.is_empty());
}

/// Below write-inhibit nothing takes a write, whatever the registers hold.
#[test]
fn where_no_bit_is_to_blame_everything_is_as_before() {
    let board = booted("esptool-915/h7");
    let (mut session, identity) = connect(&board);
    let before = registers(&board);
    let result = search(&mut session, &identity, &mut Vec::new());
    assert!(matches!(result, Err(ChangeError::NothingFound { .. })), "{result:?}");
    assert_eq!(registers(&board), before);
}

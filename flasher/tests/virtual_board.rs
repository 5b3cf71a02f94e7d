//! Sessions with the board in process: what the flash holds afterwards is the witness.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "tests")]

use std::sync::{Arc, Mutex};

use esp32_emulator::{
    board::{Board, BoardSetup},
    flash::{FlashState, NorFlash, Pins},
};
use esp32_flasher::{
    chip::Chip,
    flash::EraseError,
    identity::Identity,
    port::virtual_board::{VirtualPort, factory_board},
    reset::ResetStrategy,
    session::Session,
    status::{Persistence, StatusError},
    write::{Compression, Image, Prepared, Skip, Transfer, WriteError, WriteOptions},
};
use spi_nor::part::{Part, RegisterName, Span};

type Shared = Arc<Mutex<Board<NorFlash>>>;

fn connect(part: &str) -> (Session, Shared) {
    let board = Arc::new(Mutex::new(factory_board(part).unwrap()));
    let mut session = Session::new(Box::new(VirtualPort::new("virtual", Arc::clone(&board))));
    session.connect(&[ResetStrategy::unix_tight()], 3).unwrap();
    (session, board)
}

fn cells(board: &Shared, address: u32, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    board.lock().unwrap().flash().read_cells(address, &mut bytes);
    bytes
}

/// Compressible, and different from sector to sector.
fn image(offset: u32, len: usize) -> Image {
    let data = (0..len).map(|at| (at / 97 % 251) as u8 ^ (at % 5) as u8).collect();
    Image { name: "image".into(), offset, data }
}

#[test]
fn the_chip_of_issue_915_identifies_itself() {
    let (mut session, _) = connect("W25Q128FV");
    let chip = Chip::read(&mut session).unwrap();
    assert_eq!(chip.mac.to_string(), "94:e6:86:24:8b:9c");
    assert!(chip.mac_crc_ok);
    assert_eq!((chip.package, chip.revision_major, chip.crystal_mhz), ("ESP32-D0WD-V3", 3, 40));
}

#[test]
fn the_flash_is_found_in_the_catalogue() {
    let (mut session, _) = connect("W25Q128FV");
    let identity = Identity::of(session.attach_flash().unwrap());
    assert_eq!(identity.id.jedec, [0xef, 0x40, 0x18]);
    assert_eq!(session.flash_bytes(), 16 << 20);
    assert!(identity.candidates.iter().any(|part| part.name == "W25Q128FV"));
}

#[test]
fn a_write_verifies_and_leaves_its_neighbours_alone() {
    for (len, compress) in
        [(100_000, true), (0x8000, true), (3 * 0x8000, true), (5001, true), (40_000, false)]
    {
        let (mut session, board) = connect("W25Q32JV");
        // Old content before and behind the image, in sectors that the write does not need.
        let offset = 0x1_0000_usize;
        let end = (offset + len).next_multiple_of(0x1000);
        let old = vec![0x5a; 0x1_0000];
        let mut owner = board.lock().unwrap();
        owner.flash_mut().load_image(0, &old);
        owner.flash_mut().load_image(u32::try_from(end).unwrap(), &old);
        drop(owner);
        session.attach_flash().unwrap();
        let image = image(0x1_0000, len);
        let prepared = Prepared::new(&image, session.dialect(), compress);
        session.write(&prepared, &mut |_| {}).unwrap();
        let got = cells(&board, 0x1_0000, len);
        let first = got.iter().zip(&image.data).position(|(a, b)| a != b);
        assert_eq!(first, None, "{len} bytes");
        session.verify(&prepared).unwrap();
        assert_eq!(cells(&board, 0, 0x1_0000), old, "before, {len} bytes");
        assert_eq!(
            cells(&board, u32::try_from(end).unwrap(), 0x1_0000),
            old,
            "behind, {len} bytes"
        );
        let sr1 = board.lock().unwrap().flash().register(RegisterName::Sr1);
        assert_eq!(sr1 & 0x1c, 0, "the ROM did not protect the chip");
    }
}

#[test]
fn a_file_reads_back() {
    let (mut session, board) = connect("W25Q32JV");
    board.lock().unwrap().flash_mut().load_image(0x3001, b"across a sector");
    session.attach_flash().unwrap();
    let data = session.read_flash(0x2ff0, 200, &mut |_| {}).unwrap();
    assert_eq!(&data[0x11..0x20], b"across a sector");
    assert_eq!(data.len(), 200);
}

#[test]
fn an_erase_takes_the_time_of_the_part() {
    let (mut session, board) = connect("W25Q32JV");
    board.lock().unwrap().flash_mut().load_image(0x1_f000, &vec![0; 0x2_2000]);
    session.attach_flash().unwrap();
    let report = session.erase_region(0x1_f000, 0x2_1000, &mut |_| {}).unwrap();
    assert_eq!(report.instructions, 3, "one sector, two blocks");
    assert_eq!(report.not_busy, 0);
    assert!(cells(&board, 0x1_f000, 0x2_1000).iter().all(|byte| *byte == 0xff));
    assert_eq!(cells(&board, 0x4_0000, 0x1000), vec![0; 0x1000]);
}

#[test]
fn a_refused_erase_takes_no_time() {
    let (mut session, board) = connect("W25Q32JV");
    session.attach_flash().unwrap();
    session.write_status(&[0x1c], Persistence::NonVolatile).unwrap();
    board.lock().unwrap().flash_mut().load_image(0, &[0; 16]);
    let error = session.erase_chip().unwrap_err();
    let refused = EraseError::Refused { offset: 0, len: 4 << 20, not_busy: 1, latch_kept: true };
    assert_eq!(error.to_string(), refused.to_string());
    let error = session.erase_region(0, 0x2000, &mut |_| {}).unwrap_err();
    assert!(matches!(error, EraseError::Refused { offset: 0, len: 0x1000, not_busy: 2, .. }));
    assert_eq!(cells(&board, 0, 16), [0; 16]);
}

#[test]
fn a_status_write_reaches_the_part_and_an_equal_value_is_not_written() {
    for part in ["W25Q32JV", "GD25Q32C", "GD25Q128E"] {
        let (mut session, board) = connect(part);
        session.attach_flash().unwrap();
        let first = session.write_status(&[0x1c, 0x02], Persistence::NonVolatile).unwrap();
        assert!(first.reached, "{part}: {first:?}");
        assert_eq!(board.lock().unwrap().flash().register(RegisterName::Sr1) & 0x1c, 0x1c);
        let again = session.write_status(&[0x1c, 0x02], Persistence::NonVolatile).unwrap();
        assert!(again.reached && again.sent.is_empty(), "{part}");
    }
}

/// A board with a part that is not as the catalogue has it.
fn changed(name: &str, change: impl FnOnce(&mut Part)) -> (Session, Shared) {
    let mut part = spi_nor::catalog::part(name).unwrap();
    change(&mut part);
    let state = FlashState::factory(&part);
    let flash = NorFlash::new(part, state).unwrap();
    let board = Arc::new(Mutex::new(Board::power_on(BoardSetup::default(), flash)));
    let mut session = Session::new(Box::new(VirtualPort::new("virtual", Arc::clone(&board))));
    session.connect(&[ResetStrategy::unix_tight()], 3).unwrap();
    (session, board)
}

fn register(board: &Shared, name: RegisterName) -> u8 {
    board.lock().unwrap().flash().register(name)
}

/// A part takes no register write while the one before is stored (QUIRKS Q6, Q20).
#[test]
fn a_register_is_written_when_the_one_before_is_stored() {
    const LONG: Span = Span { typical_us: 400_000, maximum_us: 400_000 };
    let (mut session, board) = changed("GD25Q128E", |part| part.status_write_time = LONG);
    let identity = Identity::of(session.attach_flash().unwrap());
    let report = session.write_status_of(&identity, &[0x1c, 0x42], Persistence::NonVolatile);
    let report = report.unwrap();
    assert!(report.reached && report.sent.len() > 1, "{report:?}");
    assert_eq!(register(&board, RegisterName::Sr1), 0x1c);
    assert_eq!(register(&board, RegisterName::Sr2), 0x42);
}

/// SRP0 set and WP# low (QUIRKS Q24): the write is refused without a sign.
#[test]
fn a_refused_status_write_is_an_error_and_leaves_no_latch_set() {
    // The second id is that of several parts, for each of which there is a plan.
    for (name, candidates) in [("W25Q32JV", 1), ("GD25Q128E", 2)] {
        let (mut session, board) = connect(name);
        let identity = Identity::of(session.attach_flash().unwrap());
        assert!(identity.candidates.len() >= candidates, "{name}");
        session.write_status_of(&identity, &[0x9c, 0x00], Persistence::NonVolatile).unwrap();
        board.lock().unwrap().flash_mut().set_pins(Pins { wp_high: false, hold_high: true });
        for values in [&[0x00][..], &[0x00, 0x40]] {
            let result = session.write_status_of(&identity, values, Persistence::NonVolatile);
            let Err(StatusError::NotReached { report, .. }) = result else { panic!("{result:?}") };
            assert!(!report.sent.is_empty() && !report.reached, "{report:?}");
            let again = |at| report.sent[at + 1..].contains(&report.sent[at]);
            assert!(!(0..report.sent.len()).any(again), "{name}: {report:?}");
            assert_eq!(register(&board, RegisterName::Sr1), 0x9c, "{name}: without WEL");
        }
        // The same without the part's data.
        let report = session.write_status(&[0x00], Persistence::NonVolatile).unwrap();
        assert!(!report.sent.is_empty() && !report.reached, "{name}: {report:?}");
    }
}

#[test]
fn a_status_write_that_was_not_reached_tells_what_was_asked_for() {
    let (mut session, board) = connect("W25Q32JV");
    let identity = Identity::of(session.attach_flash().unwrap());
    session.write_status_of(&identity, &[0x9c, 0x00], Persistence::NonVolatile).unwrap();
    board.lock().unwrap().flash_mut().set_pins(Pins { wp_high: false, hold_high: true });
    let result = session.write_status_of(&identity, &[0x14, 0x41], Persistence::NonVolatile);
    let Err(StatusError::NotReached { wanted, count, .. }) = result else { panic!("{result:?}") };
    assert_eq!((wanted, count), (0x4114, 2));
    // Another part with this id has no such write: what was tried counts.
    let mut two = identity.clone();
    let mut other = identity.candidates[0].clone();
    other.status_write.clear();
    two.candidates.push(other.clone());
    let result = session.write_status_of(&two, &[0x14, 0x41], Persistence::NonVolatile);
    assert!(matches!(result, Err(StatusError::NotReached { .. })), "{result:?}");
    // No part has one: nothing was tried.
    let none = Identity { candidates: vec![other], ..identity };
    let result = session.write_status_of(&none, &[0x14, 0x41], Persistence::NonVolatile);
    assert!(matches!(result, Err(StatusError::Plan(_))), "{result:?}");
}

/// SFDP with its table at `at`, as JESD216 has it, and recognizable bytes behind it.
fn sfdp(at: u8) -> Vec<u8> {
    let mut raw = b"SFDP\x00\x01\x00\xff\x00\x00\x01\x09\x00\x00\x00\xff".to_vec();
    raw[12] = at;
    raw.extend((16..=255_u8).cycle().take(usize::from(at) + 4 - 16));
    raw.extend(0x03ff_ffff_u32.to_le_bytes());
    raw.extend([0x5a; 200]);
    raw
}

#[test]
fn sfdp_is_read_up_to_the_density_and_no_further() {
    for (at, len) in [(0x10, 64), (0x38, 64), (0x39, 128), (0x80, 192), (0xb8, 192), (0xf8, 256)] {
        let raw = sfdp(at);
        let (mut session, _) =
            changed("W25Q32JV", |part| part.sfdp = Some(spi_nor::part::HexBytes(raw.clone())));
        assert_eq!(session.flash_bytes(), 2 << 20, "what the ROM assumes");
        let id = session.attach_flash().unwrap();
        let found = id.sfdp.unwrap();
        assert_eq!((found.raw.len(), found.bytes), (len, Some(8 << 20)), "{at:#x}");
        assert_eq!(found.raw, raw[..len], "{at:#x}");
        assert_eq!((id.bytes_by_id, session.flash_bytes()), (Some(4 << 20), 8 << 20));
    }
}

/// Plain instructions wait for a part that takes long, each time.
#[test]
fn a_slow_part_is_waited_for() {
    let (mut session, board) = changed("W25Q32JV", |part| {
        (part.program.typical_us, part.program.maximum_us) = (800_000, 900_000);
    });
    session.attach_flash().unwrap();
    let image = image(0x1_0000, 0x400);
    let plain = WriteOptions { transfer: Transfer::Plain, ..WriteOptions::default() };
    let report = session.write_image(&image, plain, &mut |_| {}).unwrap();
    assert_eq!(cells(&board, image.offset, 0x400), image.data);
    assert_eq!(report.restarts, 0);
}

/// Two sectors of five are wrong.
#[test]
fn progress_and_report_of_a_write_in_two_places() {
    for transfer in [Transfer::Loader, Transfer::Plain] {
        let (mut session, board) = connect("W25Q32JV");
        session.attach_flash().unwrap();
        let image = image(0x1_0000, 0x5000);
        board.lock().unwrap().flash_mut().load_image(image.offset, &image.data);
        for at in [0x1010, 0x3020] {
            let other = !image.data[at];
            board.lock().unwrap().flash_mut().load_image(image.offset + at as u32, &[other]);
        }
        let compression = Compression::Never;
        let options =
            WriteOptions { transfer, compression, skip: Skip::Right, ..WriteOptions::default() };
        let mut seen = Vec::new();
        let report = session
            .write_image(&image, options, &mut |progress| {
                assert_eq!((progress.offset, progress.total), (0x1_0000, 0x2000), "{transfer:?}");
                seen.push(progress.done);
            })
            .unwrap();
        assert_eq!((report.bytes, report.skipped, report.wire_bytes), (0x5000, 0x3000, 0x2000));
        assert_eq!(cells(&board, image.offset, 0x5000), image.data);
        assert!(seen.is_sorted() && seen.contains(&0x1000), "{transfer:?}: {seen:?}");
        assert_eq!(seen.last(), Some(&0x2000), "{transfer:?}");
        let steps: std::collections::BTreeSet<_> = seen.into_iter().collect();
        assert!(transfer == Transfer::Loader || steps.len() > 100, "a step for each chunk");
    }
}

#[test]
fn complement_protection_shows_as_a_block_not_taken_or_as_a_mismatch() {
    // CMP with BP = 0 protects everything, and the ROM keeps it (FIELD-CASES `by25q64as-cmp`).
    let (mut session, _) = connect("BY25Q64AS");
    session.attach_flash().unwrap();
    session.write_status(&[0x00, 0x40], Persistence::NonVolatile).unwrap();
    let mut image = image(0x1_0000, 70_000);
    // The ROM compares by XOR only, and that of the first block would be that of blank flash.
    image.data[0] ^= 0x5a;
    let raw = Prepared::new(&image, session.dialect(), false);
    let error = session.write(&raw, &mut |_| {}).unwrap_err();
    assert!(matches!(error, WriteError::NotTaken { offset: 0x1_0000 }), "{error}");
    let windows = Image { data: image.data[..0x1_0000].to_vec(), ..image };
    let deflated = Prepared::new(&windows, session.dialect(), true);
    session.write(&deflated, &mut |_| {}).unwrap();
    let Err(WriteError::Mismatch(mismatch)) = session.verify(&deflated) else { panic!() };
    assert!(mismatch.is_blank());
}

#[test]
fn the_rate_changes_on_both_sides() {
    let (mut session, board) = connect("W25Q32JV");
    session.change_baud(115_200, 921_600).unwrap();
    assert!((board.lock().unwrap().baud() - 921_600) < 10_000);
    Chip::read(&mut session).unwrap();
}

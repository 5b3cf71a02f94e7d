use super::*;
use crate::{
    case::LoadedBoard,
    spi::{CommandLines, SpiDevice, Transaction},
    trace::Trace,
};

fn flash() -> NorFlash {
    LoadedBoard::with_part("W25Q32JV").flash().expect("in the catalogue").nor().clone()
}

fn send(flash: &mut NorFlash, mosi: &[u8]) {
    let mut transaction = Transaction { mosi, miso: &mut [], command_lines: CommandLines::One };
    let now = flash.busy_until().unwrap_or(Instant::ZERO);
    flash.transfer(now, &mut transaction, &mut Trace::default());
}

#[test]
fn cells_and_registers_are_there_for_the_next_process_without_a_close() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("flash.bin");
    let mut first = flash();
    let store = ImageStore::open(&path, &mut first).expect("made");
    send(&mut first, &[0x06]);
    send(&mut first, &[0x02, 0x00, 0x12, 0x34, 0xab]);
    send(&mut first, &[0x06]);
    send(&mut first, &[0x01, 0x1c]);
    store.store(&mut first).expect("stored");
    let mut second = flash();
    ImageStore::open(&path, &mut second).expect("loaded");
    let mut byte = [0];
    second.read_cells(0x1234, &mut byte);
    assert_eq!(byte, [0xab]);
    assert_eq!(second.register(RegisterName::Sr1), 0x1c);
    assert_eq!(fs::metadata(&path).expect("there").len(), 4 * 1024 * 1024);
}

#[test]
fn an_image_of_another_size_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("flash.bin");
    fs::write(&path, [0; 100]).expect("written");
    let error = ImageStore::open(&path, &mut flash()).expect_err("too short");
    assert!(error.to_string().ends_with("100 bytes, but the part has 4194304"));
}

#[test]
fn a_damaged_state_file_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("flash.bin");
    fs::write(folder.path().join("flash.bin.state"), "{").expect("written");
    assert!(matches!(ImageStore::open(&path, &mut flash()), Err(PersistError::State { .. })));
}

#[test]
fn security_registers_and_otp_are_kept_beside_the_image() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("flash.bin");
    let mut first = flash();
    let store = ImageStore::open(&path, &mut first).expect("made");
    send(&mut first, &[0x06]);
    send(&mut first, &[0x42, 0x00, 0x10, 0x05, 0x5a]);
    store.store(&mut first).expect("stored");
    assert_ne!(first.state().security.used_sectors().count(), 0);
    let mut state = first.snapshot();
    state.otp_sector.load(3, &[0x77]);
    state.otp_lock = 1;
    first.restore(state, Instant::ZERO).expect("its own");
    store.store(&mut first).expect("stored");
    let mut second = flash();
    ImageStore::open(&path, &mut second).expect("loaded");
    assert_eq!(second.state().security, first.state().security);
    assert_eq!(second.state().otp_sector, first.state().otp_sector);
    assert_eq!(second.state().otp_lock, 1);
}

#[test]
fn burned_efuses_are_kept_beside_the_image() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("flash.bin");
    let board = || LoadedBoard::with_part("W25Q32JV").into_board().expect("in the catalogue");
    let mut first = board();
    let store = BoardStore::open(&path, &mut first).expect("made");
    store.store(&mut first).expect("stored");
    let efuses = folder.path().join("flash.bin.efuses");
    assert!(!efuses.exists(), "nothing is burned yet");
    // Block 3, word 0, through the controller's registers.
    for (offset, value) in [(0xD8, 0xABCD_u32), (0xFC, 0x5A5A), (0x104, 2)] {
        assert!(first.poke(0x3FF5_A000 + offset, &value.to_le_bytes()));
    }
    store.store(&mut first).expect("stored");
    let mut second = board();
    BoardStore::open(&path, &mut second).expect("loaded");
    assert_eq!(second.efuses(), first.efuses());
    let mut word = [0; 4];
    assert!(second.peek(0x3FF5_A078, &mut word));
    assert_eq!(u32::from_le_bytes(word), 0xABCD);
    fs::write(&efuses, "{\"block0\": []}").expect("written");
    let error = BoardStore::open(&path, &mut board()).expect_err("damaged");
    assert!(matches!(error, PersistError::State { .. }), "{error}");
}

#[test]
fn whenever_the_process_or_the_supply_dies_the_image_is_what_the_part_holds() {
    let folder = tempfile::tempdir().expect("a folder");
    for seed in 0..12 {
        let path = folder.path().join(format!("{seed}.bin"));
        let mut random = fastrand::Rng::with_seed(seed);
        let mut part = flash();
        let store = ImageStore::open(&path, &mut part).expect("made");
        let (mut now, mut trace) = (Instant::ZERO, Trace::default());
        for _ in 0..12 {
            let sector = random.u8(0..4) << 4;
            let change = match random.u8(0..4) {
                0 => vec![0x20, 0x00, sector, 0x00],
                1 => vec![0x01, random.u8(..) & 0x7c, random.u8(..) & 0x42],
                _ => {
                    let mut program = vec![0x02, 0x00, sector, random.u8(..)];
                    program.extend((0..32).map(|_| random.u8(..)));
                    program
                }
            };
            for mosi in [&[0x06][..], &change] {
                let command_lines = CommandLines::One;
                let mut transaction = Transaction { mosi, miso: &mut [], command_lines };
                part.transfer(now, &mut transaction, &mut trace);
            }
            match (part.busy_until(), random.u8(0..3)) {
                (Some(until), 0) => {
                    let half = until.since(now).as_nanos() / 2;
                    now = Instant::from_nanos(now.as_nanos() + half);
                    part.power_cut(now, random.u64(..));
                }
                (until, _) => now = until.unwrap_or(now),
            }
            // What a client is told next is stored before; a process killed here loses nothing.
            store.store(&mut part).expect("stored");
            let mut next = flash();
            ImageStore::open(&path, &mut next).expect("a next process reads it");
            let (held, found) = (part.state(), next.state());
            assert_eq!(found.nv, held.nv, "seed {seed}");
            assert_eq!(found.damaged_row, held.damaged_row, "seed {seed}");
            assert_eq!((&found.security, found.otp_lock), (&held.security, held.otp_lock));
            let capacity = part.part().capacity_bytes as usize;
            let mut cells = [vec![0; capacity], vec![0; capacity]];
            held.cells.read(0, &mut cells[0]);
            found.cells.read(0, &mut cells[1]);
            assert!(cells[0] == cells[1], "seed {seed}");
        }
    }
}

#[test]
fn permanent_locks_are_kept_and_volatile_ones_are_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("flash.bin");
    let flash = || LoadedBoard::with_part("SST26VF032B").flash().expect("known").nor().clone();
    let mut first = flash();
    let store = ImageStore::open(&path, &mut first).expect("made");
    // E8h with the write lock of the topmost 8 KiB, then all locks opened (QUIRKS Q15).
    send(&mut first, &[0x06]);
    send(&mut first, &[0xE8, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    send(&mut first, &[0x06]);
    send(&mut first, &[0x98]);
    let locks = |flash: &NorFlash| [0, 0x3F_F000].map(|at| flash.individually_locked(at));
    assert_eq!(locks(&first), [Some(false), Some(true)]);
    store.store(&mut first).expect("stored");
    let mut second = flash();
    ImageStore::open(&path, &mut second).expect("loaded");
    assert_eq!(locks(&second), [Some(true), Some(true)], "locked at power-up");
    send(&mut second, &[0x06]);
    send(&mut second, &[0x98]);
    assert_eq!(locks(&second), [Some(false), Some(true)]);
}

#[test]
fn a_second_flash_has_an_image_of_its_own() {
    let text = "[flash]\npart = \"W25Q32JV\"\n[second-flash]\npins = \"hspi\"\n\
                flash = { part = \"GD25Q64C\" }\n";
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("board.toml");
    fs::write(&file, text).expect("written");
    let make = || crate::case::load_file(&file).expect("a board").into_board().expect("a board");
    let (one, two) = (folder.path().join("one.bin"), folder.path().join("two.bin"));
    let files = BoardFiles { flash: Some(&one), second_flash: Some(&two), ..BoardFiles::default() };
    let mut first = make();
    let store = BoardStore::open_files(files, &mut first).expect("made");
    let second = first.flash_mut().second_part_mut().expect("it is there");
    send(second, &[0x06]);
    send(second, &[0x02, 0x00, 0x20, 0x00, 0x5a]);
    send(second, &[0x06]);
    send(second, &[0x01, 0x0c]);
    store.store(&mut first).expect("stored");
    // Killed, not closed.
    std::mem::forget(store);
    assert_eq!(fs::metadata(&two).expect("there").len(), 8 << 20);
    assert_eq!(fs::read(&two).expect("there")[0x2000], 0x5a);
    assert!(fs::read(&one).expect("there").iter().all(|byte| *byte == 0xff));
    let mut next = make();
    let only = BoardFiles { second_flash: Some(&two), ..BoardFiles::default() };
    BoardStore::open_files(only, &mut next).expect("loaded");
    let second = next.flash().second().expect("it is there");
    assert_eq!(second.register(RegisterName::Sr1), 0x0c);
    // Swapped, or for a board without one.
    let swapped = BoardFiles { second_flash: Some(&one), ..BoardFiles::default() };
    let error = BoardStore::open_files(swapped, &mut make()).expect_err("another size");
    assert!(error.to_string().contains("4194304 bytes, but the part has 8388608"), "{error}");
    let mut single = LoadedBoard::with_part("W25Q32JV").into_board().expect("a board");
    let error = BoardStore::open_files(only, &mut single).expect_err("none is there");
    assert!(error.to_string().ends_with("[second-flash] in its file)"), "{error}");
}

//! What is wrong only after, or only before, the loader's digest was taken must not pass.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use esp_protocol::response::Dialect;
use esp32_emulator::{board::Board, flash::NorFlash};
use esp32_flasher::{
    flash::{ReadError, SECTOR_BYTES},
    port::{
        Lines, Port, PortError,
        virtual_board::{VirtualPort, factory_board},
    },
    reset::ResetStrategy,
    session::Session,
    write::{Check, Image, Prepared, WriteError, WriteOptions},
};

type Shared = Arc<Mutex<Board<NorFlash>>>;

const DIGEST: u8 = 0x13;
const READ_SLOW: u8 = 0x0e;

/// Where a frame's opcode is, behind the SLIP delimiter and the direction.
const OPCODE_AT: usize = 2;

/// Whether a command reaches the board.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Arrives,
    Lost,
}

type Meddler = Box<dyn FnMut(&Shared, u8) -> Fate + Send>;

/// A port that loses commands, and whose board something is done to before a command.
struct MeddledPort {
    inner: VirtualPort<Board<NorFlash>>,
    board: Shared,
    meddle: Meddler,
}

impl Port for MeddledPort {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), PortError> {
        let fate = bytes.get(OPCODE_AT).map(|opcode| (self.meddle)(&self.board, *opcode));
        if fate == Some(Fate::Lost) { Ok(()) } else { self.inner.write(bytes) }
    }

    fn read(&mut self, out: &mut Vec<u8>, deadline: Duration) -> Result<usize, PortError> {
        self.inner.read(out, deadline)
    }

    fn set_lines(&mut self, lines: Lines) -> Result<(), PortError> {
        self.inner.set_lines(lines)
    }

    fn set_baud(&mut self, baud: u32) -> Result<(), PortError> {
        self.inner.set_baud(baud)
    }

    fn flush_input(&mut self) -> Result<(), PortError> {
        self.inner.flush_input()
    }

    fn now(&self) -> Duration {
        self.inner.now()
    }

    fn wait(&mut self, span: Duration) {
        self.inner.wait(span);
    }
}

fn connect(meddle: impl FnMut(&Shared, u8) -> Fate + Send + 'static) -> (Session, Shared) {
    let board = Arc::new(Mutex::new(factory_board("W25Q32JV").unwrap()));
    let port = MeddledPort {
        inner: VirtualPort::new("virtual", Arc::clone(&board)),
        board: Arc::clone(&board),
        meddle: Box::new(meddle),
    };
    let mut session = Session::new(Box::new(port));
    session.connect(&[ResetStrategy::unix_tight()], 7).unwrap();
    session.attach_flash().unwrap();
    (session, board)
}

fn noise() -> Image {
    let data = (0..0x3000_u32).flat_map(|at| at.wrapping_mul(0x9e37_79b9).to_le_bytes());
    Image { name: "noise".into(), offset: 0x1_0000, data: data.collect() }
}

fn blank() -> Image {
    Image { name: "blank".into(), offset: 0x1_0000, data: vec![0xff; 0x2000] }
}

/// Changes one byte of the third sector when a digest was asked for and cells are read next.
fn change_between() -> impl FnMut(&Shared, u8) -> Fate + Send {
    let mut digest_seen = false;
    let mut done = false;
    move |board, opcode| {
        digest_seen |= opcode == DIGEST;
        if digest_seen && opcode == READ_SLOW && !done {
            board.lock().unwrap().flash_mut().load_image(0x1_2345, &[0x42]);
            done = true;
        }
        Fate::Arrives
    }
}

/// Loses the command `lost` of those with `opcode`, counted from one, and changes a byte at
/// `address` before the one after it.
fn lose_and_change(opcode: u8, lost: u32, address: u32) -> impl FnMut(&Shared, u8) -> Fate + Send {
    let mut count = 0;
    move |board, seen| {
        count += u32::from(seen == opcode);
        if seen == opcode && count == lost + 1 {
            board.lock().unwrap().flash_mut().load_image(address, &[0x42]);
        }
        if seen == opcode && count == lost { Fate::Lost } else { Fate::Arrives }
    }
}

#[test]
fn a_read_back_finds_what_changed_after_the_digest() {
    let options = WriteOptions { check: Check::ReadBack, ..WriteOptions::default() };
    let (mut session, _) = connect(change_between());
    let result = session.write_image(&noise(), options, &mut |_| {});
    let Err(WriteError::Mismatch(mismatch)) = result else { panic!("{result:?}") };
    assert_eq!((mismatch.offset, mismatch.len), (0x1_2000, SECTOR_BYTES));
    // The same flash left alone.
    let (mut session, _) = connect(|_, _| Fate::Arrives);
    session.write_image(&noise(), options, &mut |_| {}).unwrap();
}

fn holds(board: &Shared, image: &Image) -> bool {
    let mut held = vec![0; image.data.len()];
    board.lock().unwrap().flash().read_cells(image.offset, &mut held);
    held == image.data
}

/// A request of the reading may have arrived as another one: what was read is digested again.
#[test]
fn a_read_back_over_a_bad_line_ends_with_a_digest() {
    let options = WriteOptions { check: Check::ReadBack, ..WriteOptions::default() };
    // In the second sector, a byte of the first changes.
    let in_second_sector = SECTOR_BYTES / 64 + 3;
    let (mut session, board) = connect(lose_and_change(READ_SLOW, in_second_sector, 0x1_0123));
    let report = session.write_image(&noise(), options, &mut |_| {}).unwrap();
    assert!(report.restarts > 0 && holds(&board, &noise()), "{report:?}");
}

/// On a bad line a mismatch is written once more; on a good one it is the flash's.
#[test]
fn what_a_bad_line_spoiled_is_written_again() {
    let (mut session, board) = connect(lose_and_change(DIGEST, 1, 0x1_2345));
    let report = session.write_image(&noise(), WriteOptions::default(), &mut |_| {}).unwrap();
    assert!(report.restarts > 0 && holds(&board, &noise()), "{report:?}");
    let (mut session, _) = connect(lose_and_change(DIGEST, 0, 0x1_2345));
    let result = session.write_image(&noise(), WriteOptions::default(), &mut |_| {});
    assert!(matches!(result, Err(WriteError::Mismatch(_))), "{result:?}");
}

/// Pulled low, a data line without a flash reads as zeros, which is "not busy" as well.
#[test]
fn a_flash_that_is_gone_holds_no_zeros() {
    let (mut session, board) = connect(|_, _| Fate::Arrives);
    board.lock().unwrap().flash_mut().load_image(0x1_0000, &[0xa5; 0x2000]);
    board.lock().unwrap().flash_mut().set_pull_level(0);
    board.lock().unwrap().flash_mut().set_supply_mv(0);
    assert_eq!(session.jedec_id().unwrap(), [0; 3]);
    let zeros = Image { data: vec![0; 0x2000], ..blank() };
    let result = session.write_image(&zeros, WriteOptions::default(), &mut |_| {});
    assert!(matches!(result, Err(WriteError::Read(ReadError::Absent(_)))), "{result:?}");
}

#[test]
fn a_verification_without_a_write_compares_the_cells() {
    let (mut session, board) = connect(|_, _| Fate::Arrives);
    for image in [noise(), blank()] {
        let prepared = Prepared::new(&image, Dialect::Rom, false);
        board.lock().unwrap().flash_mut().load_image(image.offset, &image.data);
        session.verify(&prepared).unwrap();
        board.lock().unwrap().flash_mut().load_image(image.offset + 0x1fff, &[0x42]);
        let result = session.verify(&prepared);
        assert!(matches!(result, Err(WriteError::Mismatch(_))), "{result:?}");
    }
}

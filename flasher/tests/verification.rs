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

type Meddler = Box<dyn FnMut(&Shared, u8) + Send>;

/// A port whose board something is done to before each command.
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
        if let Some(opcode) = bytes.get(OPCODE_AT) {
            (self.meddle)(&self.board, *opcode);
        }
        self.inner.write(bytes)
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

fn connect(meddle: impl FnMut(&Shared, u8) + Send + 'static) -> (Session, Shared) {
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
fn change_between() -> impl FnMut(&Shared, u8) + Send {
    let mut digest_seen = false;
    let mut done = false;
    move |board, opcode| {
        digest_seen |= opcode == DIGEST;
        if digest_seen && opcode == READ_SLOW && !done {
            board.lock().unwrap().flash_mut().load_image(0x1_2345, &[0x42]);
            done = true;
        }
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
    let (mut session, _) = connect(|_, _| ());
    session.write_image(&noise(), options, &mut |_| {}).unwrap();
}

/// Pulled low, a data line without a flash reads as zeros, which is "not busy" as well.
#[test]
fn a_flash_that_is_gone_holds_no_zeros() {
    let (mut session, board) = connect(|_, _| ());
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
    let (mut session, board) = connect(|_, _| ());
    for image in [noise(), blank()] {
        let prepared = Prepared::new(&image, Dialect::Rom, false);
        board.lock().unwrap().flash_mut().load_image(image.offset, &image.data);
        session.verify(&prepared).unwrap();
        board.lock().unwrap().flash_mut().load_image(image.offset + 0x1fff, &[0x42]);
        let result = session.verify(&prepared);
        assert!(matches!(result, Err(WriteError::Mismatch(_))), "{result:?}");
    }
}

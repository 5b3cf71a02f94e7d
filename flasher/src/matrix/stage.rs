//! A board on a PTY, with what really is in its flash.

use std::path::PathBuf;

use esp32_emulator::{
    board::{Mode, STRAP_DOWNLOAD, STRAP_FLASH_BOOT},
    case::{CaseBoard, LoadedBoard},
    transport::server::{Handle, Options, Server},
};
use spi_nor::part::RegisterName;
use tempfile::TempDir;

use super::{ChipState, MatrixError};
use crate::{
    port::{Port, serial::SerialPort},
    reproduce::run_until_quiet,
    reset::ResetStrategy,
    session::{CONNECT_BAUD, Session},
    status::Persistence,
};

/// Write enable and busy: not the subject.
const VOLATILE_BITS: u8 = 0x03;
const CONNECT_ATTEMPTS: u32 = 3;
/// Protection is looked for in steps of so many bytes.
const STEP_BYTES: u32 = 0x1000;

/// A served board.
pub(super) struct Stage {
    handle: Handle<CaseBoard>,
    /// Where the preload library asks for modem lines.
    pub(super) lines: Option<PathBuf>,
    _folder: TempDir,
}

impl Stage {
    pub(super) fn open(board: LoadedBoard) -> Result<Self, MatrixError> {
        let mut server = Server::open(board.into_board()?, &Options::default())?;
        let folder = tempfile::tempdir()?;
        let lines = server.fronts().listen_modem(&folder.path().join("modem")).ok();
        Ok(Self { handle: server.into_thread()?, lines, _folder: folder })
    }

    /// The path that a client opens.
    pub(super) fn port(&self) -> String {
        self.handle.path().to_string_lossy().into_owned()
    }

    /// Resets the chip into download mode, as a hand on the buttons does.
    pub(super) fn enter_download_mode(&self) -> Result<(), MatrixError> {
        Ok(self.handle.with(|board| {
            board.set_strap(STRAP_DOWNLOAD);
            board.host_reset(board.now());
        })?)
    }

    /// Boots from flash and lets the firmware's start-up run to its end.
    pub(super) fn boot(&self) -> Result<(), MatrixError> {
        let mode = self.handle.with(|board| {
            board.set_strap(STRAP_FLASH_BOOT);
            board.host_reset(board.now());
            run_until_quiet(board);
            board.mode()
        })?;
        if mode == Mode::Application { Ok(()) } else { Err(MatrixError::NotBooted) }
    }

    /// What `write_flash_status` of esptool sends.
    pub(super) fn write_status(&self, values: &[u8]) -> Result<(), MatrixError> {
        self.enter_download_mode()?;
        let mut port = SerialPort::open(&self.port(), CONNECT_BAUD)?;
        port.flush_input()?;
        let mut session = Session::new(Box::new(port));
        session.connect(&[ResetStrategy::none()], CONNECT_ATTEMPTS)?;
        session.attach_flash()?;
        session.write_status_burst(values, Persistence::NonVolatile)?;
        Ok(())
    }

    /// The chip's state, and whether it holds `image` at `at`.
    pub(super) fn look(&self, at: u32, image: Vec<u8>) -> Result<(ChipState, bool), MatrixError> {
        Ok(self.handle.with(move |board| {
            let nor = board.flash().nor();
            let part = nor.part();
            let end = at.saturating_add(u32::try_from(image.len()).unwrap_or(u32::MAX));
            let [sr1, sr2] = [RegisterName::Sr1, RegisterName::Sr2].map(|name| nor.register(name));
            let range = nor.protected();
            let protected = match nor.individually_locked(at) {
                Some(_) => (at..end)
                    .step_by(STEP_BYTES as usize)
                    .any(|sector| nor.individually_locked(sector) == Some(true)),
                None => range.start < end && at < range.end,
            };
            let quad_enable =
                part.quad_enable().map(|place| place.of(nor.register(place.register)) == 1);
            let mut held = vec![0; image.len()];
            nor.read_cells(at, &mut held);
            let status = u16::from_le_bytes([sr1 & !VOLATILE_BITS, sr2]);
            (ChipState { status, protected, quad_enable }, held == image)
        })?)
    }
}

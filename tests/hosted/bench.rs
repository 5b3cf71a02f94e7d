//! A board on a PTY, with what really is in its flash.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use esp32_emulator::{
    board::{Mode, STRAP_DOWNLOAD, STRAP_FLASH_BOOT},
    case::{self, CaseBoard, LoadedBoard},
    time::Duration,
    trace::Event,
    transport::server::{Handle, Options, Server},
};
use spi_nor::part::RegisterName;
use tempfile::TempDir;

/// A served board.
pub(crate) struct Bench {
    port: String,
    handle: Handle<CaseBoard>,
    /// Where the preload library asks for modem lines; the folder goes with the board.
    lines: Option<(PathBuf, TempDir)>,
}

impl Bench {
    /// A factory-new part of the catalogue.
    pub(crate) fn part(name: &str) -> Self {
        Self::serve(LoadedBoard::with_part(name))
    }

    /// A part whose non-volatile status registers hold these values.
    pub(crate) fn part_with_status(name: &str, status: [u8; 3]) -> Self {
        let mut board = LoadedBoard::with_part(name);
        let names = [RegisterName::Sr1, RegisterName::Sr2, RegisterName::Sr3];
        board.file.flash.registers.extend(names.into_iter().zip(status));
        Self::serve(board)
    }

    /// A public case.
    pub(crate) fn case(name: &str) -> Self {
        Self::serve(case::load(name).expect("a built-in case"))
    }

    /// Any board.
    pub(crate) fn loaded(board: LoadedBoard) -> Self {
        Self::serve(board)
    }

    fn serve(board: LoadedBoard) -> Self {
        let board = board.into_board().expect("the board powers on");
        let mut server = Server::open(board, &Options::default()).expect("a PTY can be had");
        let folder = tempfile::tempdir().expect("a folder");
        let socket = server.fronts().listen_modem(&folder.path().join("modem"));
        let lines = socket.ok().map(|socket| (socket, folder));
        let handle = server.into_thread().expect("a thread");
        let port = handle.path().to_str().expect("PTY paths are ASCII").to_owned();
        Self { port, handle, lines }
    }

    /// Lets a client have modem lines, and the port under the name `alias`.
    pub(crate) fn lend_lines(&self, command: &mut Command, library: &Path, alias: &str) {
        let Some((socket, _)) = &self.lines else { return };
        command.env("LD_PRELOAD", library).env("MODEM_SHIM_PORT", &self.port);
        command.env("MODEM_SHIM_SOCKET", socket).env("MODEM_SHIM_ALIAS", alias);
    }

    /// The path that a client opens.
    pub(crate) fn port(&self) -> &str {
        &self.port
    }

    /// Resets the chip into download mode, as a hand on the buttons does.
    pub(crate) fn enter_download_mode(&self) {
        self.with(|board| {
            board.set_strap(STRAP_DOWNLOAD);
            board.host_reset(board.now());
        });
    }

    /// Boots from flash and lets the firmware's start-up run to its end.
    pub(crate) fn boot(&self) {
        let mode = self.with(|board| {
            board.set_strap(STRAP_FLASH_BOOT);
            board.host_reset(board.now());
            let end = board.now() + Duration::from_millis(60_000);
            while let Some(due) = board.next_event().filter(|due| *due <= end) {
                let now = board.now().max(due);
                board.advance(now);
                board.transmit(now, &mut Vec::new());
            }
            board.mode()
        });
        assert_eq!(mode, Mode::Application);
    }

    /// Work on the board itself.
    pub(crate) fn with<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut CaseBoard) -> R + Send + 'static,
    ) -> R {
        self.handle.with(work).expect("the server runs")
    }

    /// SR1, SR2, SR3 as the chip has them.
    pub(crate) fn status(&self) -> [u8; 3] {
        self.with(|board| {
            [RegisterName::Sr1, RegisterName::Sr2, RegisterName::Sr3]
                .map(|name| board.flash().nor().register(name))
        })
    }

    /// Bytes of the array.
    pub(crate) fn cells(&self, address: u32, length: usize) -> Vec<u8> {
        self.with(move |board| {
            let mut bytes = vec![0; length];
            board.flash().nor().read_cells(address, &mut bytes);
            bytes
        })
    }

    /// Instructions that the flash refused.
    pub(crate) fn denials(&self) -> usize {
        self.with(|board| {
            board
                .trace()
                .entries()
                .filter(|entry| matches!(entry.event, Event::Denied { .. }))
                .count()
        })
    }
}

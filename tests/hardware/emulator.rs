//! Boards that are served for the suite's own tests.

use std::{net::SocketAddr, path::PathBuf};

use esp32_emulator::{
    case::{CaseBoard, LoadedBoard},
    transport::{
        server::{Handle, Options, Server},
        tcp::listen_address,
    },
};
use spi_nor::part::RegisterName;

#[path = "../hosted/emulator.rs"]
#[allow(dead_code, reason = "the hosted tests use the rest")]
mod binary;

pub(crate) use binary::emulator;

/// Old content of the flash, so that a lost restoration shows.
pub(crate) fn old_content(len: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(99);
    (0..len).map(|_| random.u8(..)).collect()
}

/// A board on a PTY in this process, and behind RFC 2217.
pub(crate) struct Served {
    handle: Handle<CaseBoard>,
    network: SocketAddr,
}

impl Served {
    /// Serves `board` with old content in its last 64 KiB.
    pub(crate) fn new(board: LoadedBoard) -> Self {
        let mut board = board.into_board().expect("the board powers on");
        let end = board.flash().nor().part().capacity_bytes;
        board.flash_mut().nor_mut().load_image(end - 0x1_0000, &old_content(0x1_0000));
        let mut server = Server::open(board, &Options::default()).expect("a PTY");
        let any = listen_address("0").expect("a port");
        let network = server.fronts().listen_rfc2217(any).expect("loopback is there");
        Self { handle: server.into_thread().expect("a thread"), network }
    }

    /// The port on the network.
    pub(crate) fn network_port(&self) -> String {
        format!("rfc2217://{}", self.network)
    }

    /// The path of the PTY.
    pub(crate) fn port(&self) -> String {
        self.handle.path().display().to_string()
    }

    /// A hand on the EN button: without modem lines nobody else resets the board.
    pub(crate) fn reset(&self) {
        self.handle.with(|board| board.host_reset(board.now())).expect("the server runs");
    }

    /// The last `len` bytes of the flash, and SR1 to SR3.
    pub(crate) fn end_of_flash(&self, len: usize) -> (Vec<u8>, [u8; 3]) {
        self.handle
            .with(move |board| {
                let nor = board.flash().nor();
                let mut bytes = vec![0; len];
                let from = nor.part().capacity_bytes - u32::try_from(len).expect("it is short");
                nor.read_cells(from, &mut bytes);
                let names = [RegisterName::Sr1, RegisterName::Sr2, RegisterName::Sr3];
                (bytes, names.map(|name| nor.register(name)))
            })
            .expect("the server runs")
    }
}

/// This test program, to be run as another process.
pub(crate) fn this_program() -> PathBuf {
    std::env::current_exe().expect("the test knows itself")
}

//! The `emulator` binary, and boards served in this process.

use std::{net::SocketAddr, path::PathBuf, process::Command, sync::OnceLock};

use esp32_emulator::{
    case::{CaseBoard, LoadedBoard},
    transport::{
        fronts::Fronts,
        server::{Handle, Options, Server},
        tcp::listen_address,
    },
};

/// Runs the `emulator` of this very tree, which cargo does not build for the tests of another
/// package.
pub(crate) fn emulator() -> Command {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    Command::new(BINARY.get_or_init(|| build("esp32-emulator", "emulator")))
}

/// The preload library, which cargo puts next to the `emulator`.
pub(crate) fn modem_library() -> PathBuf {
    let binary = PathBuf::from(emulator().get_program());
    let folder = binary.parent().expect("target/PROFILE");
    let name = "libmodem_shim.so";
    let beside = folder.join(name);
    if beside.is_file() { beside } else { folder.join("deps").join(name) }
}

/// Runs the `flasher` of this very tree.
pub(crate) fn flasher() -> Command {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    Command::new(BINARY.get_or_init(|| build("esp32-flasher", "flasher")))
}

/// Builds a binary of this workspace in the profile of this test.
fn build(package: &str, name: &str) -> PathBuf {
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--package", package, "--bin", name]);
    build.current_dir(env!("CARGO_MANIFEST_DIR"));
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    assert!(build.status().expect("cargo runs").success(), "{name} does not build");
    let test = std::env::current_exe().expect("the test knows itself");
    test.ancestors().nth(2).expect("target/PROFILE/deps/TEST").join(name)
}

/// Serves a blank board with `part` in this process, with the front that `listen` opens.
pub(crate) fn serve(
    part: &str,
    listen: impl Fn(&mut Fronts, SocketAddr) -> std::io::Result<SocketAddr>,
) -> (Handle<CaseBoard>, SocketAddr) {
    let board = LoadedBoard::with_part(part).into_board().expect("the part exists");
    let mut server = Server::open(board, &Options::default()).expect("a PTY");
    let any = listen_address("0").expect("a port");
    let address = listen(server.fronts(), any).expect("loopback is there");
    (server.into_thread().expect("a thread"), address)
}

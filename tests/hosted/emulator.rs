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
    let binary = BINARY.get_or_init(|| {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--package", "esp32-emulator", "--bin", "emulator"]);
        build.current_dir(env!("CARGO_MANIFEST_DIR"));
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        assert!(build.status().expect("cargo runs").success(), "the emulator does not build");
        let test = std::env::current_exe().expect("the test knows itself");
        test.ancestors().nth(2).expect("target/PROFILE/deps/TEST").join("emulator")
    });
    Command::new(binary)
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

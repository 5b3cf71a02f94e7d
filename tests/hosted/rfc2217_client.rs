//! The flasher's RFC 2217 client against a server that is not ours: Espressif's, on pyserial, in
//! front of a board on a PTY.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, Output},
    thread,
    time::Duration,
};

use crate::{
    clients::{ESPTOOLS, Esptool},
    emulator::{emulator, flasher},
};

/// A board that runs from flash: only its lines bring it into the loader.
const FLASH_BOOT: &str = "[flash]\npart = \"W25Q128FV\"\n[chip]\nstrap = 0x13\n";
const ADDRESS: &str = "0x10000";

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
    listener.local_addr().expect("it is bound").port()
}

/// Waits until somebody listens at `port`.
#[expect(clippy::disallowed_methods, reason = "another process is waited for")]
fn wait_for(port: u16) {
    for _ in 0..200 {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("nobody listens at {port}");
}

/// Runs `client` up to three times: the server takes one client at a time, and needs a while to
/// let go of the last one.
#[expect(clippy::disallowed_methods, reason = "another process is waited for")]
fn served(client: &mut Command) -> Output {
    let mut output = client.output().expect("the flasher runs");
    for _ in 0..2 {
        if output.status.success() {
            break;
        }
        thread::sleep(Duration::from_secs(1));
        output = client.output().expect("the flasher runs");
    }
    output
}

/// Flashes and verifies `file` through the server of `release`; `None` if it cannot be had.
fn through(release: Esptool, folder: &Path, file: &str) -> Option<()> {
    let python = release.python()?.get_program().to_str()?.to_owned();
    let server = Path::new(&python).with_file_name("esp_rfc2217_server.py");
    let board = folder.join("board.toml");
    fs::write(&board, FLASH_BOOT).expect("a file");
    let tcp = free_port();
    let expected = format!("{file}@{ADDRESS}");
    let mut exec = emulator();
    exec.args(["exec", "--board"]).arg(&board).args(["--expect-flash", &expected, "--"]);
    // The shell ends the server when its input ends.
    let script = "\"$0\" \"$1\" -p \"$2\" \"$3\" >/dev/null 2>&1 & read line; kill $!";
    exec.args(["sh", "-c", script, &python]).arg(&server).args([&tcp.to_string(), "{port}"]);
    let mut chain = exec.stdin(std::process::Stdio::piped()).spawn().expect("the emulator runs");
    wait_for(tcp);
    let port = format!("rfc2217://127.0.0.1:{tcp}");
    for task in [&["write", ADDRESS, file][..], &["-b", "921600", "verify", ADDRESS, file]] {
        let mut client = flasher();
        client.env_remove("FLASHER_PORT").args(["--port", &port, "--no-progress"]).args(task);
        let output = served(&mut client);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "esptool {}: {task:?}: {said}", release.version);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("Verified") && !said.contains("modem lines"), "{said}");
    }
    drop(chain.stdin.take());
    let status = chain.wait().expect("a child");
    // Also that the flash holds the file.
    assert!(status.success(), "esptool {}: {status}", release.version);
    Some(())
}

#[test]
fn the_flasher_works_through_espressifs_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut random = fastrand::Rng::with_seed(2217);
    let bytes: Vec<u8> = (0..150_000).map(|_| random.u8(..)).collect();
    let file = folder.path().join("app.bin");
    fs::write(&file, bytes).expect("a file");
    let file = file.to_str().expect("temporary paths are UTF-8");
    for release in ESPTOOLS {
        if through(release, folder.path(), file).is_none() {
            return;
        }
    }
}

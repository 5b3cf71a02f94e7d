//! A client that holds the port exclusively is killed: the next one must get in.
//!
//! root never meets the trap (it may open exclusive terminals), so the test runs itself again as
//! an unprivileged user.
#![expect(clippy::expect_used, reason = "helpers of tests")]

use std::{
    env,
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Read, Write},
    process::{Command, Stdio},
};

use rustix::termios::ioctl_tiocexcl;

const PORT: &str = "EXCLUSIVE_TEST_PORT";

fn open(path: &str) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

#[test]
fn a_killed_exclusive_client_does_not_lock_the_port() {
    if let Ok(port) = env::var(PORT) {
        return hold(&port);
    }
    if rustix::process::getuid().is_root() {
        let again = Command::new("setpriv")
            .args(["--reuid=65534", "--clear-groups"])
            .arg(env::current_exe().expect("a path"))
            .args(["--exact", "a_killed_exclusive_client_does_not_lock_the_port"])
            .status();
        match again {
            Ok(status) if status.code() != Some(127) && status.code() != Some(126) => {
                assert!(status.success());
            }
            other => {
                assert!(env::var_os("CI").is_none(), "setpriv does not work here: {other:?}");
                eprintln!(
                    "SKIPPED: setpriv does not work here ({other:?}), and root proves nothing"
                );
            }
        }
        return;
    }
    rounds();
}

/// Takes the port exclusively and waits to be killed.
fn hold(port: &str) {
    let mut file = open(port).expect("opens");
    ioctl_tiocexcl(&file).expect("exclusive");
    writeln!(std::io::stdout(), "\nholding").expect("a reader");
    let _ = file.read(&mut [0]);
}

fn rounds() {
    let mut server = Command::new(env!("CARGO_BIN_EXE_emulator"))
        .arg("serve")
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut port = String::new();
    BufReader::new(server.stdout.take().expect("piped")).read_line(&mut port).expect("a line");
    let port = port.trim().to_owned();
    for _ in 0..20 {
        let mut holder = Command::new(env::current_exe().expect("a path"))
            .args(["--exact", "--nocapture", "a_killed_exclusive_client_does_not_lock_the_port"])
            .env(PORT, &port)
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut lines = BufReader::new(holder.stdout.take().expect("piped")).lines();
        assert!(lines.any(|line| line.is_ok_and(|line| line == "holding")));
        assert!(open(&port).is_err(), "the holder must have it for itself");
        holder.kill().expect("killed");
        holder.wait().expect("gone");
        // The server hears of it by inotify, which takes a moment and gives no sign.
        let mut file =
            (0..200_000).find_map(|_| open(&port).ok()).expect("the next client gets in");
        file.write_all(&[0xc0]).expect("written");
    }
    server.kill().expect("killed");
    server.wait().expect("gone");
}

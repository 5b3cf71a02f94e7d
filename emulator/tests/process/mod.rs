//! A served board in a process of its own, killed when the test ends.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

/// The process.
pub(crate) struct Process {
    pub(crate) child: Child,
    /// The first line that it printed.
    pub(crate) ready: String,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `emulator serve ARGUMENTS`, once it is ready.
pub(crate) fn serve(arguments: &[&str]) -> Process {
    let mut child = Command::new(env!("CARGO_BIN_EXE_emulator"))
        .arg("serve")
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut ready = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut ready).expect("a line");
    Process { child, ready: ready.trim().to_owned() }
}

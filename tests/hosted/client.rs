//! esptool as a user runs it, with a stub of a chosen generation or none, at a board on a PTY.

use std::process::Output;

use crate::{
    bench::Bench,
    clients::{ESPTOOL_4_5_1, ESPTOOL_4_12_0, ESPTOOL_5, Esptool},
    emulator::modem_library,
};

/// What runs on the chip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stub {
    /// The legacy stub: its unlock keeps status bit 9.
    V1,
    /// The stub that esptool 5.4 to 5.6 uploads: it unlocks nothing.
    V2,
    /// The mask ROM alone.
    None,
}

/// A release with what it uploads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Client {
    pub(crate) release: Esptool,
    pub(crate) stub: Stub,
}

/// Releases with the stub generations that they carry; the first of each release is its default.
pub(crate) const WITH_STUB: [Client; 5] = [
    Client { release: ESPTOOL_4_5_1, stub: Stub::V1 },
    Client { release: ESPTOOL_4_12_0, stub: Stub::V1 },
    Client { release: ESPTOOL_4_12_0, stub: Stub::V2 },
    Client { release: ESPTOOL_5, stub: Stub::V2 },
    Client { release: ESPTOOL_5, stub: Stub::V1 },
];

/// The releases without a stub.
pub(crate) const WITHOUT_STUB: [Client; 3] = [
    Client { release: ESPTOOL_4_5_1, stub: Stub::None },
    Client { release: ESPTOOL_4_12_0, stub: Stub::None },
    Client { release: ESPTOOL_5, stub: Stub::None },
];

/// What a run said and whether it succeeded.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) success: bool,
    pub(crate) text: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        Self { success: output.status.success(), text }
    }
}

impl Said {
    /// Demands success.
    pub(crate) fn done(self) -> String {
        assert!(self.success, "{}", self.text);
        self.text
    }

    /// Demands failure.
    pub(crate) fn failed(self) -> String {
        assert!(!self.success, "it succeeded: {}", self.text);
        self.text
    }

    /// Demands that the text is there.
    #[track_caller]
    pub(crate) fn says(self, part: &str) -> Self {
        assert!(self.text.contains(part), "no {part:?} in:\n{}", self.text);
        self
    }
}

impl Client {
    /// Runs the client on a board in download mode; the stub, if there is one, runs on after it.
    /// `None` if the client cannot be had.
    pub(crate) fn run(self, bench: &Bench, args: &[&str]) -> Option<Said> {
        self.run_after(
            bench,
            if self.stub == Stub::None { "no_reset" } else { "no_reset_stub" },
            args,
        )
    }

    /// Runs the client with this `--after`.
    pub(crate) fn run_after(self, bench: &Bench, after: &str, args: &[&str]) -> Option<Said> {
        let mut command = self.release.command()?;
        command.args(["--chip", "esp32", "--port", bench.port(), "--after", after]);
        if after == "hard_reset" {
            // Lines as the port's opening leaves them, both on, cannot reset: the transistors of
            // the boards ignore RTS then. So the session begins with a reset as well.
            bench.lend_lines(&mut command, &modem_library(), "/dev/no-such-port");
            command.args(["--before", "default_reset"]);
        } else {
            command.args(["--before", "no_reset"]);
        }
        match self.stub {
            Stub::V1 => command.env("ESPTOOL_STUB_VERSION", "1"),
            Stub::V2 => command.env("ESPTOOL_STUB_VERSION", "2"),
            Stub::None => command.arg("--no-stub"),
        };
        Some(command.args(args).output().expect("it runs").into())
    }

    /// A short name for messages and tables.
    pub(crate) fn name(self) -> String {
        let stub = match self.stub {
            Stub::V1 => "stub 1",
            Stub::V2 => "stub 2",
            Stub::None => "no stub",
        };
        format!("esptool {}, {stub}", self.release.version)
    }
}

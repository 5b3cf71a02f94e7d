//! The clients and how each is run.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use super::{Ended, MatrixError, stage::Stage};

/// espflash only takes ports that sysfs lists.
const ALIAS: &str = "/dev/ttyS0";
/// No client needs so long for the few blocks that it gets.
const LIMIT: Duration = Duration::from_mins(3);
const POLL: Duration = Duration::from_millis(20);
/// Clients wait for less than a loaded machine may need, so they may try again.
const TRIES: u32 = 4;
const GAVE_UP_WAITING: [&str; 6] = [
    "Timeout while running",
    "Failed to connect",
    "No serial data received",
    "Try increasing timeouts",
    "serial noise",
    "troubleshooting.html",
];
/// What clients say of a write that failed, and the words of the table.
const KNOWN: [(&str, &str); 8] = [
    ("MD5 of file does not match", "MD5 mismatch"),
    ("flash region is empty", "region is empty"),
    ("result was 0105", "error 0105"),
    ("01050000", "error 0105"),
    ("Verification of flash content failed", "verification failed"),
    ("Verification failed", "verification failed"),
    ("Bootloader failed to write to flash", "write refused"),
    ("Soft resetting is", "no soft reset"),
];

/// What esptool runs on the chip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stub {
    /// The legacy stub: its unlock keeps status bit 9.
    Legacy,
    /// The stub that esptool 5.4 to 5.6 uploads: it unlocks nothing.
    Second,
    /// The mask ROM alone.
    None,
}

/// What a client does with the chip at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// It leaves it as it is.
    Stay,
    /// It pulls the reset line.
    HardReset,
    /// It tells the loader to start the program.
    SoftReset,
}

/// One client, ready to run.
#[derive(Debug, Clone)]
pub struct Client {
    name: String,
    program: Program,
}

#[derive(Debug, Clone)]
enum Program {
    /// Program and first arguments, such as `python -m esptool`.
    Esptool {
        command: Vec<String>,
        stub: Stub,
    },
    Espflash {
        binary: PathBuf,
        stub: bool,
    },
    Flasher {
        binary: PathBuf,
        unprotect: bool,
    },
}

/// What a run said and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// It reports success.
    pub success: bool,
    /// Its exit code, if it was not killed.
    pub code: Option<i32>,
    /// All that it printed.
    pub text: String,
}

impl Client {
    /// esptool by `command` (a program and its first arguments), with `stub`. `label` is its
    /// version, or the name that the user gave.
    #[must_use]
    pub fn esptool(label: &str, command: Vec<String>, stub: Stub) -> Self {
        let stub_name = match stub {
            Stub::Legacy => "stub 1",
            Stub::Second => "stub 2",
            Stub::None => "no stub",
        };
        Self { name: format!("{label}, {stub_name}"), program: Program::Esptool { command, stub } }
    }

    /// espflash with its stub or without.
    #[must_use]
    pub fn espflash(label: &str, binary: &Path, stub: bool) -> Self {
        let name = if stub { label.to_owned() } else { format!("{label}, no stub") };
        Self { name, program: Program::Espflash { binary: binary.to_owned(), stub } }
    }

    /// This flasher, told to lift protection or not.
    #[must_use]
    pub fn flasher(label: &str, binary: &Path, unprotect: bool) -> Self {
        let name = if unprotect { format!("{label} --unprotect") } else { label.to_owned() };
        Self { name, program: Program::Flasher { binary: binary.to_owned(), unprotect } }
    }

    /// Its name in tables.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn asked_to_unlock(&self) -> bool {
        matches!(self.program, Program::Flasher { unprotect: true, .. })
    }

    /// The endings that it knows.
    #[must_use]
    pub fn endings(&self) -> &'static [Ending] {
        match self.program {
            Program::Esptool { .. } => &[Ending::Stay, Ending::HardReset, Ending::SoftReset],
            Program::Espflash { .. } | Program::Flasher { .. } => {
                &[Ending::Stay, Ending::HardReset]
            }
        }
    }

    /// Flashes `file` at `at`. `None`: it was stopped.
    pub(super) fn write(
        &self,
        stage: &Stage,
        (at, file): (u32, &Path),
        ending: Ending,
        stop: &AtomicBool,
    ) -> Result<Option<Said>, MatrixError> {
        let mut said = None;
        for _ in 0..TRIES {
            stage.enter_download_mode()?;
            let mut command = self.command(stage, at, file, ending);
            said = self.run(&mut command, file, stop)?;
            if !said.as_ref().is_some_and(Said::gave_up_waiting) {
                break;
            }
        }
        Ok(said)
    }

    fn command(&self, stage: &Stage, at: u32, file: &Path, ending: Ending) -> Command {
        let (port, at) = (stage.port(), format!("{at:#x}"));
        let needs_lines = ending == Ending::HardReset;
        let mut command = match &self.program {
            Program::Esptool { command: words, stub } => {
                let mut command = Command::new(words.first().map_or("esptool", String::as_str));
                command.args(words.iter().skip(1)).args(["--chip", "esp32", "--port", &port]);
                // Lines as the port's opening leaves them, both on, cannot reset: the transistors
                // of the boards ignore RTS then. So the session begins with a reset as well.
                let before = if needs_lines { "default_reset" } else { "no_reset" };
                let after = match ending {
                    Ending::Stay => "no_reset",
                    Ending::HardReset => "hard_reset",
                    Ending::SoftReset => "soft_reset",
                };
                command.args(["--before", before, "--after", after]);
                match stub {
                    Stub::Legacy => command.env("ESPTOOL_STUB_VERSION", "1"),
                    Stub::Second => command.env("ESPTOOL_STUB_VERSION", "2"),
                    Stub::None => command.arg("--no-stub"),
                };
                command.args(["write_flash", &at]).arg(file);
                command
            }
            Program::Espflash { binary, stub } => {
                let mut command = Command::new(binary);
                let after = if needs_lines { "hard-reset" } else { "no-reset" };
                command.args(["--skip-update-check", "write-bin", "--chip", "esp32"]);
                command.args(["--after", after, "--port", ALIAS]);
                if !stub {
                    command.arg("--no-stub");
                }
                command.arg(&at).arg(file);
                command
            }
            Program::Flasher { binary, unprotect } => {
                let mut command = Command::new(binary);
                let (before, after) =
                    if needs_lines { ("default", "run") } else { ("none", "none") };
                command.args(["--port", &port, "--before", before, "--after", after]);
                command.args(["--no-progress", "write"]);
                if *unprotect {
                    command.arg("--unprotect");
                }
                command.arg(&at).arg(file);
                command
            }
        };
        if needs_lines || matches!(self.program, Program::Espflash { .. }) {
            lend_lines(&mut command, stage, &port);
        }
        command
    }

    fn run(
        &self,
        command: &mut Command,
        file: &Path,
        stop: &AtomicBool,
    ) -> Result<Option<Said>, MatrixError> {
        let start = |cause| MatrixError::Start { client: self.name.clone(), cause };
        // Clients keep journals and logs where they run; pipes would have to be drained.
        let folder = tempfile::tempdir_in(file.parent().unwrap_or(Path::new(".")))?;
        let log = folder.path().join("log");
        let out = File::create(&log)?;
        for name in ["ESPTOOL_PORT", "ESPTOOL_BAUD", "ESPFLASH_PORT", "ESPFLASH_BAUD"] {
            command.env_remove(name);
        }
        command.env_remove("FLASHER_PORT").env_remove("FLASHER_BAUD");
        command.env("XDG_CONFIG_HOME", folder.path()).env("HOME", folder.path());
        command.current_dir(folder.path()).stdin(Stdio::null());
        command.stderr(out.try_clone()?).stdout(out);
        let mut child = command.spawn().map_err(start)?;
        let status = wait(&mut child, stop)?;
        let mut text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        Ok(match status {
            Waited::Ended(status) => {
                Some(Said { success: status.success(), code: status.code(), text })
            }
            Waited::Late => {
                text.push_str("\nit did not end\n");
                Some(Said { success: false, code: None, text })
            }
            Waited::Stopped => None,
        })
    }

    /// How a write ended, and in which words.
    pub(super) fn judge(&self, said: &Said, held: bool) -> (Ended, String) {
        if said.success {
            let (ended, words) = if held {
                (Ended::Verified, "verified")
            } else {
                (Ended::FalseSuccess, "**false success**")
            };
            return (ended, words.to_owned());
        }
        if matches!(self.program, Program::Flasher { .. }) {
            return match said.code {
                Some(6) => (Ended::Failed, "verify failed".to_owned()),
                Some(7) => (Ended::Told, "told: protected".to_owned()),
                Some(8) => (Ended::Told, "told: protected for good".to_owned()),
                Some(10) => (Ended::Failed, "told: unsupported part".to_owned()),
                code => (Ended::Failed, format!("exit {}", code.unwrap_or(-1))),
            };
        }
        let words = said.known_words().or(said.last_line()).unwrap_or("no word").to_owned();
        (Ended::Failed, words)
    }
}

impl Said {
    fn gave_up_waiting(&self) -> bool {
        let waiting = || GAVE_UP_WAITING.iter().any(|words| self.text.contains(words));
        !self.success && self.known_words().is_none() && waiting()
    }

    fn known_words(&self) -> Option<&'static str> {
        KNOWN.iter().find(|(text, _)| self.text.contains(text)).map(|(_, words)| *words)
    }

    /// Its last word, without the frame that some clients draw around it.
    pub(super) fn last_line(&self) -> Option<&str> {
        let bare = |line| str::trim_start_matches(line, |c: char| !c.is_alphanumeric());
        self.text.lines().map(bare).map(str::trim_end).rev().find(|line| !line.is_empty())
    }

    pub(super) fn speaks_of_protection(&self) -> bool {
        self.text.to_lowercase().contains("protect")
    }
}

/// Lets a client have modem lines, and the port under a name that it accepts.
fn lend_lines(command: &mut Command, stage: &Stage, port: &str) {
    let (Some(socket), Some(library)) = (&stage.lines, super::preload_library()) else { return };
    command.env("LD_PRELOAD", library).env("MODEM_SHIM_PORT", port);
    command.env("MODEM_SHIM_SOCKET", socket).env("MODEM_SHIM_ALIAS", ALIAS);
}

enum Waited {
    Ended(ExitStatus),
    Late,
    Stopped,
}

#[expect(clippy::disallowed_methods, reason = "waits for a process of the machine")]
fn wait(child: &mut Child, stop: &AtomicBool) -> io::Result<Waited> {
    let mut waited = Duration::ZERO;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Waited::Ended(status));
        }
        let stopped = stop.load(Ordering::Relaxed);
        if stopped || waited >= LIMIT {
            child.kill()?;
            child.wait()?;
            return Ok(if stopped { Waited::Stopped } else { Waited::Late });
        }
        std::thread::sleep(POLL);
        waited += POLL;
    }
}

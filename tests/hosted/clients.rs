//! Real clients, installed on first use into `target/clients/`.
//!
//! A client that cannot be had is a skip, printed loudly; with `CI` set it is a failure.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// One esptool release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Esptool {
    /// Version on `PyPI`.
    pub(crate) version: &'static str,
}

/// Default stub: legacy (v1). The version of esptool issue 915.
pub(crate) const ESPTOOL_4_5_1: Esptool = Esptool { version: "4.5.1" };
/// Default stub: legacy (v1).
pub(crate) const ESPTOOL_4_12_0: Esptool = Esptool { version: "4.12.0" };
/// Newest at the time of writing; default stub: v2, which unlocks nothing.
pub(crate) const ESPTOOL_5: Esptool = Esptool { version: "5.6.0" };

/// All releases that the tests run.
pub(crate) const ESPTOOLS: [Esptool; 3] = [ESPTOOL_4_5_1, ESPTOOL_4_12_0, ESPTOOL_5];

impl Esptool {
    /// A command that runs this release, or `None` after a loud message if it cannot be had.
    pub(crate) fn command(self) -> Option<Command> {
        match self.install() {
            Ok(python) => {
                let mut command = Command::new(python);
                command.args(["-m", "esptool"]);
                command.env_remove("ESPTOOL_PORT").env_remove("ESPTOOL_BAUD");
                Some(command)
            }
            Err(reason) => {
                skip(&format!("esptool {}", self.version), &reason);
                None
            }
        }
    }

    /// The interpreter of this release, which has its pyserial too; `None` after a loud message if
    /// it cannot be had.
    pub(crate) fn python(self) -> Option<Command> {
        match self.install() {
            Ok(python) => Some(Command::new(python)),
            Err(reason) => {
                skip(&format!("pyserial of esptool {}", self.version), &reason);
                None
            }
        }
    }

    /// A command that runs espefuse of this release, or `None` after a loud message if it cannot be
    /// had.
    #[allow(dead_code, reason = "the hosted tests use it")]
    pub(crate) fn espefuse(self) -> Option<Command> {
        match self.install_espefuse() {
            Ok(python) => {
                let mut command = Command::new(python);
                command.args(["-m", "espefuse"]);
                Some(command)
            }
            Err(reason) => {
                skip(&format!("espefuse {}", self.version), &reason);
                None
            }
        }
    }

    /// A command that runs espsecure of this release, or `None` after a loud message if it cannot
    /// be had.
    #[allow(dead_code, reason = "the hosted tests use it")]
    pub(crate) fn espsecure(self) -> Option<Command> {
        let mut command = self.python()?;
        command.args(["-m", "espsecure"]);
        Some(command)
    }

    /// espefuse 4 does not start with the bitstring 5 that pip chooses for it.
    fn install_espefuse(self) -> Result<PathBuf, String> {
        let python = self.install()?;
        if !self.version.starts_with("4.") {
            return Ok(python);
        }
        let folder = clients_folder()?.join(format!("esptool-{}", self.version));
        let lock = File::create(folder.with_extension("lock")).map_err(|e| e.to_string())?;
        lock.lock().map_err(|e| e.to_string())?;
        let ready = folder.join("espefuse-ready");
        if !ready.is_file() {
            run(Command::new(&python)
                .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
                .arg("bitstring<4.2"))?;
            fs::write(ready, "bitstring<4.2").map_err(|e| e.to_string())?;
        }
        Ok(python)
    }

    /// The stub files in esptool's JSON form that this release carries for the ESP32:
    /// generation and path.
    #[allow(dead_code, reason = "the system tests use it")]
    pub(crate) fn stubs(self) -> Option<Vec<(u8, PathBuf)>> {
        let python = match self.install() {
            Ok(python) => python,
            Err(reason) => {
                skip(&format!("stubs of esptool {}", self.version), &reason);
                return None;
            }
        };
        let packages = python.parent()?.parent()?.join("lib");
        let site = fs::read_dir(packages).ok()?.flatten().next()?.path().join("site-packages");
        let folder = site.join("esptool/targets/stub_flasher");
        let candidates = [
            (1, folder.join("stub_flasher_32.json")),
            (1, folder.join("1/esp32.json")),
            (2, folder.join("2/esp32.json")),
        ];
        Some(candidates.into_iter().filter(|(_, path)| path.is_file()).collect())
    }

    /// Installs the release once and returns its interpreter.
    fn install(self) -> Result<PathBuf, String> {
        let folder = clients_folder()?.join(format!("esptool-{}", self.version));
        let python = folder.join("bin/python");
        // Tests run in parallel processes and threads: one installs, the others wait.
        let lock = File::create(folder.with_extension("lock")).map_err(|e| e.to_string())?;
        lock.lock().map_err(|e| e.to_string())?;
        if folder.join("ready").is_file() {
            return Ok(python);
        }
        // A run that was interrupted may have left half an environment.
        let _ = fs::remove_dir_all(&folder);
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
        run(Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .arg(format!("esptool=={}", self.version)))?;
        fs::write(folder.join("ready"), self.version).map_err(|e| e.to_string())?;
        Ok(python)
    }
}

/// The release of espflash that the tests know.
const ESPFLASH: &str = "4.7.0";

/// espflash from `target/clients`, or the one in `PATH`; built from crates.io, which takes minutes,
/// only with `ESPFLASH_INSTALL` or `CI` set. `None` after a loud message if it cannot be had.
pub(crate) fn espflash() -> Option<PathBuf> {
    let folder = clients_folder().ok()?.join("espflash");
    let binary = folder.join("bin/espflash");
    if binary.is_file() {
        return Some(binary);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut installed = std::env::split_paths(&path).map(|folder| folder.join("espflash"));
    if let Some(found) = installed.find(|file| file.is_file()) {
        return Some(found);
    }
    let wanted = ["ESPFLASH_INSTALL", "CI"].iter().any(|name| std::env::var_os(name).is_some());
    let reason = if wanted {
        let lock = File::create(folder.with_extension("lock")).and_then(|lock| {
            lock.lock()?;
            Ok(lock)
        });
        let mut install = Command::new("cargo");
        install.args(["install", "--quiet", "--locked", "espflash", "--version", ESPFLASH]);
        install.arg("--root").arg(&folder);
        match lock.map_err(|e| e.to_string()).and_then(|_lock| run(&mut install)) {
            Ok(_) => return Some(binary),
            Err(reason) => reason,
        }
    } else {
        format!("not installed: `cargo install --locked espflash --root {}`", folder.display())
    };
    skip("espflash", &reason);
    None
}

/// `target/clients`, made if missing.
fn clients_folder() -> Result<PathBuf, String> {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"), PathBuf::from);
    let folder = target.join("clients");
    fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    Ok(folder)
}

/// Runs a command of the installation; an error carries the end of what it said.
fn run(command: &mut Command) -> Result<Output, String> {
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    if output.status.success() {
        Ok(output)
    } else {
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("{command:?} ended with {}: {said}", output.status))
    }
}

/// Says loudly that something was not tested; in CI that is a failure.
pub(crate) fn skip(what: &str, reason: &str) {
    assert!(std::env::var_os("CI").is_none(), "{what} is needed in CI: {reason}");
    eprintln!("\n*** SKIPPED: {what}: {reason}\n*** Nothing was tested here.\n");
}

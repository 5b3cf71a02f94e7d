//! Finding the clients that are installed.

use std::{
    env,
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{Client, MatrixError, Stub};

/// File name of the library that lends a PTY modem lines.
const LIBRARY: &str = "libmodem_shim.so";
/// Asks a release of esptool for its version and for the stub generations that it carries.
const ASK: &str = "import esptool, os
folder = os.path.join(os.path.dirname(esptool.__file__), 'targets', 'stub_flasher')
has = lambda *path: os.path.isfile(os.path.join(folder, *path))
print(esptool.__version__, int(has('stub_flasher_32.json') or has('1', 'esp32.json')), \
int(has('2', 'esp32.json')))";

/// All clients of this machine: esptool and espflash in `PATH`, in the active virtual environment,
/// and in the folders below each of `folders`; then `own`, this flasher. Two of one name are taken
/// once, the first of them.
#[must_use]
pub fn find(folders: &[PathBuf], own: &Path) -> Vec<Client> {
    let mut places: Vec<PathBuf> = Vec::new();
    places.extend(env::var_os("VIRTUAL_ENV").map(|folder| PathBuf::from(folder).join("bin")));
    let path = env::var_os("PATH").unwrap_or_default();
    places.extend(env::split_paths(&path));
    for folder in folders {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut below: Vec<PathBuf> = entries.map(|entry| entry.path().join("bin")).collect();
        below.sort();
        places.push(folder.join("bin"));
        places.extend(below);
    }
    let mut clients: Vec<Client> = Vec::new();
    for name in ["esptool.py", "esptool", "espflash"] {
        for place in &places {
            let found = named(None, &place.join(name)).unwrap_or_default();
            for client in found {
                if clients.iter().all(|known| known.name() != client.name()) {
                    clients.push(client);
                }
            }
        }
    }
    clients.sort_by_key(|client| sort_key(client.name()));
    clients.extend([false, true].map(|unprotect| Client::flasher("flasher", own, unprotect)));
    clients
}

/// esptool first, with a stub first, old before new.
fn sort_key(name: &str) -> (bool, bool, Vec<u32>) {
    let numbers = name.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok());
    (!name.starts_with("esptool"), name.ends_with("no stub"), numbers.collect())
}

/// The clients of one file or folder: a script or interpreter of esptool, a virtual environment
/// that has it, espflash, or another build of this flasher. `name` stands for program and version
/// in their names.
///
/// # Errors
///
/// [`MatrixError::NotAClient`] if it is none of these or does not run.
pub fn named(name: Option<&str>, path: &Path) -> Result<Vec<Client>, MatrixError> {
    let wrong = |why| MatrixError::NotAClient { path: path.to_owned(), why };
    // Clients run in folders of their own. A link is kept: a virtual environment is one.
    let path = &std::path::absolute(path).map_err(|_| wrong("no such file"))?;
    if path.is_dir() {
        return named(name, &path.join("bin/python"));
    }
    if !path.is_file() {
        return Err(wrong("no such file"));
    }
    let file = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    if file.starts_with("espflash") {
        let version = ask(Command::new(path).arg("--version")).ok_or(wrong("it does not run"))?;
        let label = name.map_or(version, str::to_owned);
        return Ok([true, false].map(|stub| Client::espflash(&label, path, stub)).to_vec());
    }
    if file.starts_with("flasher") {
        let label = name.unwrap_or("flasher");
        let both = [false, true].map(|unprotect| Client::flasher(label, path, unprotect));
        return Ok(both.to_vec());
    }
    let is_python = file.starts_with("python");
    let python = if is_python { Some(path.to_owned()) } else { interpreter(path) };
    let python = python.ok_or(wrong("neither a script of Python nor a known client"))?;
    let answer = ask(Command::new(&python).args(["-c", ASK]));
    let answer = answer.ok_or(wrong("its Python has no esptool"))?;
    let mut words = answer.split_whitespace();
    let version = words.next().unwrap_or("?");
    let label = name.map_or_else(|| format!("esptool {version}"), str::to_owned);
    let has = [Stub::Legacy, Stub::Second].map(|stub| (words.next() == Some("1")).then_some(stub));
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let command = vec![text(&python), "-m".to_owned(), "esptool".to_owned()];
    let stubs = has.into_iter().flatten().chain([Stub::None]);
    Ok(stubs.map(|stub| Client::esptool(&label, command.clone(), stub)).collect())
}

/// The interpreter in a script's first line.
fn interpreter(script: &Path) -> Option<PathBuf> {
    const LINE_BYTES_MAX: u64 = 4096;
    let file = fs::File::open(script).ok()?;
    let mut line = Vec::new();
    let limited = std::io::Read::take(file, LINE_BYTES_MAX);
    BufReader::new(limited).read_until(b'\n', &mut line).ok()?;
    let line = String::from_utf8(line).ok()?;
    let mut words = line.strip_prefix("#!")?.split_whitespace();
    let program = Path::new(words.next()?);
    if program.file_name()? != "env" {
        return Some(program.to_owned());
    }
    let name = words.next()?;
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// The first line that a command prints, if it succeeds.
fn ask(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let line = text.lines().next()?.trim().to_owned();
    (output.status.success() && !line.is_empty()).then_some(line)
}

/// The library that lends a PTY modem lines: beside this program, or where cargo puts it.
#[must_use]
pub fn preload_library() -> Option<PathBuf> {
    let program = env::current_exe().ok()?;
    let folder = program.parent()?;
    [folder.to_owned(), folder.join("deps"), folder.join("..")]
        .into_iter()
        .map(|folder| folder.join(LIBRARY))
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_client_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tool");
        let why = |path: &Path| match named(None, path) {
            Err(MatrixError::NotAClient { why, .. }) => why,
            other => panic!("{other:?}"),
        };
        assert_eq!(why(&file), "no such file");
        fs::write(&file, "no script").unwrap();
        assert_eq!(why(&file), "neither a script of Python nor a known client");
        fs::write(&file, "#!/bin/false\n").unwrap();
        assert_eq!(why(&file), "its Python has no esptool");
        fs::write(folder.path().join("espflash"), "").unwrap();
        assert_eq!(why(&folder.path().join("espflash")), "it does not run");
    }

    #[test]
    fn the_flasher_comes_twice() {
        let own = env::current_exe().unwrap();
        let file = tempfile::Builder::new().prefix("flasher").tempfile().unwrap();
        let both = named(Some("mine"), file.path()).unwrap();
        let names: Vec<&str> = both.iter().map(Client::name).collect();
        assert_eq!(names, ["mine", "mine --unprotect"]);
        let all = find(&[], &own);
        assert!(all.len() >= 2 && all.iter().rev().nth(1).unwrap().name() == "flasher");
    }

    #[test]
    fn interpreters_of_scripts() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let of = |text: &str| {
            fs::write(file.path(), text).unwrap();
            interpreter(file.path())
        };
        assert_eq!(of("#!/a/b/python3 -I\nx"), Some(PathBuf::from("/a/b/python3")));
        assert!(of("#!/usr/bin/env sh\n").is_some_and(|path| path.ends_with("sh")));
        assert_eq!(of("print()"), None);
    }
}

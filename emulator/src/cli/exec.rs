//! `emulator exec`: a board on a PTY, a client on it, and a check of what the client did.

use std::{
    env, fs,
    io::{self, IsTerminal, Read, Write},
    os::unix::{
        fs::{DirBuilderExt, MetadataExt},
        net::UnixStream,
        process::ExitStatusExt,
    },
    path::{Path, PathBuf},
    process::{self, Child, Command, ExitCode, ExitStatus},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use clap::Args;
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::{
    consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM},
    low_level::pipe,
};

use crate::{
    case::CaseBoard,
    fault::board::ServedBoard,
    transport::{device::SerialDevice, server::Server},
};

use super::{BoardArgs, CliError, FaultArgs, trace_log};

/// File name of the preload library.
const SHIM_NAME: &str = "libmodem_shim.so";
/// What stands for the port in the client's arguments.
const PORT: &str = "{port}";

/// Options of `emulator exec`.
#[derive(Debug, Args)]
pub(super) struct ExecArgs {
    #[command(flatten)]
    board: BoardArgs,
    #[command(flatten)]
    faults: FaultArgs,
    /// This path means the port as well; `{port}` becomes it. For clients that only take ports of
    /// their own list: a serial device that /sys/class/tty knows, such as /dev/ttyS0.
    #[arg(long)]
    alias: Option<PathBuf>,
    /// The flash must hold FILE at OFFSET in the end.
    #[arg(long, value_name = "FILE@OFFSET")]
    expect_flash: Vec<ExpectFlash>,
    /// An entry of the board's trace must contain this text in the end.
    #[arg(long, value_name = "TEXT")]
    expect_trace: Vec<String>,
    /// Write what happens on the board to this file, one line an event; `-` is standard error.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// A PTY without modem lines: nothing is preloaded into the client.
    #[arg(long)]
    no_lines: bool,
    /// The client and its arguments; `{port}` stands for the port.
    #[arg(last = true, required = true)]
    client: Vec<String>,
}

/// What `exec` is asked to do.
#[derive(Debug, Clone, Default)]
pub struct Exec {
    /// The client and its arguments; `{port}` in them becomes the port.
    pub client: Vec<String>,
    /// A path that means the port as well, for clients that only take ports of their own list.
    pub alias: Option<PathBuf>,
    /// Files that the flash must hold at the end.
    pub expect_flash: Vec<ExpectFlash>,
    /// Texts that the trace must contain at the end.
    pub expect_trace: Vec<String>,
    /// Run without the preload library: a PTY without lines.
    pub no_lines: bool,
}

/// `FILE@OFFSET`: what the flash must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectFlash {
    /// The file.
    pub file: PathBuf,
    /// Address in the flash, in bytes.
    pub offset: u32,
}

impl std::str::FromStr for ExpectFlash {
    type Err = ExecError;

    fn from_str(text: &str) -> Result<Self, ExecError> {
        let wrong = || ExecError::Expectation { text: text.to_owned() };
        let (file, offset) = text.rsplit_once('@').ok_or_else(wrong)?;
        let parsed = match offset.strip_prefix("0x") {
            Some(digits) => u32::from_str_radix(digits, 16),
            None => offset.parse(),
        };
        let offset = parsed.map_err(|_| wrong())?;
        if file.is_empty() {
            return Err(wrong());
        }
        Ok(Self { file: PathBuf::from(file), offset })
    }
}

/// Why `exec` failed; a client that failed is no error but an exit status.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecError {
    /// Not `FILE@OFFSET`.
    #[error("`{text}` is not FILE@OFFSET (offset decimal or 0x...)")]
    Expectation {
        /// As given.
        text: String,
    },
    /// Nothing to run.
    #[error("no client to run: emulator exec [OPTIONS] -- CLIENT ARGS... (with {{port}} in them)")]
    NoClient,
    /// The client cannot be started.
    #[error("cannot start {client}: {cause}")]
    Start {
        /// As given.
        client: String,
        /// Why.
        cause: io::Error,
    },
    /// The preload library is not where it is looked for.
    #[error(
        "{SHIM_NAME} is not beside {}: build it with `cargo build -p modem-shim`, or run without \
         modem lines (--no-lines)", binary.display()
    )]
    NoShim {
        /// This program.
        binary: PathBuf,
    },
    /// Preloading does nothing for this client.
    #[error(
        "{} is {why}, so no library can be preloaded and a PTY has no modem lines: use `emulator \
         serve --rfc2217 PORT` with rfc2217://127.0.0.1:PORT, or --no-lines with the client's own \
         option for no reset", client.display()
    )]
    NoPreload {
        /// The client's file.
        client: PathBuf,
        /// What it is.
        why: &'static str,
    },
    /// An expected file cannot be read.
    #[error("{}: {cause}", file.display())]
    ExpectedFile {
        /// The file.
        file: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The flash does not hold the file.
    #[error("flash differs from {} at {address:#x}: {found:#04x}, expected {expected:#04x}", file.display())]
    FlashDiffers {
        /// The file.
        file: PathBuf,
        /// First address that differs.
        address: u32,
        /// What the flash holds.
        found: u8,
        /// What the file holds.
        expected: u8,
    },
    /// The file does not fit behind the offset.
    #[error("{} does not fit the flash at {offset:#x}", file.display())]
    TooLong {
        /// The file.
        file: PathBuf,
        /// Where it should stand.
        offset: u32,
    },
    /// The trace does not contain the text.
    #[error("nothing in the board's trace contains {text:?}")]
    NotInTrace {
        /// The text.
        text: String,
    },
    /// The board's server has failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl ExecArgs {
    pub(super) fn run(self) -> Result<ExitCode, CliError> {
        let mut server = self.board.open(None, &self.faults)?;
        let opened = self.board.net.open(server.fronts())?;
        if let Some((_, address)) = opened.iter().find(|(protocol, _)| *protocol == "gdb") {
            let line =
                format!("gdb: target remote {address}; the client starts when GDB continues");
            writeln!(io::stderr(), "{line}")?;
            let (stop, _sender) = UnixStream::pair()?;
            server.await_debugger(&stop)?;
        }
        if let Some(path) = &self.trace {
            trace_log::attach(&mut server, path, false)?;
        }
        let exec = Exec {
            client: self.client,
            alias: self.alias,
            expect_flash: self.expect_flash,
            expect_trace: self.expect_trace,
            no_lines: self.no_lines,
        };
        Ok(ExitCode::from(exec.run(server)?))
    }
}

impl Exec {
    /// Serves `server`'s board, runs the client on it, checks what came of it, and returns the
    /// client's exit status as a shell has it (128 + signal for a client that was killed).
    ///
    /// # Errors
    ///
    /// See [`ExecError`]. Expectations are checked only after a client that succeeded.
    pub fn run(&self, server: Server<ServedBoard>) -> Result<u8, ExecError> {
        let (code, mut board) = self.run_on(server)?;
        super::report_faults(&mut board);
        if code == 0 {
            self.check(&board)?;
        }
        Ok(code)
    }

    /// The same on any device, which is given back; nothing is checked.
    ///
    /// # Errors
    ///
    /// See [`ExecError`].
    pub fn run_on<D: SerialDevice + Send + 'static>(
        &self,
        mut server: Server<D>,
    ) -> Result<(u8, D), ExecError> {
        let program = self.client.first().ok_or(ExecError::NoClient)?;
        let folder = PrivateFolder::new()?;
        let port = server.path().to_owned();
        let mut command = Command::new(program);
        let shown = self.alias.as_deref().unwrap_or(&port).display().to_string();
        command.args(self.client.iter().skip(1).map(|argument| argument.replace(PORT, &shown)));
        if !self.no_lines {
            check_preload(program)?;
            let socket = server.fronts().listen_modem(&folder.path.join("modem"))?;
            command.env("LD_PRELOAD", preload(&shim()?));
            command.env("MODEM_SHIM_PORT", &port).env("MODEM_SHIM_SOCKET", socket);
            match &self.alias {
                Some(alias) => command.env("MODEM_SHIM_ALIAS", alias),
                None => command.env_remove("MODEM_SHIM_ALIAS"),
            };
        }
        let board = server.into_thread()?;
        let status = run_client(&mut command, program)?;
        Ok((exit_code(status), board.shutdown()?))
    }

    /// The board after the client has ended.
    fn check(&self, board: &CaseBoard) -> Result<(), ExecError> {
        let nor = board.flash().nor();
        for ExpectFlash { file, offset } in &self.expect_flash {
            let expected = fs::read(file)
                .map_err(|cause| ExecError::ExpectedFile { file: file.clone(), cause })?;
            let end = u32::try_from(expected.len()).ok().and_then(|len| offset.checked_add(len));
            if end.is_none_or(|end| end > nor.part().capacity_bytes) {
                return Err(ExecError::TooLong { file: file.clone(), offset: *offset });
            }
            let mut found = vec![0; expected.len()];
            nor.read_cells(*offset, &mut found);
            for ((address, found), expected) in (*offset..).zip(found).zip(expected) {
                if found != expected {
                    let file = file.clone();
                    return Err(ExecError::FlashDiffers { file, address, found, expected });
                }
            }
        }
        for text in &self.expect_trace {
            let mut entries = board.trace().entries();
            if !entries.any(|entry| format!("{:?}", entry.event).contains(text.as_str())) {
                return Err(ExecError::NotInTrace { text: text.clone() });
            }
        }
        Ok(())
    }
}

/// A folder that only this user can enter, removed with what is in it.
#[derive(Debug)]
struct PrivateFolder {
    path: PathBuf,
}

impl PrivateFolder {
    fn new() -> io::Result<Self> {
        for attempt in 0..100 {
            let name = format!("esp32-emulator-{}-{attempt}", process::id());
            let path = env::temp_dir().join(name);
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self { path }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// The preload library, which cargo puts into the binary's folder or the one below.
fn shim() -> Result<PathBuf, ExecError> {
    let binary = env::current_exe()?;
    let folder = binary.parent().unwrap_or(Path::new("."));
    [folder.to_owned(), folder.join("deps"), folder.join("..")]
        .into_iter()
        .map(|folder| folder.join(SHIM_NAME))
        .find(|path| path.is_file())
        .ok_or_else(|| ExecError::NoShim { binary: binary.clone() })
}

/// `LD_PRELOAD` with `shim` in front of what the user has there.
fn preload(shim: &Path) -> String {
    let before = env::var("LD_PRELOAD").unwrap_or_default();
    let separator = if before.is_empty() { "" } else { ":" };
    format!("{}{separator}{before}", shim.display())
}

/// Refuses clients that the dynamic linker does not load, or loads without preloading.
fn check_preload(program: &str) -> Result<(), ExecError> {
    let Some(client) = find_program(program) else { return Ok(()) };
    let refuse = |why| Err(ExecError::NoPreload { client: client.clone(), why });
    let Ok(meta) = fs::metadata(&client) else { return Ok(()) };
    if meta.mode() & 0o6000 != 0 {
        return refuse("set-user-id or set-group-id");
    }
    let mut head = Vec::new();
    let read = fs::File::open(&client).and_then(|file| file.take(4096).read_to_end(&mut head));
    // A script runs an interpreter, which is looked at by nobody but is dynamic as a rule.
    if read.is_ok() && is_static_elf(&head) {
        return refuse("statically linked");
    }
    Ok(())
}

/// Where the shell's rules find `program`.
fn find_program(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(PathBuf::from(program));
    }
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Whether `head` begins a 64-bit little-endian ELF program without an interpreter.
fn is_static_elf(head: &[u8]) -> bool {
    const PT_INTERP: u32 = 3;
    const HEADER_LEN: usize = 64;
    const ENTRY_LEN: usize = 56;
    if !head.starts_with(b"\x7fELF\x02\x01") || head.len() < HEADER_LEN {
        return false;
    }
    let half = |at: usize| {
        let bytes = head.get(at..at + 2).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, |bytes| usize::from(u16::from_le_bytes(bytes)))
    };
    // Program headers follow the ELF header in every linker's output.
    let table = head.get(HEADER_LEN..).unwrap_or_default();
    let (entry_len, count) = (half(54), half(56));
    if entry_len != ENTRY_LEN || table.len() < count * ENTRY_LEN {
        return false;
    }
    !table
        .chunks_exact(ENTRY_LEN)
        .take(count)
        .any(|entry| entry.first_chunk().is_some_and(|kind| u32::from_le_bytes(*kind) == PT_INTERP))
}

/// Runs the client to its end and hands the signals on that this process gets meanwhile.
fn run_client(command: &mut Command, program: &str) -> Result<ExitStatus, ExecError> {
    let (mut woken, wake) = UnixStream::pair()?;
    let flags = [SIGINT, SIGTERM, SIGHUP].map(|signal| (signal, Arc::new(AtomicBool::new(false))));
    let mut registered = Vec::new();
    for (signal, flag) in &flags {
        registered.push(signal_hook::flag::register(*signal, Arc::clone(flag))?);
        registered.push(pipe::register(*signal, wake.try_clone()?)?);
    }
    registered.push(pipe::register(SIGCHLD, wake)?);
    let started = command.spawn();
    let mut child =
        started.map_err(|cause| ExecError::Start { client: program.to_owned(), cause })?;
    let status = wait(&mut child, &mut woken, &flags);
    for id in registered {
        signal_hook::low_level::unregister(id);
    }
    Ok(status?)
}

fn wait(
    child: &mut Child,
    woken: &mut UnixStream,
    flags: &[(i32, Arc<AtomicBool>)],
) -> io::Result<ExitStatus> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let mut drain = [0; 64];
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        for (signal, flag) in flags {
            // What is typed at a terminal reaches the client by itself.
            let is_typed = *signal == SIGINT && io::stdin().is_terminal();
            if flag.swap(false, Ordering::Relaxed)
                && !is_typed
                && let (Some(pid), Some(signal)) = (pid, Signal::from_named_raw(*signal))
            {
                // It may have ended in between.
                let _ = kill_process(pid, signal);
            }
        }
        match woken.read(&mut drain) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// As a shell has it.
fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expectations() {
        let expected = ExpectFlash { file: PathBuf::from("a@b.bin"), offset: 0x1000 };
        assert_eq!("a@b.bin@0x1000".parse::<ExpectFlash>().unwrap(), expected);
        assert_eq!("a@b.bin@4096".parse::<ExpectFlash>().unwrap(), expected);
        for wrong in ["a.bin", "@0", "a@", "a@0xg", "a@-1"] {
            let error = wrong.parse::<ExpectFlash>().unwrap_err();
            assert!(error.to_string().contains("FILE@OFFSET"), "{error}");
        }
    }

    #[test]
    fn dynamic_programs_are_told_from_static_ones() {
        let own = fs::read("/proc/self/exe").unwrap();
        assert!(!is_static_elf(&own[..4096]));
        let mut static_program = own[..4096].to_vec();
        // No program header any more is PT_INTERP.
        for entry in static_program[64..].chunks_exact_mut(56) {
            if entry[..4] == [3, 0, 0, 0] {
                entry[0] = 0;
            }
        }
        assert!(is_static_elf(&static_program));
        assert!(!is_static_elf(b"#!/bin/sh\n"));
        assert!(!is_static_elf(b"\x7fELF\x02\x01"));
    }

    #[test]
    fn the_private_folder_is_private_and_goes() {
        let folder = PrivateFolder::new().unwrap();
        let path = folder.path.clone();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        fs::write(path.join("file"), "x").unwrap();
        drop(folder);
        assert!(!path.exists());
    }
}

//! `emulator run`: a program in a file on a board, its UART on the standard streams or a PTY.

mod report;

use std::{
    fs,
    io::{self, Write},
    os::{fd::AsFd, unix::net::UnixStream},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::{BoardArgs, CliError};
use crate::{
    board::{Mode, Pause, Probe, Profile, ProgramEnd},
    case::CaseBoard,
    gdb,
    program::{Program, ProgramError, Symbols},
    soc::BusError,
    time::{Duration, Instant},
    transport::{debugger::DebugServer, pty::PtyPort, tcp::listen_address},
};
use report::{End, Report};

/// Events of the board between two looks at the inputs.
const EVENTS_MAX: usize = 64;
/// Bytes taken from an input at once.
const READ_BYTES: usize = 4096;

/// Options of `run`.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// An ESP image for RAM, an ELF file, or a flasher stub in JSON or TOML.
    image: PathBuf,
    /// Call this address instead of the file's entry.
    #[arg(long, value_name = "ADDRESS", value_parser = number)]
    entry: Option<u32>,
    #[command(flatten)]
    board: BoardArgs,
    /// The UART on a PTY, whose path is printed, instead of the standard streams.
    #[arg(long)]
    pty: bool,
    /// Write each instruction with its address and symbol to this file; - is the standard error.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Names for addresses: output of nm, a linker script's assignments, or an ELF file.
    #[arg(long, value_name = "FILE")]
    symbols: Option<PathBuf>,
    /// Report instructions by function and by byte on the wire.
    #[arg(long)]
    profile: bool,
    /// End after this many instructions.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Report as one JSON line.
    #[arg(long)]
    json: bool,
}

/// Why a program could not be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// A file cannot be read or written.
    #[error("{}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The file is no program.
    #[error("{}: {cause}", path.display())]
    Program {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: ProgramError,
    },
    /// A segment lies where the chip has no memory.
    #[error("a segment does not fit: {0}")]
    Segment(#[from] BusError),
    /// The options ask for what `run` does not have.
    #[error("run has no --rfc2217, --tcp, --serprog and --pace real; serve has")]
    Network,
}

/// A decimal number, or a hexadecimal one behind 0x.
pub(super) fn number(text: &str) -> Result<u32, std::num::ParseIntError> {
    text.strip_prefix("0x").map_or_else(|| text.parse(), |hex| u32::from_str_radix(hex, 16))
}

/// Where the program's UART leads.
enum Line {
    Streams { open: bool },
    Pty(Box<PtyPort>),
}

/// Everything of a run that is under way.
struct Running {
    board: CaseBoard,
    line: Line,
    debugger: Option<DebugServer>,
    stop: UnixStream,
    received_bytes: u64,
    sent_bytes: u64,
    started: Instant,
}

impl Run {
    pub(super) fn run(self, out: &mut dyn Write) -> Result<ExitCode, CliError> {
        let (stop, stop_sender) = UnixStream::pair()?;
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::low_level::pipe::register(signal, stop_sender.try_clone()?)?;
        }
        if self.board.net.is_some() || matches!(self.board.pace, super::PaceArg::Real) {
            return Err(RunError::Network.into());
        }
        let (program, symbols) = self.load()?;
        let (mut board, store) = self.board.build()?;
        board.set_probe(self.probe(&symbols)?);
        let (now, entry) = (board.now(), self.entry.unwrap_or(program.entry));
        // What the ROM says at power-on is not the program's.
        board.transmit(now + Duration::from_millis(1000), &mut Vec::new());
        let segments = program.segments.iter().map(|(at, bytes)| (*at, bytes.as_slice()));
        board.run_program(board.now(), segments, entry).map_err(RunError::from)?;
        let line = if self.pty {
            Line::Pty(Box::new(PtyPort::open()?))
        } else {
            Line::Streams { open: true }
        };
        let started = board.now();
        let mut running = Running {
            started,
            debugger: self.debugger(&mut board)?,
            board,
            line,
            stop,
            received_bytes: 0,
            sent_bytes: 0,
        };
        running.announce(out, self.json)?;
        let end = running.serve()?;
        if let Some(store) = store {
            store.store(&mut running.board)?;
        }
        let report = Report::new(&running, end, &symbols);
        io::stderr().write_all(report.text(self.json).as_bytes())?;
        Ok(ExitCode::from(end.status()))
    }

    fn load(&self) -> Result<(Program, Symbols), RunError> {
        let read = |path: &PathBuf| {
            fs::read(path).map_err(|cause| RunError::File { path: path.clone(), cause })
        };
        let wrong = |path: &PathBuf, cause| RunError::Program { path: path.clone(), cause };
        let program =
            Program::parse(&read(&self.image)?).map_err(|cause| wrong(&self.image, cause))?;
        let mut symbols = Symbols::default();
        if let Some(path) = &self.symbols {
            let bytes = read(path)?;
            symbols = if bytes.starts_with(b"\x7fELF") {
                Program::parse(&bytes).map_err(|cause| wrong(path, cause))?.symbols
            } else {
                Symbols::parse(&String::from_utf8_lossy(&bytes))
            };
        }
        symbols.extend(program.symbols.clone());
        Ok((program, symbols))
    }

    /// The program waits for the debugger if there is to be one.
    fn debugger(&self, board: &mut CaseBoard) -> Result<Option<DebugServer>, CliError> {
        let Some(text) = &self.board.net.gdb else { return Ok(None) };
        let server = DebugServer::bind(listen_address(text)?, gdb::Scope::Program)?;
        gdb::Session::start(board);
        Ok(Some(server))
    }

    /// `None` where nothing is to be looked at, and the program runs at full speed.
    fn probe(&self, symbols: &Symbols) -> Result<Option<Probe>, RunError> {
        let mut probe = Probe::default();
        probe.limit = self.limit;
        probe.profile = self.profile.then(Profile::default);
        if let Some(path) = &self.trace {
            let sink: Box<dyn Write + Send> = if path.as_os_str() == "-" {
                Box::new(io::stderr())
            } else {
                let file = fs::File::create(path);
                Box::new(file.map_err(|cause| RunError::File { path: path.clone(), cause })?)
            };
            let (mut sink, symbols) = (io::BufWriter::new(sink), symbols.clone());
            probe.sink = Some(Box::new(move |cpu, pc, _| {
                let mut bytes = [0; 3];
                // The last instruction of a region may be shorter.
                if cpu.mem.read(pc, &mut bytes).is_err() {
                    let _ = cpu.mem.read(pc, &mut bytes[..2]);
                }
                let text = xtensa::disasm(pc, bytes);
                // A trace that cannot be written is cut off; the program goes on.
                let _ = match symbols.near(pc) {
                    Some((name, 0)) => writeln!(sink, "{pc:08x} <{name}> {text}"),
                    Some((name, at)) => writeln!(sink, "{pc:08x} <{name}+{at:#x}> {text}"),
                    None => writeln!(sink, "{pc:08x} {text}"),
                };
            }));
        }
        let wanted = probe.limit.is_some() || probe.profile.is_some() || probe.sink.is_some();
        Ok(wanted.then_some(probe))
    }
}

impl Running {
    /// Says where the program can be reached.
    fn announce(&self, out: &mut dyn Write, json: bool) -> Result<(), CliError> {
        let port = match &self.line {
            Line::Pty(port) => Some(port.path().display().to_string()),
            Line::Streams { .. } => None,
        };
        let gdb = self.debugger.as_ref().map(DebugServer::local_addr);
        let gdb = gdb.transpose()?.map(|address| address.to_string());
        match (json, port, gdb) {
            (_, None, None) => {}
            // The standard output is the UART's.
            (_, None, Some(gdb)) => writeln!(io::stderr(), "gdb: target remote {gdb}")?,
            (true, port, gdb) => {
                writeln!(out, "{}", serde_json::json!({ "port": port, "gdb": gdb }))?;
            }
            (false, Some(port), gdb) => {
                writeln!(out, "{port}")?;
                if let Some(gdb) = gdb {
                    writeln!(out, "gdb: target remote {gdb}")?;
                }
            }
        }
        Ok(out.flush()?)
    }

    fn serve(&mut self) -> Result<End, CliError> {
        loop {
            self.advance()?;
            if let Some(end) = self.end() {
                return Ok(end);
            }
            if !self.wait()? {
                return Ok(End::Interrupted);
            }
        }
    }

    /// Lets the board do what is due, for a while.
    fn advance(&mut self) -> io::Result<()> {
        let mut out = Vec::new();
        for _ in 0..EVENTS_MAX {
            let Some(due) = self.board.next_event() else { break };
            self.board.transmit(due.max(self.board.now()), &mut out);
        }
        self.sent_bytes += out.len() as u64;
        match &mut self.line {
            Line::Streams { .. } => {
                let mut stream = io::stdout().lock();
                stream.write_all(&out)?;
                stream.flush()?;
            }
            Line::Pty(port) => {
                port.service_clients();
                port.queue(&out);
                port.write()?;
            }
        }
        if let Some(debugger) = &mut self.debugger {
            debugger.tell(&self.board);
        }
        Ok(())
    }

    /// Whether, and how, the run is over.
    fn end(&mut self) -> Option<End> {
        let outcome = self.debugger.as_mut().and_then(DebugServer::outcome);
        if outcome == Some(gdb::Outcome::Killed) {
            return Some(End::Killed);
        }
        if self.board.probe().and_then(Probe::pause) == Some(&Pause::Limit) {
            return Some(End::Limit);
        }
        match self.board.program_end() {
            // The loader has the line after a reset, and what it prints belongs to the run.
            Some(end) if self.board.next_event().is_none() => Some(match end {
                ProgramEnd::Returned => End::Returned,
                ProgramEnd::Reset { .. } => End::Reset,
                ProgramEnd::Stopped(_) => End::Stopped,
            }),
            Some(_) => None,
            None => {
                let no_input = matches!(self.line, Line::Streams { open: false });
                let waits = self.board.mode() == Mode::Guest && self.board.next_event().is_none();
                (no_input && waits && self.debugger.is_none()).then_some(End::Waiting)
            }
        }
    }

    /// Waits for input if there is nothing else to do, and takes it. False if a signal came.
    fn wait(&mut self) -> io::Result<bool> {
        let timeout = self.board.next_event().map(|_| Timespec { tv_sec: 0, tv_nsec: 0 });
        let line = match &self.line {
            Line::Streams { open } => open.then(rustix::stdio::stdin),
            Line::Pty(port) => Some(port.master_fd()),
        };
        let mut polled: Vec<PollFd<'_>> = [Some(self.stop.as_fd()), line]
            .iter()
            .flatten()
            .map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN))
            .collect();
        if let Some(debugger) = &mut self.debugger {
            debugger.poll_fds(&mut polled);
        }
        match poll(&mut polled, timeout.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(true),
            Err(error) => return Err(error.into()),
        }
        let has_line = line.is_some();
        let mut ready = polled.iter().map(|fd| !fd.revents().is_empty());
        let stop = ready.next().unwrap_or_default();
        let line = has_line && ready.next().unwrap_or_default();
        let debugger = ready.any(|ready| ready);
        drop(polled);
        if stop {
            return Ok(false);
        }
        if line {
            self.read_line()?;
        }
        if debugger && let Some(debugger) = &mut self.debugger {
            debugger.service(&mut self.board);
        }
        Ok(true)
    }

    fn read_line(&mut self) -> io::Result<()> {
        let mut bytes = Vec::new();
        match &mut self.line {
            Line::Streams { open } => {
                let mut chunk = [0; READ_BYTES];
                let count = rustix::io::read(rustix::stdio::stdin(), &mut chunk)?;
                bytes.extend(chunk.iter().take(count));
                *open = count > 0;
            }
            Line::Pty(port) => port.read(&mut bytes, true)?,
        }
        self.received_bytes += bytes.len() as u64;
        let now = self.board.now();
        self.board.receive(now, &bytes);
        Ok(())
    }
}

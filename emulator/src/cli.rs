//! The `emulator` command line.

mod error;
pub mod exec;
pub mod farm;
mod faults;
mod part_report;
pub mod qemu;
pub mod run;
mod trace_log;

pub use error::CliError;

use std::{
    fmt::Write as _,
    io::{self, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::ExitCode,
};

use faults::{FaultArgs, report_faults};
use trace_log::TraceLog;

use clap::{Args, Parser, Subcommand, ValueEnum};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::{
    board::RomImage,
    case::{self, CaseBoard, CaseError, LoadedBoard},
    fault::board::ServedBoard,
    persist::ImageStore,
    transport::{
        control::ControlSocket,
        fronts::Fronts,
        group,
        pace::Pace,
        server::{Options, Server},
        tcp::listen_address,
    },
};

/// A virtual ESP32 in download mode, with a SPI NOR flash that protects itself.
#[derive(Debug, Parser)]
#[command(
    name = "emulator",
    version,
    after_help = "Exit status: 0 done, 1 the system refused, 2 wrong usage, 3 wrong board, case or image."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a board on a PTY until SIGINT or SIGTERM.
    #[command(after_help = "Examples:
  emulator serve --case esptool-915 --link /tmp/esp32
  emulator serve --part W25Q32JV --flash flash.bin --json
  esptool.py --port /tmp/esp32 --before no_reset --after no_reset --no-stub flash_id",
        after_long_help = crate::control::HELP)]
    Serve(Serve),
    /// Run a client on a board that has modem lines, check what it did, end with its status.
    #[command(after_help = "Examples:
  emulator exec --part W25Q128FV -- esptool.py --port {port} flash_id
  emulator exec --expect-flash app.bin@0x10000 -- esptool.py -p {port} write_flash 0x10000 app.bin
  emulator exec --alias /dev/ttyS0 -- espflash board-info --port {port}")]
    Exec(ExecArgs),
    /// Serve many boards from one process; a JSON line for each when it is ready.
    #[command(after_help = farm::HELP)]
    Farm(FarmArgs),
    /// Serve a board to suites that start Espressif's QEMU for download mode.
    #[command(after_help = qemu::HELP, disable_help_flag = true)]
    Qemu(QemuArgs),
    /// Run a program from a file on a board; the standard streams are its UART.
    #[command(after_help = "Examples:
  emulator run hello.bin
  emulator run app.elf --trace - --limit 1000
  emulator run stub.json --pty --profile
  emulator run app.elf --gdb 3333

Exit status: 0 the program returned, reset the chip or was killed by GDB, 1 the system refused,
2 wrong usage, 3 wrong board or file, 4 the program stopped on a fault (its diagnosis is on the
standard error), 5 --limit reached, 6 it waits for input that has ended, 130 a signal came.
The report goes to the standard error.")]
    Run(run::Run),
    /// List the built-in cases or parts.
    List(List),
    /// Show a part or a case with its sources and how sure each fact is.
    Show(Show),
}

/// Which board.
#[derive(Debug, Args)]
#[group(multiple = false)]
struct Which {
    /// A built-in case; `emulator list cases` names them.
    #[arg(long)]
    case: Option<String>,
    /// A board file.
    #[arg(long)]
    board: Option<PathBuf>,
    /// A blank part of the catalogue on an ordinary board.
    #[arg(long)]
    part: Option<String>,
    /// A blank part from a part file on an ordinary board.
    #[arg(long, value_name = "FILE")]
    part_file: Option<PathBuf>,
}

/// The board and how it keeps time.
#[derive(Debug, Args)]
struct BoardArgs {
    #[command(flatten)]
    which: Which,
    /// Another mechanism of the case, such as h2.
    #[arg(long)]
    hypothesis: Option<String>,
    /// Keep the flash in this image file (and IMAGE.state beside it).
    #[arg(long)]
    flash: Option<PathBuf>,
    /// Run your own dump of the mask ROM (448 KiB raw, or ELF) in place of the native one. An
    /// experiment: nothing but its loading and reset could be tried without a dump.
    #[arg(long, value_name = "FILE")]
    rom: Option<PathBuf>,
    /// How virtual time follows wall time.
    #[arg(long, value_enum, default_value = "max")]
    pace: PaceArg,
    #[command(flatten)]
    net: NetArgs,
}

/// Ways in over the network: a port alone listens on 127.0.0.1, port 0 takes a free one.
#[derive(Debug, Args)]
struct NetArgs {
    /// Serve the UART over RFC 2217 (pyserial's rfc2217://), one client at a time.
    #[arg(long, value_name = "PORT")]
    rfc2217: Option<String>,
    /// Serve the UART over bare TCP (pyserial's socket://), one client at a time.
    #[arg(long, value_name = "PORT")]
    tcp: Option<String>,
    /// Serve the flash over serprog, for flashrom, one client at a time.
    #[arg(long, value_name = "PORT")]
    serprog: Option<String>,
}

#[derive(Debug, Args)]
struct ExecArgs {
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
    expect_flash: Vec<exec::ExpectFlash>,
    /// An entry of the board's trace must contain this text in the end.
    #[arg(long, value_name = "TEXT")]
    expect_trace: Vec<String>,
    /// A PTY without modem lines: nothing is preloaded into the client.
    #[arg(long)]
    no_lines: bool,
    /// The client and its arguments; `{port}` stands for the port.
    #[arg(last = true, required = true)]
    client: Vec<String>,
}

#[derive(Debug, Args)]
struct Serve {
    #[command(flatten)]
    board: BoardArgs,
    #[command(flatten)]
    faults: FaultArgs,
    /// Make this symbolic link to the PTY, and remove it at the end.
    #[arg(long)]
    link: Option<PathBuf>,
    /// Print one JSON line instead of text; lines of the trace are JSON as well.
    #[arg(long)]
    json: bool,
    /// Take control requests at this Unix socket (JSON lines, see below).
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,
    /// Write what happens on the board to this file, one line an event; `-` is standard error.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct FarmArgs {
    /// The farm file.
    file: PathBuf,
}

#[derive(Debug, Args)]
struct QemuArgs {
    /// QEMU's own options.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum PaceArg {
    /// As fast as the machine can.
    Max,
    /// Baud rate and flash times in wall time.
    Real,
}

#[derive(Debug, Args)]
struct List {
    /// What to list.
    #[arg(value_enum)]
    what: Listed,
    /// JSON instead of text.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Listed {
    /// Public cases.
    Cases,
    /// Flash parts.
    Parts,
}

#[derive(Debug, Args)]
struct Show {
    /// Name of a part or a case.
    name: String,
    /// JSON instead of text.
    #[arg(long)]
    json: bool,
}

impl Cli {
    /// Runs the command, writing its report to `out`.
    ///
    /// # Errors
    ///
    /// See [`CliError`].
    pub fn run(self, out: &mut dyn Write) -> Result<ExitCode, CliError> {
        match self.command {
            Command::Serve(serve) => serve.run(out)?,
            Command::Farm(farm) => {
                let stop = stop_on_signals()?;
                farm::Shelf::open(&farm.file, out)?.run(&stop)?;
            }
            Command::Qemu(qemu) => qemu::run(&qemu.options, &stop_on_signals()?, out)?,
            Command::Exec(exec) => return exec.run(),
            Command::Run(run) => return run.run(out),
            Command::List(list) => out.write_all(list.report().as_bytes())?,
            Command::Show(show) => out.write_all(show.report()?.as_bytes())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl BoardArgs {
    fn load(&self) -> Result<LoadedBoard, CaseError> {
        let board = match (&self.which.case, &self.which.board, &self.which.part) {
            (_, Some(path), _) => case::load_file(path)?,
            (_, _, Some(part)) => LoadedBoard::with_part(part),
            _ if self.which.part_file.is_some() => {
                let mut board = LoadedBoard::with_part("");
                "--part-file".clone_into(&mut board.origin);
                board.file.flash.part = None;
                board.file.flash.part_file.clone_from(&self.which.part_file);
                board
            }
            (Some(name), ..) => case::load(name)?,
            (None, None, None) => case::load("esptool-915")?,
        };
        match &self.hypothesis {
            Some(name) => board.assume(name),
            None => Ok(board),
        }
    }

    /// The board, its flash in the image file if there is one.
    fn build(&self) -> Result<(CaseBoard, Option<ImageStore>), CliError> {
        let mut board = self.load()?.into_board()?;
        let store = self
            .flash
            .as_deref()
            .map(|path| ImageStore::open(path, board.flash_mut().nor_mut()))
            .transpose()?;
        if let Some(path) = &self.rom {
            let bytes = std::fs::read(path)
                .map_err(|cause| CliError::RomFile { path: path.clone(), cause })?;
            let rom = RomImage::parse(&bytes)
                .map_err(|cause| CliError::Rom { path: path.clone(), cause })?;
            board.insert_rom(board.now(), rom);
        }
        Ok((board, store))
    }

    /// The board on its PTY.
    fn open(
        &self,
        link: Option<PathBuf>,
        faults: &FaultArgs,
    ) -> Result<Server<ServedBoard>, CliError> {
        let (board, store) = self.build()?;
        let mut board = ServedBoard::new(board);
        if let Some(plan) = faults.plan()? {
            board.set_plan(&plan)?;
        }
        let pace = match self.pace {
            PaceArg::Max => Pace::Max,
            PaceArg::Real => Pace::Real,
        };
        let mut server = Server::open(board, &Options { pace, link })?;
        if let Some(store) = store {
            server.on_change(move |board: &mut ServedBoard| {
                store.store(board.flash_mut().nor_mut()).map_err(io::Error::other)
            });
        }
        Ok(server)
    }
}

impl NetArgs {
    /// Whether anything was asked for.
    fn is_some(&self) -> bool {
        [&self.rfc2217, &self.tcp, &self.serprog].into_iter().any(Option::is_some)
    }

    /// Opens what was asked for; protocol and `ADDRESS:PORT` of each.
    fn open(&self, fronts: &mut Fronts) -> Result<Vec<(&'static str, String)>, CliError> {
        let mut opened = Vec::new();
        if let Some(text) = &self.rfc2217 {
            let address = fronts.listen_rfc2217(listen_address(text)?)?;
            opened.push(("rfc2217", address.to_string()));
        }
        if let Some(text) = &self.tcp {
            opened.push(("tcp", fronts.listen_raw(listen_address(text)?)?.to_string()));
        }
        if let Some(text) = &self.serprog {
            opened.push(("serprog", fronts.listen_serprog(listen_address(text)?)?.to_string()));
        }
        Ok(opened)
    }
}

impl Serve {
    fn run(&self, out: &mut dyn Write) -> Result<(), CliError> {
        let stop = stop_on_signals()?;
        let origin = self.board.load()?.origin;
        let mut server = self.board.open(self.link.clone(), &self.faults)?;
        if let Some(path) = &self.trace {
            let mut log = TraceLog::open(path, self.json)?;
            server.on_change(move |board: &mut ServedBoard| log.write(board));
        }
        let control = self.control.as_deref().map(ControlSocket::bind).transpose()?;
        let opened = self.board.net.open(server.fronts())?;
        let port = server.path().display().to_string();
        if self.json {
            let mut ready = serde_json::json!({ "port": port, "board": origin });
            for (protocol, address) in opened {
                ready[protocol] = address.into();
            }
            writeln!(out, "{ready}")?;
        } else {
            writeln!(out, "{port}")?;
            for (protocol, address) in opened {
                writeln!(out, "{protocol}://{address}")?;
            }
        }
        out.flush()?;
        let control = control.map(|socket| farm::control(socket, vec![port]));
        group::run(std::slice::from_mut(&mut server), control, &stop)?;
        report_faults(server.device());
        Ok(())
    }
}

/// Readable from the first SIGINT, SIGTERM or SIGHUP on. To be had before anything that must be
/// cleaned up.
fn stop_on_signals() -> io::Result<UnixStream> {
    let (stop, stop_sender) = UnixStream::pair()?;
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::low_level::pipe::register(signal, stop_sender.try_clone()?)?;
    }
    Ok(stop)
}

impl ExecArgs {
    fn run(self) -> Result<ExitCode, CliError> {
        let mut server = self.board.open(None, &self.faults)?;
        self.board.net.open(server.fronts())?;
        let exec = exec::Exec {
            client: self.client,
            alias: self.alias,
            expect_flash: self.expect_flash,
            expect_trace: self.expect_trace,
            no_lines: self.no_lines,
        };
        Ok(ExitCode::from(exec.run(server)?))
    }
}

impl List {
    fn report(&self) -> String {
        let rows: Vec<(String, String)> = match self.what {
            Listed::Cases => case::list()
                .filter_map(|name| case::load(name).ok()?.file.case)
                .map(|story| (story.name, story.title))
                .collect(),
            Listed::Parts => spi_nor::catalog::names()
                .filter_map(spi_nor::catalog::part)
                .map(|part| {
                    let mib = part.capacity_bytes / (1024 * 1024);
                    (part.name, format!("{}, {mib} MiB", part.vendor))
                })
                .collect(),
        };
        if self.json {
            let rows: Vec<_> = rows
                .into_iter()
                .map(|(name, title)| serde_json::json!({ "name": name, "title": title }))
                .collect();
            return format!("{}\n", serde_json::Value::from(rows));
        }
        rows.into_iter().fold(String::new(), |mut text, (name, title)| {
            let _ = writeln!(text, "{name:<16} {title}");
            text
        })
    }
}

impl Show {
    fn report(&self) -> Result<String, CliError> {
        if let Some(part) = spi_nor::catalog::part(&self.name) {
            return Ok(self.part(&part));
        }
        match case::load(&self.name) {
            Ok(board) => Ok(self.case(&board)),
            Err(_) => Err(CliError::Unknown(self.name.clone())),
        }
    }

    fn part(&self, part: &spi_nor::part::Part) -> String {
        let [maker, kind, size] = part.jedec_id.0;
        let id = format!("{maker:02x}{kind:02x}{size:02x}");
        if self.json {
            let value = serde_json::json!({
                "name": part.name, "vendor": part.vendor, "jedec-id": id,
                "capacity-bytes": part.capacity_bytes,
                "confidence": part.confidence,
            });
            return format!("{value}\n");
        }
        part_report::text(part)
    }

    fn case(&self, board: &LoadedBoard) -> String {
        let Some(story) = &board.file.case else { return String::new() };
        if self.json {
            let hypotheses: Vec<_> = board.file.hypotheses.keys().collect();
            let value = serde_json::json!({
                "name": story.name, "title": story.title, "sources": story.sources,
                "board": story.board, "seen": story.seen, "cause": story.cause,
                "class": story.class, "cure": story.cure, "assumed": story.assumed,
                "default-hypothesis": story.default_hypothesis, "hypotheses": hypotheses,
            });
            return format!("{value}\n");
        }
        let mut text = format!("{}: {}\n", story.name, story.title);
        for source in &story.sources {
            let _ = writeln!(text, "  {source}");
        }
        let _ = write!(
            text,
            "Board: {}\n\n{}\n\nCause: {}\n",
            story.board,
            story.seen.trim(),
            story.cause
        );
        if !story.assumed.is_empty() {
            let _ = write!(text, "\nAssumed here, not in the thread:\n{}\n", story.assumed.trim());
        }
        for (name, hypothesis) in &board.file.hypotheses {
            let _ = writeln!(text, "\n[{name}] {}\n{}", hypothesis.title, hypothesis.notes.trim());
            if let Some(against) = &hypothesis.contradicts {
                let _ = writeln!(text, "Contradicts the thread: {against}");
            }
        }
        text
    }
}

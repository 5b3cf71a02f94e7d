//! The `emulator` command line.

mod error;
pub mod exec;
mod explain;
pub mod farm;
mod faults;
mod map;
mod part_report;
mod proxy;
pub mod qemu;
pub mod run;
mod show;
mod trace_log;
pub mod transcript;

pub use error::CliError;

use std::{
    io::{self, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::ExitCode,
};

use faults::{FaultArgs, report_faults};

use clap::{Args, Parser, Subcommand, ValueEnum};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::{
    board::{RomImage, Wiring},
    case::{self, CaseBoard, CaseError, LoadedBoard},
    fault::board::ServedBoard,
    persist::{BoardFiles, BoardStore},
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
  emulator serve --gdb 3333
  esptool.py --port /tmp/esp32 --before no_reset --after no_reset --no-stub flash_id",
        after_long_help = crate::control::HELP)]
    Serve(Serve),
    /// Run a client on a board that has modem lines, check what it did, end with its status.
    #[command(after_help = "Examples:
  emulator exec --part W25Q128FV -- esptool.py --port {port} flash_id
  emulator exec --expect-flash app.bin@0x10000 -- esptool.py -p {port} write_flash 0x10000 app.bin
  emulator exec --alias /dev/ttyS0 -- espflash board-info --port {port}")]
    Exec(exec::ExecArgs),
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
    /// Put a recorder and a bad line between a client and a port.
    #[command(after_help = proxy::HELP)]
    Proxy(Box<proxy::Proxy>),
    /// Grade a recorded conversation against a board; show the first difference.
    #[command(after_help = transcript::REPLAY_HELP)]
    Replay(transcript::Replay),
    /// Compare the requests of two recorded conversations.
    #[command(after_help = transcript::DIFF_HELP)]
    Diff(transcript::Diff),
    /// Find what can stand behind observations: play them on every part with every mechanism.
    #[command(after_help = explain::HELP, after_long_help = explain::LONG_HELP)]
    Explain(explain::ExplainArgs),
    /// List the built-in cases or parts.
    List(show::List),
    /// Show a part or a case with its sources and how sure each fact is.
    #[command(after_help = show::HELP)]
    Show(show::Show),
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
    /// Keep the flash in this image file (beside it IMAGE.state, and IMAGE.efuses once any is burned).
    #[arg(long)]
    flash: Option<PathBuf>,
    /// Keep the flash on the board's second set of pins in this image file, in the same way.
    #[arg(long, value_name = "FILE")]
    flash2: Option<PathBuf>,
    /// Run your own dump of the mask ROM (448 KiB raw, or ELF) in place of the native one. An
    /// experiment: nothing but its loading and reset could be tried without a dump.
    #[arg(long, value_name = "FILE")]
    rom: Option<PathBuf>,
    /// How virtual time follows wall time.
    #[arg(long, value_enum, default_value = "max")]
    pace: PaceArg,
    /// How DTR and RTS reach EN and GPIO0, in place of what the board file says: latch, strict-rc
    /// (EN rises within 10 ms; strict-rc=60 for another time), direct, inverted or none.
    #[arg(long, value_name = "NAME")]
    wiring: Option<Wiring>,
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
    /// Let GDB (target remote) look into the processor: it halts when GDB connects, and the board's
    /// time with it. run and exec wait for GDB before the program or the client starts.
    #[arg(long, value_name = "[ADDR:]PORT")]
    gdb: Option<String>,
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
    /// Baud rate and flash times in wall time; uploaded code has the chip's receive FIFO, which
    /// loses what is not fetched in time.
    Real,
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
            Command::Proxy(proxy) => return proxy.run(out),
            Command::Replay(replay) => return replay.run(out),
            Command::Diff(diff) => return diff.run(out),
            Command::Explain(explain) => return explain.run(out),
            Command::List(list) => out.write_all(list.report().as_bytes())?,
            Command::Show(show) => out.write_all(show.report()?.as_bytes())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Which {
    /// Whether a board is named.
    fn is_some(&self) -> bool {
        self.case.is_some()
            || self.board.is_some()
            || self.part.is_some()
            || self.part_file.is_some()
    }

    fn load(&self) -> Result<LoadedBoard, CaseError> {
        Ok(match (&self.case, &self.board, &self.part) {
            (_, Some(path), _) => case::load_file(path)?,
            (_, _, Some(part)) => LoadedBoard::with_part(part),
            _ if self.part_file.is_some() => {
                let mut board = LoadedBoard::with_part("");
                "--part-file".clone_into(&mut board.origin);
                board.file.flash.part = None;
                board.file.flash.part_file.clone_from(&self.part_file);
                board
            }
            (Some(name), ..) => case::load(name)?,
            (None, None, None) => case::load("esptool-915")?,
        })
    }
}

impl BoardArgs {
    fn load(&self) -> Result<LoadedBoard, CaseError> {
        let board = self.which.load()?;
        let mut board = match &self.hypothesis {
            Some(name) => board.assume(name)?,
            None => board,
        };
        board.file.wiring = self.wiring.unwrap_or(board.file.wiring);
        Ok(board)
    }

    /// The board, its flash in the image file if there is one.
    fn build(&self) -> Result<(CaseBoard, Option<BoardStore>), CliError> {
        let mut board = self.load()?.into_board()?;
        let files = BoardFiles {
            flash: self.flash.as_deref(),
            second_flash: self.flash2.as_deref(),
            raw_efuses: None,
        };
        let is_kept = files.flash.or(files.second_flash).is_some();
        let store = is_kept.then(|| BoardStore::open_files(files, &mut board)).transpose()?;
        if let Some(path) = &self.rom {
            let bytes = std::fs::read(path)
                .map_err(|cause| CliError::RomFile { path: path.clone(), cause })?;
            let rom = RomImage::parse(&bytes)
                .map_err(|cause| CliError::Rom { path: path.clone(), cause })?;
            board.insert_rom(board.now(), rom);
        }
        Ok((board, store))
    }

    fn pace(&self) -> Pace {
        match self.pace {
            PaceArg::Max => Pace::Max,
            PaceArg::Real => Pace::Real,
        }
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
        let mut server = Server::open(board, &Options { pace: self.pace(), link })?;
        if let Some(store) = store {
            server.on_change(move |board: &mut ServedBoard| {
                store.store(board).map_err(io::Error::other)
            });
        }
        Ok(server)
    }
}

impl NetArgs {
    /// Whether a way to the line or the flash was asked for.
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
        if let Some(text) = &self.gdb {
            opened.push(("gdb", fronts.listen_gdb(listen_address(text)?)?.to_string()));
        }
        Ok(opened)
    }
}

/// Prints where a client finds the board: as one line of JSON, or a line for each way in.
fn tell_ready(
    port: &str,
    json: Option<serde_json::Value>,
    opened: Vec<(&'static str, String)>,
    out: &mut dyn Write,
) -> io::Result<()> {
    if let Some(mut ready) = json {
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
    out.flush()
}

impl Serve {
    fn run(&self, out: &mut dyn Write) -> Result<(), CliError> {
        let stop = stop_on_signals()?;
        let origin = self.board.load()?.origin;
        let mut server = self.board.open(self.link.clone(), &self.faults)?;
        if let Some(path) = &self.trace {
            trace_log::attach(&mut server, path, self.json)?;
        }
        let control = self.control.as_deref().map(ControlSocket::bind).transpose()?;
        let opened = self.board.net.open(server.fronts())?;
        let port = server.path().display().to_string();
        let json = self.json.then(|| serde_json::json!({ "port": port, "board": origin }));
        tell_ready(&port, json, opened, out)?;
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

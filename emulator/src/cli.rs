//! The `emulator` command line.

use std::{
    fmt::Write as _,
    io::{self, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::{
    case::{self, CaseBoard, CaseError, LoadedBoard},
    persist::{ImageStore, PersistError},
    transport::{
        pace::Pace,
        server::{Options, Server},
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
  esptool.py --port /tmp/esp32 --before no_reset --after no_reset --no-stub flash_id")]
    Serve(Serve),
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
}

#[derive(Debug, Args)]
struct Serve {
    #[command(flatten)]
    which: Which,
    /// Another mechanism of the case, such as h2.
    #[arg(long)]
    hypothesis: Option<String>,
    /// Keep the flash in this image file (and IMAGE.state beside it).
    #[arg(long)]
    flash: Option<PathBuf>,
    /// Make this symbolic link to the PTY, and remove it at the end.
    #[arg(long)]
    link: Option<PathBuf>,
    /// How virtual time follows wall time.
    #[arg(long, value_enum, default_value = "max")]
    pace: PaceArg,
    /// Print one JSON line instead of text.
    #[arg(long)]
    json: bool,
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

/// Why the command failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CliError {
    /// The board is wrong.
    #[error(transparent)]
    Case(#[from] CaseError),
    /// The image is wrong.
    #[error(transparent)]
    Persist(#[from] PersistError),
    /// The system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Neither a part nor a case.
    #[error("no part and no case is named {0:?}")]
    Unknown(String),
}

impl CliError {
    /// The documented exit status.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(if matches!(self, Self::Io(_)) { 1 } else { 3 })
    }
}

impl Cli {
    /// Runs the command, writing its report to `out`.
    ///
    /// # Errors
    ///
    /// See [`CliError`].
    pub fn run(self, out: &mut dyn Write) -> Result<(), CliError> {
        match self.command {
            Command::Serve(serve) => serve.run(out),
            Command::List(list) => Ok(out.write_all(list.report().as_bytes())?),
            Command::Show(show) => Ok(out.write_all(show.report()?.as_bytes())?),
        }
    }
}

impl Serve {
    fn load(&self) -> Result<LoadedBoard, CaseError> {
        let board = match (&self.which.case, &self.which.board, &self.which.part) {
            (_, Some(path), _) => case::load_file(path)?,
            (_, _, Some(part)) => LoadedBoard::with_part(part),
            (Some(name), ..) => case::load(name)?,
            (None, None, None) => case::load("esptool-915")?,
        };
        match &self.hypothesis {
            Some(name) => board.assume(name),
            None => Ok(board),
        }
    }

    fn run(&self, out: &mut dyn Write) -> Result<(), CliError> {
        // Registered first, so that no signal can leave a link behind.
        let (stop, stop_sender) = UnixStream::pair()?;
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::low_level::pipe::register(signal, stop_sender.try_clone()?)?;
        }
        let board = self.load()?;
        let origin = board.origin.clone();
        let mut board = board.into_board()?;
        let store = self
            .flash
            .as_deref()
            .map(|path| ImageStore::open(path, board.flash_mut().nor_mut()))
            .transpose()?;
        let pace = match self.pace {
            PaceArg::Max => Pace::Max,
            PaceArg::Real => Pace::Real,
        };
        let mut server = Server::open(board, &Options { pace, link: self.link.clone() })?;
        if let Some(store) = store {
            server.on_change(move |board: &mut CaseBoard| {
                store.store(board.flash_mut().nor_mut()).map_err(io::Error::other)
            });
        }
        let port = server.path().display().to_string();
        if self.json {
            writeln!(out, "{}", serde_json::json!({ "port": port, "board": origin }))?;
        } else {
            writeln!(out, "{port}")?;
        }
        out.flush()?;
        Ok(server.run(&stop)?)
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
        let sure: Vec<(String, String)> = part
            .confidence
            .iter()
            .map(|(group, grade)| (format!("{group:?}"), format!("{:?}", grade.level)))
            .collect();
        if self.json {
            let value = serde_json::json!({
                "name": part.name, "vendor": part.vendor, "jedec-id": id,
                "capacity-bytes": part.capacity_bytes,
                "confidence": sure.into_iter().collect::<std::collections::BTreeMap<_, _>>(),
            });
            return format!("{value}\n");
        }
        let mut text = format!(
            "{} ({}), JEDEC id {id}, {} bytes\n",
            part.name, part.vendor, part.capacity_bytes
        );
        for (name, register) in &part.registers {
            let bits: Vec<_> = register.bits.iter().map(|bit| bit.name.as_str()).collect();
            let _ = writeln!(text, "  {name:?}: {}", bits.join(" "));
        }
        text.push_str("How sure:\n");
        for (group, level) in sure {
            let _ = writeln!(text, "  {group}: {level}");
        }
        for (id, source) in &part.sources {
            let _ = writeln!(text, "  [{id}] {source}");
        }
        for fact in &part.facts {
            let _ = writeln!(
                text,
                "  {} [{}, {:?}]",
                fact.fact,
                fact.sources.join(", "),
                fact.confidence
            );
        }
        text
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

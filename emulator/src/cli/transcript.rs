//! `emulator replay` and `emulator diff`: recorded conversations graded and compared.

use std::{
    fs::File,
    io::{self, IsTerminal, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use serde_json::json;

use crate::{
    case::CaseBoard,
    transcript::{
        Event, FormatError, HintError, Transcript,
        diff::{self, Comparison, Count},
        format::FILE_BYTES_MAX,
        replay::{Difference, Kind, Options, Report, replay},
    },
};

use super::{CliError, Which};

/// Exit status of differences.
const DIFFERENT: u8 = 1;
/// Entries between two looks at the progress.
const PROGRESS_STEP: usize = 4096;
/// Lines of one side of a hunk that are shown.
const HUNK_LINES_MAX: usize = 40;
/// Bytes of a frame that are shown.
const FRAME_BYTES_MAX: usize = 64;

pub(super) const REPLAY_HELP: &str = "\
The transcript is one of `emulator proxy --record`, of `flasher --record`, of the hardware suite, or
what `esptool --trace` printed. Without a board option the board that the transcript names is taken.

Examples:
  emulator replay session.jsonl --part PART
  esptool.py --port /dev/ttyUSB0 --trace flash_id > trace.txt; emulator replay trace.txt --part PART
  emulator replay session.jsonl --all --json

Exit status: 0 the board answers as recorded, 1 it does not, 2 wrong usage, 3 the transcript or the
board cannot be read.";

pub(super) const DIFF_HELP: &str = "\
Compares requests, not answers: which commands does one client send that the other does not? What
an uploaded stub does on the chip is not on the wire; with a board option both are played to such a
board and what reached its flash is compared as well.

Examples:
  emulator diff esptool-4.5.1.txt esptool-5.6.0.txt
  emulator diff a.jsonl b.jsonl --case sr1-bp

Exit status: 0 they are equal, 1 they are not, 2 wrong usage, 3 a transcript or the board cannot be
read.";

/// Grade a recorded conversation against a board; show the first difference.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of the command line")]
pub(super) struct Replay {
    /// The transcript.
    file: PathBuf,
    #[command(flatten)]
    which: Which,
    /// Another mechanism of the case, such as h2.
    #[arg(long)]
    hypothesis: Option<String>,
    /// Load this image into the flash; the file is not changed.
    #[arg(long)]
    flash: Option<PathBuf>,
    /// Show all differences, not the first alone.
    #[arg(long)]
    all: bool,
    /// Leave out fields that mean nothing: the value field of commands without a value, and the
    /// ROM's two last bytes.
    #[arg(long)]
    allow_leftovers: bool,
    /// Compare the text outside of frames (boot logs) as well.
    #[arg(long)]
    text: bool,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// Compare the requests of two conversations.
#[derive(Debug, Args)]
pub(super) struct Diff {
    /// The first transcript.
    a: PathBuf,
    /// The second transcript.
    b: PathBuf,
    #[command(flatten)]
    which: Which,
    /// Another mechanism of the case, such as h2.
    #[arg(long)]
    hypothesis: Option<String>,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// Why a transcript cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TranscriptError {
    /// It cannot be read.
    #[error("{}: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// It is none.
    #[error("{}: {cause}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: FormatError,
    },
    /// The board that it names is none.
    #[error("{}: {cause}", path.display())]
    Hint {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: Box<HintError>,
    },
    /// Nobody says which board.
    #[error("{} names no board: give --case, --board, --part or --part-file", path.display())]
    NoBoard {
        /// The file.
        path: PathBuf,
    },
    /// No answer was compared: that says nothing about the board.
    #[error(
        "{}: nothing in it can be compared ({requests} requests, {not_compared} answers to SYNC or \
         discarded)",
        path.display()
    )]
    NothingCompared {
        /// The file.
        path: PathBuf,
        /// Requests in it.
        requests: u64,
        /// Answers that are not compared.
        not_compared: u64,
    },
    /// The flash image does not fit.
    #[error("{} is longer than the flash", path.display())]
    Image {
        /// The image.
        path: PathBuf,
    },
}

/// Reads a transcript of any kind.
fn load(path: &Path) -> Result<Transcript, TranscriptError> {
    let read = |cause| TranscriptError::Read { path: path.to_owned(), cause };
    let limit = u64::try_from(FILE_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)).map_err(read)?;
    Transcript::parse(&bytes)
        .map_err(|cause| TranscriptError::Format { path: path.to_owned(), cause })
}

/// The board that the options name, else the one of the transcript.
fn board(
    which: &Which,
    hypothesis: Option<&String>,
    transcript: &Transcript,
    path: &Path,
) -> Result<CaseBoard, CliError> {
    if which.is_some() {
        let board = which.load()?;
        let board = match hypothesis {
            Some(name) => board.assume(name)?,
            None => board,
        };
        return Ok(board.into_board()?);
    }
    let hint = transcript.header.board.as_ref();
    let hint = hint.ok_or_else(|| TranscriptError::NoBoard { path: path.to_owned() })?;
    let board = hint
        .load()
        .map_err(|cause| TranscriptError::Hint { path: path.to_owned(), cause: Box::new(cause) })?;
    Ok(board.into_board()?)
}

impl Replay {
    pub(super) fn run(&self, out: &mut dyn Write) -> Result<ExitCode, CliError> {
        let transcript = load(&self.file)?;
        let mut board = board(&self.which, self.hypothesis.as_ref(), &transcript, &self.file)?;
        if let Some(path) = &self.flash {
            let read = |cause| TranscriptError::Read { path: path.clone(), cause };
            let capacity = board.flash().nor().part().capacity_bytes;
            let mut image = Vec::new();
            let file = File::open(path).map_err(read)?;
            file.take(u64::from(capacity) + 1).read_to_end(&mut image).map_err(read)?;
            if image.len() > usize::try_from(capacity).unwrap_or(usize::MAX) {
                return Err(TranscriptError::Image { path: path.clone() }.into());
            }
            board.flash_mut().nor_mut().load_image(0, &image);
        }
        let options = Options { allow_leftovers: self.allow_leftovers, text: self.text };
        let mut progress = Progress::new(self.json);
        let report =
            replay(&transcript, &mut board, options, &mut |done, all| progress.show(done, all));
        progress.end();
        let Report { requests, compared, not_compared, difference_count, .. } = report;
        if compared == 0 && difference_count == 0 && !self.text {
            let path = self.file.clone();
            return Err(TranscriptError::NothingCompared { path, requests, not_compared }.into());
        }
        if self.json {
            let mut value = serde_json::to_value(&report).map_err(io::Error::from)?;
            value["cut"] = transcript.cut.into();
            value["equal"] = (difference_count == 0).into();
            if !self.all
                && let Some(list) = value["differences"].as_array_mut()
            {
                list.truncate(1);
            }
            writeln!(out, "{value}")?;
        } else {
            self.tell(&transcript, &report, out)?;
        }
        Ok(ExitCode::from(if difference_count == 0 { 0 } else { DIFFERENT }))
    }

    fn tell(
        &self,
        transcript: &Transcript,
        report: &Report,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        if transcript.cut {
            writeln!(
                out,
                "The transcript ends in the middle of a line; what is there was played."
            )?;
        }
        let shown = if self.all { report.differences.len() } else { 1 };
        for (number, difference) in report.differences.iter().take(shown).enumerate() {
            write_difference(number + 1, difference, out)?;
        }
        let Report { requests, compared, not_compared, difference_count, .. } = report;
        write!(out, "{requests} requests, {compared} answers compared")?;
        if *not_compared > 0 {
            write!(out, " ({not_compared} answers to SYNC or discarded by the client are not)")?;
        }
        if report.other_moment > 0 {
            let count = report.other_moment;
            write!(out, ", {count} polls met the flash busy on one side alone")?;
        }
        if report.lost > 0 {
            let lost = report.lost;
            write!(out, ", up to where the recording itself has lost {lost} bytes")?;
        }
        match difference_count {
            0 => writeln!(out, ": the board answers as recorded"),
            count => writeln!(out, ": {count} differ"),
        }
    }
}

/// One difference, decoded, with the bytes of both sides.
///
/// # Errors
///
/// `out` takes no more.
pub fn write_difference(
    number: usize,
    difference: &Difference,
    out: &mut dyn Write,
) -> io::Result<()> {
    let micros = difference.at.as_nanos() / 1_000;
    let what = match difference.kind {
        Kind::Answer => "the answers differ",
        Kind::Leftovers => "the answers differ in bytes that mean nothing",
        Kind::Missing => "the board does not answer",
        Kind::Extra => "the board says more",
        Kind::Text => "the texts differ",
    };
    let request = difference.request_number;
    let (seconds, rest) = (micros / 1_000_000, micros % 1_000_000);
    writeln!(out, "difference {number}: {what} (request {request}, {seconds}.{rest:06} s)")?;
    if let Some(words) = &difference.request {
        writeln!(out, "  sent      {words}")?;
    }
    let fields = difference.fields();
    if !fields.is_empty() {
        writeln!(out, "  fields    {}", fields.join(", "))?;
    }
    let [recorded, board] = difference.words();
    for (name, words, bytes) in
        [("recorded", recorded, &difference.recorded), ("board", board, &difference.board)]
    {
        match (words, bytes) {
            (Some(words), Some((bytes, _))) => {
                writeln!(out, "  {name:<9} {words}\n            {}", shown(bytes))?;
            }
            _ => writeln!(out, "  {name:<9} nothing")?,
        }
    }
    Ok(())
}

fn shown(bytes: &[u8]) -> String {
    let text = crate::transcript::format::hex(bytes.get(..FRAME_BYTES_MAX).unwrap_or(bytes));
    match bytes.len().checked_sub(FRAME_BYTES_MAX) {
        None | Some(0) => text,
        Some(more) => format!("{text}.. and {more} bytes"),
    }
}

impl Diff {
    pub(super) fn run(&self, out: &mut dyn Write) -> Result<ExitCode, CliError> {
        let (a, b) = (load(&self.a)?, load(&self.b)?);
        let comparison = diff::compare(&a, &b);
        let buses = if self.which.is_some() {
            let mut progress = Progress::new(self.json);
            let mut chip_selects = |transcript: &Transcript, path: &Path| {
                let mut board = board(&self.which, self.hypothesis.as_ref(), transcript, path)?;
                board.trace_mut().record_spi();
                let show = &mut |done, all| progress.show(done, all);
                replay(transcript, &mut board, Options::default(), show);
                Ok::<_, CliError>(board.trace_mut().take_spi())
            };
            let (a, b) = (chip_selects(&a, &self.a)?, chip_selects(&b, &self.b)?);
            progress.end();
            Some(diff::compare_buses(&a, &b))
        } else {
            None
        };
        let same_bus = buses.iter().flatten().all(|count| count.a == count.b);
        let equal = comparison.is_equal() && same_bus;
        if self.json {
            let mut value = serde_json::to_value(&comparison).map_err(io::Error::from)?;
            value["equal"] = equal.into();
            value["a"] = json!(a.header.recorder);
            value["b"] = json!(b.header.recorder);
            if let Some(buses) = &buses {
                value["flash"] = json!(buses);
            }
            writeln!(out, "{value}")?;
        } else {
            let names = [(&self.a, &a), (&self.b, &b)];
            for (letter, (path, transcript)) in ["A", "B"].iter().zip(names) {
                let recorder = &transcript.header.recorder;
                writeln!(out, "{letter}: {} ({recorder})", path.display())?;
                let lost = lost_bytes(transcript);
                if lost > 0 {
                    writeln!(out, "   this recording has lost {lost} bytes")?;
                }
            }
            write_comparison(&comparison, buses.as_deref(), out)?;
            if equal {
                writeln!(out, "Both say the same.")?;
            }
        }
        Ok(ExitCode::from(if equal { 0 } else { DIFFERENT }))
    }
}

fn lost_bytes(transcript: &Transcript) -> u64 {
    let lost = transcript.entries.iter().map(|entry| match entry.event {
        Event::Lost(bytes) => bytes,
        _ => 0,
    });
    lost.fold(0, u64::saturating_add)
}

fn write_comparison(
    comparison: &Comparison,
    buses: Option<&[Count]>,
    out: &mut dyn Write,
) -> io::Result<()> {
    write_counts("Commands", &comparison.commands, out)?;
    let through = "Flash instructions that the client sends through the SPI registers";
    write_counts(through, &comparison.instructions, out)?;
    if let Some(buses) = buses {
        write_counts("What reached the flash of the board that both were played to", buses, out)?;
    }
    if !comparison.aligned {
        writeln!(out, "\nToo long to be compared step by step.")?;
    }
    for hunk in &comparison.hunks {
        match &hunk.after {
            Some(after) => writeln!(out, "\nafter {after}")?,
            None => writeln!(out, "\nat the beginning")?,
        }
        for (sign, lines) in [('A', &hunk.a), ('B', &hunk.b)] {
            for line in lines.iter().take(HUNK_LINES_MAX) {
                writeln!(out, "  {sign} {line}")?;
            }
            if let Some(more) = lines.len().checked_sub(HUNK_LINES_MAX).filter(|more| *more > 0) {
                writeln!(out, "  {sign} .. and {more} more")?;
            }
        }
    }
    Ok(())
}

/// What both have as often is not shown.
fn write_counts(title: &str, counts: &[Count], out: &mut dyn Write) -> io::Result<()> {
    let differing: Vec<_> = counts.iter().filter(|count| count.a != count.b).collect();
    if differing.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{title}:")?;
    for Count { name, a, b } in differing {
        let note = match (a, b) {
            (_, 0) => "  only A",
            (0, _) => "  only B",
            _ => "",
        };
        writeln!(out, "  {name:<24} A {a:>6}  B {b:>6}{note}")?;
    }
    Ok(())
}

/// A line on a terminal that tells how far a long replay is.
struct Progress {
    live: bool,
    shown: bool,
}

impl Progress {
    fn new(json: bool) -> Self {
        Self { live: !json && io::stderr().is_terminal(), shown: false }
    }

    fn show(&mut self, done: usize, all: usize) {
        if self.live && done > 0 && done.is_multiple_of(PROGRESS_STEP) {
            self.shown = true;
            // Nobody is served by an error here.
            let _ = write!(io::stderr(), "\r{}% of {all} entries", done * 100 / all.max(1));
        }
    }

    fn end(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

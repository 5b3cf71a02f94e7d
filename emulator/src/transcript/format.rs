//! The file: JSON lines, a [`Header`] first, then one line an [`Entry`].
//!
//! ```text
//! {"transcript":1,"recorder":"emulator proxy 0.1.0","clock":"wall","port":"/dev/ttyUSB0"}
//! {"us":0,"baud":115200}
//! {"us":12,"dtr":false,"rts":true}
//! {"us":250100,"to":"c0000824...c0"}
//! {"us":253207,"from":"c00108...c0"}
//! {"us":253300,"flush":"input"}
//! {"us":260000,"break":true}
//! {"us":260010,"note":"any text"}
//! {"us":270000,"lost":304}
//! ```
//!
//! `us` is microseconds since the recording began and never goes back; `to` and `from` are bytes in
//! hex, towards the board and from it, as they were on the wire; both lines are always told
//! together, `true` is asserted. `flush` says that the client threw away what it had not read;
//! `lost` that the recording misses so many bytes of the next entry.
//! Files are untrusted: lines, file and hex are bounded, and each error names its line.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use super::{Entry, Event, Header, Transcript};
use crate::{board::ControlLines, time::Instant};

/// Version of the format.
pub const VERSION: u32 = 1;
/// Longest file, in bytes.
pub const FILE_BYTES_MAX: usize = 256 << 20;
/// Longest line, in bytes.
const LINE_BYTES_MAX: usize = 1 << 20;
/// Bytes of one direction in a line; more take more lines.
const CHUNK_BYTES_MAX: usize = 16 << 10;

/// A line of a transcript cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct FormatError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// There is nothing.
    #[error("an empty file")]
    Empty,
    /// Not JSON, or not a line of a transcript.
    #[error("not a line of a transcript: {0}")]
    Json(#[from] serde_json::Error),
    /// Of another version.
    #[error("a transcript of version {found}; this program reads version {VERSION}")]
    Version {
        /// What the header says.
        found: u32,
    },
    /// A line says nothing or two things.
    #[error(
        "a line says one of to, from, dtr and rts, baud, flush, break, lost, note; this one {0}"
    )]
    Keys(&'static str),
    /// Not hex.
    #[error("an odd number of digits, or a character that is no hex digit")]
    Hex,
    /// Time goes back.
    #[error("time goes back from {before} us to {now} us")]
    Time {
        /// The line before.
        before: u64,
        /// This line.
        now: u64,
    },
    /// Too long.
    #[error("longer than {max} bytes")]
    TooLong {
        /// What is allowed.
        max: usize,
    },
    /// A trace of esptool shows more bytes than it announces.
    #[error("{claimed} bytes are announced, {found} are there")]
    Count {
        /// As announced.
        claimed: usize,
        /// Found.
        found: usize,
    },
    /// No word of esptool's trace in it.
    #[error("neither a transcript nor what `esptool --trace` prints")]
    NoTrace,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    us: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dtr: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rts: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    baud: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    flush: Option<Flushed>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    r#break: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lost: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Flushed {
    Input,
}

impl Line {
    fn of(entry: &Entry) -> Self {
        let mut line = Self { us: entry.at.as_nanos() / 1_000, ..Self::default() };
        match &entry.event {
            Event::ToBoard(bytes) => line.to = Some(hex(bytes)),
            Event::FromBoard(bytes) => line.from = Some(hex(bytes)),
            Event::Lines(lines) => (line.dtr, line.rts) = (Some(lines.dtr), Some(lines.rts)),
            Event::Baud(rate) => line.baud = Some(*rate),
            Event::Flush => line.flush = Some(Flushed::Input),
            Event::Break => line.r#break = Some(true),
            Event::Lost(count) => line.lost = Some(*count),
            Event::Note(text) => line.note = Some(text.clone()),
        }
        line
    }

    fn event(self) -> Result<Event, Problem> {
        let lines = match (self.dtr, self.rts) {
            (Some(dtr), Some(rts)) => Some(Event::Lines(ControlLines { dtr, rts })),
            (None, None) => None,
            _ => return Err(Problem::Keys("tells one of the two lines only")),
        };
        let to = self.to.as_deref().map(unhex).transpose()?.map(Event::ToBoard);
        let from = self.from.as_deref().map(unhex).transpose()?.map(Event::FromBoard);
        let others = [
            lines,
            to,
            from,
            self.baud.map(Event::Baud),
            self.flush.map(|Flushed::Input| Event::Flush),
            self.r#break.map(|_| Event::Break),
            self.lost.map(Event::Lost),
            self.note.map(Event::Note),
        ];
        let mut said = others.into_iter().flatten();
        match (said.next(), said.next()) {
            (Some(event), None) => Ok(event),
            (None, _) => Err(Problem::Keys("says nothing")),
            (Some(_), Some(_)) => Err(Problem::Keys("says more than one")),
        }
    }
}

/// Bytes as hex digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value & 0xf)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// Bytes of hex digits.
///
/// # Errors
///
/// [`Problem::Hex`].
pub(super) fn unhex(text: &str) -> Result<Vec<u8>, Problem> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return Err(Problem::Hex);
    }
    pairs
        .iter()
        .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?))
        .collect::<Option<_>>()
        .ok_or(Problem::Hex)
}

impl Transcript {
    /// Reads a transcript, or what `esptool --trace` printed.
    ///
    /// A last line without its end is left out and told by [`Self::cut`]: a killed recorder leaves
    /// one.
    ///
    /// # Errors
    ///
    /// [`FormatError`] with the line.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        if bytes.len() > FILE_BYTES_MAX {
            return Err(FormatError { line: 1, problem: Problem::TooLong { max: FILE_BYTES_MAX } });
        }
        let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
        match first {
            None => Err(FormatError { line: 1, problem: Problem::Empty }),
            Some(b'{') => parse_lines(bytes),
            Some(_) => super::esptool::parse(bytes),
        }
    }

    /// The whole file.
    ///
    /// # Errors
    ///
    /// `out` takes no more.
    pub fn emit(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut recorder = Recorder::new(out, &self.header)?;
        self.entries.iter().try_for_each(|entry| recorder.push(entry.at, &entry.event))
    }
}

fn parse_lines(bytes: &[u8]) -> Result<Transcript, FormatError> {
    let mut header: Option<Header> = None;
    let mut entries: Vec<Entry> = Vec::new();
    let mut cut = false;
    let ends_in_newline = bytes.ends_with(b"\n");
    let mut lines = bytes.split(|byte| *byte == b'\n').enumerate().peekable();
    while let Some((index, text)) = lines.next() {
        if text.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let at = |problem| FormatError { line: index + 1, problem };
        let is_last = lines.peek().is_none();
        let Some(_) = &header else {
            header = Some(parse_header(text).map_err(at)?);
            continue;
        };
        match parse_entry(text, entries.last()) {
            Ok(entry) => entries.push(entry),
            Err(Problem::Json(error)) if is_last && !ends_in_newline && error.is_eof() => {
                cut = true;
            }
            Err(problem) => return Err(at(problem)),
        }
    }
    let header = header.ok_or(FormatError { line: 1, problem: Problem::Empty })?;
    Ok(Transcript { header, entries, cut })
}

fn parse_header(text: &[u8]) -> Result<Header, Problem> {
    #[derive(Deserialize)]
    struct Version {
        transcript: u32,
    }
    check_length(text)?;
    let Version { transcript } = serde_json::from_slice(text)?;
    if transcript != VERSION {
        return Err(Problem::Version { found: transcript });
    }
    Ok(serde_json::from_slice(text)?)
}

fn parse_entry(text: &[u8], before: Option<&Entry>) -> Result<Entry, Problem> {
    check_length(text)?;
    let line: Line = serde_json::from_slice(text)?;
    let (now, before) = (line.us, before.map_or(0, |entry| entry.at.as_nanos() / 1_000));
    if now < before {
        return Err(Problem::Time { before, now });
    }
    let at = Instant::from_nanos(now.saturating_mul(1_000));
    Ok(Entry { at, event: line.event()? })
}

fn check_length(text: &[u8]) -> Result<(), Problem> {
    if text.len() > LINE_BYTES_MAX {
        return Err(Problem::TooLong { max: LINE_BYTES_MAX });
    }
    Ok(())
}

/// Writes a transcript as it happens.
#[derive(Debug)]
pub struct Recorder<W> {
    out: W,
    last: Instant,
}

impl<W: Write> Recorder<W> {
    /// Begins with `header`.
    ///
    /// # Errors
    ///
    /// `out` takes no more.
    pub fn new(mut out: W, header: &Header) -> io::Result<Self> {
        let mut text = serde_json::to_string(header)?;
        text.push('\n');
        out.write_all(text.as_bytes())?;
        Ok(Self { out, last: Instant::ZERO })
    }

    /// Adds what happened at `at`, each line in one write, so that a kill cuts at most the last.
    ///
    /// # Errors
    ///
    /// `out` takes no more.
    pub fn push(&mut self, at: Instant, event: &Event) -> io::Result<()> {
        self.last = self.last.max(at);
        match event {
            Event::ToBoard(bytes) => bytes
                .chunks(CHUNK_BYTES_MAX)
                .try_for_each(|part| self.line(Event::ToBoard(part.to_vec()))),
            Event::FromBoard(bytes) => bytes
                .chunks(CHUNK_BYTES_MAX)
                .try_for_each(|part| self.line(Event::FromBoard(part.to_vec()))),
            other => self.line(other.clone()),
        }
    }

    fn line(&mut self, event: Event) -> io::Result<()> {
        let mut text = serde_json::to_string(&Line::of(&Entry { at: self.last, event }))?;
        text.push('\n');
        self.out.write_all(text.as_bytes())
    }
}

//! Importer of what `esptool --trace` prints (seen: 4.5.1, 4.12.0, 5.6.0).
//!
//! ```text
//! TRACE +0.000 Write 14 bytes: c0000a04000000000000100040c0
//! TRACE +0.001 Read 112 bytes:
//!     c001080400070712 2000000000c0c001 | ........ .......
//! ```
//!
//! The bytes are those on the wire. The trace knows no modem lines, no rate and no time before its
//! first line; times have a millisecond. The rate is 115200 until a `CHANGE_BAUDRATE` says
//! otherwise, which takes hold before the next write.
//!
//! 5.6.0 takes text of its own dumps for markup: what stands between `[` and `]` in the right column
//! can be missing, with all lines in between. Such a dump is shorter than announced and becomes a
//! [`Event::Lost`] before what is left of it.

use esp_protocol::{
    command::{Opcode, Request},
    slip::Decoder,
};

use super::{
    ClockKind, Entry, Event, FormatError, Header, Problem, Transcript,
    format::{VERSION, unhex},
};
use crate::time::{Duration, Instant};

/// The rate of a first connection, in baud.
const BAUD: u32 = 115_200;
/// Longest text between two lines of the trace that is kept as a note.
const NOTE_CHARS_MAX: usize = 200;
/// Longest frame that a client sends: a stub's block with its header, and room.
const FRAME_BYTES_MAX: usize = 0x1_0000;

/// Bytes that a line of the trace announces.
struct Announced {
    line: usize,
    count: usize,
    to_board: bool,
    bytes: Vec<u8>,
}

struct Importer {
    entries: Vec<Entry>,
    now: Instant,
    open: Option<Announced>,
    decoder: Decoder,
    next_baud: Option<u32>,
    version: Option<String>,
    traced: bool,
}

/// Reads a trace.
///
/// # Errors
///
/// [`Problem::NoTrace`] if there is no line of a trace; [`Problem::Count`] and [`Problem::Hex`] for
/// what esptool does not print. A last line that is cut is left out.
pub fn parse(bytes: &[u8]) -> Result<Transcript, FormatError> {
    let text = String::from_utf8_lossy(bytes);
    let mut importer = Importer {
        entries: vec![Entry { at: Instant::ZERO, event: Event::Baud(BAUD) }],
        now: Instant::ZERO,
        open: None,
        decoder: Decoder::new(FRAME_BYTES_MAX),
        next_baud: None,
        version: None,
        traced: false,
    };
    for (index, line) in text.lines().enumerate() {
        importer.line(index + 1, line)?;
    }
    if !importer.traced {
        return Err(FormatError { line: 1, problem: Problem::NoTrace });
    }
    let cut = match importer.open.take() {
        Some(open) if open.bytes.len() == open.count => {
            importer.close(open);
            false
        }
        open => open.is_some(),
    };
    let recorder = importer.version.map_or_else(|| "esptool".into(), |it| format!("esptool {it}"));
    let header =
        Header { transcript: VERSION, recorder, clock: ClockKind::Wall, port: None, board: None };
    Ok(Transcript { header, entries: importer.entries, cut })
}

impl Importer {
    fn line(&mut self, number: usize, line: &str) -> Result<(), FormatError> {
        let at = |problem| FormatError { line: number, problem };
        let Some((_, rest)) = line.split_once("TRACE +") else {
            self.text(line);
            return Ok(());
        };
        self.finish()?;
        self.traced = true;
        let (seconds, message) = rest.split_once(' ').unwrap_or((rest, ""));
        self.now += span(seconds);
        let message = message.trim_start();
        let (to_board, counted) = match message.split_once(' ') {
            Some(("Write", counted)) => (true, counted),
            Some(("Read", counted)) => (false, counted),
            _ => return Ok(()),
        };
        let Some((count, inline)) = counted.split_once(" bytes:") else { return Ok(()) };
        let Ok(count) = count.trim().parse() else { return Ok(()) };
        let bytes = unhex(inline.trim()).map_err(at)?;
        self.open = Some(Announced { line: number, count, to_board, bytes });
        Ok(())
    }

    /// A line between those of the trace: bytes of a dump, or what esptool says to its user.
    fn text(&mut self, line: &str) {
        if let Some(open) = &mut self.open
            && open.bytes.len() < open.count
        {
            let dump = line.split(" | ").next().unwrap_or_default();
            let digits: String = dump.split_whitespace().collect();
            if let Some(bytes) = unhex(&digits).ok().filter(|_| line.starts_with("    ")) {
                open.bytes.extend(bytes);
                return;
            }
        }
        let said = line.trim();
        for name in ["esptool.py v", "esptool v"] {
            if let Some(version) = said.strip_prefix(name) {
                self.version = Some(version.chars().take(NOTE_CHARS_MAX).collect());
            }
        }
        // Dumps of messages that tell no bytes on the wire.
        let is_dump = line.starts_with("    ") && line.contains(" | ");
        if !said.is_empty() && !is_dump {
            let note = said.chars().take(NOTE_CHARS_MAX).collect();
            self.entries.push(Entry { at: self.now, event: Event::Note(note) });
        }
    }

    /// The next line of the trace begins: what was announced is there, or lost.
    fn finish(&mut self) -> Result<(), FormatError> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let (line, claimed, found) = (open.line, open.count, open.bytes.len());
        if found > claimed {
            return Err(FormatError { line, problem: Problem::Count { claimed, found } });
        }
        if found < claimed {
            let lost = u64::try_from(claimed - found).unwrap_or(u64::MAX);
            self.entries.push(Entry { at: self.now, event: Event::Lost(lost) });
        }
        self.close(open);
        Ok(())
    }

    fn close(&mut self, open: Announced) {
        let event = if open.to_board {
            if let Some(rate) = self.next_baud.take() {
                self.entries.push(Entry { at: self.now, event: Event::Baud(rate) });
            }
            self.see_request(&open.bytes);
            Event::ToBoard(open.bytes)
        } else {
            Event::FromBoard(open.bytes)
        };
        self.entries.push(Entry { at: self.now, event });
    }

    fn see_request(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(frame) = self.decoder.next_frame(&mut rest) {
            let Ok(frame) = frame else { continue };
            if let Ok(Request::ChangeBaudrate { new, .. }) = Request::parse(&frame) {
                self.next_baud = Some(new);
            }
            // A new connection begins at the first rate again.
            if frame.get(1) == Some(&u8::from(Opcode::Sync)) {
                self.next_baud = None;
            }
        }
    }
}

/// `0.123` in milliseconds; nonsense is no time.
fn span(seconds: &str) -> Duration {
    let (whole, parts) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let whole: u64 = whole.parse().unwrap_or(0);
    let millis: u64 = parts.get(..3).and_then(|digits| digits.parse().ok()).unwrap_or(0);
    Duration::from_millis(whole.saturating_mul(1_000).saturating_add(millis))
}

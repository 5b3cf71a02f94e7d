//! What happens on a board, written as it happens.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    case::CaseBoard,
    control::{entry_text, entry_value},
    fault::board::ServedBoard,
    trace::{Entry, Event},
    transport::server::Server,
};

/// Lets `server` write its board's trace to `path`, as lines of JSON or of text.
pub(super) fn attach(server: &mut Server<ServedBoard>, path: &Path, json: bool) -> io::Result<()> {
    let log = Arc::new(Mutex::new(TraceLog::open(path, json)?));
    let quiet_log = Arc::clone(&log);
    // One thread calls both.
    server.on_change(move |board| log.lock().unwrap_or_else(PoisonError::into_inner).write(board));
    server.on_quiet(move |board| {
        quiet_log.lock().unwrap_or_else(PoisonError::into_inner).flush(board)
    });
    Ok(())
}

/// A file that gets one line for each event.
///
/// Neighbours are merged in the trace, so the last entry waits until it can grow no more, or until
/// the board is quiet ([`Self::flush`]); what it gains after that gets a line of its own.
struct TraceLog {
    out: Box<dyn Write + Send>,
    json: bool,
    /// Entries that are written and cannot grow.
    written_count: u64,
    /// The entry behind them, as far as it is written.
    shown: Option<Event>,
}

impl TraceLog {
    /// Makes the file; `-` is standard error.
    fn open(path: &Path, json: bool) -> io::Result<Self> {
        let out: Box<dyn Write + Send> = if path == Path::new("-") {
            Box::new(io::stderr())
        } else {
            Box::new(File::create(path)?)
        };
        Ok(Self::to(out, json))
    }

    fn to(out: Box<dyn Write + Send>, json: bool) -> Self {
        Self { out, json, written_count: 0, shown: None }
    }

    /// Writes what is new and complete.
    fn write(&mut self, board: &CaseBoard) -> io::Result<()> {
        let trace = board.trace();
        let grows = trace.entries().next_back().is_some_and(|entry| entry.event.may_grow());
        let complete = trace.dropped_count() + trace.entries().len() as u64 - u64::from(grows);
        if self.written_count < trace.dropped_count() {
            self.shown = None;
        }
        let skip = self.written_count.saturating_sub(trace.dropped_count());
        let new_count = complete.saturating_sub(self.written_count.max(trace.dropped_count()));
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        let new_count = usize::try_from(new_count).unwrap_or(usize::MAX);
        for entry in trace.entries().skip(skip).take(new_count) {
            self.line(entry)?;
        }
        self.written_count = self.written_count.max(complete);
        Ok(())
    }

    /// Writes all that is new: the board is quiet, or its last hour has come.
    fn flush(&mut self, board: &CaseBoard) -> io::Result<()> {
        self.write(board)?;
        let Some(last) = board.trace().entries().next_back() else { return Ok(()) };
        if last.event.may_grow() {
            self.line(last)?;
            self.shown = Some(last.event.clone());
        }
        Ok(())
    }

    fn line(&mut self, entry: &Entry) -> io::Result<()> {
        let event = match self.shown.take() {
            Some(shown) => match entry.event.grown_since(&shown) {
                Some(event) => event,
                None => return Ok(()),
            },
            None => entry.event.clone(),
        };
        let entry = Entry { at: entry.at, event };
        let line = if self.json { entry_value(&entry).to_string() } else { entry_text(&entry) };
        writeln!(self.out, "{line}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{case::LoadedBoard, time::Instant};

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_run_is_written_when_it_ends_or_when_the_board_is_quiet() {
        let mut board = LoadedBoard::with_part("W25Q32JV").into_board().unwrap();
        let sink = Sink::default();
        let mut log = TraceLog::to(Box::new(sink.clone()), false);
        let programmed = |board: &mut CaseBoard, range| {
            board.trace_mut().push(Instant::ZERO, Event::Programmed { range });
        };
        log.write(&board).unwrap();
        programmed(&mut board, 0..16);
        log.write(&board).unwrap();
        programmed(&mut board, 16..32);
        for _ in 0..2 {
            log.flush(&board).unwrap();
        }
        programmed(&mut board, 32..48);
        log.write(&board).unwrap();
        board.trace_mut().push(Instant::ZERO, Event::FlashReset);
        log.write(&board).unwrap();
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<_> = text.lines().map(|line| line[14..].to_owned()).collect();
        let wanted = [
            "PowerOn",
            "Programmed { range: 0..32 }",
            "Programmed { range: 32..48 }",
            "FlashReset",
        ];
        assert_eq!(lines, wanted);
    }
}

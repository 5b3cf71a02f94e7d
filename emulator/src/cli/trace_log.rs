//! What happens on a board, written as it happens.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

use crate::{
    case::CaseBoard,
    control::{entry_text, entry_value},
    trace::Event,
};

/// A file that gets one line for each event.
pub(super) struct TraceLog {
    out: Box<dyn Write + Send>,
    json: bool,
    written_count: u64,
}

impl TraceLog {
    /// Makes the file; `-` is standard error.
    pub(super) fn open(path: &Path, json: bool) -> io::Result<Self> {
        let out: Box<dyn Write + Send> = if path == Path::new("-") {
            Box::new(io::stderr())
        } else {
            Box::new(File::create(path)?)
        };
        Ok(Self { out, json, written_count: 0 })
    }

    /// Writes what is new.
    pub(super) fn write(&mut self, board: &CaseBoard) -> io::Result<()> {
        let trace = board.trace();
        let entries = trace.entries();
        let mut total = trace.dropped_count() + entries.len() as u64;
        // Neighbours of these merge with the last entry, which then waits for its end.
        let grows = trace.entries().next_back().is_some_and(|entry| {
            matches!(
                entry.event,
                Event::Erased { .. } | Event::Programmed { .. } | Event::Denied { .. }
            )
        });
        total -= u64::from(grows);
        let new_count = total.saturating_sub(self.written_count) + u64::from(grows);
        let skip = entries.len().saturating_sub(usize::try_from(new_count).unwrap_or(usize::MAX));
        let take = entries.len() - skip - usize::from(grows);
        for entry in trace.entries().skip(skip).take(take) {
            let line = if self.json { entry_value(entry).to_string() } else { entry_text(entry) };
            writeln!(self.out, "{line}")?;
        }
        self.written_count = total;
        Ok(())
    }
}

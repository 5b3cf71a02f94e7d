//! What `emulator run` tells in the end.

use std::fmt::Write as _;

use super::Running;
use crate::{
    board::{Board, FunctionCount, Probe},
    case::BoardFlash,
    program::Symbols,
    trace::Event,
};

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Returned,
    Reset,
    Stopped,
    Limit,
    Waiting,
    Interrupted,
    Killed,
}

impl End {
    /// The documented exit status.
    pub(super) fn status(self) -> u8 {
        match self {
            Self::Returned | Self::Reset | Self::Killed => 0,
            Self::Stopped => 4,
            Self::Limit => 5,
            Self::Waiting => 6,
            Self::Interrupted => 130,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Returned => "returned",
            Self::Reset => "reset",
            Self::Stopped => "stopped",
            Self::Limit => "limit",
            Self::Waiting => "waiting",
            Self::Interrupted => "interrupted",
            Self::Killed => "killed",
        }
    }
}

/// The figures of a run.
pub(super) struct Report {
    end: End,
    instructions: u64,
    board_us: u64,
    received_bytes: u64,
    sent_bytes: u64,
    diagnosis: Vec<String>,
    functions: Option<Vec<(String, FunctionCount)>>,
}

impl Report {
    pub(super) fn new(running: &Running, end: End, symbols: &Symbols) -> Self {
        let board = &running.board;
        let said = board.trace().entries().filter_map(|entry| match &entry.event {
            Event::Guest { what } => Some(what.clone()),
            _ => None,
        });
        let profile = board.probe().and_then(|probe: &Probe| probe.profile.as_ref());
        let functions = profile.map(|profile| {
            let rows = profile.functions(symbols.addresses());
            rows.into_iter().map(|row| (name(symbols, row.address), row)).collect()
        });
        Self {
            end,
            instructions: board.program_instructions(),
            board_us: board.now().since(running.started).as_nanos() / 1000,
            received_bytes: running.received_bytes,
            sent_bytes: running.sent_bytes,
            diagnosis: if end == End::Stopped { said.collect() } else { Vec::new() },
            functions,
        }
    }

    fn wire_bytes(&self) -> u64 {
        self.received_bytes + self.sent_bytes
    }

    pub(super) fn text(&self, json: bool) -> String {
        if json { self.json() } else { self.lines() }
    }

    fn json(&self) -> String {
        let functions = self.functions.as_ref().map(|rows| {
            let rows = rows.iter().map(|(name, row)| {
                serde_json::json!({
                    "function": name, "address": row.address,
                    "instructions": row.instructions, "calls": row.calls,
                })
            });
            rows.collect::<Vec<_>>()
        });
        let value = serde_json::json!({
            "end": self.end.name(), "instructions": self.instructions,
            "board-us": self.board_us, "received-bytes": self.received_bytes,
            "sent-bytes": self.sent_bytes, "diagnosis": self.diagnosis, "profile": functions,
        });
        format!("{value}\n")
    }

    fn lines(&self) -> String {
        let mut text = String::new();
        for line in &self.diagnosis {
            let _ = writeln!(text, "{line}");
        }
        let _ = writeln!(
            text,
            "{}: {} instructions, {} us on the board, {} bytes received, {} sent",
            self.end.name(),
            self.instructions,
            self.board_us,
            self.received_bytes,
            self.sent_bytes
        );
        if let Some(rows) = &self.functions {
            let _ = writeln!(text, "instructions  per wire byte       calls  function");
            for (name, row) in rows {
                let _ = writeln!(
                    text,
                    "{:>12}  {:>13}  {:>10}  {name}",
                    row.instructions,
                    per_byte(row.instructions, self.wire_bytes()),
                    row.calls
                );
            }
        }
        text
    }
}

/// Two digits behind the point.
fn per_byte(instructions: u64, bytes: u64) -> String {
    let hundredths = u128::from(instructions) * 100;
    match hundredths.checked_div(bytes.into()) {
        Some(value) => format!("{}.{:02}", value / 100, value % 100),
        None => "-".to_owned(),
    }
}

/// A symbol, the ROM's name, or the address.
fn name(symbols: &Symbols, address: u32) -> String {
    symbols
        .at(address)
        .or_else(|| Board::<BoardFlash>::rom_symbol(address))
        .map_or_else(|| format!("{address:#010x}"), str::to_owned)
}

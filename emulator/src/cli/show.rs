//! `emulator list` and `emulator show`.

use std::{fmt::Write as _, path::PathBuf};

use clap::{Args, ValueEnum};
use spi_nor::part::{HexBytes, Part, RegisterName};

use super::{CliError, map, part_report, run};
use crate::{
    case::{self, LoadedBoard},
    flash::ProtectionMap,
};

/// Examples.
pub(super) const HELP: &str = "Examples:
  emulator show esptool-915
  emulator show --part-file my-part.toml
  emulator show PART --map --status 0x4200
  emulator show PART --map --status 0x040000 --unlock 0x10000 --svg > map.svg

A status value has SR1 in its last two digits, before them what 35h and 15h read; --register sets
others by name. What is not set is as shipped.";

#[derive(Debug, Args)]
pub(super) struct List {
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
pub(super) struct Show {
    /// Name of a part or a case.
    #[arg(required_unless_present = "part_file")]
    name: Option<String>,
    /// A part file of your own in place of a name.
    #[arg(long, value_name = "FILE", conflicts_with = "name")]
    part_file: Option<PathBuf>,
    /// JSON instead of text.
    #[arg(long)]
    json: bool,
    /// Draw what is protected over the address space.
    #[arg(long)]
    map: bool,
    /// The same as an SVG image.
    #[arg(long, conflicts_with = "json")]
    svg: bool,
    /// Status value of the map as tools print it: 2, 4 or 6 hex digits, SR1 last.
    #[arg(long, value_name = "VALUE", value_parser = status)]
    status: Option<StatusBytes>,
    /// A register of the map by its name in the part file.
    #[arg(long, value_name = "NAME=VALUE", value_parser = register)]
    register: Vec<(RegisterName, u8)>,
    /// Open the individual lock at this address, after a power-up with all of them closed.
    #[arg(long, value_name = "ADDRESS", value_parser = run::number)]
    unlock: Vec<u32>,
}

/// Status bytes, SR1 first.
#[derive(Debug, Clone)]
struct StatusBytes(Vec<u8>);

/// `0x0200`.
fn status(text: &str) -> Result<StatusBytes, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let bytes = HexBytes::try_from(digits.to_owned()).ok().map(|HexBytes(bytes)| bytes);
    let bytes = bytes.filter(|bytes| (1..=3).contains(&bytes.len()));
    bytes.map(|bytes| StatusBytes(bytes.into_iter().rev().collect())).ok_or_else(|| {
        format!("{text:?} is not allowed here: 2, 4 or 6 hex digits, SR1 last, such as 0x0200")
    })
}

/// `cr=0x08`.
fn register(text: &str) -> Result<(RegisterName, u8), String> {
    let allowed = || {
        format!(
            "{text:?} is not allowed here: NAME=VALUE with sr1, sr2, sr3, cr, cr1, cr2, fr, scur or fsr, and 0 to 0xff"
        )
    };
    let (name, value) = text.split_once('=').ok_or_else(allowed)?;
    let value = run::number(value).ok().and_then(|value| u8::try_from(value).ok());
    let name = RegisterName::ALL.into_iter().find(|known| known.to_string() == name);
    name.zip(value).ok_or_else(allowed)
}

impl List {
    pub(super) fn report(&self) -> String {
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
    pub(super) fn report(&self) -> Result<String, CliError> {
        let part = match (&self.part_file, &self.name) {
            (Some(path), _) => {
                let text = case::read_text(path)?;
                Some(Part::parse(&text, &path.display().to_string())?)
            }
            (None, Some(name)) => spi_nor::catalog::part(name),
            (None, None) => None,
        };
        let wants_map = self.map
            || self.svg
            || self.status.is_some()
            || !self.register.is_empty()
            || !self.unlock.is_empty();
        match part {
            Some(part) if wants_map => self.draw(&part),
            Some(part) => Ok(self.part(&part)),
            None => {
                let name = self.name.as_deref().unwrap_or_default();
                let board = case::load(name).map_err(|_| CliError::Unknown(name.to_owned()))?;
                if wants_map {
                    return Err(CliError::MapOfCase(name.to_owned()));
                }
                Ok(self.case(&board))
            }
        }
    }

    /// The map of a part.
    fn draw(&self, part: &Part) -> Result<String, CliError> {
        let wrong = |problem: String| CliError::Map { part: part.name.clone(), problem };
        let status = self.status.as_ref();
        let status = status.map_or(Some(Vec::new()), |it| map::registers(part, &it.0));
        let mut registers = status.ok_or_else(|| {
            wrong(
                "the status value has bits of a register that 05h, 35h and 15h do not read here"
                    .to_owned(),
            )
        })?;
        for (name, value) in &self.register {
            if !part.registers.contains_key(name) {
                let known: Vec<_> = part.registers.keys().map(ToString::to_string).collect();
                return Err(wrong(format!("no register {name}; allowed: {}", known.join(", "))));
            }
            registers.push((*name, *value));
        }
        if let Some(address) = self.unlock.iter().find(|address| **address >= part.capacity_bytes) {
            let end = part.capacity_bytes;
            return Err(wrong(format!("--unlock {address:#x}, allowed: below {end:#x}")));
        }
        if !self.unlock.is_empty() && part.individual_locks.is_none() {
            return Err(wrong("--unlock, but the part has no individual locks".to_owned()));
        }
        let map = ProtectionMap::of(part.clone(), &registers, &self.unlock)
            .map_err(|error| wrong(error.to_string()))?;
        Ok(if self.svg {
            map::svg(part, &map)
        } else if self.json {
            let runs = map.runs.iter().filter(|run| run.protected);
            let runs: Vec<_> = runs.map(|run| [run.range.start, run.range.end]).collect();
            let registers: Vec<_> = map
                .registers
                .iter()
                .map(|(name, value)| serde_json::json!({ "register": name, "value": value }))
                .collect();
            let value = serde_json::json!({
                "name": part.name, "capacity-bytes": map.capacity_bytes, "registers": registers,
                "protected": runs, "by-locks": map.by_locks, "chip-erase": map.chip_erase,
            });
            format!("{value}\n")
        } else {
            map::text(part, &map)
        })
    }

    fn part(&self, part: &Part) -> String {
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

//! Steps, sights and the whole answer in words.

use std::fmt::{self, Write as _};

use spi_nor::part::HexBytes;

use super::{
    observed::{Loader, Says, Status, Step, Took},
    report::{Excluded, Explanation, Fitting, NextStep},
    stage::Seen,
};
use crate::time::Duration;

/// Parts that are named before the rest is counted.
const PARTS_MAX: usize = 8;
/// Outcomes of a measurement that are told.
const OUTCOMES_MAX: usize = 6;
/// Contradictions of one mechanism that are told.
const CONTRADICTIONS_MAX: usize = 2;
/// Bits of SR1 that come and go.
const WEL_AND_WIP: u8 = 0x03;

/// What was done, and what was seen.
pub(super) fn step(step: &Step) -> String {
    let (done, seen) = done_and_seen(step);
    if seen.is_empty() { done } else { format!("{done}: {seen}") }
}

/// What was seen in a step.
pub(super) fn observation(step: &Step) -> String {
    let (_, seen) = done_and_seen(step);
    if seen.is_empty() { "the loader goes on".to_owned() } else { seen }
}

fn done_and_seen(step: &Step) -> (String, String) {
    match step {
        Step::Write(write) => {
            let changed = if write.changed_byte { " with one changed byte" } else { "" };
            let end = if write.flash_end { ", end with FLASH_END" } else { "" };
            let done = format!(
                "write image {}{changed}, {} bytes at {:#x}, through {}{end}",
                write.image,
                write.bytes,
                write.at,
                loader(write.loader)
            );
            let mut seen: Vec<String> =
                write.says.map(says).map(str::to_owned).into_iter().collect();
            seen.extend(write.md5.as_ref().map(|md5| {
                let words: Vec<_> = md5.0.iter().map(ToString::to_string).collect();
                format!("MD5 of {}", words.join(" or "))
            }));
            (done, seen.join(", "))
        }
        Step::Erase(erase) => {
            let done = format!("erase {} bytes at {:#x}", erase.bytes, erase.at);
            (done, erase.took.map_or(String::new(), took))
        }
        Step::EraseChip(erase) => {
            ("erase the chip".to_owned(), erase.took.map_or(String::new(), took))
        }
        Step::Status(status) => ("read the status".to_owned(), registers_seen(status)),
        Step::WriteFlashStatus(write) => {
            let digits = usize::from(write.bytes) * 2 + 2;
            let volatile = if write.non_volatile { " --non-volatile" } else { "" };
            let value = write.value;
            let bytes = write.bytes;
            let done = format!("write_flash_status --bytes {bytes}{volatile} {value:#0digits$x}");
            (done, String::new())
        }
        Step::WriteRegister(write) => {
            let data = hex(&write.data);
            let done = format!("send {:02X}h, then {:02X}h {data}", write.enable, write.opcode);
            (done, String::new())
        }
        Step::Select(select) => {
            let enable = if select.write_enable { "06h, then " } else { "" };
            let answer = select.answer.as_ref().map(|HexBytes(bytes)| hex(bytes));
            (format!("send {enable}{}", hex(&select.out.0)), answer.unwrap_or_default())
        }
        Step::Boot(_) => ("boot from flash".to_owned(), String::new()),
        Step::PowerCycle {} => ("power off and on".to_owned(), String::new()),
        Step::HostReset {} => ("reset the ESP32".to_owned(), String::new()),
        Step::Supply(supply) => (format!("flash supply to {} mV", supply.mv.get()), String::new()),
        Step::Pins(pins) => {
            (format!("WP# {:?}, HOLD# {:?}", pins.wp, pins.hold).to_lowercase(), String::new())
        }
    }
}

const fn loader(loader: Loader) -> &'static str {
    match loader {
        Loader::Rom => "the ROM loader",
        Loader::LegacyStub => "the stub of esptool up to 5.2",
        Loader::Stub => "the stub of esptool 5.4 to 5.6",
        Loader::Application => "the application",
    }
}

const fn says(says: Says) -> &'static str {
    match says {
        Says::Nothing => "no error",
        Says::Error => "error 0x08 from the loader",
        Says::Hangs => "the loader hangs",
    }
}

fn took(took: Took) -> String {
    match took {
        Took::NoTime => "no time".to_owned(),
        Took::Time => "its time".to_owned(),
        Took::About(time) => format!("{:.1} s", time.as_secs_f64()),
    }
}

fn registers_seen(status: &Status) -> String {
    let seen = [("SR1", status.sr1), ("SR2", status.sr2), ("SR3", status.sr3)];
    let said = seen.iter().filter_map(|(name, value)| Some(format!("{name} {:02x}", (*value)?)));
    said.collect::<Vec<_>>().join(" ")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

/// What a played step showed, in the words of [`step`]; `None` for nothing.
pub(super) fn seen(step: &Step, seen: &Seen) -> Option<String> {
    Some(match seen {
        Seen::Nothing => return None,
        Seen::Hangs(_) => "the loader hangs".to_owned(),
        Seen::Written { relations, error } => {
            let words: Vec<_> = relations.iter().map(ToString::to_string).collect();
            let md5 = format!("MD5 of {}", words.join(" and of "));
            let asked = matches!(step, Step::Write(write) if write.says.is_some());
            match (asked, error) {
                (false, _) => md5,
                (true, false) => format!("no error, {md5}"),
                (true, true) => format!("error 0x08 from the loader, {md5}"),
            }
        }
        Seen::Erased { no_time: true, .. } => "no time".to_owned(),
        Seen::Erased { took: time, .. } => match step {
            Step::EraseChip(erase) if matches!(erase.took, Some(Took::About(_))) => seconds(*time),
            Step::Erase(erase) if matches!(erase.took, Some(Took::About(_))) => seconds(*time),
            _ => "its time".to_owned(),
        },
        Seen::Status(registers) => {
            let names = ["SR1", "SR2", "SR3"].iter().zip(registers);
            let latches = matches!(step, Step::Status(status) if status.latches);
            let said = names.enumerate().map(|(at, (name, value))| {
                let mask = if at == 0 && !latches { !WEL_AND_WIP } else { 0xff };
                format!("{name} {:02x}", value & mask)
            });
            said.collect::<Vec<_>>().join(" ")
        }
        Seen::Answer(bytes) => hex(bytes),
    })
}

fn seconds(time: Duration) -> String {
    took(Took::About(time.into()))
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        for source in &self.sources {
            writeln!(f, "  {source}")?;
        }
        writeln!(f)?;
        for (number, step) in (1..).zip(&self.steps) {
            writeln!(f, "{number:>3}  {step}")?;
        }
        if self.part_unknown {
            writeln!(f, "\nNo part of the catalogue is as the file says: all parts were tried.")?;
        }
        writeln!(
            f,
            "\nPlayed on {} boards: {} parts, {} kinds of behaviour.",
            self.boards, self.parts, self.groups
        )?;
        writeln!(f, "\nWhat shows all of this, the least to believe first:")?;
        if self.fits.is_empty() {
            writeln!(f, "  nothing")?;
        }
        for (number, fit) in (1..).zip(&self.fits) {
            fit.write(f, number)?;
        }
        if !self.excluded.is_empty() {
            writeln!(f, "\nWhat does not, the nearest first, with the step that excludes it:")?;
        }
        for excluded in &self.excluded {
            excluded.write(f)?;
        }
        if !self.not_applicable.is_empty() {
            writeln!(f, "\nNot possible on any part that fits, or without a boot:")?;
        }
        for title in &self.not_applicable {
            writeln!(f, "  {title}")?;
        }
        if !self.not_needed.is_empty() {
            writeln!(f, "\nNot needed, the parts that can have it show everything without:")?;
        }
        for title in &self.not_needed {
            writeln!(f, "  {title}")?;
        }
        if let Some((first, others)) = self.next.split_first() {
            writeln!(f, "\nWhat to measure next:")?;
            first.write(f)?;
            for other in others {
                writeln!(f, "  or ({}): {}", bits(other.millibits), other.heading())?;
            }
        } else if self.fits.len() > 1 {
            writeln!(f, "\nNo measurement that is known here splits what is left.")?;
        }
        Ok(())
    }
}

fn bits(millibits: u32) -> String {
    format!("{}.{:02} bits", millibits / 1000, millibits % 1000 / 10)
}

/// Names, the first of many.
fn names(names: &[String]) -> String {
    let mut text = names.iter().take(PARTS_MAX).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > PARTS_MAX {
        let _ = write!(text, " and {} more", names.len() - PARTS_MAX);
    }
    text
}

impl Fitting {
    fn write(&self, f: &mut fmt::Formatter<'_>, number: usize) -> fmt::Result {
        writeln!(f, "{number:>3}. {} [{}]", self.title, self.name)?;
        for assumption in &self.assumes {
            writeln!(f, "       assumes {} ({})", assumption.what, assumption.weight)?;
        }
        writeln!(f, "       on {}", names(&self.parts))?;
        for state in &self.states {
            writeln!(f, "       {state}")?;
        }
        for boot in &self.boots {
            writeln!(f, "       if {boot}")?;
        }
        Ok(())
    }
}

impl Excluded {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  -  {} [{}]", self.title, self.name)?;
        for it in self.contradicts.iter().take(CONTRADICTIONS_MAX) {
            writeln!(f, "       step {}: {}; here: {}", it.step, it.seen, it.instead)?;
        }
        if self.contradicts.len() > CONTRADICTIONS_MAX {
            let more = self.contradicts.len() - CONTRADICTIONS_MAX;
            writeln!(f, "       and {more} more")?;
        }
        if self.only_readings {
            writeln!(f, "       everything else fits: worth reading the status again")?;
        }
        writeln!(f, "       nearest: {}", self.nearest)
    }
}

impl NextStep {
    fn heading(&self) -> String {
        let place = self.before_step.map_or(String::new(), |step| {
            format!(" (on a board that is still as before step {step})")
        });
        format!("{}{place}", self.title)
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  {}", self.heading())?;
        writeln!(f, "  Expected to tell {}:", bits(self.millibits))?;
        for leaves in self.outcomes.iter().take(OUTCOMES_MAX) {
            let alike = match leaves.alike {
                0 => String::new(),
                alike => format!(" (and {alike} like it)"),
            };
            writeln!(f, "    {}{alike} -> {}", leaves.seen, leaves.mechanisms.join(", "))?;
        }
        if self.outcomes.len() > OUTCOMES_MAX {
            let more = self.outcomes.len() - OUTCOMES_MAX;
            writeln!(f, "    and {more} more outcomes (--json has all)")?;
        }
        Ok(())
    }
}

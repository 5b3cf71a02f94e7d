//! Protection and diagnoses in words.

use std::{
    io::{self, Write},
    ops::Range,
    path::Path,
};

use esp32_flasher::{
    diagnose::Diagnosis,
    preflight::{Changer, PartState, Preflight},
    protect::{
        ChangeReport, Choice, Found, GuardReport, LockUnits, PartChoices, Protected, SearchReport,
        TrialOutcome, register_label,
    },
};

use super::{Event, write_protected};
use crate::command::protection_bar;

/// Places of the bar over the address space.
const BAR_WIDTH: u32 = 64;

pub(super) fn write(out: &mut dyn Write, event: &Event<'_>) -> io::Result<()> {
    match event {
        Event::Preflight { preflight } => write_preflight(out, preflight),
        Event::Protection { flash_bytes, preflight } => write_status(out, *flash_bytes, preflight),
        Event::Choices { parts } => parts.iter().try_for_each(|part| write_choices(out, part)),
        Event::ProtectionChanged { report, journal } => write_change(out, report, *journal),
        Event::ProtectionSearched { report, journal } => write_search(out, report, *journal),
        Event::NothingProtected { registers_locked } => {
            writeln!(out, "Nothing is protected; nothing was written")?;
            match registers_locked {
                Some(true) => writeln!(
                    out,
                    "The registers themselves are locked for good: they stay as they are, and \
                     nothing can change that"
                ),
                Some(false) => {
                    writeln!(out, "The registers are locked until the next power cycle")
                }
                None => Ok(()),
            }
        }
        Event::LoaderWroteRegisters { report } => write_guard(out, report),
        _ => Ok(()),
    }
}

/// Only what matters: most boards have nothing to tell here.
fn write_preflight(out: &mut dyn Write, found: &Preflight) -> io::Result<()> {
    if let Some(state) = found.lifted()
        && let Protected::Range(range) = &state.now
    {
        writeln!(
            out,
            "Protection: on {}, {:#08x} to {:#08x} is write protected ({}); the ROM loader \
                 lifts that by itself",
            state.part,
            range.start,
            range.end,
            state.bits.join(", ")
        )?;
    }
    if let Some(part) = &found.rom_may_enter_qpi
        && found.changer == Changer::RomLoader
    {
        writeln!(
            out,
            "Warning: if this is {part}, 35h of the ROM loader enters the four-line mode and the \
             loader will hang; cut the supply then, and use --stub"
        )?;
    }
    if let Some(status) = found.status {
        writeln!(
            out,
            "Protection: the part is not in the catalogue, status {status:#04x}; what its bits \
             mean is not known"
        )?;
    }
    Ok(())
}

fn write_status(out: &mut dyn Write, flash_bytes: u32, found: &Preflight) -> io::Result<()> {
    for state in &found.parts {
        writeln!(out, "{}: {}", state.part, state.registers)?;
        write_state(out, state)?;
        writeln!(
            out,
            "  0x000000 [{}] {flash_bytes:#08x}",
            protection_bar(state, flash_bytes, BAR_WIDTH)
        )?;
    }
    if let Some(status) = found.status {
        writeln!(out, "The part is not in the catalogue; status register 1 reads {status:#04x}")?;
    }
    if !found.write_enable {
        writeln!(out, "Write enable does not set its latch: the flash ignores every write")?;
    }
    Ok(())
}

fn write_state(out: &mut dyn Write, state: &PartState) -> io::Result<()> {
    if !state.bits.is_empty() {
        writeln!(out, "  set: {}", state.bits.join(", "))?;
    }
    match state.registers_locked {
        Some(true) => writeln!(out, "  the registers are locked for good (SRP0 and SRP1)")?,
        Some(false) => {
            writeln!(out, "  the registers are locked until the next power cycle (SRP1)")?;
        }
        None if state.lock_obeys_pin => {
            writeln!(
                out,
                "  the registers take writes only while WP# is high (SRP0; GPIO10, SWP)"
            )?;
        }
        None => {}
    }
    if !state.locked_ranges.is_empty() {
        return writeln!(out, "  individual locks: {}", range_list(&state.locked_ranges));
    }
    match state.locked_unit {
        Some(true) => writeln!(out, "  on {}: individual locks decide and are closed", state.part),
        Some(false) => writeln!(out, "  on {}: individual locks decide and are open", state.part),
        None => write_protected(out, &state.part, &state.now),
    }
}

fn write_choices(out: &mut dyn Write, part: &PartChoices) -> io::Result<()> {
    let PartChoices { parts, choices, lock_units, lock_select } = part;
    writeln!(out, "{} can protect:", parts.join(", "))?;
    for Choice { range, bits, one_time } in choices {
        let bits = if bits.is_empty() { "no bit".to_owned() } else { bits.join(" ") };
        let bits = match one_time.as_slice() {
            [] => bits,
            _ => format!("{bits}  ({} for good: never set here)", one_time.join(" ")),
        };
        if range.is_empty() {
            writeln!(out, "  nothing                 {bits}")?;
        } else {
            let kib = (range.end - range.start) >> 10;
            writeln!(out, "  {:#08x} to {:#08x}  {kib:>6} KiB  {bits}", range.start, range.end)?;
        }
    }
    if !lock_units.is_empty() {
        match lock_select {
            Some(bit) => writeln!(out, "  with {bit} = 1 single units instead, by locks:")?,
            None => writeln!(out, "  single units, by locks:")?,
        }
    }
    for LockUnits { start, end, unit_bytes } in lock_units {
        writeln!(out, "  {start:#08x} to {end:#08x}  by {} KiB", unit_bytes >> 10)?;
    }
    Ok(())
}

fn write_change(
    out: &mut dyn Write,
    report: &ChangeReport,
    journal: Option<&Path>,
) -> io::Result<()> {
    if report.sent.is_empty() {
        let part = report.part.as_deref().unwrap_or("unknown part");
        return writeln!(out, "{part}: the registers hold this already; nothing written");
    }
    if let Some(journal) = journal {
        writeln!(out, "Old values are in {}", journal.display())?;
    }
    match report.trial {
        TrialOutcome::Proven(sector) => {
            writeln!(out, "Tried in the volatile registers: sector {sector:#x} takes writes")?;
        }
        TrialOutcome::RegistersOnly => {
            writeln!(out, "Tried in the volatile registers: they take the value")?;
        }
        TrialOutcome::Skipped | TrialOutcome::NotPossible => {}
    }
    for change in &report.changes {
        let label = register_label(change.register);
        writeln!(out, "{label}: {:#04x} -> {:#04x}", change.old, change.new)?;
    }
    for form in &report.sent {
        writeln!(out, "Sent: {form}")?;
    }
    writeln!(out, "Registers now: {}", report.after)?;
    if report.locks_opened {
        writeln!(out, "All individual locks are open until the flash's next reset or power cycle")?;
    }
    if let Some(locks) = &report.locks {
        writeln!(out, "Locked before: {}", range_list(&locks.before))?;
        writeln!(out, "Locked now:    {}", range_list(&locks.after))?;
        if !report.locks_opened {
            writeln!(out, "So until the flash's next reset or power cycle")?;
        }
        return Ok(());
    }
    match &report.part {
        Some(part) => write_protected(out, part, &report.protected),
        None => writeln!(out, "The part is not in the catalogue: what this protects is not known"),
    }
}

fn write_search(
    out: &mut dyn Write,
    report: &SearchReport,
    journal: Option<&Path>,
) -> io::Result<()> {
    let SearchReport { sector, found, tried, before, after, sent } = report;
    if *found == Found::Open {
        return writeln!(out, "Sector {sector:#x} takes writes: nothing protects it");
    }
    if let Some(journal) = journal {
        writeln!(out, "Old values are in {}", journal.display())?;
    }
    writeln!(out, "Sector {sector:#x} refused writes while no register showed why")?;
    for suspect in tried {
        writeln!(out, "Cleared for a try: {suspect}")?;
    }
    for form in sent {
        writeln!(out, "Sent: {form}")?;
    }
    match found {
        Found::Bit(suspect) => writeln!(
            out,
            "On this part {suspect} protects the array, whatever its name says. It is clear now; a \
             boot that sets it again protects the array again"
        )?,
        Found::Row(suspect) => writeln!(
            out,
            "The stored register {} was not what it read: writing it anew lifted the protection",
            register_label(suspect.register)
        )?,
        Found::Open => {}
    }
    writeln!(out, "Registers: {before} before, {after} now. Sector {sector:#x} takes writes")
}

fn range_list(ranges: &[Range<u32>]) -> String {
    if ranges.is_empty() {
        return "nothing".to_owned();
    }
    let words = ranges.iter().map(|range| format!("{:#08x} to {:#08x}", range.start, range.end));
    words.collect::<Vec<_>>().join(", ")
}

fn write_guard(out: &mut dyn Write, report: &GuardReport) -> io::Result<()> {
    let Some(part) = &report.part else {
        return writeln!(
            out,
            "Warning: the ROM loader rewrites the status registers, and the part is not in the \
             catalogue: if it uses quad mode, look at its QE bit"
        );
    };
    if report.protection_lifted {
        writeln!(
            out,
            "The ROM loader has lifted the write protection of {part} ({} before, {} now)",
            report.before, report.after
        )?;
    }
    if report.protection_set {
        let now = if report.restored.is_empty() { "it is still there" } else { "undone" };
        writeln!(
            out,
            "A damaged request made the ROM loader protect the flash of {part} ({now}; registers \
             {} before, {} now)",
            report.before, report.after
        )?;
    }
    for form in report.restored.iter().filter(|_| !report.protection_set) {
        writeln!(out, "The ROM loader had cleared QE; written back by {form}")?;
    }
    if report.quad_enable_lost {
        writeln!(out, "Warning: the ROM loader has cleared QE, and it could not be written back")?;
    }
    Ok(())
}

pub(super) fn write_diagnosis(out: &mut dyn Write, diagnosis: &Diagnosis) -> io::Result<()> {
    let Diagnosis { cause, confidence, array_open, evidence, remedy, open } = diagnosis;
    writeln!(out, "Cause:      {cause}")?;
    if *array_open {
        writeln!(out, "            the array itself is not protected")?;
    }
    writeln!(out, "Confidence: {confidence}")?;
    evidence.iter().try_for_each(|finding| writeln!(out, "Evidence:   {finding}"))?;
    writeln!(out, "Remedy:     {remedy}")?;
    open.iter().try_for_each(|open| writeln!(out, "Not known:  {open}"))
}

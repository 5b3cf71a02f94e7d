//! Protection and diagnoses in words.

use std::{
    io::{self, Write},
    path::Path,
};

use esp32_flasher::{
    diagnose::Diagnosis,
    preflight::{PartState, Preflight},
    protect::{ChangeReport, Choice, GuardReport, Protected, TrialOutcome, register_label},
};

use super::{Event, write_protected};
use crate::command::protection_bar;

/// Places of the bar over the address space.
const BAR_WIDTH: u32 = 64;

pub(super) fn write(out: &mut dyn Write, event: &Event<'_>) -> io::Result<()> {
    match event {
        Event::Preflight { preflight } => write_preflight(out, preflight),
        Event::Protection { flash_bytes, preflight } => write_status(out, *flash_bytes, preflight),
        Event::Choices { part, choices } => write_choices(out, part, choices),
        Event::ProtectionChanged { report, journal } => write_change(out, report, *journal),
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
    if let Some(part) = &found.rom_may_enter_qpi {
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
        None => {}
    }
    match state.locked_unit {
        Some(true) => writeln!(out, "  on {}: individual locks decide and are closed", state.part),
        Some(false) => writeln!(out, "  on {}: individual locks decide and are open", state.part),
        None => write_protected(out, &state.part, &state.now),
    }
}

fn write_choices(out: &mut dyn Write, part: &str, choices: &[Choice]) -> io::Result<()> {
    writeln!(out, "{part} can protect:")?;
    for Choice { range, bits } in choices {
        let bits = if bits.is_empty() { "no bit".to_owned() } else { bits.join(" ") };
        if range.is_empty() {
            writeln!(out, "  nothing                 {bits}")?;
        } else {
            let kib = (range.end - range.start) >> 10;
            writeln!(out, "  {:#08x} to {:#08x}  {kib:>6} KiB  {bits}", range.start, range.end)?;
        }
    }
    Ok(())
}

fn write_change(
    out: &mut dyn Write,
    report: &ChangeReport,
    journal: Option<&Path>,
) -> io::Result<()> {
    if report.sent.is_empty() {
        return writeln!(out, "{}: the registers hold this already; nothing written", report.part);
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
    write_protected(out, &report.part, &report.protected)
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
    for form in &report.restored {
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

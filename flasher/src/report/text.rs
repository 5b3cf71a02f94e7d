//! Events in words.

mod protection;

use std::io::{self, Write};

use esp32_flasher::{
    chip::Chip,
    flash::EraseReport,
    identity::Identity,
    progress::Phase,
    protect::Protected,
    session::Warning,
    status::StatusReport,
    write::{Mismatch, WriteReport},
};

use super::{Event, batch, matrix, play};

/// Writes `event` for a person.
pub(super) fn write(out: &mut dyn Write, event: &Event<'_>) -> io::Result<()> {
    match event {
        Event::Ports { ports } => write_ports(out, ports),
        Event::Warning { warning } => writeln!(out, "Warning: {}", warning_text(*warning)),
        Event::Connected { port, chip } => {
            let Chip { package, revision_major, revision_minor, mac, .. } = chip;
            writeln!(out, "{port}: {package} v{revision_major}.{revision_minor}, MAC {mac}")
        }
        Event::Chip { chip } => write_chip(out, chip),
        Event::Flash { identity } => write_flash(out, identity),
        Event::Status { status, protected } => {
            writeln!(out, "Status: {status}")?;
            protected.iter().try_for_each(|(part, range)| write_protected(out, part, range))
        }
        Event::StatusWritten { report } => write_status_report(out, report),
        Event::Progress { phase, offset, done, total } => {
            let percent = done * 100 / (*total).max(1);
            writeln!(
                out,
                "{} at {offset:#x}: {percent:3} % ({done} of {total} bytes)",
                self::phase(*phase)
            )
        }
        Event::Written { file, offset, report } => write_written(out, file, *offset, report),
        Event::Verified { file, offset, len, md5 } => {
            writeln!(out, "Verified {len} bytes at {offset:#x} against {file} (MD5 {md5})")
        }
        Event::Mismatch { mismatch } => write_mismatch(out, mismatch),
        Event::Read { file, offset, len } => {
            writeln!(out, "Read {len} bytes at {offset:#x} into {}", file.display())
        }
        Event::Erased { offset, len, report, probably_refused } => {
            write_erased(out, *offset, *len, *report, *probably_refused)
        }
        Event::PlainInstructions { part: Some(part) } => writeln!(
            out,
            "Writing by plain flash instructions: on {part}, 35h of the ROM loader's own write \
             enters the four-line mode and would hang it"
        ),
        Event::PlainInstructions { part: None } => {
            writeln!(out, "Writing by plain flash instructions")
        }
        Event::Preflight { .. }
        | Event::Protection { .. }
        | Event::Choices { .. }
        | Event::ProtectionChanged { .. }
        | Event::ProtectionSearched { .. }
        | Event::NothingProtected { .. }
        | Event::LoaderWroteRegisters { .. } => protection::write(out, event),
        Event::Diagnosis { diagnosis, .. } => protection::write_diagnosis(out, diagnosis),
        Event::Case { name, title, sources, seen, assumed, assumption, port } => {
            play::case(out, (name, title, port), sources, (seen, assumed), *assumption)
        }
        Event::Step { step } => play::step(out, step),
        Event::Verdict { agrees, cause, assumption } => {
            play::verdict(out, *agrees, cause, *assumption)
        }
        Event::MatrixClients { clients, cases } => matrix::clients(out, clients, cases),
        Event::MatrixCell { number, total, cell } => matrix::cell(out, *number, *total, cell),
        Event::MatrixEnding { cell } => matrix::ending(out, cell),
        Event::MatrixEnded { verdicts, table, endings } => {
            matrix::ended(out, verdicts, (table, endings))
        }
        Event::Batch(event) => batch::write(out, event),
        Event::BatchEnded { summary, .. } => batch::write_summary(out, *summary),
        Event::Error { message, advice, .. } => {
            writeln!(out, "Error: {message}")?;
            advice.iter().try_for_each(|advice| writeln!(out, "  Try: {advice}"))
        }
    }
}

/// A phase as a verb.
pub(super) fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Erase => "Erasing",
        Phase::Write => "Writing",
        Phase::Verify => "Comparing",
        Phase::Read => "Reading",
        Phase::Upload => "Uploading the stub",
    }
}

fn warning_text(warning: Warning) -> &'static str {
    match warning {
        Warning::NoModemLines => {
            "the port has no modem lines, so the chip was not reset; that is normal on a PTY"
        }
        Warning::StubWasRunning => "a stub was already running; going on with it",
    }
}

fn write_protected(out: &mut dyn Write, part: &str, protected: &Protected) -> io::Result<()> {
    match protected {
        Protected::Range(range) if range.is_empty() => {
            writeln!(out, "  on {part}: nothing is protected by these registers")
        }
        Protected::Range(range) => {
            writeln!(
                out,
                "  on {part}: {:#08x} to {:#08x} is write protected",
                range.start, range.end
            )
        }
        Protected::ByLocks => writeln!(out, "  on {part}: individual locks decide"),
        Protected::Unknown => writeln!(out, "  on {part}: cannot be told from these registers"),
    }
}

fn write_ports(out: &mut dyn Write, ports: &[(String, String)]) -> io::Result<()> {
    if ports.is_empty() {
        return writeln!(out, "No serial ports found.");
    }
    ports.iter().try_for_each(|(name, kind)| writeln!(out, "{name}  {kind}"))
}

fn write_chip(out: &mut dyn Write, chip: &Chip) -> io::Result<()> {
    let cores = if chip.single_core { "one core" } else { "two cores" };
    writeln!(out, "Chip:      {} ({cores})", chip.package)?;
    writeln!(out, "Revision:  v{}.{}", chip.revision_major, chip.revision_minor)?;
    writeln!(out, "Crystal:   {} MHz", chip.crystal_mhz)?;
    let crc = if chip.mac_crc_ok { "" } else { " (its CRC in the eFuses is wrong)" };
    writeln!(out, "MAC:       {}{crc}", chip.mac)?;
    writeln!(out, "Straps:    {:#04x}", chip.strap)?;
    if chip.strap_vdd_1v8 {
        writeln!(
            out,
            "           GPIO12 was high: the flash supply is 1.8 V unless eFuses say otherwise"
        )?;
    }
    if chip.flash_encrypted {
        writeln!(out, "Flash encryption is on")?;
    }
    Ok(())
}

fn write_flash(out: &mut dyn Write, identity: &Identity) -> io::Result<()> {
    let [manufacturer, kind, capacity] = identity.id.jedec;
    writeln!(out, "Flash id:  {manufacturer:02x} {kind:02x} {capacity:02x}")?;
    match identity.id.bytes() {
        Some(bytes) => writeln!(out, "Size:      {} KiB", bytes >> 10)?,
        None => writeln!(out, "Size:      unknown")?,
    }
    match &identity.id.sfdp {
        Some(sfdp) => writeln!(out, "SFDP:      {}.{}", sfdp.revision[1], sfdp.revision[0])?,
        None => writeln!(out, "SFDP:      none")?,
    }
    let names: Vec<&str> = identity.candidates.iter().map(|part| part.name.as_str()).collect();
    match names.as_slice() {
        [] => writeln!(out, "Part:      not in the catalogue"),
        [name] => writeln!(out, "Part:      {name}"),
        _ => writeln!(out, "Part:      one of {} (they share this id)", names.join(", ")),
    }
}

fn write_status_report(out: &mut dyn Write, report: &StatusReport) -> io::Result<()> {
    writeln!(out, "Status before: {}", report.before)?;
    if report.sent.is_empty() {
        return writeln!(out, "Nothing to write: the registers hold this value");
    }
    for form in &report.sent {
        writeln!(out, "Sent:          {form}")?;
    }
    writeln!(out, "Status after:  {}", report.after)?;
    if !report.reached {
        writeln!(out, "The registers did not take the value")?;
    }
    Ok(())
}

fn write_written(
    out: &mut dyn Write,
    file: &str,
    offset: u32,
    report: &WriteReport,
) -> io::Result<()> {
    let WriteReport { bytes, skipped, wire_bytes, elapsed, restarts, baud, digest: _ } = report;
    let seconds = elapsed.as_secs_f64();
    write!(
        out,
        "Wrote {bytes} bytes ({wire_bytes} sent) at {offset:#010x} in {seconds:.1} s from {file}"
    )?;
    if *skipped > 0 {
        write!(out, ", {skipped} were right already")?;
    }
    if *restarts > 0 {
        write!(out, ", {restarts} times begun again, {baud} baud at the end")?;
    }
    writeln!(out)
}

fn write_mismatch(out: &mut dyn Write, mismatch: &Mismatch) -> io::Result<()> {
    writeln!(out, "File  md5: {}", mismatch.file)?;
    writeln!(out, "Flash md5: {}", mismatch.flash)?;
    writeln!(out, "MD5 of 0xFF is {}", mismatch.erased)
}

fn write_erased(
    out: &mut dyn Write,
    offset: u32,
    len: u32,
    report: EraseReport,
    probably_refused: bool,
) -> io::Result<()> {
    let seconds = report.busy.as_secs_f64();
    let instructions = report.instructions;
    writeln!(
        out,
        "Erased {len:#x} bytes at {offset:#x} in {seconds:.1} s ({instructions} instructions)"
    )?;
    if probably_refused {
        writeln!(
            out,
            "The flash was never busy and is blank: whether it erased cannot be told. Look at \
             `flasher protect status`"
        )?;
    }
    Ok(())
}

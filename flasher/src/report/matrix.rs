//! The matrix in words.

use std::io::{self, Write};

use esp32_flasher::matrix::{Cell, EndingCell, Verdict};

pub(super) fn clients(out: &mut dyn Write, clients: &[String], cases: &[String]) -> io::Result<()> {
    writeln!(out, "{} cases with {} clients:", cases.len(), clients.len())?;
    clients.iter().try_for_each(|client| writeln!(out, "  {client}"))
}

pub(super) fn cell(
    out: &mut dyn Write,
    number: usize,
    total: usize,
    cell: &Cell,
) -> io::Result<()> {
    let width = total.to_string().len();
    writeln!(out, "[{number:>width$}/{total}] {}, {}: {}", cell.case, cell.client, cell.text())
}

pub(super) fn ending(out: &mut dyn Write, cell: &EndingCell) -> io::Result<()> {
    let state = if cell.after.protected { "leaves the chip protected" } else { "leaves it open" };
    let ending = cell.ending;
    writeln!(out, "{}, at the end {ending:?}: {}, {state}", cell.client, cell.words)
}

pub(super) fn ended(
    out: &mut dyn Write,
    verdicts: &[Verdict],
    (table, endings): (&str, &str),
) -> io::Result<()> {
    writeln!(out, "\n{table}")?;
    if endings.lines().count() > 2 {
        writeln!(out, "After a write that went well on a part without protection:\n\n{endings}")?;
    }
    for verdict in verdicts {
        writeln!(out, "{}: {} verified", verdict.client, verdict.verified.len())?;
        let fails: Vec<String> =
            verdict.fails.iter().map(|(case, words)| format!("{case} ({words})")).collect();
        for (what, cases) in [
            ("unlocks silently", &verdict.unlocks_silently),
            ("names write protection", &verdict.tells),
            ("fails", &fails),
            ("reports a false success", &verdict.false_success),
            ("leaves the chip protected", &verdict.leaves_protected),
            ("turns quad enable off", &verdict.loses_quad_enable),
        ] {
            if !cases.is_empty() {
                writeln!(out, "  {what}: {}", cases.join(", "))?;
            }
        }
    }
    Ok(())
}

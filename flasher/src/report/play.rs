//! How a play reads.

use std::io::{self, Write};

use esp32_flasher::reproduce::{Assumption, StepReport};

/// Text is indented so that what belongs to a step stands under it.
const INDENT: &str = "     ";

/// What the report says, and what this board assumes.
pub(super) fn case(
    out: &mut dyn Write,
    (name, title, port): (&str, &str, &str),
    sources: &[String],
    (seen, assumed): (&str, &str),
    assumption: Option<&Assumption>,
) -> io::Result<()> {
    writeln!(out, "{name}: {title}")?;
    for source in sources {
        writeln!(out, "  {source}")?;
    }
    writeln!(out, "\nReported:")?;
    paragraph(out, seen)?;
    if !assumed.is_empty() {
        writeln!(out, "\nAssumed here:")?;
        paragraph(out, assumed)?;
    }
    if let Some(assumption) = assumption {
        writeln!(out, "\nHypothesis {}: {}", assumption.name, assumption.title)?;
        paragraph(out, &assumption.notes)?;
        if let Some(contradicts) = &assumption.contradicts {
            writeln!(out, "  Against it: {contradicts}")?;
        }
        if !assumption.others.is_empty() {
            writeln!(out, "  Others: --hypothesis {}", assumption.others.join("|"))?;
        }
    }
    writeln!(out, "\nThe board is on {port}.")
}

/// One step: what was done, what the tool saw, what the chip did, what agrees.
pub(super) fn step(out: &mut dyn Write, step: &StepReport) -> io::Result<()> {
    writeln!(out, "\n{:>3}. {}", step.number, step.done)?;
    for line in &step.said {
        writeln!(out, "{INDENT}{line}")?;
    }
    for line in &step.chip {
        writeln!(out, "{INDENT}chip: {line}")?;
    }
    for observation in &step.observations {
        if observation.agrees {
            writeln!(out, "{INDENT}ok: {}: {}", observation.what, observation.seen)?;
        } else {
            let (expected, seen) = (&observation.expected, &observation.seen);
            writeln!(out, "{INDENT}DIFFERS: {}: {seen}; reported: {expected}", observation.what)?;
        }
    }
    Ok(())
}

/// The end.
pub(super) fn verdict(
    out: &mut dyn Write,
    agrees: bool,
    cause: &str,
    assumption: Option<&Assumption>,
) -> io::Result<()> {
    let verdict =
        if agrees { "Everything was seen as expected." } else { "Not everything was as expected." };
    writeln!(out, "\n{verdict}\nCause: {cause}")?;
    // The report does not say what it was; only what it was here is known.
    assumption.map_or(Ok(()), |assumption| {
        writeln!(out, "On this board, by hypothesis {}: {}.", assumption.name, assumption.title)
    })
}

fn paragraph(out: &mut dyn Write, text: &str) -> io::Result<()> {
    text.lines().try_for_each(|line| writeln!(out, "  {line}"))
}

//! Chip selects in the transcripts' textual form.

use std::fmt::Write as _;

use esp32_emulator::trace::SpiRecord;

/// Longest program data that is written out.
const DATA_SHOWN_BYTES: usize = 8;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// One chip select.
fn line(record: &SpiRecord, no_chip: bool, refusal: &str) -> String {
    let (opcode, rest) = record.mosi.split_first().expect("no empty chip select");
    let array_read = matches!(opcode, 0x03 | 0x0B);
    let mut text = format!("{opcode:02x} ");
    match rest {
        [a, b, c, data @ ..] if *opcode == 0x02 && data.len() > DATA_SHOWN_BYTES => {
            let _ = write!(text, "{} +{}B", hex(&[*a, *b, *c]), data.len());
        }
        // The capture counts dummy cycles, not dummy bytes.
        [a, b, c, _] if *opcode == 0x0B => text.push_str(&hex(&[*a, *b, *c])),
        rest => text.push_str(&hex(rest)),
    }
    text.push_str(" ->");
    if array_read || record.denied {
        text.push(' ');
    }
    if !record.miso.is_empty() {
        let _ = write!(text, " {}", hex(&record.miso));
    }
    if record.denied {
        text.push(' ');
        text.push_str(refusal);
    } else if no_chip {
        text.push_str(" nochip");
    }
    text
}

/// All chip selects, equal neighbours counted.
pub(super) fn lines(records: &[SpiRecord], no_chip: bool, refusal: &str) -> Vec<String> {
    let mut runs: Vec<(String, usize)> = Vec::new();
    for record in records {
        let text = line(record, no_chip, refusal);
        match runs.last_mut() {
            Some((last, count)) if *last == text => *count += 1,
            _ => runs.push((text, 1)),
        }
    }
    runs.into_iter().map(|(text, n)| if n == 1 { text } else { format!("{text} x{n}") }).collect()
}

//! `emulator show PART --map`: the protected range over the address space, as text or SVG.

use std::{fmt::Write as _, ops::Range};

use spi_nor::part::{Part, RegisterName};

use crate::flash::{ProtectionMap, Share};

/// Marks in a bar.
const MARKS: u32 = 64;
/// The finest that a bar shows.
const SECTOR: u32 = 4096;
/// Runs that are listed.
const RUNS_MAX: usize = 48;
/// Edge of an SVG image, and the length of its bar, in its own units.
const MARGIN: u32 = 40;
const BAR: u32 = 960;
const BAR_HEIGHT: u32 = 56;

/// The map as text.
pub(super) fn text(part: &Part, map: &ProtectionMap) -> String {
    let mut text = format!("{}\n", heading(part, map));
    let all = 0..map.capacity_bytes;
    bar(&mut text, map, &all);
    // A bar of the whole array cannot show single sectors: the ends again, larger.
    let block = SECTOR * MARKS;
    for end in [0..block, map.capacity_bytes.saturating_sub(block)..map.capacity_bytes] {
        let mark = (map.capacity_bytes / MARKS).max(SECTOR);
        let is_part =
            |at: u32| map.share(&(at / mark * mark..at / mark * mark + mark)) == Share::Part;
        if mark > SECTOR && end.clone().step_by(mark as usize).any(is_part) {
            bar(&mut text, map, &end);
        }
    }
    text.push('\n');
    let protected: Vec<_> = map.runs.iter().filter(|run| run.protected).collect();
    if protected.is_empty() {
        text.push_str("Nothing is protected.\n");
    }
    for run in protected.iter().take(RUNS_MAX) {
        let _ = writeln!(text, "protected  {}", span(&run.range));
    }
    if protected.len() > RUNS_MAX {
        let _ = writeln!(text, "and {} ranges more", protected.len() - RUNS_MAX);
    }
    let _ = writeln!(text, "{}", chip_erase(map));
    text
}

/// Part and registers in one line.
fn heading(part: &Part, map: &ProtectionMap) -> String {
    let registers: Vec<_> = map
        .registers
        .iter()
        .map(|(name, value)| format!("{} {value:02x}", name.to_string().to_uppercase()))
        .collect();
    let by = if map.by_locks { "individual locks" } else { "register bits" };
    format!("{}: {}; decided by {by}", part.name, registers.join(" "))
}

fn chip_erase(map: &ProtectionMap) -> &'static str {
    if map.chip_erase { "chip erase: carried out" } else { "chip erase: refused" }
}

/// One bar with its addresses.
fn bar(text: &mut String, map: &ProtectionMap, range: &Range<u32>) {
    let step = ((range.end - range.start) / MARKS).max(SECTOR);
    let marks: String = (range.start..range.end)
        .step_by(step as usize)
        .map(|at| match map.share(&(at..at.saturating_add(step).min(range.end))) {
            Share::None => '.',
            Share::Part => '+',
            Share::All => '#',
        })
        .collect();
    let digits = 8;
    let _ = writeln!(
        text,
        "\n{:#0digits$x} |{marks}| {:#0digits$x}\n         # protected, + in part, . free; one mark is {}",
        range.start,
        range.end,
        size(step)
    );
}

fn span(range: &Range<u32>) -> String {
    format!("{:#010x}..{:#010x}  {}", range.start, range.end, size(range.end - range.start))
}

fn size(bytes: u32) -> String {
    if bytes >= 1 << 20 && bytes.is_multiple_of(1 << 20) {
        format!("{} MiB", bytes >> 20)
    } else {
        format!("{} KiB", bytes >> 10)
    }
}

/// The map as an SVG image.
pub(super) fn svg(part: &Part, map: &ProtectionMap) -> String {
    let (width, height) = (BAR + 2 * MARGIN, BAR_HEIGHT + 3 * MARGIN);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"monospace\" font-size=\"14\">\n\
         <title>{title}</title>\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"{MARGIN}\" y=\"26\">{title}</text>\n",
        title = escaped(&heading(part, map))
    );
    for run in &map.runs {
        let (start, end) = (position(map, run.range.start), position(map, run.range.end));
        let (fill, word) =
            if run.protected { ("#c0392b", "protected") } else { ("#d5e8d4", "free") };
        // A sector of a large array is thinner than a line: it stays visible.
        let wide = (end - start).max(1);
        let _ = writeln!(
            text,
            "<rect x=\"{start}\" y=\"{MARGIN}\" width=\"{wide}\" height=\"{BAR_HEIGHT}\" \
             fill=\"{fill}\"><title>{word} {}</title></rect>",
            span(&run.range)
        );
    }
    let below = MARGIN + BAR_HEIGHT;
    let _ = writeln!(
        text,
        "<rect x=\"{MARGIN}\" y=\"{MARGIN}\" width=\"{BAR}\" height=\"{BAR_HEIGHT}\" \
         fill=\"none\" stroke=\"#333333\"/>"
    );
    for quarter in 0..=4_u32 {
        let address = map.capacity_bytes / 4 * quarter;
        let at = position(map, address);
        let _ = writeln!(
            text,
            "<line x1=\"{at}\" y1=\"{below}\" x2=\"{at}\" y2=\"{}\" stroke=\"#333333\"/>\
             <text x=\"{at}\" y=\"{}\" text-anchor=\"middle\" font-size=\"11\">{address:#x}</text>",
            below + 6,
            below + 20
        );
    }
    let _ = writeln!(
        text,
        "<text x=\"{MARGIN}\" y=\"{}\">{} protected; {}</text>\n</svg>",
        below + 44,
        size(map.protected_bytes()),
        chip_erase(map)
    );
    text
}

/// Where an address is in the image.
fn position(map: &ProtectionMap, address: u32) -> u32 {
    let at = u64::from(address) * u64::from(BAR) / u64::from(map.capacity_bytes.max(1));
    MARGIN + u32::try_from(at).unwrap_or(BAR)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Status bytes, SR1 first, as the registers that 05h, 35h and 15h read. `None` where the part has
/// no register for a byte that is not 0.
pub(super) fn registers(part: &Part, status: &[u8]) -> Option<Vec<(RegisterName, u8)>> {
    let mut registers = Vec::new();
    for (opcode, &value) in [0x05, 0x35, 0x15].into_iter().zip(status) {
        match part.reads(opcode) {
            Some(name) => registers.push((name, value)),
            None if value == 0 => {}
            None => return None,
        }
    }
    Some(registers)
}

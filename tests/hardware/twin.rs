//! The in-process board of the same identity, and what it answers to the same requests.

use std::{fs, path::Path};

use esp32_emulator::transcript::{
    BoardHint, Transcript,
    format::hex,
    replay::{Difference, Options, Report, replay},
};
use esp32_flasher::{chip::Chip, status::StatusRegisters};
use serde_json::{Map, Value, json};
use spi_nor::{catalog, part::Part};

use crate::{bench::Trouble, settings::Settings, suite::Saved};

/// Plays the run to a board of the same identity (of several with one id, to that which answers most
/// alike); answers compared, and those that differ. `None`
/// if the part is not in the catalogue. The transcript is kept with that board in its header.
pub(crate) fn compare(
    draft: &Path,
    saved: &Saved,
    settings: &Settings,
) -> Result<Option<(u64, Vec<Difference>)>, Trouble> {
    let mut transcript = Transcript::parse(&fs::read(draft)?)?;
    let parts = match &settings.part {
        Some(name) => vec![catalog::part(name).ok_or("ESP_PART is not in the catalogue")?],
        None => saved.identity.candidates.clone(),
    };
    let mut best: Option<(BoardHint, Report)> = None;
    for part in &parts {
        let hint = BoardHint { file: Some(board(saved, part)), ..BoardHint::default() };
        let mut board = hint.load()?.into_board()?;
        let report = replay(&transcript, &mut board, Options::default(), &mut |_, _| {});
        // Several parts have one id: the first that fits best, and none further than one that fits.
        let fits = report.difference_count == 0;
        if best.as_ref().is_none_or(|(_, best)| report.difference_count < best.difference_count) {
            best = Some((hint, report));
        }
        if fits {
            break;
        }
    }
    transcript.header.board = best.as_ref().map(|(hint, _)| hint.clone());
    keep(&transcript, draft, saved, settings)?;
    Ok(best.map(|(_, report)| (report.compared, report.differences)))
}

fn keep(
    transcript: &Transcript,
    draft: &Path,
    saved: &Saved,
    settings: &Settings,
) -> Result<(), Trouble> {
    let name = format!("{}.jsonl", saved.chip.mac.to_string().replace(':', ""));
    let mut file = Vec::new();
    transcript.emit(&mut file)?;
    fs::write(settings.folder.join(name), file)?;
    Ok(fs::remove_file(draft)?)
}

/// The board with the keys of a board file.
fn board(saved: &Saved, part: &Part) -> Value {
    let status = StatusRegisters { values: saved.journal.status };
    let registers: Map<String, Value> = part
        .registers
        .keys()
        .filter_map(|name| {
            let value = status.of(part, *name)?;
            // WIP and WEL are no state.
            let value =
                if name.to_string().eq_ignore_ascii_case("sr1") { value & 0xfc } else { value };
            let key = serde_json::to_value(name).ok()?;
            Some((key.as_str()?.to_owned(), value.into()))
        })
        .collect();
    let piece = json!({ "at": saved.journal.scratch, "hex": hex(&saved.content) });
    json!({
        "chip": chip(&saved.chip),
        "flash": { "part": part.name, "registers": registers, "image": { "pieces": [piece] } },
    })
}

/// What a board file can say of the chip; the nearest where it knows no better.
fn chip(chip: &Chip) -> Value {
    let revision = match (chip.revision_major, chip.revision_minor) {
        (0 | 1, 0) => "v1.0",
        (0 | 1, _) => "v1.1",
        (_, 0) => "v3.0",
        _ => "v3.1",
    };
    let package = match chip.package {
        name if name.contains("D0WDQ6") => "d0wdq6",
        name if name.contains("D2WD") => "d2wd",
        name if name.contains("U4WDH") => "u4wdh",
        name if name.contains("PICO-V3-02") => "pico-v302",
        name if name.contains("PICO") => "pico-d4",
        name if name.contains("D0WDR2") => "d0wdr2",
        _ => "d0wd",
    };
    json!({
        "mac": chip.mac.to_string(),
        "revision": revision,
        "package": package,
        "crystal": format!("{} MHz", chip.crystal_mhz),
        "strap": chip.strap,
    })
}

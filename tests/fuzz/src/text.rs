//! Files that users write or hand on.

use std::path::Path;

use esp32_emulator::{
    case,
    fault::plan::FaultPlan,
    flash::{FlashState, NorFlash},
    program::Program,
    transcript::Transcript,
};
use esp32_flasher::batch::Plan;
use spi_nor::part::Part;

/// Part files: what passes the check can be modelled.
pub(crate) fn parts(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(part) = Part::parse(text, "fuzz") else { return };
    let _ = part.instruction_table();
    if part.capacity_bytes <= 64 << 20 {
        let state = FlashState::factory(&part);
        let _ = NorFlash::new(part, state);
    }
}

/// Board files, fault plans and plans of the flasher.
pub(crate) fn boards(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(board) = case::parse("fuzz", text, Path::new("/nonexistent")) {
        let _ = board.setup();
        if board.file.flash.part_file.is_none() {
            let _ = board.part();
        }
    }
    if let Ok(plan) = FaultPlan::parse("fuzz", text) {
        assert_eq!(FaultPlan::parse("fuzz", &plan.to_text()).unwrap(), plan);
    }
    let _ = Plan::parse(text, Path::new("/nonexistent"));
}

/// Programs: stubs in JSON or TOML, ELF files, images.
pub(crate) fn stubs(data: &[u8]) {
    if let Ok(program) = Program::parse(data) {
        let bytes: usize = program.segments.iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(bytes <= data.len().saturating_mul(2).max(1 << 20), "{bytes} of {}", data.len());
    }
}

/// Recordings, and what `esptool --trace` prints: what is read can be written, and reads the same.
pub(crate) fn transcripts(data: &[u8]) {
    let Ok(read) = Transcript::parse(data) else { return };
    if let Some(board) = &read.header.board {
        let _ = board.load();
    }
    let emit = |transcript: &Transcript| {
        let mut text = Vec::new();
        transcript.emit(&mut text).unwrap();
        text
    };
    let text = emit(&read);
    assert_eq!(emit(&Transcript::parse(&text).unwrap()), text);
}

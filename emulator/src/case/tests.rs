use std::path::Path;

use super::*;

mod board_files;
mod chip;
mod quirks;

fn parse_text(text: &str) -> Result<LoadedBoard, CaseError> {
    parse("board.toml", text, Path::new("."))
}

fn case(name: &str) -> LoadedBoard {
    load(name).unwrap_or_else(|error| panic!("{error}"))
}

fn problem(text: &str) -> String {
    parse_text(text).expect_err("the schema must refuse this").to_string()
}

#[test]
fn every_case_loads_under_its_own_name_with_a_source_and_an_observation() {
    for name in list() {
        let board = case(name);
        let story = board.file.case.unwrap_or_else(|| panic!("{name} tells no story"));
        assert_eq!(story.name, name);
        let label = story.label.unwrap_or_else(|| panic!("{name} has no label"));
        assert_eq!(load(&label).expect("by its label"), case(name));
        assert!(!story.sources.is_empty() && !story.play.is_empty(), "{name}");
    }
    assert_eq!(list().len(), 20);
}

#[test]
fn every_hypothesis_can_be_assumed() {
    for name in list() {
        let board = case(name);
        for hypothesis in board.file.hypotheses.keys() {
            let assumed = board.clone().assume(hypothesis).expect("its own hypothesis");
            let story = assumed.file.case.expect("a story");
            assert_eq!(story.default_hypothesis.as_deref(), Some(hypothesis.as_str()));
        }
    }
}

#[test]
fn the_hypotheses_of_esptool_915_are_the_ranked_ones() {
    let board = case("esptool-915");
    let names: Vec<_> = board.file.hypotheses.keys().map(String::as_str).collect();
    assert_eq!(names, ["h1", "h1-two-byte", "h2", "h3", "h5", "h7"]);
    let board = board.assume("h7").expect("ranked");
    assert_eq!(board.file.boot.supply_mv.map(SupplyMillivolts::get), Some(1800));
    assert_eq!(board.file.flash.part.as_deref(), Some("W25Q128FV"));
}

#[test]
fn the_board_of_esptool_915_is_the_one_of_the_thread() {
    let chip = case("esptool-915").file.chip;
    assert_eq!(chip.mac.to_string(), "94:e6:86:24:8b:9c");
    assert_eq!((chip.revision, chip.crystal), (Revision::V3_0, Crystal::Mhz40));
}

#[test]
fn an_unknown_hypothesis_is_answered_with_those_that_exist() {
    let error = case("kincony-2535").assume("h9").expect_err("unknown");
    assert_eq!(
        error.to_string(),
        "no hypothesis is named \"h9\" here; there are: misread, undervolt"
    );
}

#[test]
fn wrong_boards_are_answered_with_file_line_key_and_what_is_allowed() {
    let texts = [
        "[flash]\npart = \"W25Q32JV\"\nregister = { sr1 = 0 }\n",
        "[chip]\nmac = \"94:e6:86:24:8b\"\n",
        "[chip]\nstrap = 0x40\n",
        "[power]\nsupply-mv = 33000\n",
        "[pins]\nwp = \"floating\"\n",
        "[flash]\nregisters = { sr9 = 1 }\n",
        "[flash]\npart = \"A\"\nhidden = { register-bits = { register = \"sr2\", bit = 1 } }\n",
        "[power]\nsupply-mv = 3300\n",
        "[flash]\npart = \"A\"\npart-file = \"b.toml\"\n",
    ];
    let problems: Vec<_> = texts.into_iter().map(problem).collect();
    insta::assert_snapshot!(problems.join("\n\n"));
}

#[test]
fn hostile_text_is_an_error_and_never_a_panic() {
    for text in
        ["[", "flash = 3", "\u{0}", "[flash]\npart = 1e999", "[[flash]]", "[case]\nname = 1"]
    {
        assert!(parse_text(text).is_err(), "{text:?}");
    }
    let deep = format!("x = {}1{}", "[".repeat(10_000), "]".repeat(10_000));
    assert!(parse_text(&deep).is_err());
}

#[test]
fn a_missing_file_is_named() {
    let error = load_file(Path::new("/nonexistent/board.toml")).expect_err("missing");
    assert!(error.to_string().starts_with("cannot read /nonexistent/board.toml: "));
}

#[test]
fn every_case_powers_on_under_every_hypothesis() {
    for name in list() {
        let board = case(name);
        for hypothesis in board.file.hypotheses.keys() {
            let assumed =
                board.clone().assume(hypothesis).unwrap_or_else(|error| panic!("{error}"));
            assumed.into_board().unwrap_or_else(|error| panic!("{name} {hypothesis}: {error}"));
        }
        board.into_board().unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

/// The first boot of a board whose flash holds a bootable image.
fn after_first_boot(hypothesis: &str) -> CaseBoard {
    let mut loaded = case("esptool-915").assume(hypothesis).expect("ranked");
    loaded.file.flash.image.pattern = Some(Pattern { at: 0x1000, bytes: 0x1000, seed: 1 });
    let mut board = loaded.into_board().expect("powers on");
    board.set_strap(StrapValue::FLASH_BOOT.get());
    let now = board.now();
    board.host_reset(now);
    for _ in 0..100_000 {
        let Some(due) = board.next_event() else { break };
        board.advance(due);
        board.transmit(due, &mut Vec::new());
    }
    board
}

#[test]
fn the_first_boot_leaves_the_status_that_the_thread_reports() {
    use spi_nor::part::RegisterName::{Sr1, Sr2};
    for (hypothesis, sr2) in
        [("h1", 2), ("h1-two-byte", 2), ("h2", 2), ("h3", 2), ("h5", 0x42), ("h7", 2)]
    {
        let board = after_first_boot(hypothesis);
        let nor = board.flash().nor();
        assert_eq!((nor.register(Sr1) & 0xfc, nor.register(Sr2)), (0, sr2), "{hypothesis}");
    }
}

#[test]
fn wirings_are_data() {
    use crate::board::Wiring;
    let wiring = |text: &str| {
        let text = format!("{text}\n[flash]\npart = \"W25Q32JV\"");
        parse("t", &text, Path::new(".")).unwrap().setup().wiring
    };
    assert_eq!(wiring(""), Wiring::Latch);
    assert_eq!(wiring("wiring = \"inverted\""), Wiring::Inverted);
    let slow = wiring("wiring = { transistors = { rise-ms = 10 } }");
    assert_eq!(slow, Wiring::Transistors { rise_ms: 10 });
}

//! What a board file says, on the powered board; and wrong or hostile files.

use proptest::prelude::*;
use spi_nor::part::{
    AfterRefusal,
    RegisterName::{Sr1, Sr2},
};

use super::*;
use crate::{
    flash::NorFlash,
    spi::{CommandLines, SpiDevice, Transaction},
    time::Instant,
    trace::Trace,
};

fn flash(text: &str) -> BoardFlash {
    let loaded = parse_text(text).unwrap_or_else(|error| panic!("{error}"));
    loaded.flash().unwrap_or_else(|error| panic!("{error}"))
}

fn flash_problem(text: &str) -> String {
    let flash = parse_text(text).and_then(|loaded| loaded.flash());
    flash.expect_err("this board must be refused").to_string()
}

fn select(flash: &mut BoardFlash, mosi: &[u8], count: usize) -> Vec<u8> {
    let mut miso = vec![0; count];
    let now = flash.busy_until().unwrap_or(Instant::ZERO);
    let mut transaction = Transaction { mosi, miso: &mut miso, command_lines: CommandLines::One };
    flash.transfer(now, &mut transaction, &mut Trace::default());
    miso
}

fn change(flash: &mut BoardFlash, mosi: &[u8]) {
    select(flash, &[0x06], 0);
    select(flash, mosi, 0);
}

fn cell(nor: &NorFlash, address: u32) -> u8 {
    let mut byte = [0];
    nor.read_cells(address, &mut byte);
    byte[0]
}

#[test]
fn individual_locks_are_as_the_board_says() {
    let mut flash = flash(
        "[flash]\npart = \"W25Q128FV\"\nregisters = { sr3 = 0x64 }\n\
         locks = [{ at = 0x2345, locked = false }]\n",
    );
    let nor = flash.nor();
    let locked = [0x1fff, 0x2000, 0x2fff, 0x3000].map(|at| nor.individually_locked(at));
    assert_eq!(locked, [true, false, false, true].map(Some));
    change(&mut flash, &[0x02, 0x00, 0x20, 0x00, 0x12]);
    change(&mut flash, &[0x02, 0x00, 0x30, 0x00, 0x12]);
    assert_eq!((cell(flash.nor(), 0x2000), cell(flash.nor(), 0x3000)), (0x12, 0xff));
}

#[test]
fn a_damaged_row_is_repaired_only_by_the_opcodes_that_the_board_names() {
    let mut flash = flash(
        "[flash]\npart = \"W25Q128FV\"\nregisters = { sr2 = 0x02 }\n\
         hidden = { status-row = { damaged = true, repaired-by = [0x31] } }\n",
    );
    let programs = |flash: &mut BoardFlash, write: &[u8]| {
        change(flash, write);
        change(flash, &[0x02, 0, 0, 0, 0x12]);
        cell(flash.nor(), 0) == 0x12
    };
    assert!(!programs(&mut flash, &[0x01, 0x00, 0x02]), "the same value repairs nothing");
    assert!(!programs(&mut flash, &[0x01, 0x00, 0x00]), "01h is not named");
    assert!(programs(&mut flash, &[0x31, 0x02]));
}

#[test]
fn only_a_boot_damages_the_row_and_lowers_the_supply() {
    let text = "[flash]\npart = \"W25Q128FV\"\n\
        [boot]\ndamages-status-row = true\nsupply-mv = 1800\n";
    let mut flash = flash(text);
    change(&mut flash, &[0x31, 0x02]);
    change(&mut flash, &[0x02, 0, 0, 0, 0x12]);
    assert_eq!(cell(flash.nor(), 0), 0x12);
    flash.set_boot_writes(true);
    change(&mut flash, &[0x31, 0x02]);
    assert!(flash.nor().state().damaged_row.is_none(), "nothing changed");
    change(&mut flash, &[0x31, 0x00]);
    assert!(flash.nor().state().damaged_row.is_some());
    change(&mut flash, &[0x01, 0x1c]);
    assert_eq!(flash.nor().register(Sr1), 0, "below the write-inhibit level");
}

#[test]
fn a_line_that_nobody_drives_reads_as_it_is_pulled() {
    let mut high = flash("[flash]\npart = \"GD25Q32B\"\n");
    let mut low = flash("[flash]\npart = \"GD25Q32B\"\n[pins]\ndata-pull = \"low\"\n");
    assert_eq!(
        (select(&mut high, &[0x15], 1), select(&mut low, &[0x15], 1)),
        (vec![0xff], vec![0])
    );
}

#[test]
fn any_field_of_the_part_can_be_switched() {
    let mut flash = flash(
        "[flash]\npart = \"IS25LP128\"\n[flash.overrides]\nhas-qpi = false\n\
         write-enable-latch-after-refused-status-write = \"clear\"\n\
         [flash.overrides.fields]\nstatus-write-time = { typical-us = 7, maximum-us = 9 }\n\
         refused = { write-enable-latch = \"clear\" }\n",
    );
    let part = flash.nor().part().clone();
    assert_eq!(part.status_write_time.typical_us, 7);
    assert_eq!(part.refused.write_enable_latch, AfterRefusal::Clear);
    assert_eq!(part.refused.status_write_enable_latch, AfterRefusal::Clear);
    select(&mut flash, &[0x35], 1);
    assert_eq!(select(&mut flash, &[0x9f], 1), [0x9d]);

    let mut flash = self::flash(
        "[flash]\npart = \"W25Q128FV\"\nregisters = { sr2 = 0x42 }\n[flash.overrides]\n\
         status-write-01h-bytes = [1, 3]\none-byte-01h-clears = [\"CMP\", \"QE\"]\nhas-31h = false\n",
    );
    change(&mut flash, &[0x01, 0x00, 0x02]);
    change(&mut flash, &[0x31, 0x00]);
    assert_eq!(flash.nor().register(Sr2), 0x42);
    change(&mut flash, &[0x01, 0x00]);
    assert_eq!(flash.nor().register(Sr2), 0x00);
    change(&mut flash, &[0x01, 0x00, 0x02, 0x60]);
    assert_eq!(flash.nor().register(Sr2), 0x02);
}

#[test]
fn what_does_not_fit_the_part_is_answered_with_key_and_what_is_allowed() {
    let boards = [
        "registers = { fsr = 1 }",
        "volatile-registers = { cr = 1 }",
        "locks = [{ at = 0, locked = true }]\noverrides = { fields = { chip-erase = { rule = \"never\" } } }",
        "locks = [{ at = 0x1000000, locked = true }]",
        "overrides = { fields = { page-byte = 1 } }",
        "overrides = { status-write-01h-bytes = [0, 200] }",
        "overrides = { one-byte-01h-clears = [\"FOO\"] }",
        "overrides = { write-inhibit-mv = 3400 }",
        "overrides = { fixed-bits = { scur = 1 } }",
        "hidden = { register-bit = { register = \"sr2\", bit = 8 } }",
        "hidden = { side-effect = { bit = \"WPSEL\", cleared-by = [] } }",
        "image = { pattern = { at = 0xffffffff, bytes = 0xffffffff, seed = 1 } }",
    ];
    let mut problems: Vec<_> = boards
        .into_iter()
        .map(|lines| flash_problem(&format!("[flash]\npart = \"W25Q128FV\"\n{lines}\n")))
        .collect();
    problems
        .push(flash_problem("[flash]\npart = \"GD25Q32B\"\nlocks = [{ at = 0, locked = true }]"));
    problems.push(flash_problem("[flash]\npart = \"W25Q128\"\n"));
    insta::assert_snapshot!(problems.join("\n\n"));
}

#[test]
fn a_board_file_that_never_ends_is_refused() {
    let error = load_file(Path::new("/dev/zero")).expect_err("endless");
    assert!(error.to_string().contains("bytes"), "{error}");
    let board = "[flash]\npart-file = \"/dev/zero\"\n";
    assert!(flash_problem(board).contains("bytes"));
    let board = "[flash]\npart = \"W25Q32JV\"\nimage = { file = { path = \"/dev/zero\" } }\n";
    assert!(flash_problem(board).contains("array"));
}

/// Something that a hostile or careless hand puts into a file.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "0x0200",
            "-1",
            "1e999",
            "nan",
            "99999999999999999999",
            "4294967295",
            "255",
            "true",
            "\"\"",
            "\"FOO\"",
            "[",
            "]",
            "{",
            "}",
            "=",
            "\n",
            "[[",
            "[flash]",
            "[boot]",
            "# ",
            "\"\\uD800\"",
            "\u{0}",
            "'''",
            "part",
            "bytes",
            "[0]",
            "{}",
            "[-1, 300]",
            "1979-05-27",
        ])
        .prop_map(str::to_owned),
        "[ -~]{0,6}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn mutated_cases_are_boards_or_errors_and_never_a_panic(
        number in 0..CASES.len(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..12_usize, piece()), 1..5),
    ) {
        let mut text: Vec<char> = CASES[number].2.chars().collect();
        for (at, remove, insert) in edits {
            let at = at.index(text.len());
            let end = (at + remove).min(text.len());
            text.splice(at..end, insert.chars());
            if text.is_empty() {
                text.push(' ');
            }
        }
        let text: String = text.into_iter().collect();
        match parse_text(&text) {
            Ok(loaded) => {
                for hypothesis in loaded.file.hypotheses.keys() {
                    let _ = loaded.clone().assume(hypothesis).map(LoadedBoard::into_board);
                }
                if let Err(error) = loaded.into_board() {
                    prop_assert!(!error.to_string().is_empty());
                }
            }
            Err(error) => prop_assert!(error.to_string().starts_with("board.toml: "), "{}", error),
        }
    }

    #[test]
    fn mutated_values_are_boards_or_errors_and_never_a_panic(
        number in 0..CASES.len(),
        line in any::<prop::sample::Index>(),
        value in piece(),
    ) {
        let mut lines: Vec<String> = CASES[number].2.lines().map(str::to_owned).collect();
        let keyed: Vec<usize> = (0..lines.len()).filter(|&at| lines[at].contains(" = ")).collect();
        let at = keyed[line.index(keyed.len())];
        let key = lines[at].split(" = ").next().unwrap_or_default().to_owned();
        lines[at] = format!("{key} = {value}");
        match parse_text(&lines.join("\n")) {
            Ok(loaded) => drop(loaded.into_board()),
            Err(error) => prop_assert!(error.to_string().starts_with("board.toml: "), "{}", error),
        }
    }
}

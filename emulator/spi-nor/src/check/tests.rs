use proptest::prelude::*;

use super::*;
use crate::catalog;

/// A good part file with one piece of text replaced.
fn edited(from: &str, to: &str) -> Result<Part, PartError> {
    let text = catalog::text("W25Q128FV").unwrap();
    assert!(text.contains(from), "{from}");
    Part::parse(&text.replacen(from, to, 1), "my.toml")
}

/// The faults of an edited file.
fn faults(from: &str, to: &str) -> Vec<PartFault> {
    match edited(from, to) {
        Err(PartError::Contents { origin, faults, .. }) => {
            assert_eq!(origin, "my.toml");
            faults
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn unknown_key_shows_file_line_key_and_what_is_allowed() {
    let message = edited("page-bytes = 256", "page-size = 256").unwrap_err().to_string();
    assert!(message.starts_with("my.toml: "), "{message}");
    for piece in ["line 5", "page-size", "^^^", "expected one of", "`page-bytes`"] {
        assert!(message.contains(piece), "{piece} in {message}");
    }
}

#[test]
fn unknown_value_shows_what_is_allowed() {
    let message = edited("\"nv-volatile\"", "\"sticky\"").unwrap_err().to_string();
    for piece in ["sticky", "`nv`", "`nv-volatile`", "`otp`"] {
        assert!(message.contains(piece), "{piece} in {message}");
    }
}

#[test]
fn one_opcode_has_one_meaning() {
    let found = faults("opcodes = [0x60, 0xc7]", "opcodes = [0x60, 0x20]");
    assert!(matches!(found[..], [PartFault::OpcodeTwice { opcode: 0x20, .. }]), "{found:?}");
}

#[test]
fn sizes_are_powers_of_two_that_fit() {
    let found = faults("capacity-bytes = 0x1000000", "capacity-bytes = 0x1000001");
    assert!(matches!(found[0], PartFault::Size { bytes: 0x0100_0001, .. }), "{found:?}");
    let found = faults("capacity-bytes = 0x1000000", "capacity-bytes = 0x800000");
    assert!(found.iter().any(|f| matches!(f, PartFault::JedecCapacity { byte: 0x18, .. })));
    assert!(found.iter().any(|f| matches!(f, PartFault::LockRegionsEnd { .. })));
    let found = faults("bytes = 0x8000", "bytes = 0x7000");
    assert!(found.iter().any(|f| matches!(f, PartFault::EraseDoesNotDivide { opcode: 0x52, .. })));
}

#[test]
fn registers_list_every_bit_once_with_a_bit_value() {
    let found = faults("{ bit = 7, name = \"SRP0\"", "{ bit = 6, name = \"SRP0\"");
    assert!(matches!(&found[0], PartFault::Bits { register: RegisterName::Sr1, .. }), "{found:?}");
    let found = faults(
        "name = \"SRP0\", kind = \"nv-volatile\", factory = 0",
        "name = \"SRP0\", kind = \"nv-volatile\", factory = 2",
    );
    assert!(matches!(found[0], PartFault::Factory { bit: 7, factory: 2, .. }), "{found:?}");
    let found = faults("name = \"SEC\"", "name = \"TB\"");
    assert!(found.contains(&PartFault::BitNameTwice { name: "TB".to_owned() }), "{found:?}");
}

#[test]
fn named_bits_targets_and_sources_exist() {
    let found = faults("cmp = \"CMP\"", "cmp = \"CMPL\"");
    assert!(matches!(&found[..], [PartFault::UnknownBit { name, .. }] if name == "CMPL"));
    let found = faults("to = [\"sr3\"]", "to = [\"cr2\"]");
    assert!(matches!(
        found[..],
        [PartFault::UnknownTarget { opcode: 0x11, register: RegisterName::Cr2 }]
    ));
    let found = faults("CROS = ", "CROSS = ");
    assert!(
        matches!(&found[..], [PartFault::UnknownSource { source_id, .. }] if source_id == "CROS")
    );
}

#[test]
fn forms_of_one_write_differ_in_length() {
    let found = faults("to = [\"sr1\", \"sr2\"]", "to = [\"sr2\"]");
    assert_eq!(found, [PartFault::FormTwice { opcode: 1, bytes: 1 }]);
    let found = faults("to = [\"sr3\"]", "to = []");
    assert_eq!(found, [PartFault::FormLength { opcode: 0x11, bytes: 0, allowed: FORM_BYTES }]);
}

#[test]
fn lock_regions_tile_the_array() {
    let found = faults("{ start = 0x10000, end", "{ start = 0x20000, end");
    assert!(matches!(found[..], [PartFault::LockRegion { expected: 0x1_0000, .. }]), "{found:?}");
    let found = faults("end = 0xff0000, unit-bytes = 0x10000", "end = 0xff0000, unit-bytes = 0");
    assert!(matches!(found[..], [PartFault::LockRegion { unit_bytes: 0, .. }]), "{found:?}");
}

#[test]
fn supply_and_times_are_in_order() {
    let found = faults("supply-mv = [2700, 3600]", "supply-mv = [3600, 2700]");
    assert!(matches!(found[..], [PartFault::Supply { .. }]), "{found:?}");
    let found = faults("typical-us = 45000", "typical-us = 450000");
    assert!(matches!(&found[..], [PartFault::Time { key, .. }] if key == "erase"), "{found:?}");
}

#[test]
fn a_huge_file_is_refused_unread() {
    let text = "#".repeat(LONGEST_FILE + 1);
    assert!(matches!(Part::parse(&text, "big"), Err(PartError::TooLong { .. })));
}

#[test]
fn the_instruction_table_answers_what_the_file_says() {
    use crate::instruction_table::Meaning;

    let macronix = catalog::part("MX25L12833F").unwrap().instruction_table();
    assert_eq!(macronix.meaning(0x35), Meaning::EnterQpi, "Q17");
    let winbond = catalog::part("W25Q128FV").unwrap();
    assert_eq!(winbond.instruction_table().meaning(0x35), Meaning::ReadRegister(RegisterName::Sr2));
    assert_eq!(winbond.reads(0x15), Some(RegisterName::Sr3));
    let micron = catalog::part("N25Q128A").unwrap().instruction_table();
    assert_eq!(micron.meaning(0x50), Meaning::ClearFlags, "Q19");
    assert_eq!(
        catalog::part("SST25VF032B").unwrap().instruction_table().meaning(0x50),
        Meaning::EnableStatusWrite,
        "Q19"
    );
}

#[test]
fn masks_and_factory_values_are_the_documented_ones() {
    let xmc = catalog::part("XM25QH128C").unwrap();
    // IDF7994: a part with every writable bit at 1 reads e3_7b_fc.
    let masks =
        [RegisterName::Sr1, RegisterName::Sr2, RegisterName::Sr3].map(|r| xmc.write_mask(r));
    assert_eq!(masks, [0xfc, 0x7b, 0xe3]);
    let jv = catalog::part("W25Q128JV").unwrap();
    assert_eq!(jv.factory_value(RegisterName::Sr2), 0x02);
    assert_eq!(jv.write_mask(RegisterName::Sr2) & 0x02, 0, "QE is factory fixed");
    assert_eq!(jv.factory_value(RegisterName::Cr), 0, "no such register");
    let issi = catalog::part("IS25LP128").unwrap();
    assert_eq!(
        issi.quad_enable().map(|qe| (qe.register, qe.bit)),
        Some((RegisterName::Sr1, 6)),
        "Q18"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Bytes of a real file overwritten, cut and doubled: an error or a part, never a panic.
    #[test]
    fn mutated_files_never_panic(
        which in 0usize..68,
        edits in proptest::collection::vec((any::<prop::sample::Index>(), "[ -~\\n]{0,12}", 0usize..40), 1..6),
    ) {
        let name = catalog::names().nth(which).unwrap();
        let mut text = catalog::text(name).unwrap().to_owned();
        for (at, with, cut) in edits {
            let start = text.floor_char_boundary(at.index(text.len()));
            let end = text.floor_char_boundary((start + cut).min(text.len())).max(start);
            text.replace_range(start..end, &with);
        }
        if let Ok(part) = Part::parse(&text, name) {
            let _ = part.instruction_table();
            let _ = part.block_protect_bits();
        }
    }

    /// Numbers of a real file replaced by hostile ones.
    #[test]
    fn hostile_numbers_never_panic(
        which in 0usize..68,
        line in any::<prop::sample::Index>(),
        number in prop_oneof![Just(0u64), Just(u64::from(u32::MAX)), Just(1 << 31), Just(255), any::<u64>()],
    ) {
        let name = catalog::names().nth(which).unwrap();
        let text = catalog::text(name).unwrap();
        let numbered: Vec<usize> = text.lines().enumerate().filter(|(_, l)| l.contains("= 0x") || l.contains("= 1") || l.contains("= 2")).map(|(i, _)| i).collect();
        let target = numbered[line.index(numbered.len())];
        let lines: Vec<String> = text.lines().enumerate().map(|(i, l)| {
            if i == target { format!("{} = {number}", l.split(" =").next().unwrap()) } else { l.to_owned() }
        }).collect();
        if let Ok(part) = Part::parse(&lines.join("\n"), name) {
            let _ = part.instruction_table();
        }
    }
}

#[test]
fn contents_that_contradict_each_other_are_told_with_their_line() {
    let text = catalog::text("W25Q128FV").unwrap();
    let line = |key: &str| text.lines().position(|line| line.starts_with(key)).unwrap() + 1;
    for (good, bad, key) in [
        ("page-bytes = 256", "page-bytes = 100", "page-bytes"),
        ("unit-bytes = 0x40000", "unit-bytes = 0x40001", "unit-bytes"),
        ("quad-enable-bit = \"QE\"", "quad-enable-bit = \"XE\"", "quad-enable-bit"),
    ] {
        let error = Part::parse(&text.replacen(good, bad, 1), "mine.toml").unwrap_err();
        let expected = format!("mine.toml: line {}: `", line(key));
        assert!(error.to_string().starts_with(&expected), "{error}");
    }
}

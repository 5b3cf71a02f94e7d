//! The flasher's own decoding against the printed tables.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{collections::BTreeMap, ops::Range, path::Path};

use esp32_flasher::protect::{Protected, Registers, decode};
use spi_nor::{
    catalog,
    part::{Part, RegisterName},
};

fn hex(text: &str) -> u32 {
    u32::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
}

/// The byte that the tables print for a register: they call what 35h reads SR2 and what 15h reads
/// SR3, except for Macronix CR and ISSI FR.
fn column(part: &Part, register: RegisterName) -> Option<&'static str> {
    let has_cr1 = part.register(RegisterName::Cr1).is_some();
    match register {
        RegisterName::Sr1 => Some("sr1"),
        RegisterName::Sr2 if has_cr1 => None,
        RegisterName::Sr2 | RegisterName::Cr1 => Some("sr2"),
        RegisterName::Sr3 | RegisterName::Cr2 => Some("sr3"),
        RegisterName::Cr | RegisterName::Fr => Some("cr_or_fr"),
        RegisterName::Scur | RegisterName::Fsr => None,
    }
}

fn registers(part: &Part, cells: &BTreeMap<&str, &str>) -> Registers {
    let mut registers = Registers::default();
    for register in part.registers.keys() {
        let value = column(part, *register).map_or(0, |name| hex(cells[name]));
        registers.set(*register, u8::try_from(value).unwrap());
    }
    registers
}

#[test]
fn every_row_decodes_to_its_range() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/wp_ranges");
    let (mut checked, mut wrong) = (0, Vec::new());
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let mut lines = text.lines();
        let heads: Vec<&str> = lines.next().unwrap().split(',').collect();
        for line in lines {
            let cells: BTreeMap<&str, &str> = heads.iter().copied().zip(line.split(',')).collect();
            if cells["basis"] == "disputed" {
                continue;
            }
            // One table marks the vendor, because Fudan has parts of a similar name.
            let name = cells["chip"].trim_end_matches("_Fidelix");
            let part = catalog::part(name).unwrap();
            let (start, end) = (hex(cells["start"]), hex(cells["end_exclusive"]));
            let expected: Range<u32> = if start == end { 0..0 } else { start..end };
            checked += 1;
            let decoded = decode(&part, &registers(&part, &cells));
            if decoded != Protected::Range(expected) {
                wrong.push(format!("{decoded:x?} instead of {line}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong rows:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(checked, 2290);
}

//! The decoded protection range against the printed tables and against a second formula.

#![expect(clippy::unwrap_used, reason = "a broken fixture fails the test")]

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use esp32_emulator::flash::protected_range;
use spi_nor::catalog;
use spi_nor::part::{Part, Protection, RegisterName};

mod operations;
mod textbook;

/// The four register bytes of a table row.
#[derive(Debug, Clone, Copy, Default)]
struct Bytes {
    sr1: u8,
    sr2: u8,
    sr3: u8,
    cr_or_fr: u8,
}

impl Bytes {
    /// The byte that the tables print for a register. The tables call the byte that 35h reads SR2
    /// and the byte that 15h reads SR3, which S25FL-L calls CR1 and CR2.
    fn of(self, part: &Part, register: RegisterName) -> u8 {
        let has_cr1 = part.register(RegisterName::Cr1).is_some();
        match register {
            RegisterName::Sr1 => self.sr1,
            RegisterName::Sr2 if has_cr1 => 0,
            RegisterName::Sr2 | RegisterName::Cr1 => self.sr2,
            RegisterName::Sr3 | RegisterName::Cr2 => self.sr3,
            RegisterName::Cr | RegisterName::Fr => self.cr_or_fr,
            RegisterName::Scur | RegisterName::Fsr => 0,
        }
    }
}

/// What the emulator decodes for these bytes.
fn decoded(part: &Part, bytes: Bytes) -> Range<u32> {
    protected_range(part, &|name| {
        let position = part.find_bit(name).unwrap_or_else(|| panic!("{}: {name}", part.name));
        position.of(bytes.of(part, position.register))
    })
}

/// One row of a table.
struct Row {
    bytes: Bytes,
    range: Range<u32>,
    /// Value of the BP bits as printed; 0 where the table prints none.
    block_protect: u8,
    basis: String,
    line: String,
}

fn hex(text: &str) -> u32 {
    u32::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
}

fn byte(text: &str) -> u8 {
    u8::try_from(hex(text)).unwrap()
}

/// All tables: part name as the table spells it, rows.
fn tables() -> BTreeMap<String, Vec<Row>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/wp_ranges");
    let mut tables: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let mut lines = text.lines();
        let heads: Vec<&str> = lines.next().unwrap().split(',').collect();
        for line in lines {
            let cells: BTreeMap<&str, &str> = heads.iter().copied().zip(line.split(',')).collect();
            let (start, end) = (hex(cells["start"]), hex(cells["end_exclusive"]));
            let row = Row {
                bytes: Bytes {
                    sr1: byte(cells["sr1"]),
                    sr2: byte(cells["sr2"]),
                    sr3: byte(cells["sr3"]),
                    cr_or_fr: byte(cells["cr_or_fr"]),
                },
                range: if start == end { 0..0 } else { start..end },
                block_protect: cells["bp"].parse().unwrap_or(0),
                basis: cells["basis"].to_owned(),
                line: line.to_owned(),
            };
            tables.entry(cells["chip"].to_owned()).or_default().push(row);
        }
    }
    tables
}

/// The part of a table. One table marks the vendor, because Fudan has parts of a similar name.
fn part_of(table: &str) -> Part {
    let name = if table == "FM25Q64A_Fidelix" { "FM25Q64A" } else { table };
    catalog::part(name).unwrap_or_else(|| panic!("no part {name}"))
}

#[test]
fn decoded_range_equals_every_table_row() {
    let (mut checked, mut wrong) = (0, Vec::new());
    for (table, rows) in tables() {
        let part = part_of(&table);
        for row in rows.iter().filter(|row| row.basis != "disputed") {
            let range = decoded(&part, row.bytes);
            checked += 1;
            if range != row.range {
                wrong.push(format!("{range:#x?} instead of {}", row.line));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong rows:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(checked, 2290, "rows of the 48 tables without the disputed one");
}

#[test]
fn tables_and_parts_agree_on_size_and_id() {
    for (table, rows) in tables() {
        let part = part_of(&table);
        let cells: Vec<&str> = rows[0].line.split(',').collect();
        let [vendor, kind, size] = part.jedec_id.0;
        assert_eq!(u32::from_be_bytes([0, vendor, kind, size]), hex(cells[1]), "{table}");
        assert_eq!(part.capacity_bytes.to_string(), cells[2], "{table}");
    }
}

/// Every SR1 value with the second register at values that set, clear and surround the bits that
/// matter.
fn status_values(layout: &textbook::Layout) -> Vec<Bytes> {
    let mut values = Vec::new();
    for sr1 in 0..=u8::MAX {
        for mask in layout.second_register_values() {
            values.push(Bytes { sr1, sr2: mask, sr3: mask, cr_or_fr: mask });
        }
    }
    values
}

#[test]
fn decoded_range_equals_the_textbook_for_every_status_value() {
    for part in catalog::parse_all().unwrap() {
        if matches!(part.protection, Protection::BlockProtectionRegister { .. }) {
            continue;
        }
        let layout = textbook::layout(&part.name).unwrap_or_else(|| panic!("{}", part.name));
        for bytes in status_values(&layout) {
            let registers = textbook::Registers {
                sr1: bytes.sr1,
                sr2: bytes.sr2,
                sr3: bytes.sr3,
                other: bytes.cr_or_fr,
            };
            let expected = layout.protected(part.capacity_bytes, registers);
            let range = decoded(&part, bytes);
            assert_eq!(range, expected, "{} {bytes:02x?}", part.name);
        }
    }
}

#[test]
fn range_touches_an_end_and_cmp_gives_the_complement() {
    for part in catalog::parse_all().unwrap() {
        let Protection::BlockProtect { cmp: Some(cmp), cmp_inverts_bp: false, .. } =
            &part.protection
        else {
            continue;
        };
        let names = part.protection.bit_names();
        for pattern in 0..1u32 << names.len() {
            let value = |name: &str, flip: bool| {
                let index = names.iter().position(|known| *known == name).unwrap();
                u8::from(pattern >> index & 1 != 0) ^ u8::from(flip && name == cmp)
            };
            let one = protected_range(&part, &|name| value(name, false));
            let other = protected_range(&part, &|name| value(name, true));
            let total = one.len() + other.len();
            assert_eq!(total, part.capacity_bytes as usize, "{} {pattern:#b}", part.name);
            assert!(one.is_empty() || one.start == 0 || one.end == part.capacity_bytes);
            assert!(one.end <= other.start || other.end <= one.start || one.is_empty());
        }
    }
}

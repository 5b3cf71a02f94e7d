//! Every row of `fixtures/xtensa/isa_table.json`: its fixed bits decode to it, and it does what
//! the hand-computed vectors in `vectors.txt` say.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use xtensa::{Access, Cpu, NoBus, Stop, asm, decode, disasm};

const PC: u32 = 0x4008_0100;

#[derive(Deserialize)]
#[serde(untagged)]
enum Fixed {
    One(u32),
    Any(Vec<u32>),
}

impl Fixed {
    fn values(&self) -> Vec<u32> {
        match self {
            Self::One(value) => vec![*value],
            Self::Any(values) => values.clone(),
        }
    }
}

#[derive(Deserialize)]
struct Row {
    name: String,
    fmt: String,
    len: u32,
    fixed: BTreeMap<String, Fixed>,
}

#[derive(Deserialize)]
struct Table {
    rows: Vec<Row>,
}

fn rows() -> Vec<Row> {
    let text = include_str!("../../../fixtures/xtensa/isa_table.json");
    let table: Table = serde_json::from_str(text).unwrap();
    assert_eq!(table.rows.len(), 135);
    table.rows
}

/// Lowest bit and width of a field.
fn field(row: &Row, name: &str) -> (u32, u32) {
    match (row.fmt.as_str(), name) {
        (_, "op0") => (0, 4),
        ("CALL" | "BRI8" | "BRI12", "n") => (4, 2),
        ("BRI8" | "BRI12", "m") => (6, 2),
        (_, "t") => (4, 4),
        (_, "s") => (8, 4),
        (_, "r") => (12, 4),
        (_, "op1") => (16, 4),
        (_, "op2") => (20, 4),
        other => panic!("no field {other:?}"),
    }
}

struct Vector<'a> {
    text: &'a str,
    before: Vec<(&'a str, u32)>,
    after: Vec<(&'a str, u32)>,
}

fn settings(text: &str) -> Vec<(&str, u32)> {
    let pairs = text.split_whitespace().map(|pair| pair.split_once('=').unwrap());
    pairs.map(|(key, value)| (key, u32::from_str_radix(value, 16).unwrap())).collect()
}

fn vectors() -> BTreeMap<&'static str, Vec<Vector<'static>>> {
    let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for line in include_str!("vectors.txt").lines().filter(|line| !line.starts_with('#')) {
        let parts: Vec<&str> = line.split('|').map(str::trim).collect();
        let [row, text, before, after] = parts[..] else { panic!("{line}") };
        let vector = Vector { text, before: settings(before), after: settings(after) };
        all.entry(row).or_default().push(vector);
    }
    all
}

fn special(name: &str) -> u32 {
    let numbers = [
        ("lbeg", 0),
        ("lend", 1),
        ("lcount", 2),
        ("sar", 3),
        ("br", 4),
        ("scompare1", 12),
        ("epc1", 177),
        ("vecbase", 231),
        ("excvaddr", 238),
    ];
    numbers.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("{name}")).1
}

fn address(key: &str) -> Option<u32> {
    let digits = key.strip_prefix('[')?.strip_suffix(']')?;
    u32::from_str_radix(digits, 16).ok()
}

fn machine(vector: &Vector<'_>) -> Cpu {
    let mut cpu = Cpu::new();
    cpu.mem.map(0x4008_0000, 0x1000, Access::CODE).unwrap();
    cpu.mem.map(0x3ffb_0000, 0x1_0000, Access::DATA).unwrap();
    let mut window = (0, 1);
    for (key, value) in &vector.before {
        match *key {
            "wb" => window.0 = u8::try_from(*value).unwrap(),
            "ws" => window.1 = u16::try_from(*value).unwrap(),
            _ => {}
        }
    }
    cpu.set_window(window.0, window.1);
    for &(key, value) in &vector.before {
        match (key, address(key)) {
            ("wb" | "ws", _) => {}
            ("ps", _) => cpu.set_ps(value),
            (_, Some(addr)) => cpu.mem.write_word(addr, value).unwrap(),
            _ => match key.strip_prefix('a').and_then(|digits| digits.parse().ok()) {
                Some(n) => cpu.set_a(n, value),
                None => assert!(cpu.set_special_register(special(key), value)),
            },
        }
    }
    cpu.pc = PC;
    cpu
}

fn check(vector: &Vector<'_>) {
    let text = vector.text;
    let code = asm::assemble(PC, text).unwrap();
    let mut cpu = machine(vector);
    cpu.mem.write(PC, &code).unwrap();
    let outcome = cpu.run(&mut NoBus, 1);
    let mut expected_stop = None;
    let mut pc = PC + u32::try_from(code.len()).unwrap();
    for &(key, value) in &vector.after {
        let got = match (key, address(key)) {
            ("pc", _) => {
                pc = value;
                continue;
            }
            ("cause", _) => {
                let Stop::Exception(exception) = outcome.stop else {
                    panic!("{text}: {:?}", outcome.stop)
                };
                expected_stop = Some(outcome.stop);
                u32::from(exception.cause.number())
            }
            ("break", _) => {
                let (s, t) = (u8::try_from(value >> 4).unwrap(), (value & 15) as u8);
                expected_stop = Some(Stop::Break { pc: PC, s, t });
                continue;
            }
            ("wb", _) => u32::from(cpu.window_base()),
            ("ws", _) => u32::from(cpu.window_start()),
            ("ps", _) => cpu.ps(),
            (_, Some(addr)) => cpu.mem.read_word(addr).unwrap(),
            _ => match key.strip_prefix('a').and_then(|digits| digits.parse().ok()) {
                Some(n) => cpu.a(n),
                None => cpu.special_register(special(key)).unwrap(),
            },
        };
        assert_eq!(got, value, "{text}: {key} is {got:#x}, not {value:#x}");
    }
    let expected_stop = expected_stop.unwrap_or(if text.starts_with("waiti") {
        Stop::Idle { pc }
    } else {
        Stop::Budget
    });
    assert_eq!(outcome.stop, expected_stop, "{text}");
    assert_eq!(cpu.pc, pc, "{text}: pc {:#x}", cpu.pc);
}

#[test]
fn every_row_has_vectors_that_hold() {
    let vectors = vectors();
    let mut known = BTreeSet::new();
    for row in rows() {
        let list = vectors.get(row.name.as_str()).unwrap_or_else(|| panic!("{}", row.name));
        for vector in list {
            let code = asm::assemble(PC, vector.text).unwrap();
            assert_eq!(code.len(), row.len as usize, "{}", vector.text);
            let mut bytes = [0; 3];
            bytes[..code.len()].copy_from_slice(&code);
            let word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]);
            for (name, fixed) in &row.fixed {
                let (bit, width) = field(&row, name);
                let value = word >> bit & ((1 << width) - 1);
                assert!(fixed.values().contains(&value), "{}: {name} {value}", vector.text);
            }
            assert_eq!(disasm(PC, bytes), vector.text);
            check(vector);
        }
        known.insert(row.name);
    }
    let without_row: Vec<_> = vectors.keys().filter(|name| !known.contains(**name)).collect();
    assert!(without_row.is_empty(), "{without_row:?}");
}

/// All free bits of a row (sampled) decode to that row and nothing else.
#[test]
fn free_bits_do_not_change_the_row() {
    let mut state = 0x1234_5678_u32;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    };
    for row in rows() {
        for _ in 0..2000 {
            let mut word = random() & 0xff_ffff;
            for (name, fixed) in &row.fixed {
                let (bit, width) = field(&row, name);
                let values = fixed.values();
                let value = values[random() as usize % values.len()];
                word = word & !(((1 << width) - 1) << bit) | value << bit;
            }
            if row.name == "ENTRY" {
                word &= !0xc00;
            }
            let [a, b, c, _] = word.to_le_bytes();
            let insn = decode(PC, [a, b, c]);
            let name = row.name.to_lowercase();
            let base = name.strip_suffix(".n").unwrap_or(&name);
            assert_eq!(insn.op.name(), base, "{word:06x}");
            assert_eq!(insn.len(), row.len, "{word:06x}");
        }
    }
}

/// Whatever decodes can be assembled again to the same bytes.
#[test]
fn text_and_bytes_agree_in_both_directions() {
    let mut state = 7_u32;
    for _ in 0..300_000 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let [a, b, c, _] = (state >> 8).to_le_bytes();
        let text = disasm(PC, [a, b, c]);
        if text.starts_with(".byte") {
            continue;
        }
        let code = asm::assemble(PC, &text).unwrap_or_else(|error| panic!("{text}: {error}"));
        // Fields that an instruction ignores may differ, so compare what it means.
        let mut bytes = [0; 3];
        bytes[..code.len()].copy_from_slice(&code);
        assert_eq!(disasm(PC, bytes), text);
        assert_eq!(decode(PC, bytes).len() as usize, code.len(), "{text}");
    }
}

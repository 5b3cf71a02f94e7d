//! Why a part file was not accepted.

use std::ops::Range;

use crate::instruction_table::Meaning;
use crate::part::RegisterName;

/// A part file that was not accepted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PartError {
    /// Not TOML, an unknown key, a wrong type or value. The message shows line, column and what
    /// was allowed.
    #[error("{origin}: {error}")]
    Syntax {
        /// File name or other origin of the text.
        origin: String,
        /// The parser's error with its excerpt.
        error: Box<toml::de::Error>,
    },
    /// Well-formed, but the fields do not make a part.
    #[error("{origin}: {}", list(.faults, .lines))]
    Contents {
        /// File name or other origin of the text.
        origin: String,
        /// Everything that is wrong, in file order of the sections.
        faults: Vec<PartFault>,
        /// The line of each, where the file has its key.
        lines: Vec<Option<usize>>,
    },
    /// The text is longer than any part file.
    #[error("{origin}: {bytes} bytes, but a part file has at most {allowed}")]
    TooLong {
        /// File name or other origin of the text.
        origin: String,
        /// Its length.
        bytes: usize,
        /// The limit.
        allowed: usize,
    },
}

/// One thing that is wrong with a part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PartFault {
    /// An opcode with two meanings.
    #[error("opcode {opcode:02x}h is both {first:?} and {second:?}; an opcode has one meaning")]
    OpcodeTwice {
        /// The opcode.
        opcode: u8,
        /// One meaning.
        first: Meaning,
        /// The other.
        second: Meaning,
    },
    /// A size that is not a power of two in the allowed range.
    #[error("`{key}` is {bytes} bytes, allowed: a power of two from {} to {}", .allowed.start(), .allowed.end())]
    Size {
        /// Key in the file.
        key: String,
        /// Its value.
        bytes: u32,
        /// Allowed range.
        allowed: std::ops::RangeInclusive<u32>,
    },
    /// An erase size that does not divide the array.
    #[error("`erase` {opcode:02x}h: {bytes} bytes do not divide `capacity-bytes`")]
    EraseDoesNotDivide {
        /// Erase opcode.
        opcode: u8,
        /// Erase size.
        bytes: u32,
    },
    /// The JEDEC capacity byte says another size.
    #[error(
        "`jedec-id` capacity byte {byte:02x}h means {means} bytes, but `capacity-bytes` is {capacity}"
    )]
    JedecCapacity {
        /// Third byte of the id.
        byte: u8,
        /// What it stands for.
        means: u32,
        /// What the file says.
        capacity: u32,
    },
    /// The typical time is above the maximum, or the maximum is out of bounds.
    #[error(
        "`{key}`: typical {typical_us} us and maximum {maximum_us} us, allowed: typical <= maximum <= {limit_us}"
    )]
    Time {
        /// Key in the file.
        key: String,
        /// Typical time.
        typical_us: u32,
        /// Maximum time.
        maximum_us: u32,
        /// Longest time allowed.
        limit_us: u32,
    },
    /// The voltages are out of order.
    #[error("`supply-mv` [{}, {}] and `write-inhibit-mv` {write_inhibit_mv}, allowed: {lowest} <= write-inhibit-mv <= minimum <= maximum <= {highest}", .supply_mv[0], .supply_mv[1])]
    Supply {
        /// Supply range.
        supply_mv: [u16; 2],
        /// Write-inhibit voltage.
        write_inhibit_mv: u16,
        /// Lowest voltage allowed.
        lowest: u16,
        /// Highest voltage allowed.
        highest: u16,
    },
    /// A register that does not list bits 7 to 0 once each.
    #[error("`registers.{register}` lists bits {bits:?}, allowed: 7 to 0, each once")]
    Bits {
        /// Register.
        register: RegisterName,
        /// Bits as listed.
        bits: Vec<u8>,
    },
    /// A factory value that is no bit.
    #[error("`registers.{register}` bit {bit}: factory {factory}, allowed: 0 or 1")]
    Factory {
        /// Register.
        register: RegisterName,
        /// Bit.
        bit: u8,
        /// Its value.
        factory: u8,
    },
    /// Two bits with one name.
    #[error("two register bits are called `{name}`; only `R` and status bits may repeat")]
    BitNameTwice {
        /// The name.
        name: String,
    },
    /// A bit name that no register has.
    #[error("`{key}` names bit `{name}`, but no register has it; the registers have {}", .known.join(", "))]
    UnknownBit {
        /// Key in the file.
        key: String,
        /// Name.
        name: String,
        /// Names that exist.
        known: Vec<String>,
    },
    /// A register write to a register that the part does not have.
    #[error("`status-write` {opcode:02x}h writes `{register}`, but `registers` has no such entry")]
    UnknownTarget {
        /// Opcode of the write.
        opcode: u8,
        /// Register.
        register: RegisterName,
    },
    /// A register write with no data byte, or more than a part takes.
    #[error("`status-write` {opcode:02x}h has {bytes} data bytes, allowed: 1 to {allowed}")]
    FormLength {
        /// Opcode of the write.
        opcode: u8,
        /// Data bytes.
        bytes: usize,
        /// Most data bytes allowed.
        allowed: usize,
    },
    /// Two forms of one instruction with the same number of data bytes.
    #[error(
        "`status-write` {opcode:02x}h has two forms of {bytes} data bytes; a form is chosen by their number"
    )]
    FormTwice {
        /// Opcode of the write.
        opcode: u8,
        /// Data bytes.
        bytes: usize,
    },
    /// Lock regions that do not cover the array once.
    #[error("`individual-locks.regions`: {:#x}..{:#x} does not start where the one before ends ({expected:#x}) or does not hold whole units of {unit_bytes}", .region.start, .region.end)]
    LockRegion {
        /// The region.
        region: Range<u32>,
        /// Where it had to start.
        expected: u32,
        /// Its unit.
        unit_bytes: u32,
    },
    /// Lock regions that end before or after the array.
    #[error("`individual-locks.regions` end at {end:#x}, but the array ends at {capacity:#x}")]
    LockRegionsEnd {
        /// End of the last region.
        end: u32,
        /// Array size.
        capacity: u32,
    },
    /// A protection row outside the array or with a bit value that is no bit.
    #[error("`protection` row {:#x}..{:#x}: allowed are start <= end <= {capacity:#x} and bits 0 or 1", .range.start, .range.end)]
    ProtectionRow {
        /// The row's range.
        range: Range<u32>,
        /// Array size.
        capacity: u32,
    },
    /// A number out of bounds.
    #[error("`{key}` is {value}, allowed: {} to {}", .allowed.start(), .allowed.end())]
    Number {
        /// Key in the file.
        key: String,
        /// Its value.
        value: usize,
        /// Allowed range.
        allowed: std::ops::RangeInclusive<usize>,
    },
    /// A source id that is not in `sources`.
    #[error("`{key}` cites source `{source_id}`, but `sources` has no such entry")]
    UnknownSource {
        /// Key in the file.
        key: String,
        /// The id.
        source_id: String,
    },
    /// A group of fields without a grade.
    #[error("`confidence` has no entry for {group:?}")]
    NoGrade {
        /// The group.
        group: crate::part::FieldGroup,
    },
}

/// The faults, one a line.
fn list(faults: &[PartFault], lines: &[Option<usize>]) -> String {
    let lines = lines.iter().copied().chain(std::iter::repeat(None));
    let told = faults.iter().zip(lines).map(|(fault, line)| match line {
        Some(line) => format!("line {line}: {fault}"),
        None => fault.to_string(),
    });
    told.collect::<Vec<_>>().join("\n  ")
}

/// The line of a fault's key in a part file, counted from 1: the key's own line, or the first of its
/// table.
pub(crate) fn line_of(text: &str, fault: &PartFault) -> Option<usize> {
    let told = fault.to_string();
    let key = told.split('`').nth(1)?;
    let table = key.split('.').next()?;
    let mut header = String::new();
    let mut first_of_table = None;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('[') {
            line.trim_matches(['[', ']']).clone_into(&mut header);
        }
        let own = line.split_once(" = ").map_or("", |(own, _)| own);
        let full = if header.is_empty() { own.to_owned() } else { format!("{header}.{own}") };
        if full == key || header == key {
            return Some(number + 1);
        }
        if first_of_table.is_none() && (header == table || full == table) {
            first_of_table = Some(number + 1);
        }
    }
    first_of_table
}

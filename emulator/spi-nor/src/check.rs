//! Reading a part file and checking that its fields make a part.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use crate::part::{
    BitKind, FieldGroup, IndividualLocks, Part, Protection, ProtectionRow, RegisterName,
};
use crate::part_error::{PartError, PartFault, line_of};

/// Longest part file, in bytes; the built-in ones have about 10 KiB.
const LONGEST_FILE: usize = 256 * 1024;
/// Array sizes: 64 KiB to 256 MiB.
const CAPACITY: RangeInclusive<u32> = 0x1_0000..=0x1000_0000;
/// Page sizes.
const PAGE: RangeInclusive<u32> = 1..=4096;
/// Supply voltages in millivolts.
const SUPPLY_MV: RangeInclusive<u16> = 500..=6000;
/// Longest time of any operation: one hour.
const LONGEST_US: u32 = 3_600_000_000;
/// Most data bytes of a register write.
const FORM_BYTES: usize = 8;
/// Longest list in a part file (protection rows, lock regions, facts).
const LIST: usize = 1024;
/// Groups that every part has.
const GROUPS: [FieldGroup; 9] = [
    FieldGroup::Identity,
    FieldGroup::Supply,
    FieldGroup::Timing,
    FieldGroup::Instructions,
    FieldGroup::Registers,
    FieldGroup::StatusWrite,
    FieldGroup::StatusLock,
    FieldGroup::Protection,
    FieldGroup::Refused,
];

impl Part {
    /// Reads a part file.
    ///
    /// `origin` is the file's name, or whatever says where the text comes from; errors begin with
    /// it.
    ///
    /// # Errors
    /// Text that is not TOML, unknown or missing keys, wrong values (with line, column and what
    /// was allowed), and fields that contradict each other.
    pub fn parse(text: &str, origin: &str) -> Result<Self, PartError> {
        let origin = || origin.to_owned();
        if text.len() > LONGEST_FILE {
            return Err(PartError::TooLong {
                origin: origin(),
                bytes: text.len(),
                allowed: LONGEST_FILE,
            });
        }
        let part: Self = toml::from_str(text)
            .map_err(|error| PartError::Syntax { origin: origin(), error: Box::new(error) })?;
        part.checked(text, origin())
    }

    /// Reads a part file with some fields changed: tables of `changes` are merged into the file's,
    /// all else replaces what the file has under the key.
    ///
    /// # Errors
    /// As [`Self::parse`]; what is wrong in `changes` is named by its key.
    pub fn parse_changed(
        text: &str,
        changes: &toml::Table,
        origin: &str,
    ) -> Result<Self, PartError> {
        if changes.is_empty() {
            return Self::parse(text, origin);
        }
        let syntax =
            |error| PartError::Syntax { origin: origin.to_owned(), error: Box::new(error) };
        let mut table: toml::Table = toml::from_str(text).map_err(syntax)?;
        merge(&mut table, changes);
        let part: Self = table.try_into().map_err(syntax)?;
        part.checked("", origin.to_owned())
    }

    /// The part, if nothing is wrong with it.
    fn checked(self, text: &str, origin: String) -> Result<Self, PartError> {
        let faults = self.faults();
        if faults.is_empty() {
            return Ok(self);
        }
        let lines = faults.iter().map(|fault| line_of(text, fault)).collect();
        Err(PartError::Contents { origin, faults, lines })
    }

    /// Everything that is wrong with the part; empty for a good one.
    ///
    /// A board file that flips single fields checks the result with this.
    #[must_use]
    pub fn faults(&self) -> Vec<PartFault> {
        let mut faults = Vec::new();
        self.check_sizes(&mut faults);
        self.check_times(&mut faults);
        self.check_supply(&mut faults);
        self.check_opcodes(&mut faults);
        self.check_registers(&mut faults);
        self.check_status_writes(&mut faults);
        self.check_bit_names(&mut faults);
        self.check_protection(&mut faults);
        if let Some(locks) = &self.individual_locks {
            self.check_lock_regions(locks, &mut faults);
        }
        self.check_sources(&mut faults);
        faults
    }

    /// Capacity, page and erase sizes.
    fn check_sizes(&self, faults: &mut Vec<PartFault>) {
        check_size("capacity-bytes", self.capacity_bytes, &CAPACITY, faults);
        check_size("page-bytes", self.page_bytes, &PAGE, faults);
        let bytes = usize::from(self.program.max_bytes);
        check_number("program.max-bytes", bytes, 1..=self.page_bytes.max(1) as usize, faults);
        check_number("erase", self.erase.len(), 0..=16, faults);
        for erase in &self.erase {
            check_size("erase.bytes", erase.bytes, &(256..=*CAPACITY.end()), faults);
            if erase.bytes == 0 || !self.capacity_bytes.is_multiple_of(erase.bytes) {
                let (opcode, bytes) = (erase.opcode, erase.bytes);
                faults.push(PartFault::EraseDoesNotDivide { opcode, bytes });
            }
        }
        if let Some(means) = jedec_capacity(self.jedec_id.0[2])
            && means != self.capacity_bytes
            && self.jedec_capacity_is_meaningful()
        {
            let (byte, capacity) = (self.jedec_id.0[2], self.capacity_bytes);
            faults.push(PartFault::JedecCapacity { byte, means, capacity });
        }
    }

    /// The third id byte is log2 of the size with most vendors, but not with Atmel/Adesto (1Fh) and
    /// SST (`BFh`), whose bytes are device codes.
    fn jedec_capacity_is_meaningful(&self) -> bool {
        !matches!(self.jedec_id.0[0], 0x1f | 0xbf)
    }

    /// Typical and maximum times.
    fn check_times(&self, faults: &mut Vec<PartFault>) {
        let write = self.status_write_time;
        let mut times = vec![
            ("program", self.program.typical_us, self.program.maximum_us),
            ("chip-erase", self.chip_erase.typical_us, self.chip_erase.maximum_us),
            ("status-write-time", write.typical_us, write.maximum_us),
        ];
        times.extend(self.erase.iter().map(|e| ("erase", e.typical_us, e.maximum_us)));
        for (key, typical_us, maximum_us) in times {
            if typical_us > maximum_us || maximum_us > LONGEST_US {
                let (key, limit_us) = (key.to_owned(), LONGEST_US);
                faults.push(PartFault::Time { key, typical_us, maximum_us, limit_us });
            }
        }
    }

    /// Order of the voltages.
    fn check_supply(&self, faults: &mut Vec<PartFault>) {
        let [low, high] = self.supply_mv;
        let inhibit = self.write_inhibit_mv;
        let (lowest, highest) = (*SUPPLY_MV.start(), *SUPPLY_MV.end());
        if !(lowest <= inhibit && inhibit <= low && low <= high && high <= highest) {
            let (supply_mv, write_inhibit_mv) = (self.supply_mv, inhibit);
            faults.push(PartFault::Supply { supply_mv, write_inhibit_mv, lowest, highest });
        }
    }

    /// No opcode has two meanings.
    fn check_opcodes(&self, faults: &mut Vec<PartFault>) {
        let mut seen = BTreeMap::new();
        for (opcode, second) in self.meanings() {
            if let Some(first) = seen.insert(opcode, second) {
                faults.push(PartFault::OpcodeTwice { opcode, first, second });
            }
        }
        let chip_erases = self.chip_erase.opcodes.len();
        check_number("chip-erase.opcodes", chip_erases, 1..=8, faults);
    }

    /// Bits 7 to 0 once each, factory values, unique names.
    fn check_registers(&self, faults: &mut Vec<PartFault>) {
        for (&register, contents) in &self.registers {
            let bits: Vec<u8> = contents.bits.iter().map(|bit| bit.bit).collect();
            if bits != [7, 6, 5, 4, 3, 2, 1, 0] {
                faults.push(PartFault::Bits { register, bits });
            }
            for bit in contents.bits.iter().filter(|bit| bit.factory > 1) {
                let (bit, factory) = (bit.bit, bit.factory);
                faults.push(PartFault::Factory { register, bit, factory });
            }
        }
        let mut names = BTreeSet::new();
        for (_, bit) in self.bits().filter(|(_, bit)| bit.name != "R") {
            if !names.insert(&bit.name) && bit.kind != BitKind::Status {
                faults.push(PartFault::BitNameTwice { name: bit.name.clone() });
            }
        }
        check_number("registers", self.registers.len(), 1..=9, faults);
    }

    /// Targets exist; forms of one instruction differ in length.
    fn check_status_writes(&self, faults: &mut Vec<PartFault>) {
        let mut forms = BTreeSet::new();
        check_number("status-write", self.status_write.len(), 0..=64, faults);
        for form in &self.status_write {
            let (opcode, bytes) = (form.opcode, form.to.len());
            if bytes == 0 || bytes > FORM_BYTES {
                faults.push(PartFault::FormLength { opcode, bytes, allowed: FORM_BYTES });
            }
            if !forms.insert((opcode, bytes)) {
                faults.push(PartFault::FormTwice { opcode, bytes });
            }
            for register in form.to.iter().filter_map(|target| target.register()) {
                if self.register(register).is_none() {
                    faults.push(PartFault::UnknownTarget { opcode, register });
                }
            }
        }
    }

    /// Every bit that the file names elsewhere exists.
    fn check_bit_names(&self, faults: &mut Vec<PartFault>) {
        let mut used: Vec<(&str, &str)> = Vec::new();
        let lock = &self.status_lock;
        used.extend(lock.wp_enable_bit.iter().map(|n| ("status-lock.wp-enable-bit", n.as_str())));
        used.extend(lock.power_lock_bit.iter().map(|n| ("status-lock.power-lock-bit", n.as_str())));
        used.extend(self.quad_enable_bit.iter().map(|n| ("quad-enable-bit", n.as_str())));
        let clears = self.status_write.iter().flat_map(|form| &form.clears);
        used.extend(clears.map(|n| ("status-write.clears", n.as_str())));
        used.extend(self.protection.bit_names().into_iter().map(|n| ("protection", n)));
        let dummies = self.extra_dummy.iter().flat_map(|extra| extra.bits.keys());
        used.extend(dummies.map(|n| ("extra-dummy.bits", n.as_str())));
        let selects = self.individual_locks.iter().flat_map(|locks| &locks.select_bit);
        used.extend(selects.map(|n| ("individual-locks.select-bit", n.as_str())));
        used.extend(
            self.refused.program_flags.iter().map(|n| ("refused.program-flags", n.as_str())),
        );
        used.extend(self.refused.erase_flags.iter().map(|n| ("refused.erase-flags", n.as_str())));
        for (key, name) in used {
            if self.find_bit(name).is_none() {
                let mut known: Vec<String> = self.bits().map(|(_, bit)| bit.name.clone()).collect();
                known.truncate(80);
                let (key, name) = (key.to_owned(), name.to_owned());
                faults.push(PartFault::UnknownBit { key, name, known });
            }
        }
        let wants_quad =
            lock.wp_pin_ignored_when_qe || self.instructions.enter_qpi_needs_quad_enable;
        if wants_quad && self.quad_enable_bit.is_none() {
            let (key, name) = ("wp-pin-ignored-when-qe".to_owned(), "quad-enable-bit".to_owned());
            faults.push(PartFault::UnknownBit { key, name, known: Vec::new() });
        }
    }

    /// Protection rule: number of BP bits, unit, rows.
    fn check_protection(&self, faults: &mut Vec<PartFault>) {
        let rows = match &self.protection {
            Protection::BlockProtect { bp, unit_bytes, exceptions, first_bp, .. } => {
                self.check_rule(bp, *unit_bytes, faults);
                let largest = (1usize << bp.len().min(7)) - 1;
                let first = usize::from(*first_bp);
                check_number("protection.first-bp", first, 1..=largest.max(1), faults);
                exceptions
            }
            Protection::InverseBlockProtect { bp, unit_bytes, exceptions, .. }
            | Protection::SymmetricBlockProtect { bp, unit_bytes, exceptions, .. } => {
                self.check_rule(bp, *unit_bytes, faults);
                exceptions
            }
            Protection::Table { rows } => rows,
            Protection::BlockProtectionRegister { .. } => {
                let units = usize::from(self.individual_locks.is_some());
                return check_number("individual-locks", units, 1..=1, faults);
            }
            Protection::None {} => return,
        };
        check_number("protection rows", rows.len(), 0..=LIST, faults);
        for row in rows {
            check_row(row, self.capacity_bytes, faults);
        }
    }

    /// What all BP rules have in common.
    fn check_rule(&self, bp: &[String], unit_bytes: u32, faults: &mut Vec<PartFault>) {
        check_number("protection.bp", bp.len(), 1..=6, faults);
        let largest = self.capacity_bytes.clamp(4096, *CAPACITY.end());
        check_size("protection.unit-bytes", unit_bytes, &(4096..=largest), faults);
    }

    /// Lock regions cover the array once, in order, in whole units.
    fn check_lock_regions(&self, locks: &IndividualLocks, faults: &mut Vec<PartFault>) {
        check_number("individual-locks.regions", locks.regions.len(), 1..=LIST, faults);
        let mut expected = 0;
        for region in &locks.regions {
            let (start, end, unit_bytes) = (region.start, region.end, region.unit_bytes);
            let whole = unit_bytes >= 256
                && unit_bytes.is_power_of_two()
                && start.is_multiple_of(unit_bytes)
                && end.is_multiple_of(unit_bytes);
            if start != expected || end <= start || !whole {
                faults.push(PartFault::LockRegion { region: start..end, expected, unit_bytes });
            }
            expected = end;
        }
        if expected != self.capacity_bytes {
            let (end, capacity) = (expected, self.capacity_bytes);
            faults.push(PartFault::LockRegionsEnd { end, capacity });
        }
    }

    /// Every group has a grade and every cited source is listed.
    fn check_sources(&self, faults: &mut Vec<PartFault>) {
        check_number("facts", self.facts.len(), 0..=LIST, faults);
        let sfdp = self.sfdp.iter().map(|_| FieldGroup::Sfdp);
        let locks = self.individual_locks.iter().map(|_| FieldGroup::IndividualLocks);
        for group in GROUPS.into_iter().chain(sfdp).chain(locks) {
            if !self.confidence.contains_key(&group) {
                faults.push(PartFault::NoGrade { group });
            }
        }
        let grades = self.confidence.values().flat_map(|grade| &grade.sources);
        let facts = self.facts.iter().flat_map(|fact| &fact.sources);
        let cited = grades.map(|id| ("confidence", id)).chain(facts.map(|id| ("facts", id)));
        for (key, source_id) in cited {
            if !self.sources.contains_key(source_id) {
                let (key, source_id) = (key.to_owned(), source_id.clone());
                faults.push(PartFault::UnknownSource { key, source_id });
            }
        }
    }
}

/// Merges tables; everything else is replaced.
fn merge(table: &mut toml::Table, changes: &toml::Table) {
    for (key, change) in changes {
        match (table.get_mut(key), change) {
            (Some(toml::Value::Table(old)), toml::Value::Table(new)) => merge(old, new),
            _ => drop(table.insert(key.clone(), change.clone())),
        }
    }
}

/// Size that a JEDEC capacity byte stands for, if it is log2 of one.
fn jedec_capacity(byte: u8) -> Option<u32> {
    matches!(byte, 0x10..=0x1f).then(|| 1u32 << byte)
}

/// A power of two in `allowed`.
fn check_size(key: &str, bytes: u32, allowed: &RangeInclusive<u32>, faults: &mut Vec<PartFault>) {
    if !bytes.is_power_of_two() || !allowed.contains(&bytes) {
        let (key, allowed) = (key.to_owned(), allowed.clone());
        faults.push(PartFault::Size { key, bytes, allowed });
    }
}

/// A number in `allowed`.
fn check_number(
    key: &str,
    value: usize,
    allowed: RangeInclusive<usize>,
    faults: &mut Vec<PartFault>,
) {
    if !allowed.contains(&value) {
        faults.push(PartFault::Number { key: key.to_owned(), value, allowed });
    }
}

/// A row inside the array with bits 0 or 1.
fn check_row(row: &ProtectionRow, capacity: u32, faults: &mut Vec<PartFault>) {
    if row.start > row.end || row.end > capacity || row.bits.values().any(|&bit| bit > 1) {
        faults.push(PartFault::ProtectionRow { range: row.start..row.end, capacity });
    }
}

impl std::fmt::Display for RegisterName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Sr1 => "sr1",
            Self::Sr2 => "sr2",
            Self::Sr3 => "sr3",
            Self::Cr => "cr",
            Self::Cr1 => "cr1",
            Self::Cr2 => "cr2",
            Self::Fr => "fr",
            Self::Scur => "scur",
            Self::Fsr => "fsr",
        })
    }
}

#[cfg(test)]
mod tests;

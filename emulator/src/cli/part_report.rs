//! `emulator show PART` in words: every group of facts with its confidence.

use std::fmt::Write as _;

use spi_nor::part::{
    BitKind, Confidence, FieldGroup, HexBytes, Part, Protection, RegisterName, StatusWrite,
    WriteTarget,
};

/// The whole report.
pub(super) fn text(part: &Part) -> String {
    let [maker, kind, size] = part.jedec_id.0;
    let mut text = format!(
        "{} ({}), JEDEC id {maker:02x}{kind:02x}{size:02x}, {} bytes, page {} bytes\n",
        part.name, part.vendor, part.capacity_bytes, part.page_bytes
    );
    for group in GROUPS {
        let Some(lines) = lines(part, group) else { continue };
        let grade = part.confidence.get(&group);
        let level = grade.map_or("not graded", |grade| level(grade.level));
        let sources = grade.map_or(String::new(), |grade| grade.sources.join(", "));
        let _ = writeln!(text, "\n{} [{level}: {sources}]", heading(group));
        for line in lines {
            let _ = writeln!(text, "  {line}");
        }
    }
    if !part.facts.is_empty() {
        text.push_str("\nFacts\n");
    }
    for fact in &part.facts {
        let place = fact.place.as_ref().map_or(String::new(), |place| format!(" ({place})"));
        let (level, sources) = (level(fact.confidence), fact.sources.join(", "));
        let _ = writeln!(text, "  {}{place} [{level}: {sources}]", fact.fact);
    }
    text.push_str("\nSources\n");
    for (id, source) in &part.sources {
        let _ = writeln!(text, "  [{id}] {source}");
    }
    text.push_str(
        "\nA board file can change any of these in [flash.overrides]; those that are recalled are\n\
         what a real part may do otherwise.\n",
    );
    text
}

/// All groups in the order of the report.
const GROUPS: [FieldGroup; 11] = [
    FieldGroup::Identity,
    FieldGroup::Supply,
    FieldGroup::Registers,
    FieldGroup::StatusWrite,
    FieldGroup::StatusLock,
    FieldGroup::Protection,
    FieldGroup::IndividualLocks,
    FieldGroup::Refused,
    FieldGroup::Instructions,
    FieldGroup::Timing,
    FieldGroup::Sfdp,
];

/// A group in words.
const fn heading(group: FieldGroup) -> &'static str {
    match group {
        FieldGroup::Identity => "Identity",
        FieldGroup::Supply => "Supply",
        FieldGroup::Sfdp => "SFDP",
        FieldGroup::Timing => "Times",
        FieldGroup::Instructions => "Instructions",
        FieldGroup::Registers => "Registers, bit 7 first",
        FieldGroup::StatusWrite => "Register writes",
        FieldGroup::StatusLock => "Lock of the registers",
        FieldGroup::Protection => "Protection of the array",
        FieldGroup::IndividualLocks => "Individual locks",
        FieldGroup::Refused => "After a refused operation",
    }
}

/// Confidence in words.
const fn level(confidence: Confidence) -> &'static str {
    match confidence {
        Confidence::Datasheet => "datasheet",
        Confidence::Secondary => "secondary source",
        Confidence::Recalled => "recalled",
    }
}

/// What is known of one group; `None` if the part has nothing of the kind.
fn lines(part: &Part, group: FieldGroup) -> Option<Vec<String>> {
    Some(match group {
        FieldGroup::Identity => vec![format!("{}, {}", part.vendor, part.name)],
        FieldGroup::Supply => vec![format!(
            "{} to {} mV; nothing is written below {} mV, nothing answered below {} mV",
            part.supply_mv[0],
            part.supply_mv[1],
            part.write_inhibit_mv,
            part.read_minimum_mv.min(part.write_inhibit_mv)
        )],
        FieldGroup::Sfdp => vec![sfdp(part.sfdp.as_ref()?)],
        FieldGroup::Timing => times(part),
        FieldGroup::Instructions => instructions(part),
        FieldGroup::Registers => registers(part),
        FieldGroup::StatusWrite => part.status_write.iter().map(form).collect(),
        FieldGroup::StatusLock => status_lock(part),
        FieldGroup::Protection => protection(part),
        FieldGroup::IndividualLocks => locks(part)?,
        FieldGroup::Refused => refused(part),
    })
}

fn sfdp(sfdp: &HexBytes) -> String {
    format!("{} bytes at 5Ah", sfdp.0.len())
}

fn times(part: &Part) -> Vec<String> {
    let span = |what: String, typical: u32, maximum: u32| {
        format!("{what}: {} ms, at most {} ms", milliseconds(typical), milliseconds(maximum))
    };
    let (program, chip) = (&part.program, &part.chip_erase);
    let write = part.status_write_time;
    let what = format!("program of up to {} bytes", program.max_bytes);
    let mut lines = vec![span(what, program.typical_us, program.maximum_us)];
    lines.extend(part.erase.iter().map(|erase| {
        let what = format!("erase of {} KiB by {:02X}h", erase.bytes / 1024, erase.opcode);
        span(what, erase.typical_us, erase.maximum_us)
    }));
    lines.push(span("chip erase".to_owned(), chip.typical_us, chip.maximum_us));
    lines.push(span("register write".to_owned(), write.typical_us, write.maximum_us));
    lines
}

fn milliseconds(us: u32) -> String {
    if us.is_multiple_of(1000) {
        (us / 1000).to_string()
    } else {
        format!("{}.{:03}", us / 1000, us % 1000).trim_end_matches('0').to_owned()
    }
}

fn instructions(part: &Part) -> Vec<String> {
    let table = &part.instructions;
    let rows: [(&str, &[u8]); 21] = [
        ("write enable", &table.write_enable),
        ("write enable for a volatile register write", &table.write_enable_volatile),
        ("enable status write", &table.enable_status_write),
        ("write disable", &table.write_disable),
        ("program", &table.page_program),
        ("program on four lines", &table.quad_page_program),
        ("chip erase", &part.chip_erase.opcodes),
        ("clear fail flags", &table.clear_flags),
        ("enter QPI", &table.enter_qpi),
        ("leave QPI", &table.exit_qpi),
        ("enter OTP mode", &table.enter_otp),
        ("security registers: erase", &table.security_erase),
        ("security registers: program", &table.security_program),
        ("security registers: read", &table.security_read),
        ("reset enable", &table.reset_enable),
        ("reset", &table.reset),
        ("deep power-down", &table.power_down),
        ("release power-down", &table.release_power_down),
        ("ultra-deep power-down, after the other", &table.ultra_power_down),
        ("suspend", &table.suspend),
        ("resume", &table.resume),
    ];
    let mut lines: Vec<String> = rows
        .into_iter()
        .filter(|(_, opcodes)| !opcodes.is_empty())
        .map(|(what, opcodes)| format!("{what}: {}", hex(opcodes)))
        .collect();
    if table.enter_qpi_needs_quad_enable {
        lines.push("QPI is entered only while the quad enable bit is 1".to_owned());
    }
    lines
}

fn registers(part: &Part) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, register) in &part.registers {
        let read = if register.read.is_empty() {
            "not readable".to_owned()
        } else {
            format!("read by {}", hex(&register.read))
        };
        let factory = part.factory_value(*name);
        let names: Vec<_> = register.bits.iter().map(|bit| bit.name.as_str()).collect();
        let register_name = upper(*name);
        lines
            .push(format!("{register_name} ({read}, factory {factory:#04x}): {}", names.join(" ")));
        for kind in KINDS {
            let of_kind: Vec<_> = register
                .bits
                .iter()
                .filter(|bit| bit.kind == kind && bit.name != "R")
                .map(|bit| bit.name.as_str())
                .collect();
            if !of_kind.is_empty() {
                lines.push(format!("  {}: {}", kind_words(kind), of_kind.join(" ")));
            }
        }
    }
    if let Some(name) = &part.quad_enable_bit {
        lines.push(format!("quad enable: {name}"));
    }
    lines
}

const KINDS: [BitKind; 6] = [
    BitKind::Nv,
    BitKind::NvVolatile,
    BitKind::Volatile,
    BitKind::Otp,
    BitKind::Status,
    BitKind::Reserved,
];

const fn kind_words(kind: BitKind) -> &'static str {
    match kind {
        BitKind::Nv => "non-volatile",
        BitKind::NvVolatile => "non-volatile, with a volatile copy",
        BitKind::Volatile => "volatile",
        BitKind::Otp => "one time, 0 to 1",
        BitKind::Status => "shown by the part",
        BitKind::Reserved => "ignores writes",
    }
}

fn form(form: &StatusWrite) -> String {
    let to: Vec<_> = form.to.iter().map(|to| target(*to)).collect();
    let bytes = if form.to.len() == 1 { "byte" } else { "bytes" };
    let mut line =
        format!("{:02X}h with {} {bytes}: {}", form.opcode, form.to.len(), to.join(", "));
    if !form.clears.is_empty() {
        let _ = write!(line, "; clears {}", form.clears.join(" "));
    }
    if let Some(confidence) = form.confidence {
        let _ = write!(line, " [{}]", level(confidence));
    }
    line
}

fn target(target: WriteTarget) -> String {
    target.register().map_or_else(|| "dropped".to_owned(), upper)
}

fn status_lock(part: &Part) -> Vec<String> {
    let lock = &part.status_lock;
    let mut lines = Vec::new();
    if let Some(bit) = &lock.wp_enable_bit {
        let quad = if lock.wp_pin_ignored_when_qe { ", unless quad is enabled" } else { "" };
        lines.push(format!("{bit} = 1: locked while WP# is low{quad}"));
    }
    if let Some(bit) = &lock.power_lock_bit {
        lines.push(format!("{bit} = 1: locked until the next power cycle"));
        lines.push(match lock.both {
            spi_nor::part::BothLockBits::OneTimeProgram => "both = 1: locked for ever".to_owned(),
            spi_nor::part::BothLockBits::PowerLock => {
                "both = 1: locked until the next power cycle".to_owned()
            }
        });
    }
    if lines.is_empty() {
        lines.push("never locked".to_owned());
    }
    lines
}

fn protection(part: &Part) -> Vec<String> {
    let rule = match &part.protection {
        Protection::BlockProtect { first_bp, unit_bytes, exceptions, .. } => format!(
            "BP = {first_bp} protects {} KiB, every step doubles it; {} rows of its own",
            unit_bytes / 1024,
            exceptions.len()
        ),
        Protection::InverseBlockProtect { unit_bytes, .. } => {
            format!("BP says what stays writable: BP = 1 leaves {} KiB", unit_bytes / 1024)
        }
        Protection::SymmetricBlockProtect { unit_bytes, .. } => format!(
            "BP = 1 protects {} KiB; doubles to one half, then halves what is left",
            unit_bytes / 1024
        ),
        Protection::Table { rows } => format!("printed table of {} rows", rows.len()),
        Protection::BlockProtectionRegister { read, write, lock_down, lock_for_ever } => format!(
            "block protection register: read {read:02X}h, write {write:02X}h, lock down \
             {lock_down:02X}h, lock for ever {lock_for_ever:02X}h"
        ),
        Protection::None {} => "none".to_owned(),
    };
    let names = part.protection.bit_names();
    let mut lines = vec![rule];
    if !names.is_empty() {
        lines.push(format!("decided by {}", names.join(" ")));
    }
    lines.push(match part.chip_erase.rule {
        spi_nor::part::ChipEraseRule::NothingProtected => {
            "chip erase is refused if any byte is protected".to_owned()
        }
        spi_nor::part::ChipEraseRule::BpAllZero => {
            "chip erase is refused if any BP bit is 1".to_owned()
        }
    });
    lines
}

fn locks(part: &Part) -> Option<Vec<String>> {
    let locks = part.individual_locks.as_ref()?;
    let state = if locks.locked_at_power_up { "locked" } else { "open" };
    let mut lines = vec![match &locks.select_bit {
        Some(bit) => format!("count while {bit} = 1; {state} at power-up"),
        None => format!("always count; {state} at power-up"),
    }];
    lines.extend(locks.regions.iter().map(|region| {
        let unit = region.unit_bytes / 1024;
        format!("{:#x}..{:#x} in units of {unit} KiB", region.start, region.end)
    }));
    let rows: [(&str, &[u8]); 6] = [
        ("select", &locks.select),
        ("lock", &locks.lock),
        ("unlock", &locks.unlock),
        ("read", &locks.read),
        ("lock all", &locks.global_lock),
        ("unlock all", &locks.global_unlock),
    ];
    let rows = rows.into_iter().filter(|(_, opcodes)| !opcodes.is_empty());
    lines.extend(rows.map(|(what, opcodes)| format!("{what}: {}", hex(opcodes))));
    Some(lines)
}

fn refused(part: &Part) -> Vec<String> {
    let refused = &part.refused;
    let latch = |latch| match latch {
        spi_nor::part::AfterRefusal::Clear => "cleared",
        spi_nor::part::AfterRefusal::Keep => "kept",
    };
    let mut lines = vec![
        format!("WEL after a program or erase: {}", latch(refused.write_enable_latch)),
        format!("WEL after a register write: {}", latch(refused.status_write_enable_latch)),
    ];
    for (what, flags) in [("program", &refused.program_flags), ("erase", &refused.erase_flags)] {
        if !flags.is_empty() {
            lines.push(format!("fail flags of a refused {what}: {}", flags.join(" ")));
        }
    }
    lines
}

/// A register as datasheets write it.
fn upper(name: RegisterName) -> String {
    name.to_string().to_uppercase()
}

fn hex(opcodes: &[u8]) -> String {
    let opcodes: Vec<_> = opcodes.iter().map(|opcode| format!("{opcode:02X}h")).collect();
    opcodes.join(", ")
}

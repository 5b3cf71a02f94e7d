//! From evidence to a conclusion: a pure function.

use super::{Cause, Confidence, Diagnosis, Evidence, Finding, Open, Pattern, Remedy};
use crate::{
    flash::ScratchReport,
    preflight::{PartState, intersection},
    protect::Protected,
};

/// What the strap MTDI selects for the flash, in millivolts.
const STRAP_SUPPLY_MV: u16 = 1950;

/// Concludes. The order of the rules is the order in which one thing can imitate another: what
/// disturbs reading comes first, what can be seen directly comes before what is inferred.
#[must_use]
pub fn decide(evidence: &Evidence) -> Diagnosis {
    let rules = [
        unstable,
        supply_strap,
        no_write_enable,
        byte_program,
        individual_locks,
        register_bits,
        program_lost,
        deaf,
        hidden,
        locked_and_open,
        unexplained,
    ];
    let found = rules.into_iter().find_map(|rule| rule(evidence));
    let mut diagnosis = found.unwrap_or_else(|| nothing(evidence));
    name_pin(&mut diagnosis, evidence);
    if let Some(part) = evidence.rom_enters_qpi.clone() {
        diagnosis.evidence.push(Finding::RomEntersQpi { part });
    }
    if evidence.candidates.is_empty() {
        diagnosis.evidence.push(Finding::UnknownPart);
        diagnosis.open.push(Open::PartRules);
    }
    diagnosis
}

fn conclude(cause: Cause, confidence: Confidence, remedy: Remedy) -> Diagnosis {
    let (evidence, open) = (Vec::new(), Vec::new());
    Diagnosis { cause, confidence, array_open: false, evidence, remedy, open }
}

/// A register write is part of the remedy, and SRP0 makes it depend on a pin that the wire does not
/// show: that is said before anybody tries.
fn name_pin(diagnosis: &mut Diagnosis, evidence: &Evidence) {
    let by_registers = matches!(diagnosis.remedy, Remedy::ProtectClear | Remedy::StatusRewrite);
    let state = evidence.parts.iter().find(|state| state.lock_obeys_pin);
    let Some(state) = state.filter(|_| by_registers) else { return };
    let refused = evidence.pin_refused == Some(true);
    let part = state.part.clone();
    diagnosis.evidence.push(Finding::LockObeysPin { part, refused });
    if refused {
        // The pin explains what the failed attempt of a cure left open.
        diagnosis.confidence = Confidence::High;
        diagnosis.remedy = Remedy::RaiseWriteProtectPin;
        return;
    }
    if evidence.pin_refused.is_none() {
        diagnosis.open.push(Open::WriteProtectPin);
        if diagnosis.remedy == Remedy::ProtectClear {
            diagnosis.remedy = Remedy::ProtectClearIfPinHigh;
        }
    }
}

/// What does not read twice alike cannot be judged.
fn unstable(evidence: &Evidence) -> Option<Diagnosis> {
    let varying = pattern(evidence) == Some(Pattern::Varying);
    if !(evidence.reads_vary || evidence.registers_vary || varying) {
        return None;
    }
    let confidence = if evidence.reads_vary { Confidence::High } else { Confidence::Medium };
    let mut diagnosis = conclude(Cause::Supply, confidence, Remedy::CheckSupply);
    if evidence.reads_vary || varying {
        diagnosis.evidence.push(Finding::ReadsVary);
    }
    if evidence.registers_vary {
        diagnosis.evidence.push(Finding::RegistersVary);
    }
    diagnosis.open.push(Open::SupplyOrLine);
    Some(diagnosis)
}

/// Below its write-inhibit level a flash reads perfectly and ignores what changes it: no other
/// evidence can tell that from protection (FIELD-CASES `vdd-sdio`).
fn supply_strap(evidence: &Evidence) -> Option<Diagnosis> {
    let needs_mv = evidence.supply_min_mv.filter(|needs| *needs > STRAP_SUPPLY_MV)?;
    if !evidence.strap_vdd_1v8 || works(evidence) {
        return None;
    }
    let mut diagnosis = conclude(Cause::Supply, Confidence::High, Remedy::CheckSupply);
    diagnosis.evidence.push(Finding::SupplyStrap { needs_mv });
    if !evidence.write_enable {
        diagnosis.evidence.push(Finding::NoWriteEnable);
    }
    add_attempts(&mut diagnosis, evidence);
    Some(diagnosis)
}

/// Below its write-inhibit level a flash reads perfectly and ignores write enable (QUIRKS Q25).
fn no_write_enable(evidence: &Evidence) -> Option<Diagnosis> {
    if evidence.write_enable {
        return None;
    }
    let mut diagnosis = conclude(Cause::Supply, Confidence::Low, Remedy::CheckSupply);
    diagnosis.evidence.push(Finding::NoWriteEnable);
    diagnosis.open.push(Open::SupplyOrMisreading);
    Some(diagnosis)
}

fn byte_program(evidence: &Evidence) -> Option<Diagnosis> {
    if !evidence.byte_program {
        return None;
    }
    let mut diagnosis = conclude(Cause::UnsupportedPart, Confidence::High, Remedy::OtherProgrammer);
    let part = evidence.candidates.first().cloned().unwrap_or_default();
    diagnosis.evidence.push(Finding::ByteProgram { part });
    diagnosis.evidence.extend(evidence.parts.iter().filter_map(bits_finding));
    Some(diagnosis)
}

fn individual_locks(evidence: &Evidence) -> Option<Diagnosis> {
    let touches = |state: &PartState| {
        let target = evidence.written.clone().unwrap_or(0..u32::MAX);
        let mut known = state.locked_ranges.iter().peekable();
        known.peek().is_none() || known.any(|range| intersection(range, &target).is_some())
    };
    let rules = |state: &&PartState| {
        state.now == Protected::ByLocks && state.locked_unit != Some(false) && touches(state)
    };
    let state = evidence.parts.iter().find(rules)?;
    if works(evidence) {
        return None;
    }
    let confidence = match state.locked_unit {
        Some(true) => Confidence::High,
        _ => Confidence::Medium,
    };
    let mut diagnosis = conclude(Cause::IndividualLocks, confidence, Remedy::ProtectClear);
    diagnosis.evidence.push(Finding::LocksRule {
        part: state.part.clone(),
        registers: state.registers.to_string(),
        locked: state.locked_unit,
    });
    if evidence.registers_locked.is_some() {
        lock(&mut diagnosis, evidence);
    }
    add_attempts(&mut diagnosis, evidence);
    Some(diagnosis)
}

fn register_bits(evidence: &Evidence) -> Option<Diagnosis> {
    let covers = |state: &&PartState| {
        let Protected::Range(protected) = &state.now else { return false };
        let target = evidence.written.clone().unwrap_or(0..u32::MAX);
        intersection(protected, &target).is_some()
    };
    let state = evidence.parts.iter().find(covers)?;
    let all = evidence.parts.iter().all(|state| covers(&state));
    let confidence = if all { Confidence::High } else { Confidence::Medium };
    let confidence = match evidence.cure {
        Some(true) => Confidence::High,
        Some(false) => Confidence::Low,
        None => confidence,
    };
    let mut diagnosis = conclude(Cause::RegisterBits, confidence, Remedy::ProtectClear);
    diagnosis.evidence.extend(bits_finding(state));
    if !all {
        diagnosis.open.push(Open::WhichPart);
    }
    if evidence.registers_locked.is_some() {
        diagnosis.cause = Cause::RegistersLocked;
        lock(&mut diagnosis, evidence);
    }
    add_attempts(&mut diagnosis, evidence);
    Some(diagnosis)
}

/// Erased and not programmed.
fn program_lost(evidence: &Evidence) -> Option<Diagnosis> {
    let scratch_lost = evidence
        .scratch
        .as_ref()
        .is_some_and(|scratch| scratch.erased && scratch.programmed == Some(false));
    let blank = pattern(evidence) == Some(Pattern::Blank);
    let tried = evidence.scratch.as_ref().is_some_and(ScratchReport::works);
    if !(scratch_lost || blank && !tried) {
        return None;
    }
    let refused = evidence.scratch.as_ref().is_some_and(ScratchReport::refused);
    if refused {
        return None;
    }
    let mut diagnosis = conclude(Cause::Wiring, Confidence::High, Remedy::CheckWiring);
    diagnosis.array_open = true;
    diagnosis.open.push(Open::WhichWire);
    add_attempts(&mut diagnosis, evidence);
    diagnosis.evidence.extend(evidence.parts.iter().filter_map(clean_finding));
    Some(diagnosis)
}

/// Neither array nor registers take anything, and nothing that can be read locks them.
fn deaf(evidence: &Evidence) -> Option<Diagnosis> {
    let locked = evidence.registers_locked.is_some();
    if evidence.registers_writable != Some(false) || locked || works(evidence) {
        return None;
    }
    let mut diagnosis = conclude(Cause::Supply, Confidence::Medium, Remedy::CheckSupply);
    diagnosis.evidence.push(Finding::RegistersIgnoreWrites);
    diagnosis.open.push(Open::SupplyOrMisreading);
    add_attempts(&mut diagnosis, evidence);
    Some(diagnosis)
}

/// Refused although the registers say that nothing is protected.
fn hidden(evidence: &Evidence) -> Option<Diagnosis> {
    let refused = evidence.scratch.as_ref().is_some_and(ScratchReport::refused);
    let untouched = pattern(evidence) == Some(Pattern::OldContent);
    let tried = evidence.scratch.as_ref().is_some_and(ScratchReport::works);
    if !(refused || untouched && !tried) {
        return None;
    }
    let confidence = match (evidence.candidates.is_empty(), refused) {
        (true, _) => Confidence::Low,
        (false, true) => Confidence::High,
        (false, false) => Confidence::Medium,
    };
    let mut diagnosis = conclude(Cause::HiddenProtection, confidence, Remedy::StatusRewrite);
    if evidence.registers_writable == Some(true) {
        diagnosis.evidence.push(Finding::RegistersTakeWrites);
    } else {
        diagnosis.open.push(Open::SupplyOrMisreading);
    }
    add_attempts(&mut diagnosis, evidence);
    diagnosis.evidence.extend(evidence.parts.iter().filter_map(clean_finding));
    diagnosis.open.push(Open::HiddenMechanism);
    if evidence.registers_locked.is_some() {
        lock(&mut diagnosis, evidence);
    }
    Some(diagnosis)
}

/// The registers are locked and protect nothing.
fn locked_and_open(evidence: &Evidence) -> Option<Diagnosis> {
    evidence.registers_locked?;
    let mut diagnosis = conclude(Cause::RegistersLocked, Confidence::High, Remedy::None);
    diagnosis.evidence.extend(evidence.parts.iter().filter_map(clean_finding));
    lock(&mut diagnosis, evidence);
    diagnosis.array_open = true;
    add_attempts(&mut diagnosis, evidence);
    Some(diagnosis)
}

/// A difference that no rule explains.
fn unexplained(evidence: &Evidence) -> Option<Diagnosis> {
    evidence.differences.as_ref()?;
    let mut diagnosis = conclude(Cause::Open, Confidence::Low, Remedy::Probe);
    add_attempts(&mut diagnosis, evidence);
    diagnosis.evidence.extend(evidence.parts.iter().filter_map(clean_finding));
    Some(diagnosis)
}

fn nothing(evidence: &Evidence) -> Diagnosis {
    let tried = works(evidence);
    let confidence = if tried { Confidence::High } else { Confidence::Medium };
    let remedy = if tried { Remedy::None } else { Remedy::Probe };
    let mut diagnosis = conclude(Cause::NothingFound, confidence, remedy);
    diagnosis.array_open = true;
    diagnosis.evidence.extend(evidence.parts.iter().filter_map(clean_finding));
    add_attempts(&mut diagnosis, evidence);
    if !tried {
        diagnosis.open.push(Open::WritesUntried);
    }
    diagnosis
}

fn works(evidence: &Evidence) -> bool {
    evidence.scratch.as_ref().is_some_and(ScratchReport::works)
}

fn pattern(evidence: &Evidence) -> Option<Pattern> {
    evidence.differences.as_ref().map(|differences| differences.pattern)
}

/// Marks what is locked, and whether anything can be done.
fn lock(diagnosis: &mut Diagnosis, evidence: &Evidence) {
    let for_ever = evidence.registers_locked == Some(true);
    diagnosis.evidence.push(Finding::RegistersLocked { for_ever });
    if !for_ever {
        diagnosis.open.push(Open::LockDuration);
    }
    if diagnosis.remedy != Remedy::None {
        diagnosis.remedy = Remedy::ReplaceFlash;
    }
}

fn bits_finding(state: &PartState) -> Option<Finding> {
    let Protected::Range(range) = &state.now else { return None };
    (!range.is_empty()).then(|| Finding::BitsProtect {
        part: state.part.clone(),
        registers: state.registers.to_string(),
        bits: state.bits.clone(),
        range: range.clone(),
    })
}

fn clean_finding(state: &PartState) -> Option<Finding> {
    let clean = match &state.now {
        Protected::Range(range) => range.is_empty(),
        Protected::ByLocks => state.locked_unit == Some(false),
        Protected::Unknown => false,
    };
    clean.then(|| Finding::NothingProtected {
        part: state.part.clone(),
        registers: state.registers.to_string(),
    })
}

/// What was tried and how it went.
fn add_attempts(diagnosis: &mut Diagnosis, evidence: &Evidence) {
    if let Some(differences) = &evidence.differences {
        let (pattern, ranges) = (differences.pattern, differences.ranges.clone());
        diagnosis.evidence.push(Finding::Holds { pattern, ranges });
    }
    let Some(scratch) = &evidence.scratch else { return };
    let sector = scratch.sector;
    let cure = evidence.cure.map(|works| Finding::CureTried { sector, works });
    diagnosis.evidence.push(if scratch.works() {
        Finding::SectorWorks { sector }
    } else if scratch.erased && !scratch.refused() {
        Finding::ProgramLost { sector }
    } else {
        Finding::EraseRefused { sector, latch_kept: scratch.latch_kept }
    });
    diagnosis.evidence.extend(cure);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{diagnose::Differences, protect::Registers};

    fn state(now: Protected) -> PartState {
        PartState {
            part: "PART".to_owned(),
            registers: Registers::default(),
            then: now.clone(),
            now,
            locked_unit: None,
            locked_ranges: Vec::new(),
            registers_locked: None,
            lock_obeys_pin: false,
            bits: Vec::new(),
            overlaps: Vec::new(),
        }
    }

    fn clean() -> Evidence {
        Evidence {
            candidates: vec!["PART".to_owned()],
            parts: vec![state(Protected::Range(0..0))],
            write_enable: true,
            ..Evidence::default()
        }
    }

    fn holding(pattern: Pattern) -> Evidence {
        let ranges = std::iter::once(0x1000..0x2000).collect();
        let differences = Differences { ranges, pattern, blank_sectors: 0, differing_sectors: 1 };
        Evidence { differences: Some(differences), written: Some(0x1000..0x2000), ..clean() }
    }

    #[test]
    fn clean_registers_alone_blame_nobody_and_say_what_is_open() {
        let diagnosis = decide(&clean());
        assert_eq!(diagnosis.cause, Cause::NothingFound);
        assert_eq!(diagnosis.open, [Open::WritesUntried]);
    }

    #[test]
    fn protection_elsewhere_does_not_explain_a_mismatch_here() {
        let elsewhere = vec![state(Protected::Range(0x10_0000..0x20_0000))];
        let evidence = Evidence { parts: elsewhere, ..holding(Pattern::Blank) };
        assert_eq!(decide(&evidence).cause, Cause::Wiring);
    }

    #[test]
    fn varying_reads_forbid_every_other_conclusion() {
        let all = vec![state(Protected::Range(0..0x40_0000))];
        let evidence = Evidence { parts: all, reads_vary: true, ..holding(Pattern::OldContent) };
        assert_eq!(decide(&evidence).cause, Cause::Supply);
    }

    #[test]
    fn old_content_under_clean_registers_is_hidden_protection_unless_nothing_is_heard() {
        let old = holding(Pattern::OldContent);
        assert_eq!(decide(&old).cause, Cause::HiddenProtection);
        let deaf = Evidence { registers_writable: Some(false), ..old };
        assert_eq!(decide(&deaf).cause, Cause::Supply);
    }

    #[test]
    fn an_and_of_old_and_new_stays_open() {
        let diagnosis = decide(&holding(Pattern::Anded));
        assert_eq!((diagnosis.cause, diagnosis.confidence), (Cause::Open, Confidence::Low));
    }

    #[test]
    fn candidates_that_disagree_lower_the_confidence() {
        let mut evidence = clean();
        evidence.parts.push(state(Protected::Range(0..0x40_0000)));
        let diagnosis = decide(&evidence);
        assert_eq!(diagnosis.confidence, Confidence::Medium);
        assert_eq!(diagnosis.open, [Open::WhichPart]);
    }

    #[test]
    fn the_pin_is_named_before_a_cure_and_after_one_that_was_refused() {
        let obeys = PartState { lock_obeys_pin: true, ..state(Protected::Range(0..0x40_0000)) };
        let mut evidence = Evidence { parts: vec![obeys], ..clean() };
        let before = decide(&evidence);
        assert_eq!(before.remedy, Remedy::ProtectClearIfPinHigh);
        assert!(before.open.contains(&Open::WriteProtectPin), "{before:?}");
        assert!(before.remedy.text().contains("WP#") && before.remedy.text().contains("GPIO10"));
        evidence.pin_refused = Some(true);
        evidence.cure = Some(false);
        let after = decide(&evidence);
        assert_eq!(after.remedy, Remedy::RaiseWriteProtectPin);
        assert_eq!((after.cause, after.confidence), (Cause::RegisterBits, Confidence::High));
        // The registers took the trial: the pin is high.
        evidence.pin_refused = Some(false);
        evidence.cure = Some(true);
        assert_eq!(decide(&evidence).remedy, Remedy::ProtectClear);
        // Without a register write in the remedy nothing is said of it.
        evidence.reads_vary = true;
        let other = decide(&evidence);
        assert!(!other.evidence.iter().any(|it| matches!(it, Finding::LockObeysPin { .. })));
    }

    #[test]
    fn locked_registers_with_bits_set_have_no_cure() {
        let all = vec![state(Protected::Range(0..0x40_0000))];
        let evidence = Evidence { parts: all, registers_locked: Some(true), ..clean() };
        let diagnosis = decide(&evidence);
        assert_eq!(diagnosis.cause, Cause::RegistersLocked);
        assert_eq!(diagnosis.remedy, Remedy::ReplaceFlash);
    }
}

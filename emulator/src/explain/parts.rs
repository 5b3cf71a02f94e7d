//! The parts that are tried, those of equal behaviour together.

use std::collections::BTreeMap;

use spi_nor::part::{HexBytes, JedecId, Part, Span};

use super::{
    ExplainError,
    observed::{Observed, Step, Took},
};
use crate::case::{boot::Flavour, read_text};

/// Parts that answer every step alike.
#[derive(Debug, Clone)]
pub(super) struct Group {
    /// The first of them, without what only readers want.
    pub(super) part: Part,
    /// Names of all of them.
    pub(super) names: Vec<String>,
}

/// Which parts are tried.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) groups: Vec<Group>,
    /// Nothing in the catalogue is as the file says, so everything is tried.
    pub(super) unknown: bool,
}

impl Parts {
    /// The parts that the observations allow.
    pub(super) fn of(observed: &Observed) -> Result<Self, ExplainError> {
        let known = &observed.flash;
        if let Some(path) = &known.part_file {
            let text = read_text(path)?;
            let part = Part::parse(&text, &path.display().to_string())?;
            return Ok(Self { groups: group(vec![part], observed), unknown: false });
        }
        let all = spi_nor::catalog::parse_all()?;
        if let Some(name) = &known.part {
            let part = all.into_iter().find(|part| part.name.eq_ignore_ascii_case(name));
            let part = part.ok_or_else(|| ExplainError::UnknownPart(name.clone()))?;
            return Ok(Self { groups: group(vec![part], observed), unknown: false });
        }
        let fits = |part: &&Part| {
            known.id.is_none_or(|id| id.matches(part.jedec_id.0))
                && known.capacity_bytes.is_none_or(|bytes| bytes == part.capacity_bytes)
        };
        let fitting: Vec<_> = all.iter().filter(fits).cloned().collect();
        let unknown = fitting.is_empty();
        let parts = if unknown { all } else { fitting };
        Ok(Self { groups: group(parts, observed), unknown })
    }

    /// How many parts there are in all groups.
    pub(super) fn count(&self) -> usize {
        self.groups.iter().map(|group| group.names.len()).sum()
    }
}

/// Puts parts together whose data differ only in what no step can tell.
fn group(parts: Vec<Part>, observed: &Observed) -> Vec<Group> {
    let boots = observed.steps.iter().any(|step| matches!(step, Step::Boot(_)));
    let times = observed.steps.iter().any(|step| {
        matches!(step, Step::EraseChip(erase) if matches!(erase.took, Some(Took::About(_))))
            || matches!(step, Step::Erase(erase) if matches!(erase.took, Some(Took::About(_))))
    });
    let asks = observed.steps.iter().any(|step| matches!(step, Step::Select(_)));
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for part in parts {
        let part = without_prose(part);
        let mut alike = part.clone();
        alike.name.clear();
        if !asks {
            alike.jedec_id = JedecId([0; 3]);
            alike.sfdp = None::<HexBytes>;
        }
        if !times {
            forget_times(&mut alike);
        }
        let flavours = boots.then(|| {
            let id = part.jedec_id.0;
            (Flavour::of_idf(id, false), Flavour::of_idf(id, true))
        });
        let key = format!("{alike:?} {flavours:?}");
        let name = part.name.clone();
        groups.entry(key).or_insert_with(|| Group { part, names: Vec::new() }).names.push(name);
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    groups.sort_by(|one, other| one.names.cmp(&other.names));
    groups
}

/// The part without what no step sees.
fn without_prose(mut part: Part) -> Part {
    part.vendor.clear();
    part.facts.clear();
    part.sources.clear();
    part.confidence.clear();
    for form in &mut part.status_write {
        form.confidence = None;
    }
    part
}

/// Only whether an operation takes time is looked at.
fn forget_times(part: &mut Part) {
    part.chip_erase.typical_us = 1;
    part.chip_erase.maximum_us = 1;
    for erase in &mut part.erase {
        erase.typical_us = 1;
        erase.maximum_us = 1;
    }
    part.program.typical_us = 1;
    part.program.maximum_us = 1;
    part.supply_mv = [3300; 2];
    let Span { typical_us, .. } = part.status_write_time;
    part.status_write_time = Span { typical_us, maximum_us: typical_us };
}

//! What came of a search, as data.

use std::{collections::BTreeSet, fmt::Write as _};

use serde::Serialize;

use super::{
    mechanism::Assumption,
    next::Split,
    search::{Contradiction, Outcome, Search, Survivor},
    stage::Seen,
    text,
};
use crate::case::{Class, Flavour};

/// States of one mechanism that are told.
const STATES_MAX: usize = 8;
/// Measurements that are told.
const NEXT_MAX: usize = 5;

/// What can stand behind the observations.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Explanation {
    /// Title of the observation file.
    pub title: String,
    /// Its sources.
    pub sources: Vec<String>,
    /// The steps, in words with what was seen.
    pub steps: Vec<String>,
    /// Parts that fit what is known of the flash.
    pub parts: usize,
    /// Groups of them that behave alike.
    pub groups: usize,
    /// Nothing in the catalogue is as the file says of the flash; all parts were tried.
    pub part_unknown: bool,
    /// Boards that were played on.
    pub boards: usize,
    /// What reproduces everything, the one with the least to believe first.
    pub fits: Vec<Fitting>,
    /// What does not, the nearest first.
    pub excluded: Vec<Excluded>,
    /// Mechanisms that no part which fits can have, or that need a boot where there was none.
    pub not_applicable: Vec<String>,
    /// Mechanisms that are not needed: the parts that can have them show everything without.
    pub not_needed: Vec<String>,
    /// What to measure next, the most telling first.
    pub next: Vec<NextStep>,
}

/// A mechanism that reproduces everything.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Fitting {
    /// Short name.
    pub name: String,
    /// One line.
    pub title: String,
    /// Class of the cause.
    pub class: Class,
    /// What has to be believed.
    pub assumes: Vec<Assumption>,
    /// Sum of their weights.
    pub weight: u32,
    /// Parts on which it reproduces everything.
    pub parts: Vec<String>,
    /// Boards of these parts that do.
    pub boards: usize,
    /// Some of their states, in words.
    pub states: Vec<String>,
    /// What their boots do, where the file leaves it open.
    pub boots: Vec<String>,
}

/// A mechanism that does not reproduce everything.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Excluded {
    /// Short name.
    pub name: String,
    /// One line.
    pub title: String,
    /// Class of the cause.
    pub class: Class,
    /// The nearest board, in words.
    pub nearest: String,
    /// What it contradicts.
    pub contradicts: Vec<Contradicts>,
    /// The loader would not answer any more.
    pub hangs: bool,
    /// Only readings of the status registers contradict it.
    pub only_readings: bool,
}

/// A step that comes out otherwise.
#[derive(Debug, Clone, Serialize)]
pub struct Contradicts {
    /// Number of the step, from 1.
    pub step: usize,
    /// What was seen.
    pub seen: String,
    /// What comes instead.
    pub instead: String,
}

/// A measurement with what it tells.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct NextStep {
    /// Short name.
    pub name: String,
    /// What to do.
    pub title: String,
    /// On another board, as this one was before this step, counted from 1; none: now.
    pub before_step: Option<usize>,
    /// Expected information on the mechanism, in thousandths of a bit.
    pub millibits: u32,
    /// What may come and what is left then.
    pub outcomes: Vec<Leaves>,
}

/// One outcome of a measurement.
#[derive(Debug, Clone, Serialize)]
pub struct Leaves {
    /// What is seen.
    pub seen: String,
    /// Other sights that leave the same mechanisms.
    pub alike: usize,
    /// Mechanisms that are left, the most likely first.
    pub mechanisms: Vec<String>,
}

/// Puts it together.
pub(super) fn explanation(
    search: &Search<'_>,
    outcomes: Vec<Outcome>,
    splits: Vec<Split>,
) -> Explanation {
    let observed = search.observed;
    let boards = outcomes.iter().map(|outcome| outcome.boards).sum();
    let (mut fits, mut excluded) = (Vec::new(), Vec::new());
    let (mut not_applicable, mut not_needed) = (Vec::new(), Vec::new());
    for outcome in outcomes {
        if let Some((board, found)) = &outcome.nearest {
            excluded.push(exclude(search, &outcome, board, found));
        } else if outcome.survivors.is_empty() && outcome.not_needed > 0 {
            not_needed.push(outcome.mechanism.title);
        } else if outcome.survivors.is_empty() {
            not_applicable.push(outcome.mechanism.title);
        } else {
            fits.push(fit(search, outcome));
        }
    }
    fits.sort_by_key(|fit| (fit.weight, usize::MAX - fit.parts.len()));
    excluded.sort_by_key(|it: &Excluded| {
        let first = it.contradicts.first().map_or(0, |it| it.step);
        (it.contradicts.len(), usize::MAX - first)
    });
    // A loader that hangs contradicts all that follows.
    excluded.sort_by_key(|it| it.hangs);
    Explanation {
        title: observed.title.clone(),
        sources: observed.sources.clone(),
        steps: observed.steps.iter().map(text::step).collect(),
        parts: search.parts.count(),
        groups: search.parts.groups.len(),
        part_unknown: search.parts.unknown,
        boards,
        fits,
        excluded,
        not_applicable,
        not_needed,
        next: splits.into_iter().take(NEXT_MAX).map(next).collect(),
    }
}

fn fit(search: &Search<'_>, outcome: Outcome) -> Fitting {
    let weight = outcome.mechanism.weight();
    let mut parts = BTreeSet::new();
    let (mut states, mut boots) = (Vec::new(), Vec::new());
    for survivor in &outcome.survivors {
        parts.extend(search.parts.groups[survivor.group].names.iter().cloned());
        let detail = &survivor.candidate.detail;
        if !states.contains(detail) {
            states.push(detail.clone());
        }
        let boot = survivor.flavour.map(flavour);
        boots.extend(boot.filter(|boot| !boots.contains(boot)));
    }
    states.truncate(STATES_MAX);
    let mechanism = outcome.mechanism;
    Fitting {
        name: mechanism.name,
        title: mechanism.title,
        class: mechanism.class,
        assumes: mechanism.assumes,
        weight,
        parts: parts.into_iter().collect(),
        boards: outcome.survivors.len(),
        states,
        boots,
    }
}

fn exclude(
    search: &Search<'_>,
    outcome: &Outcome,
    board: &Survivor,
    found: &[Contradiction],
) -> Excluded {
    let names = &search.parts.groups[board.group].names;
    let part = names.first().map_or("", String::as_str);
    let mut nearest = format!("{part}, {}", board.candidate.detail);
    if let Some(boot) = board.flavour {
        let _ = write!(nearest, "; {}", flavour(boot));
    }
    let contradicts = found
        .iter()
        .filter_map(|found| {
            let step = search.observed.steps.get(found.step)?;
            let instead = text::seen(step, &found.played);
            Some(Contradicts {
                step: found.step + 1,
                seen: text::observation(step),
                instead: instead.unwrap_or_default(),
            })
        })
        .collect();
    let mechanism = &outcome.mechanism;
    Excluded {
        name: mechanism.name.clone(),
        title: mechanism.title.clone(),
        class: mechanism.class,
        nearest,
        contradicts,
        hangs: found.iter().any(|found| matches!(found.played, Seen::Hangs(_))),
        only_readings: search.only_readings(found),
    }
}

/// What a boot does to the registers, in words.
fn flavour(flavour: Flavour) -> String {
    match flavour {
        Flavour::None => "the boot leaves the registers alone",
        Flavour::IdfUnlock | Flavour::IdfUnlockGd | Flavour::IdfUnlockMacronix => {
            "the boot unlocks (ESP-IDF)"
        }
        Flavour::IdfQio16Bit | Flavour::IdfQio31h | Flavour::IdfQioGd | Flavour::IdfQioMacronix => {
            "the boot unlocks and sets QE (ESP-IDF in QIO or QOUT)"
        }
    }
    .to_owned()
}

fn next(split: Split) -> NextStep {
    let mut outcomes: Vec<Leaves> = Vec::new();
    for (seen, row) in split.outcomes {
        let mut row: Vec<_> = row.into_iter().collect();
        row.sort_by(|one, other| other.1.total_cmp(&one.1));
        let mechanisms: Vec<_> = row.into_iter().map(|(name, _)| name).collect();
        match outcomes.iter_mut().find(|leaves| leaves.mechanisms == mechanisms) {
            Some(leaves) => leaves.alike += 1,
            None => outcomes.push(Leaves { seen, alike: 0, mechanisms }),
        }
    }
    NextStep {
        name: split.measurement.name,
        title: split.measurement.title,
        before_step: split.before_step.map(|step| step + 1),
        millibits: millibits(split.bits),
        outcomes,
    }
}

/// Bits in thousandths, which compare and print the same everywhere.
fn millibits(bits: f64) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few bits")]
    let millibits = (bits.max(0.0) * 1000.0).round() as u32;
    millibits
}

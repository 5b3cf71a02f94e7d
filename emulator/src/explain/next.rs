//! Which measurement splits best what is left: each is played on the survivors.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    ExplainError,
    observed::{Observed, Step},
    search::{Outcome, Search, Survivor},
    stage::Stage,
    text,
};

/// Survivors of one mechanism that measurements are played on; spread over the parts.
const REPRESENTATIVES: usize = 24;
/// Below this a measurement tells nothing, in bits.
const NOTHING_BITS: f64 = 0.005;

/// One measurement.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Measurement {
    /// Short name.
    pub name: String,
    /// What to do, in one line.
    pub title: String,
    /// The same as steps.
    pub(super) steps: Vec<Step>,
}

/// What a measurement is expected to tell.
#[derive(Debug, Clone)]
pub struct Split {
    /// The measurement.
    pub measurement: Measurement,
    /// On a board as it is before this step, counted from 0; `None`: after the last one.
    pub before_step: Option<usize>,
    /// Expected information on the mechanism, in bits.
    pub bits: f64,
    /// What may come, with the mechanisms that it leaves and how much of the weight they have.
    pub outcomes: Vec<(String, BTreeMap<String, f64>)>,
}

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Measurements {
    measurement: Vec<Measurement>,
}

/// All measurements in the order of their file; the tests check that it can be read.
pub(super) fn all() -> Vec<Measurement> {
    let file: Result<Measurements, _> = toml::from_str(include_str!("measurements.toml"));
    file.map_or_else(|_| Vec::new(), |file| file.measurement)
}

/// A surviving mechanism with its share of all weight, and some of its boards.
struct Left<'a> {
    name: &'a str,
    weight: f64,
    boards: Vec<&'a Survivor>,
}

/// Every measurement that tells something, the one that tells most first. Measurements that tell
/// equally much keep the order of their file.
pub(super) fn splits(
    search: &mut Search<'_>,
    outcomes: &[Outcome],
) -> Result<Vec<Split>, ExplainError> {
    let left = left(outcomes);
    if left.len() < 2 {
        return Ok(Vec::new());
    }
    let measurements = all();
    let region = region(search.observed);
    let mut splits = Vec::new();
    for before_step in points(search.observed) {
        let steps = before_step.unwrap_or(search.observed.steps.len());
        let mut tables = vec![BTreeMap::new(); measurements.len()];
        for mechanism in &left {
            let share = mechanism.weight / count(mechanism.boards.len());
            for board in &mechanism.boards {
                let Some(stage) = search.replay(board, steps)? else { continue };
                let start = stage.snapshot();
                for (measurement, table) in measurements.iter().zip(&mut tables) {
                    stage.restore(start.clone());
                    let told = tell(stage, measurement, region);
                    let of_outcome: &mut BTreeMap<String, f64> = table.entry(told).or_default();
                    *of_outcome.entry(mechanism.name.to_owned()).or_default() += share;
                }
            }
        }
        splits.extend(measurements.iter().zip(tables).map(|(measurement, table)| Split {
            measurement: measurement.clone(),
            before_step,
            bits: information(&table),
            outcomes: table.into_iter().collect(),
        }));
    }
    splits.retain(|split| split.bits > NOTHING_BITS);
    // Equal but for rounding counts as equal; the sort is stable.
    splits.sort_by(|one, other| (other.bits * 1e6).round().total_cmp(&(one.bits * 1e6).round()));
    Ok(splits)
}

/// The surviving mechanisms; each assumption halves the weight as often as it says.
fn left(outcomes: &[Outcome]) -> Vec<Left<'_>> {
    let weight =
        |outcome: &Outcome| 0.5_f64.powi(i32::try_from(outcome.mechanism.weight()).unwrap_or(99));
    let surviving = || outcomes.iter().filter(|outcome| !outcome.survivors.is_empty());
    let sum: f64 = surviving().map(weight).sum();
    surviving()
        .map(|outcome| {
            let boards = &outcome.survivors;
            let step = boards.len().div_ceil(REPRESENTATIVES).max(1);
            Left {
                name: &outcome.mechanism.name,
                weight: weight(outcome) / sum,
                boards: boards.iter().step_by(step).collect(),
            }
        })
        .collect()
}

/// Where measurements may begin: at the end, and on another board that is still as this one was
/// before somebody changed something on purpose.
fn points(observed: &Observed) -> Vec<Option<usize>> {
    let is_cure = |step: &Step| {
        matches!(
            step,
            Step::WriteFlashStatus(_)
                | Step::WriteRegister(_)
                | Step::Supply(_)
                | Step::Pins(_)
                | Step::PowerCycle {}
        )
    };
    let first = observed.steps.iter().position(is_cure).filter(|at| *at > 0);
    [None].into_iter().chain(first.map(Some)).collect()
}

/// First address that was written.
fn region(observed: &Observed) -> u32 {
    observed
        .steps
        .iter()
        .find_map(|step| match step {
            Step::Write(write) => Some(write.at),
            Step::Erase(erase) => Some(erase.at),
            _ => None,
        })
        .unwrap_or(0x1000)
}

/// Plays a measurement and tells what came in words.
fn tell(stage: &mut Stage, measurement: &Measurement, region: u32) -> String {
    let mut told = Vec::new();
    for step in &measurement.steps {
        let step = at_region(step, region);
        let seen = stage.play(&step);
        told.extend(text::seen(&step, &seen));
        if matches!(seen, super::stage::Seen::Hangs(_)) {
            break;
        }
    }
    told.join("; ")
}

fn at_region(step: &Step, region: u32) -> Step {
    let mut step = step.clone();
    match &mut step {
        Step::Write(write) => write.at = write.at.saturating_add(region),
        Step::Erase(erase) => erase.at = erase.at.saturating_add(region),
        _ => {}
    }
    step
}

/// Mutual information of outcome and mechanism, in bits.
fn information(table: &BTreeMap<String, BTreeMap<String, f64>>) -> f64 {
    let mut of_mechanism: BTreeMap<&str, f64> = BTreeMap::new();
    for (name, share) in table.values().flatten() {
        *of_mechanism.entry(name).or_default() += share;
    }
    let mut bits = 0.0;
    for row in table.values() {
        let of_outcome: f64 = row.values().sum();
        for (name, share) in row {
            let alone = of_mechanism.get(name.as_str()).copied().unwrap_or(0.0);
            if *share > 0.0 && alone > 0.0 {
                bits += share * (share / (alone * of_outcome)).log2();
            }
        }
    }
    bits
}

/// A count as a divisor.
fn count(number: usize) -> f64 {
    u32::try_from(number.max(1)).map_or(f64::MAX, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[(&str, &[(&str, f64)])]) -> BTreeMap<String, BTreeMap<String, f64>> {
        let row =
            |it: &[(&str, f64)]| it.iter().map(|(name, p)| ((*name).to_owned(), *p)).collect();
        rows.iter().map(|(outcome, it)| ((*outcome).to_owned(), row(it))).collect()
    }

    #[test]
    fn information_is_that_of_the_textbook() {
        let splits = table(&[("yes", &[("a", 0.5)]), ("no", &[("b", 0.5)])]);
        assert!((information(&splits) - 1.0).abs() < 1e-9);
        let tells_nothing = table(&[("yes", &[("a", 0.5), ("b", 0.5)])]);
        assert!(information(&tells_nothing).abs() < 1e-9);
        // A noisy channel of error 1/4 on a fair bit: 1 - H(1/4) = 0.18872.
        let noisy =
            table(&[("yes", &[("a", 0.375), ("b", 0.125)]), ("no", &[("a", 0.125), ("b", 0.375)])]);
        assert!((information(&noisy) - 0.188_722).abs() < 1e-6);
    }

    #[test]
    fn the_file_can_be_read() {
        let text = include_str!("measurements.toml");
        let file: Measurements = toml::from_str(text).expect("the built-in file is right");
        assert!(file.measurement.len() >= 12);
    }
}

//! Flashing under faults: a verified flash or a typed error, always an end, and nothing lost
//! outside of what is written.
//!
//! A failure prints its seed and its plan. `FAULT_SEED=N cargo test --test faults replay` runs that
//! seed again; the plan is what `emulator serve --faults FILE` takes. The long form runs `FAULT_RUNS`
//! seeds from `FAULT_FIRST` on.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

mod generate;
mod run;

use std::{collections::BTreeMap, env, path::PathBuf, thread};

use esp32_emulator::fault::{counts::FaultKind, plan::FaultPlan};

use run::{End, Outcome};

/// Runs of the long form, and flashings in which each kind of fault must have taken effect.
const MANY: u64 = 1_000_000;
const OF_EACH_MIN_PER_MILLION: u64 = 10_000;
/// Fewer runs say nothing about how often something happens.
const ENOUGH: u64 = 1_000;
/// Runs of the short form.
const FEW: u64 = 3_000;

/// What many runs came to.
#[derive(Debug, Default)]
struct Tally {
    runs: u64,
    verified: u64,
    restarted: u64,
    failed: BTreeMap<&'static str, u64>,
    /// Flashings in which a kind took effect, and those of them that ended verified.
    kinds: BTreeMap<FaultKind, (u64, u64)>,
    faults: u64,
    strayed: u64,
}

impl Tally {
    fn add(&mut self, outcome: &Outcome) {
        self.runs += 1;
        self.faults += outcome.counts.total();
        self.strayed += u64::from(outcome.strayed.is_some());
        let verified = outcome.end == End::Verified;
        match outcome.end {
            End::Verified => self.verified += 1,
            End::Failed(why) => *self.failed.entry(why).or_default() += 1,
        }
        self.restarted += u64::from(verified && outcome.restarts > 0);
        for (kind, _) in outcome.counts.happened() {
            let (all, good) = self.kinds.entry(kind).or_default();
            *all += 1;
            *good += u64::from(verified);
        }
    }

    fn merge(&mut self, other: &Self) {
        self.runs += other.runs;
        self.verified += other.verified;
        self.restarted += other.restarted;
        self.faults += other.faults;
        self.strayed += other.strayed;
        for (why, count) in &other.failed {
            *self.failed.entry(why).or_default() += count;
        }
        for (kind, (all, good)) in &other.kinds {
            let sum = self.kinds.entry(*kind).or_default();
            *sum = (sum.0 + all, sum.1 + good);
        }
    }

    fn print(&self) {
        println!(
            "{} flashings, {} faults: {} verified ({} after restarts), {} typed errors, 0 false \
             successes; {} times a damaged command acted outside of the image",
            self.runs,
            self.faults,
            self.verified,
            self.restarted,
            self.runs - self.verified,
            self.strayed
        );
        for (why, count) in &self.failed {
            println!("  error {why:<12} {count:>9}");
        }
        for (kind, (all, good)) in &self.kinds {
            println!("  {:<22} {all:>9} flashings, {good:>9} of them verified", kind.name());
        }
    }
}

/// Runs the plan that `seed` generates.
fn run_seed(seed: u64) -> Outcome {
    let job = run::job(seed);
    let plan = generate::plan(seed, job.image.offset, job.image.data.len() as u32);
    run::run(&plan, &job).unwrap_or_else(|what| {
        panic!("seed {seed}: {what}\nFAULT_SEED={seed} replays it\n{}", plan.to_text())
    })
}

/// Runs `count` seeds from `start` on, on all cores.
fn run_seeds(start: u64, count: u64) -> Tally {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let mut tally = Tally::default();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads as u64)
            .map(|first| {
                scope.spawn(move || {
                    let mut tally = Tally::default();
                    for seed in (start + first..start + count).step_by(threads) {
                        tally.add(&run_seed(seed));
                    }
                    tally
                })
            })
            .collect();
        for worker in workers {
            tally.merge(&worker.join().expect("a run failed; its seed is printed above"));
        }
    });
    tally
}

fn check(tally: &Tally) {
    tally.print();
    assert!(tally.runs > 0, "nothing was run");
    if tally.runs < ENOUGH {
        return;
    }
    for kind in FaultKind::ALL {
        let (all, _) = tally.kinds.get(&kind).copied().unwrap_or_default();
        let least = tally.runs * OF_EACH_MIN_PER_MILLION / MANY;
        assert!(all >= least, "{kind} in {all} flashings, at least {least} wanted");
    }
    assert!(tally.verified > tally.runs / 3, "most faults can be mended");
    assert!(tally.restarted > 0 && tally.verified < tally.runs);
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(parse(&text).unwrap_or_else(|| panic!("{variable}={text}: not a number from 0 on")))
}

fn parse(text: &str) -> Option<u64> {
    let hex = text.strip_prefix("0x").map(|digits| u64::from_str_radix(digits, 16));
    hex.unwrap_or_else(|| text.parse()).ok()
}

#[test]
fn seeds_are_numbers() {
    assert_eq!([parse("17"), parse("0x11"), parse("0")], [Some(17), Some(17), Some(0)]);
    // A typing error must not pass as a seed that was replayed.
    assert_eq!([parse(""), parse("x"), parse("-1"), parse("1 "), parse("0x")], [None; 5]);
}

#[test]
fn thousands_of_plans_end_with_a_verified_flash_or_a_typed_error() {
    check(&run_seeds(0, FEW));
}

#[test]
#[ignore = "the long form: a million flashings, minutes on two cores in a release build"]
fn a_million_plans() {
    check(&run_seeds(number("FAULT_FIRST").unwrap_or(0), number("FAULT_RUNS").unwrap_or(MANY)));
}

#[test]
fn replay() {
    let Some(seed) = number("FAULT_SEED") else { return };
    let outcome = run_seed(seed);
    println!("{:?} in {:?}", outcome.end, outcome.took);
    for (kind, count) in outcome.counts.happened() {
        println!("  {kind} {count}");
    }
}

/// The committed plans, by name.
fn plans() -> Vec<(String, FaultPlan)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/faults");
    let mut paths: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let name = |path: &PathBuf| path.file_stem().unwrap().to_string_lossy().into_owned();
    paths.iter().map(|path| (name(path), FaultPlan::load(path).unwrap())).collect()
}

#[test]
fn every_committed_plan_does_something_and_never_deceives() {
    let mut all = BTreeMap::<FaultKind, u64>::new();
    for (name, plan) in plans() {
        let mut happened = 0;
        for seed in 0..8 {
            let plan = FaultPlan { seed: plan.seed + seed, ..plan.clone() };
            let job = run::job(seed);
            let outcome = run::run(&plan, &job)
                .unwrap_or_else(|what| panic!("{name}: {what}\n{}", plan.to_text()));
            happened += outcome.counts.total();
            for (kind, count) in outcome.counts.happened() {
                *all.entry(kind).or_default() += count;
            }
        }
        assert!(happened > 0, "{name}: nothing happened");
    }
    for kind in FaultKind::ALL {
        assert!(all.contains_key(&kind), "no committed plan makes {kind} happen");
    }
}

#[test]
fn the_same_seed_gives_the_same_trace_however_the_bytes_are_cut() {
    for seed in 0..210 {
        let mut job = run::job(seed);
        let plan = generate::plan(seed, job.image.offset, job.image.data.len() as u32);
        let whole = run::run(&plan, &job).unwrap();
        for chunk in [usize::MAX, 1, 7, 100] {
            job.chunk = chunk;
            let other = run::run(&plan, &job).unwrap();
            assert_eq!(whole.end, other.end, "seed {seed}, pieces of {chunk}");
            assert_eq!(whole.counts, other.counts, "seed {seed}, pieces of {chunk}");
            assert!(whole.trace == other.trace, "seed {seed}, pieces of {chunk}");
            assert!(whole.cells == other.cells, "seed {seed}, pieces of {chunk}");
        }
    }
}

#[test]
fn a_line_that_loses_no_byte_costs_no_flash() {
    // Late bytes, cut bytes and resets without anything else: all of them end verified.
    let mild = [FaultKind::LinkDelay, FaultKind::LinkSplit];
    let mut ended = 0;
    for seed in 0..2_000 {
        let job = run::job(seed);
        let plan = generate::plan(seed, job.image.offset, job.image.data.len() as u32);
        let outcome = run_seed(seed);
        let only = outcome.counts.happened().all(|(kind, _)| mild.contains(&kind));
        if only && plan.bus.is_empty() && plan.board.is_empty() && plan.supply.is_empty() {
            assert_eq!(outcome.end, End::Verified, "seed {seed}\n{}", plan.to_text());
            ended += 1;
        }
    }
    assert!(ended > 50, "{ended}");
    assert!(FaultKind::ALL.into_iter().filter(|kind| run::is_link(*kind)).count() == 7);
}

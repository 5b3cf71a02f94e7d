//! Every target on its corpus and on mutations of it. `FUZZ_RUNS=N` makes it longer.

use std::{env, fs, panic, path::PathBuf};

use fastrand::Rng;
use fuzz::{TARGETS, mutate::mutate};

/// Mutations of each target.
const RUNS: u64 = 400;

/// The committed inputs of a target.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/corpus").join(name);
    let mut paths: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Whether `target` takes `input`; what a failure was is printed by its panic.
fn takes(name: &str, target: fn(&[u8]), what: &str, input: &[u8]) -> bool {
    let passed = panic::catch_unwind(|| target(input)).is_ok();
    if !passed {
        eprintln!("target {name} failed on {what}: {input:02x?}");
    }
    passed
}

#[test]
fn every_target_takes_its_corpus_and_mutations_of_it() {
    let runs = env::var("FUZZ_RUNS").ok().and_then(|text| text.parse().ok()).unwrap_or(RUNS);
    let mut failed = Vec::new();
    for (name, target) in TARGETS {
        let corpus = corpus(name);
        assert!(!corpus.is_empty(), "{name} has a corpus");
        let mut passed = corpus
            .iter()
            .enumerate()
            .all(|(number, input)| takes(name, target, &format!("corpus input {number}"), input));
        passed &= (0..runs).all(|seed| {
            let mut random = Rng::with_seed(seed);
            let mut input = corpus[random.usize(0..corpus.len())].clone();
            let other = &corpus[random.usize(0..corpus.len())];
            mutate(&mut input, other, &mut random);
            takes(name, target, &format!("seed {seed}"), &input)
        });
        if !passed {
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "targets that failed, see above: {failed:?}");
}

//! Licences and versions of everything in the lock file, against `.ci/dependencies.toml`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use serde::Deserialize;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Allowed {
    licences: BTreeSet<String>,
    duplicates: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
}

fn allowed() -> Allowed {
    let text =
        fs::read_to_string(Path::new(ROOT).join(".ci/dependencies.toml")).expect("it exists");
    toml::from_str(&text).expect("it is TOML")
}

fn packages() -> Vec<Package> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(ROOT)
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice::<Metadata>(&output.stdout).expect("it is JSON").packages
}

/// Whether a licence expression can be met with the licences that `known` holds.
fn is_met(expression: &str, known: &BTreeSet<String>) -> bool {
    // `/` is the old spelling of OR.
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    either(&mut rest, known) && rest.is_empty()
}

fn either(rest: &mut &[&str], known: &BTreeSet<String>) -> bool {
    let mut met = both(rest, known);
    while let ["OR", tail @ ..] = *rest {
        *rest = tail;
        met |= both(rest, known);
    }
    met
}

fn both(rest: &mut &[&str], known: &BTreeSet<String>) -> bool {
    let mut met = one(rest, known);
    while let ["AND", tail @ ..] = *rest {
        *rest = tail;
        met &= one(rest, known);
    }
    met
}

fn one(rest: &mut &[&str], known: &BTreeSet<String>) -> bool {
    match *rest {
        ["(", tail @ ..] => {
            *rest = tail;
            let met = either(rest, known);
            *rest = rest.strip_prefix(&[")"]).unwrap_or(rest);
            met
        }
        // An exception is a permission more.
        [name, "WITH", _, tail @ ..] | [name, tail @ ..] => {
            *rest = tail;
            known.contains(*name)
        }
        [] => false,
    }
}

#[test]
fn licences_are_those_that_we_take() {
    let known = allowed().licences;
    for package in packages() {
        let Package { name, version, license, .. } = package;
        let license = license.unwrap_or_default();
        assert!(is_met(&license, &known), "{name} {version}: {license:?}");
    }
}

#[test]
fn licence_expressions_are_read_as_spdx_means_them() {
    let known: BTreeSet<String> = ["MIT", "Unicode-3.0"].map(str::to_owned).into();
    for (expression, met) in [
        ("MIT", true),
        ("GPL-3.0-only", false),
        ("", false),
        ("GPL-3.0-only OR MIT", true),
        ("Apache-2.0/MIT", true),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
        ("MIT AND GPL-3.0-only", false),
        ("GPL-3.0-only OR MIT AND Apache-2.0", false),
        ("MIT WITH LLVM-exception", true),
        ("MIT garbage", false),
    ] {
        assert_eq!(is_met(expression, &known), met, "{expression}");
    }
}

#[test]
fn a_package_is_there_once() {
    let mut versions = BTreeMap::<String, BTreeSet<String>>::new();
    for package in packages() {
        versions.entry(package.name).or_default().insert(package.version);
    }
    let twice: BTreeSet<&String> =
        versions.iter().filter(|(_, versions)| versions.len() > 1).map(|(name, _)| name).collect();
    let allowed = allowed().duplicates;
    let expected: BTreeSet<&String> = allowed.keys().collect();
    assert_eq!(twice, expected, "in more than one version, and allowed to be");
    assert!(allowed.values().all(|why| !why.is_empty()));
}

#[test]
fn everything_comes_from_the_registry_or_is_ours() {
    for package in packages() {
        let source = package.source.as_deref();
        assert!(source.is_none_or(|source| source == REGISTRY), "{}: {source:?}", package.name);
    }
}

//! Rules of the tree itself: what a reviewer would otherwise repeat.

use std::{
    fs,
    path::{Path, PathBuf},
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// Lines a source file may have before it is more than one room.
const FILE_LINES_MAX: usize = 500;

/// Every file below the given folders of the tree, sorted.
fn files(folders: &[&str], extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut pending: Vec<PathBuf> =
        folders.iter().map(|folder| Path::new(ROOT).join(folder)).collect();
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the tree").flatten() {
            let path = entry.path();
            if path.is_dir() {
                if path.file_name().is_none_or(|name| name != "target") {
                    pending.push(path);
                }
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn sources() -> Vec<PathBuf> {
    files(&["emulator", "flasher", "tests", "benches"], "rs")
}

/// The part of a file before its inline tests.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("sources are UTF-8");
    text.split("#[cfg(test)]").next().unwrap_or_default().to_owned()
}

fn is_test(path: &Path) -> bool {
    // Benches measure named parts, as tests test them.
    path.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "benches")
        || path.ends_with("tests.rs")
}

#[test]
fn a_file_is_a_room() {
    let long: Vec<String> = sources()
        .into_iter()
        .filter_map(|path| {
            let lines = fs::read_to_string(&path).expect("sources are UTF-8").lines().count();
            (lines > FILE_LINES_MAX).then(|| format!("{}: {lines} lines", path.display()))
        })
        .collect();
    assert!(long.is_empty(), "over {FILE_LINES_MAX} lines:\n{}", long.join("\n"));
}

#[test]
fn code_names_no_part() {
    let names: Vec<String> = files(&["emulator/spi-nor/parts"], "toml")
        .iter()
        .filter_map(|path| path.file_stem()?.to_str().map(str::to_uppercase))
        .collect();
    assert!(names.len() >= 6, "part files are found");
    let mut wrong = Vec::new();
    for path in sources().into_iter().filter(|path| !is_test(path)) {
        // The catalogue lists the files; it is the one place that may.
        if path.ends_with("spi-nor/src/catalog.rs") {
            continue;
        }
        for (number, line) in code(&path).lines().enumerate() {
            // An example of a command line names what a user would.
            let examples = ["emulator serve --part", "emulator exec", "virtual:"];
            if examples.iter().any(|example| line.contains(example)) {
                continue;
            }
            let said = line.split("//").next().unwrap_or_default().to_uppercase();
            if let Some(name) = names.iter().find(|name| said.contains(name.as_str())) {
                wrong.push(format!("{}:{}: {name}", path.display(), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "a part's name in code:\n{}", wrong.join("\n"));
}

#[test]
fn nothing_under_emulator_depends_on_the_flasher() {
    for path in files(&["emulator"], "toml") {
        if path.ends_with("Cargo.toml") {
            let text = fs::read_to_string(&path).expect("manifests are UTF-8");
            assert!(!text.contains("flasher"), "{}", path.display());
        }
    }
}

#[test]
fn every_fixture_has_provenance() {
    let readme = fs::read_to_string(Path::new(ROOT).join("fixtures/README.md")).expect("it exists");
    for entry in fs::read_dir(Path::new(ROOT).join("fixtures")).expect("it exists").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == "README.md" {
            continue;
        }
        assert!(readme.contains(&name), "fixtures/README.md says nothing about {name}");
    }
}

#[test]
fn no_left_overs() {
    let markers = ["todo!(", "unimplemented!(", "FIXME", "#[ignore]"];
    for path in sources().into_iter().filter(|path| !path.ends_with("tidy.rs")) {
        let text = fs::read_to_string(&path).expect("sources are UTF-8");
        for marker in markers {
            assert!(!text.contains(marker), "{}: {marker}", path.display());
        }
    }
}

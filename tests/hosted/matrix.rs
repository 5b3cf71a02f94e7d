//! Every client on every case, by `flasher matrix`'s own means: who unlocks silently, who fails with
//! which words, who leaves the chip protected. The tables are committed; this writes them again:
//!
//! ```sh
//! UPDATE_MATRIX=1 cargo test --test hosted matrix
//! ```
//!
//! A client that is not installed is taken from the committed table, after a loud message.

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use esp32_emulator::case;
use esp32_flasher::matrix::{
    Cell, Client, Ended, Ending, EndingCell, Stub, Work, endings_markdown, markdown, measure,
    measure_endings, named, verdicts,
};

use crate::{
    client::{self, WITH_STUB, WITHOUT_STUB},
    clients::espflash,
    emulator::flasher,
};

/// Clients at once: they wait for each other's start-up more than they compute.
const WORKERS: usize = 4;
const ESPFLASH: &str = "espflash 4.7.0";
/// An ordinary part, on which every client can write.
const PART: &str = "W25Q32JV";

/// All columns in order; those that cannot be had with their name only.
fn columns() -> Vec<(String, Option<Client>)> {
    let esptool = WITH_STUB.into_iter().chain(WITHOUT_STUB).map(|client| {
        let stub = match client.stub {
            client::Stub::V1 => Stub::Legacy,
            client::Stub::V2 => Stub::Second,
            client::Stub::None => Stub::None,
        };
        let label = format!("esptool {}", client.release.version);
        let found = client.release.python().map(|python| {
            let python = python.get_program().to_str().expect("UTF-8").to_owned();
            Client::esptool(&label, vec![python, "-m".into(), "esptool".into()], stub)
        });
        (client.name(), found)
    });
    let espflash = espflash();
    let espflash = [true, false].map(|stub| {
        let binary = espflash.as_deref().unwrap_or(Path::new("espflash"));
        let client = Client::espflash(ESPFLASH, binary, stub);
        (client.name().to_owned(), espflash.is_some().then_some(client))
    });
    let binary = PathBuf::from(flasher().get_program());
    let own = named(None, &binary).expect("it is the flasher");
    let own = own.into_iter().map(|client| (client.name().to_owned(), Some(client)));
    esptool.chain(espflash).chain(own).collect()
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hosted/snapshots").join(name)
}

/// The cells of a Markdown table's line.
fn split(line: &str) -> Vec<String> {
    line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
}

/// The committed table is this one, or is written anew.
fn compare(name: &str, text: &str) {
    if env::var_os("UPDATE_MATRIX").is_some() {
        fs::write(file(name), text).expect("the table");
    } else {
        let committed = fs::read_to_string(file(name)).unwrap_or_default();
        assert_eq!(text, committed, "UPDATE_MATRIX=1 cargo test --test hosted matrix");
    }
}

#[test]
fn every_client_on_every_case_is_as_in_the_committed_table() {
    let committed = fs::read_to_string(file("matrix.md")).unwrap_or_default();
    let known: Vec<Vec<String>> =
        committed.lines().filter(|line| line.starts_with('|')).map(split).collect();
    let old = |case: &str, title: &str| {
        let column = known.first()?.iter().position(|cell| cell == title)?;
        known.iter().find(|row| row[0] == case)?.get(column).cloned()
    };
    let columns = columns();
    let titles: Vec<String> = columns.iter().map(|(title, _)| title.clone()).collect();
    let clients = columns.into_iter().filter_map(|(_, client)| client).collect();
    let cases = case::list().map(str::to_owned).collect();
    let work = Work { cases, clients, workers: WORKERS };
    let cells = measure(&work, &AtomicBool::new(false), &mut |_| {}).expect("it runs");
    let not_tried =
        |case: &str, title: &str| old(case, title).unwrap_or_else(|| "not tried".to_owned());
    compare("matrix.md", &markdown(&work.cases, &titles, &cells, &not_tried));
    the_flasher_is_honest(&cells);
}

/// What the table must hold about this project's own client, whatever is committed.
fn the_flasher_is_honest(cells: &[Cell]) {
    let verdicts = verdicts(cells);
    for verdict in verdicts.iter().filter(|verdict| verdict.client.starts_with("flasher")) {
        assert!(verdict.false_success.is_empty() && verdict.leaves_protected.is_empty());
        assert!(verdict.unlocks_silently.is_empty(), "{verdict:?}");
        assert!(verdict.loses_quad_enable.is_empty(), "{verdict:?}");
    }
    for cell in cells.iter().filter(|cell| cell.client == "flasher --unprotect") {
        // What others can write, it can.
        let others = cells.iter().filter(|other| other.case == cell.case);
        let possible = others.clone().any(|other| other.ended == Ended::Verified);
        assert!(!possible || cell.ended == Ended::Verified, "{cell:?}");
    }
}

#[test]
fn what_a_client_leaves_behind_is_as_in_the_committed_table() {
    let columns = columns();
    let clients: Vec<Client> = columns.iter().filter_map(|(_, client)| client.clone()).collect();
    let stop = AtomicBool::new(false);
    let cells = measure_endings(PART, &clients, WORKERS, &stop, &mut |_| {}).expect("it runs");
    let committed = fs::read_to_string(file("endings.md")).unwrap_or_default();
    let text = endings_markdown(&cells);
    let mut all = text.lines().map(str::to_owned).collect::<Vec<_>>();
    for (title, _) in columns.iter().filter(|(_, client)| client.is_none()) {
        let row = format!("| {title} | ");
        all.extend(committed.lines().filter(|line| line.starts_with(&row)).map(str::to_owned));
    }
    // The committed order is that of the columns; what was kept comes where it stood.
    let place = |line: &String| committed.lines().position(|known| known == line);
    if env::var_os("UPDATE_MATRIX").is_none() {
        all.sort_by_key(|line| place(line).unwrap_or(usize::MAX));
    }
    compare("endings.md", &(all.join("\n") + "\n"));
    let is_ours = |cell: &&EndingCell| cell.client.starts_with("flasher");
    assert!(cells.iter().filter(is_ours).all(|cell| !cell.after.protected));
    assert!(cells.iter().all(|cell| cell.ending != Ending::Stay || cell.ended == Ended::Verified));
}

//! `flasher matrix`.

use std::{
    env,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use esp32_emulator::case;
use esp32_flasher::{
    exit::Exit,
    matrix::{self, Client, MatrixError, Work},
};

use crate::{
    args::MatrixArgs,
    failure::Failure,
    report::{Event, Report},
};

/// Where the tests of this project install their clients.
const CLIENTS_OF_TESTS: &str = "target/clients";
/// An ordinary part with BP bits, on which every client can write.
const ORDINARY_PART: &str = "virtual:W25Q32JV";

/// Measures and tells.
pub(super) fn run(
    args: &MatrixArgs,
    stop: &AtomicBool,
    report: &mut Report,
) -> Result<Exit, Failure> {
    let clients = clients(args)?;
    let cases: Vec<String> = if args.cases.is_empty() {
        case::list().map(str::to_owned).collect()
    } else {
        args.cases.clone()
    };
    let titles: Vec<String> = clients.iter().map(|client| client.name().to_owned()).collect();
    let total = cases.len() * clients.len();
    report.say(&Event::MatrixClients { clients: &titles, cases: &cases })?;
    let workers = args.jobs.into();
    let mut said = Ok(());
    let mut number = 0;
    let work = Work { cases, clients, workers };
    let cells = matrix::measure(&work, stop, &mut |cell| {
        number += 1;
        if said.is_ok() {
            said = report.say(&Event::MatrixCell { number, total, cell });
        }
    })?;
    let mut endings = Vec::new();
    if args.cases.is_empty() {
        let part = ORDINARY_PART.trim_start_matches(esp32_flasher::port::VIRTUAL_PREFIX);
        endings = matrix::measure_endings(part, &work.clients, workers, stop, &mut |cell| {
            if said.is_ok() {
                said = report.say(&Event::MatrixEnding { cell });
            }
        })?;
    }
    said?;
    let verdicts = matrix::verdicts(&cells);
    let table = matrix::markdown(&work.cases, &titles, &cells, &|_, _| "not tried".to_owned());
    let endings = matrix::endings_markdown(&endings);
    report.say(&Event::MatrixEnded { verdicts: &verdicts, table: &table, endings: &endings })?;
    Ok(if stop.load(Ordering::Relaxed) { Exit::Interrupted } else { Exit::Done })
}

/// The clients found and those given, as far as `--only` lets them in.
fn clients(args: &MatrixArgs) -> Result<Vec<Client>, Failure> {
    let own = env::current_exe()?;
    let mut folders = args.clients_in.clone();
    if folders.is_empty() {
        folders.push(PathBuf::from(CLIENTS_OF_TESTS));
    }
    let mut all = Vec::new();
    for given in &args.clients {
        let (name, path) = given.split_once('=').ok_or_else(|| MatrixError::NotAClient {
            path: PathBuf::from(given),
            why: "not NAME=PATH",
        })?;
        all.extend(matrix::named(Some(name), Path::new(path))?);
    }
    all.extend(matrix::find(&folders, &own));
    let wanted = |client: &Client| {
        args.only.is_empty() || args.only.iter().any(|part| client.name().contains(part.as_str()))
    };
    all.retain(wanted);
    Ok(all)
}

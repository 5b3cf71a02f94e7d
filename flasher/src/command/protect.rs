//! `flasher protect`.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    ops::Range,
    path::{Path, PathBuf},
};

use esp32_flasher::{
    flash::SECTOR_BYTES,
    identity::Identity,
    input::InputError,
    preflight::{Changer, PartState},
    protect::{
        ChangeError, ChangeReport, Journal, Protected, Trial, choices, choices_of_all,
        has_block_register, locked, with_choice,
    },
};

use super::board::Board;
use crate::{
    args::{ChangeArgs, ProtectCommand},
    failure::Failure,
    report::{Event, Report},
};

/// Journals of one board that a folder takes under the default name.
const JOURNALS_MAX: u32 = 1000;

pub(super) fn run(
    board: &mut Board,
    command: &ProtectCommand,
    report: &mut Report,
) -> Result<(), Failure> {
    let identity = board.attach()?;
    match command {
        ProtectCommand::Status => status(board, &identity, report),
        ProtectCommand::List => list(&identity, report),
        ProtectCommand::Clear { change, search } => {
            let mut keeper = Keeper::new(board, change.journal.as_deref());
            match search {
                None => clear_with(board, &identity, &mut keeper, trial(change), report),
                Some(sector) => search_and_clear(
                    board,
                    &identity,
                    &mut keeper,
                    (trial(change), *sector),
                    report,
                ),
            }
        }
        ProtectCommand::Set { start, end, change } => {
            set(board, &identity, *start..*end, change, report)
        }
        ProtectCommand::Restore { file, change } => restore(board, &identity, file, change, report),
    }
}

fn trial(args: &ChangeArgs) -> Trial {
    match (args.trial, args.no_trial) {
        (_, true) => Trial::Skip,
        (Some(address), _) => Trial::Sector(address / SECTOR_BYTES * SECTOR_BYTES),
        (None, _) => Trial::Auto,
    }
}

fn status(board: &mut Board, identity: &Identity, report: &mut Report) -> Result<(), Failure> {
    let all = 0..board.session.flash_bytes();
    let all = [all];
    let found = board.session.look(|session| session.preflight(identity, &all, Changer::AsItIs))?;
    let flash_bytes = board.session.flash_bytes();
    Ok(report.say(&Event::Protection { flash_bytes, preflight: &found })?)
}

fn list(identity: &Identity, report: &mut Report) -> Result<(), Failure> {
    if identity.candidates.is_empty() {
        return Err(ChangeError::UnknownPart.into());
    }
    let parts = choices_of_all(&identity.candidates);
    Ok(report.say(&Event::Choices { parts: &parts })?)
}

/// Lifts the protection; says so if there is none.
pub(super) fn clear(
    board: &mut Board,
    identity: &Identity,
    journal: Option<&Path>,
    trial: Trial,
    report: &mut Report,
) -> Result<(), Failure> {
    clear_with(board, identity, &mut Keeper::new(board, journal), trial, report)
}

fn clear_with(
    board: &mut Board,
    identity: &Identity,
    keeper: &mut Keeper,
    trial: Trial,
    report: &mut Report,
) -> Result<(), Failure> {
    let done = board.session.clear_protection(identity, trial, &mut |entry| keeper.keep(entry))?;
    if let Some(done) = done {
        return changed(&done, keeper, report);
    }
    let mut registers_locked = None;
    for part in &identity.candidates {
        let now = board.session.look_twice(|s| s.read_registers(identity, part))?;
        registers_locked = registers_locked.or(locked(part, &now));
    }
    Ok(report.say(&Event::NothingProtected { registers_locked })?)
}

/// What the registers show first; if that is nothing, what they do not show.
fn search_and_clear(
    board: &mut Board,
    identity: &Identity,
    keeper: &mut Keeper,
    (trial, sector): (Trial, u32),
    report: &mut Report,
) -> Result<(), Failure> {
    let keep = &mut |entry: &Journal| keeper.keep(entry);
    if let Some(done) = board.session.clear_protection(identity, trial, keep)? {
        return changed(&done, keeper, report);
    }
    let found = board.session.search_protection(identity, sector, keep)?;
    let journal = keeper.written.as_deref();
    Ok(report.say(&Event::ProtectionSearched { report: &found, journal })?)
}

fn set(
    board: &mut Board,
    identity: &Identity,
    range: Range<u32>,
    args: &ChangeArgs,
    report: &mut Report,
) -> Result<(), Failure> {
    let wanted_range = if range.is_empty() { 0..0 } else { range.clone() };
    let mut failure = Failure::Change(ChangeError::UnknownPart);
    let mut keeper = Keeper::new(board, args.journal.as_deref());
    for part in &identity.candidates {
        if has_block_register(part) {
            let old = board.session.look_twice(|session| session.read_block_locks(part))?;
            let Some(wanted) = old.protecting(part, &wanted_range) else {
                let (start, end) = (range.start, range.end);
                failure = Failure::NoSuchRange { part: part.name.clone(), start, end };
                continue;
            };
            let keep = &mut |entry: &Journal| keeper.keep(entry);
            let done = board.session.change_block_locks(identity, part, &wanted, keep)?;
            return changed(&done, &keeper, report);
        }
        let choices = choices(part);
        let Some(choice) = choices.iter().find(|choice| choice.range == wanted_range) else {
            let (start, end) = (range.start, range.end);
            failure = Failure::NoSuchRange { part: part.name.clone(), start, end };
            continue;
        };
        let now = board.session.look_twice(|s| s.read_registers(identity, part))?;
        let wanted = with_choice(part, &now, choice);
        // To protect more needs no proof that writes work.
        let done =
            board.session.change_registers(identity, part, &wanted, Trial::Skip, &mut |entry| {
                keeper.keep(entry)
            });
        match done {
            // Another part with this id may know a way, or take another form.
            Err(error @ (ChangeError::Plan(_) | ChangeError::NotTaken { .. })) => {
                failure = error.into();
            }
            other => return changed(&other?, &keeper, report),
        }
    }
    Err(failure)
}

fn restore(
    board: &mut Board,
    identity: &Identity,
    file: &Path,
    args: &ChangeArgs,
    report: &mut Report,
) -> Result<(), Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|cause| InputError::File { path: file.to_owned(), cause })?;
    let kept: Journal = serde_json::from_str(&text)
        .map_err(|cause| Failure::BadJournal { path: file.to_owned(), cause })?;
    let mut keeper = Keeper::new(board, args.journal.as_deref());
    let done = board.session.restore_registers(identity, &kept, &mut |entry| keeper.keep(entry))?;
    changed(&done, &keeper, report)
}

fn changed(done: &ChangeReport, keeper: &Keeper, report: &mut Report) -> Result<(), Failure> {
    let journal = keeper.written.as_deref();
    Ok(report.say(&Event::ProtectionChanged { report: done, journal })?)
}

/// Writes the journal, once.
pub(super) struct Keeper {
    given: Option<PathBuf>,
    mac: String,
    written: Option<PathBuf>,
}

impl Keeper {
    pub(super) fn new(board: &Board, given: Option<&Path>) -> Self {
        let mac = board.chip.mac.to_string().replace(':', "");
        Self { given: given.map(Path::to_owned), mac, written: None }
    }

    pub(super) fn keep(&mut self, entry: &Journal) -> io::Result<()> {
        // A second attempt by the rules of another part begins at the same old values.
        if self.written.is_some() {
            return Ok(());
        }
        let (mut file, path) = self.create()?;
        serde_json::to_writer_pretty(&mut file, entry)?;
        writeln!(file)?;
        // The old values must outlive a power cut of this machine too.
        file.sync_all()?;
        self.written = Some(path);
        Ok(())
    }

    /// Never overwrites a journal: the oldest values are the most precious.
    fn create(&self) -> io::Result<(File, PathBuf)> {
        let create = |path: &Path| OpenOptions::new().write(true).create_new(true).open(path);
        if let Some(path) = &self.given {
            return Ok((create(path)?, path.clone()));
        }
        for number in 1..JOURNALS_MAX {
            let suffix = if number == 1 { String::new() } else { format!("-{number}") };
            let path = PathBuf::from(format!("protect-{}{suffix}.json", self.mac));
            match create(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                other => return Ok((other?, path)),
            }
        }
        Err(io::Error::other("too many journals in this folder"))
    }
}

/// A bar of `width` places over the address space; `#` is protected.
pub(crate) fn bar(state: &PartState, flash_bytes: u32, width: u32) -> String {
    let all = 0..flash_bytes;
    let protected = match &state.now {
        Protected::Range(range) => vec![range.clone()],
        Protected::ByLocks if !state.locked_ranges.is_empty() => state.locked_ranges.clone(),
        Protected::ByLocks if state.locked_unit != Some(false) => vec![all],
        Protected::ByLocks => Vec::new(),
        Protected::Unknown => return "?".repeat(width as usize),
    };
    let step = (flash_bytes / width.max(1)).max(1);
    (0..width)
        .map(|place| {
            let from = u64::from(place) * u64::from(step);
            let cell = from..from + u64::from(step);
            let touches = protected.iter().any(|range| {
                cell.start < u64::from(range.end) && u64::from(range.start) < cell.end
            });
            if touches { '#' } else { '.' }
        })
        .collect()
}

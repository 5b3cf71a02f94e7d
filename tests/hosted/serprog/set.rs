//! flashrom sets protection ranges itself, and the board's array then refuses exactly those.

use std::{
    collections::BTreeSet,
    ops::Range,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use esp32_emulator::{
    case::CaseBoard,
    spi::{CommandLines, SpiDevice, Transaction},
    transport::{fronts::Fronts, server::Handle},
};
use spi_nor::{catalog, part::Part};

use super::{
    flashrom,
    parts::{THREADS, as_listed, decoded, look, run},
};
use crate::emulator;

/// Ranges of a part in the bounded form.
const RANGES_MAX: usize = 3;
/// Addresses of three bytes end here; 02h reaches no further.
const REACH: u32 = 1 << 24;

/// One range of one part, under one of flashrom's names.
#[derive(Debug)]
struct Job {
    part: Part,
    chip: String,
    /// Start and length, as flashrom takes them.
    range: (u32, u32),
}

/// What a part has in common with its relatives: the maker and the kind of its rule.
fn family(part: &Part) -> (u8, String) {
    let rule = format!("{:?}", part.protection);
    let kind = rule.split([' ', '{', '(']).next().unwrap_or_default().to_owned();
    (part.jedec_id.0[0], kind)
}

/// One byte is programmed by a clip on the flash; whether the cell took it.
fn takes_program(board: &mut CaseBoard, address: u32) -> bool {
    let [_, high, middle, low] = address.to_be_bytes();
    for mosi in [&[0x06][..], &[0x02, high, middle, low, 0x00]] {
        let mut transaction = Transaction { mosi, miso: &mut [], command_lines: CommandLines::One };
        let now = board.now();
        board.spi_transfer(now, &mut transaction);
        let end = board.flash().nor().busy_until();
        board.advance(end.unwrap_or(now).max(now));
    }
    let mut cell = [0xFF];
    board.flash().nor().read_cells(address, &mut cell);
    cell == [0x00]
}

/// Whether a program at `address` ends otherwise than `protected` says.
fn cells_differ(board: &mut CaseBoard, address: u32, protected: &Range<u32>) -> bool {
    takes_program(board, address) == protected.contains(&address)
}

/// Addresses at the edges of `range`, and in the middle of what is inside and outside.
fn probes(range: &Range<u32>, capacity: u32) -> BTreeSet<u32> {
    let middles = [
        range.start / 2,
        range.start + (range.end - range.start) / 2,
        range.end + (capacity - range.end) / 2,
    ];
    let edges = [0, range.start.wrapping_sub(1), range.start, range.end.wrapping_sub(1), range.end];
    let all = edges.into_iter().chain(middles).chain([capacity - 1]);
    all.filter(|address| *address < capacity.min(REACH)).collect()
}

/// How flashrom fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// The range is set.
    Set,
    /// The part ignored the instruction by which flashrom writes register 2, and flashrom noticed.
    /// Its definitions are shared by generations, and the older ones have no 31h by their data.
    NoticedRefusal,
}

/// flashrom read back something else and said so, for want of 31h.
fn is_noticed_refusal(part: &Part, said: &str) -> bool {
    said.contains("Failed to apply new WP settings: unexpected WP configuration")
        && !part.status_write.iter().any(|form| form.opcode == 0x31)
}

/// Sets the range by flashrom and programs at its edges; what is wrong.
fn try_range(job: &Job) -> Result<Outcome, String> {
    let (board, address): (Handle<CaseBoard>, _) =
        emulator::serve(&job.part.name, Fronts::listen_serprog);
    let (start, len) = job.range;
    let wanted = format!("{start:#x},{len:#x}");
    let said = run(&format!("serprog:ip={address}"), &["-c", &job.chip, "--wp-range", &wanted]);
    let said = said.ok_or("flashrom is gone")?;
    let range = start..start + len;
    let capacity = job.part.capacity_bytes;
    let (protected, wrong) = board
        .with(move |board| {
            // Whatever flashrom made of it, the array goes by the registers.
            let set = board.flash().nor().protected();
            let wrong: Vec<_> = probes(&set, capacity)
                .into_iter()
                .chain(probes(&range, capacity))
                .filter(|address| cells_differ(board, *address, &set))
                .collect();
            (as_listed(&set), wrong)
        })
        .expect("it serves");
    board.shutdown().expect("it served");
    if wrong.is_empty() && protected == job.range {
        return Ok(Outcome::Set);
    }
    if wrong.is_empty() && is_noticed_refusal(&job.part, &said) {
        return Ok(Outcome::NoticedRefusal);
    }
    Err(format!(
        "{} as {}: {wanted} became {protected:x?}, wrong at {wrong:x?}; flashrom said:\n{said}",
        job.part.name, job.chip
    ))
}

/// Runs `work` on every one of `all`, several at a time.
fn in_parallel<T: Sync, R: Send>(all: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(one) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = work(one);
                    done.lock().expect("nobody panicked").push(result);
                }
            });
        }
    });
    done.into_inner().expect("nobody panicked")
}

/// What is set of what flashrom and the board both know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// A few ranges, spread over its list, of one part of each family.
    Sample,
    /// Everything.
    All,
}

/// A part under one of flashrom's names, with the ranges that both know.
struct Known {
    part: Part,
    chip: String,
    ranges: Vec<(u32, u32)>,
}

fn known_to_both(name: &&str) -> Option<Known> {
    let part = catalog::part(name)?;
    let (chip, listed) = look(name)?.ranges.into_iter().next()?;
    let ranges: Vec<_> = listed.intersection(&decoded(&part)).copied().collect();
    (!ranges.is_empty()).then_some(Known { part, chip, ranges })
}

fn jobs(scope: Scope) -> Vec<Job> {
    let names: Vec<_> = catalog::names().collect();
    let mut known: Vec<_> = in_parallel(&names, known_to_both).into_iter().flatten().collect();
    known.sort_by(|one, other| one.part.name.cmp(&other.part.name));
    let mut families = BTreeSet::new();
    let most = if scope == Scope::Sample { RANGES_MAX } else { usize::MAX };
    let mut jobs = Vec::new();
    for Known { part, chip, ranges } in known {
        if scope == Scope::Sample && !families.insert(family(&part)) {
            continue;
        }
        let step = ranges.len().div_ceil(most).max(1);
        let spread = ranges.iter().rev().step_by(step).take(most);
        jobs.extend(spread.map(|range| Job {
            part: part.clone(),
            chip: chip.clone(),
            range: *range,
        }));
    }
    jobs
}

fn check(scope: Scope) {
    if flashrom().is_none() {
        return;
    }
    let jobs = jobs(scope);
    let (ended, wrong): (Vec<_>, Vec<_>) =
        in_parallel(&jobs, try_range).into_iter().partition(Result::is_ok);
    let wrong: Vec<_> = wrong.into_iter().filter_map(Result::err).collect();
    let set = ended.iter().filter(|end| **end == Ok(Outcome::Set)).count();
    let parts: BTreeSet<_> = jobs.iter().map(|job| job.part.name.as_str()).collect();
    let families: BTreeSet<_> = jobs.iter().map(|job| family(&job.part)).collect();
    eprintln!(
        "flashrom set {set} of {} ranges of {} parts of {} families, and the array refused exactly \
         those; {} times the part has no 31h, which flashrom noticed",
        jobs.len(),
        parts.len(),
        families.len(),
        ended.len() - set
    );
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), jobs.len(), wrong.join("\n"));
    assert!(set > jobs.len() / 2, "{set} of {}", jobs.len());
    assert!(families.len() > 3, "{families:?}");
}

/// One part of each family that flashrom knows, in a few of its ranges.
#[test]
fn ranges_that_flashrom_sets_are_refused_and_nothing_else_is() {
    check(Scope::Sample);
}

/// Every range of every part that both know: some 900 runs of flashrom.
#[test]
#[ignore = "long: cargo test --test hosted -- --ignored every_range_that_flashrom_knows"]
fn every_range_that_flashrom_knows_is_set_by_it_and_refused() {
    check(Scope::All);
}

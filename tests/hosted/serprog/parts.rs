//! flashrom on every part of the catalogue: what it takes the part for, and whether its table of
//! protection ranges is the board's.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    ops::Range,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use esp32_emulator::{flash::protected_range, transport::fronts::Fronts};
use spi_nor::{catalog, part::Part};

use super::flashrom;
use crate::emulator;

/// flashrom waits for most of its second a run.
pub(super) const THREADS: usize = 12;
/// Fewer parts than this mean that the probing itself is broken.
const KNOWN_MIN: usize = 40;

/// What flashrom says of one part.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Names of the definitions that match, with the size in KiB.
    pub(super) names: Vec<(String, u32)>,
    /// Protection ranges by name, where flashrom has them.
    pub(super) ranges: BTreeMap<String, BTreeSet<(u32, u32)>>,
}

/// `(start, length)` of every range that the part's bits can make, as the board decodes them.
pub(super) fn decoded(part: &Part) -> BTreeSet<(u32, u32)> {
    let names = part.protection.bit_names();
    let combinations = 0..1_u32 << names.len();
    let range_of = |combination: u32| {
        protected_range(part, &|name| {
            let place = names.iter().position(|known| *known == name);
            u8::from(place.is_some_and(|place| combination >> place & 1 == 1))
        })
    };
    combinations.map(range_of).map(|range| as_listed(&range)).collect()
}

pub(super) fn as_listed(range: &Range<u32>) -> (u32, u32) {
    if range.start >= range.end { (0, 0) } else { (range.start, range.end - range.start) }
}

/// Runs flashrom at `programmer`; what it says.
pub(super) fn run(programmer: &str, args: &[&str]) -> Option<String> {
    let output = flashrom()?.args(["-p", programmer]).args(args).output().expect("flashrom runs");
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    Some(text)
}

/// `Found Winbond flash chip "W25Q32.V" (4096 kB, SPI) on serprog.`
fn names(text: &str) -> Vec<(String, u32)> {
    let found = text.lines().filter(|line| line.starts_with("Found "));
    found
        .filter_map(|line| {
            let (_, rest) = line.split_once('"')?;
            let (name, rest) = rest.split_once("\" (")?;
            Some((name.to_owned(), rest.split_once(" kB")?.0.parse().ok()?))
        })
        .collect()
}

/// `start=0x00c00000 length=0x00400000 (upper 1/4)`
fn ranges(text: &str) -> BTreeSet<(u32, u32)> {
    let number = |text: &str| u32::from_str_radix(text.trim_start_matches("0x"), 16).ok();
    text.lines()
        .filter_map(|line| {
            let (start, rest) = line.trim().strip_prefix("start=")?.split_once(" length=")?;
            Some((number(start)?, number(rest.split(' ').next()?)?))
        })
        .collect()
}

pub(super) fn look(name: &str) -> Option<Seen> {
    let (board, address) = emulator::serve(name, Fronts::listen_serprog);
    let programmer = format!("serprog:ip={address}");
    let mut seen = Seen { names: names(&run(&programmer, &[])?), ..Seen::default() };
    for (chip, _) in &seen.names {
        let listed = ranges(&run(&programmer, &["-c", chip, "--wp-list"])?);
        if !listed.is_empty() {
            seen.ranges.insert(chip.clone(), listed);
        }
    }
    board.shutdown().expect("it served");
    Some(seen)
}

/// flashrom on every part, several at a time.
fn look_at_all() -> Option<BTreeMap<&'static str, Seen>> {
    flashrom()?;
    let parts: Vec<_> = catalog::names().collect();
    let (next, all) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(name) = parts.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let seen = look(name).expect("flashrom is there");
                    all.lock().expect("nobody panicked").insert(*name, seen);
                }
            });
        }
    });
    Some(all.into_inner().expect("nobody panicked"))
}

#[test]
fn every_part_that_flashrom_knows_is_the_part_that_the_board_has() {
    let Some(all) = look_at_all() else { return };
    let (mut table, mut wrong) = (String::new(), Vec::new());
    let (mut known, mut lists, mut range_count) = (0, 0, 0);
    for (name, seen) in &all {
        let part = catalog::part(name).expect("a part of the catalogue");
        known += usize::from(!seen.names.is_empty());
        for (chip, kib) in &seen.names {
            if *kib != part.capacity_bytes / 1024 {
                wrong.push(format!("{name}: flashrom's {chip} has {kib} KiB"));
            }
        }
        let board = decoded(&part);
        for (chip, listed) in &seen.ranges {
            lists += 1;
            range_count += listed.len();
            let foreign: Vec<_> = listed.difference(&board).collect();
            let equal = if *listed == board { "equal" } else { "flashrom knows fewer" };
            let (ours, theirs) = (board.len(), listed.len());
            let _ = writeln!(table, "  {name:<12} {chip:<32} {theirs:>3} of {ours:>3}  {equal}");
            if !foreign.is_empty() {
                wrong.push(format!("{name} as {chip}: the board does not have {foreign:x?}"));
            }
        }
    }
    let unknown: Vec<_> =
        all.iter().filter(|(_, seen)| seen.names.is_empty()).map(|(name, _)| *name).collect();
    eprintln!(
        "flashrom knows {known} of {} parts (not {unknown:?}); {lists} lists with {range_count} \
         protection ranges compared:\n{table}",
        all.len()
    );
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(known >= KNOWN_MIN && lists > 0, "{known} parts, {lists} lists");
}

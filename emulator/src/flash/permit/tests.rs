//! The rule on its own: each input forbids what it is about, and nothing else.

use spi_nor::catalog;

use super::*;

const PROTECTED: Range<u32> = 0x1000..0x2000;
const NOTHING: Range<u32> = 0..0;

/// A part that takes everything.
fn calm() -> Situation<'static> {
    Situation {
        lines: CommandLines::One,
        four_line_mode: false,
        unpowered: false,
        held: false,
        powered_down: false,
        busy: false,
        suspended: None,
        write_enabled: true,
        supply_mv: 3300,
        write_inhibit_mv: 2700,
        protected: &NOTHING,
        hidden: None,
        locks: None,
        block_protect_forbids_chip_erase: false,
        status_lock: StatusLockState {
            wp_enabled: false,
            power_lock: false,
            wp_low: false,
            both: BothLockBits::OneTimeProgram,
        },
    }
}

fn changes_of_every_kind() -> Vec<Request> {
    vec![
        Request::Program(0x1000..0x1010),
        Request::Erase(0x1000..0x2000),
        Request::ChipErase(0..0x40_0000),
        Request::OneTimeArea { frozen: false },
        Request::StatusWrite { bytes: 1, accepted: true },
        Request::LockWrite { frozen: false },
    ]
}

const READ: Request = Request::Other { while_busy: false, wakes: false };

/// Every change is refused for this reason, and taken by a calm part.
fn all_changes_refused(now: &Situation<'_>, why: &Denial) {
    for request in changes_of_every_kind() {
        assert_eq!(permit(&request, now).as_ref(), Err(why), "{request:?}");
        assert_eq!(permit(&request, &calm()), Ok(()), "{request:?}");
    }
}

#[test]
fn a_part_that_does_not_hear_takes_nothing() {
    let status_read = Request::Other { while_busy: true, wakes: false };
    let wake = Request::Other { while_busy: false, wakes: true };
    let held = Situation { held: true, ..calm() };
    let quad = Situation { four_line_mode: true, ..calm() };
    let asleep = Situation { powered_down: true, ..calm() };
    let busy = Situation { busy: true, ..calm() };
    for (now, why) in [
        (&held, Denial::Hold),
        (&quad, Denial::WrongLines),
        (&asleep, Denial::PowerDown),
        (&busy, Denial::Busy),
    ] {
        all_changes_refused(now, &why);
        assert_eq!(permit(&READ, now), Err(why));
    }
    assert_eq!(permit(&wake, &asleep), Ok(()));
    assert_eq!(permit(&status_read, &asleep), Err(Denial::PowerDown));
    assert_eq!(permit(&status_read, &busy), Ok(()));
    assert_eq!(permit(&wake, &busy), Err(Denial::Busy));
    let both = Situation { lines: CommandLines::Four, ..quad };
    assert_eq!(permit(&READ, &both), Ok(()));
    let four = Situation { lines: CommandLines::Four, ..calm() };
    assert_eq!(permit(&READ, &four), Err(Denial::WrongLines));
}

#[test]
fn changes_need_the_latch_and_the_supply_and_reads_need_neither() {
    let no_latch = Situation { write_enabled: false, ..calm() };
    all_changes_refused(&no_latch, &Denial::WriteEnableLatch);
    let low = Situation { supply_mv: 2699, write_enabled: true, ..calm() };
    all_changes_refused(&low, &Denial::WriteInhibit { supply_mv: 2699 });
    let just = Situation { supply_mv: 2700, ..calm() };
    for request in changes_of_every_kind() {
        assert_eq!(permit(&request, &just), Ok(()), "{request:?}");
    }
    let neither = Situation { supply_mv: 2699, write_enabled: false, ..calm() };
    assert_eq!(permit(&READ, &neither), Ok(()));
}

#[test]
fn a_wrong_form_is_refused_whatever_it_would_hit() {
    let short = Request::Cut { address: true, bytes: 3 };
    assert_eq!(permit(&short, &calm()), Err(Denial::AddressMissing));
    for request in [
        Request::Cut { address: false, bytes: 3 },
        Request::StatusWrite { bytes: 3, accepted: false },
    ] {
        assert_eq!(permit(&request, &calm()), Err(Denial::DataLength { bytes: 3 }));
    }
    let frozen = Request::OneTimeArea { frozen: true };
    assert_eq!(permit(&frozen, &calm()), Err(Denial::StatusOneTimeProgram));
    let frozen = Request::LockWrite { frozen: true };
    assert_eq!(permit(&frozen, &calm()), Err(Denial::StatusPowerLock));
}

#[test]
fn a_suspended_operation_forbids_all_but_programs_elsewhere() {
    let erasing = 0x1000..0x2000;
    let erase = Situation { suspended: Some(Suspended::Erase(&erasing)), ..calm() };
    let program = Situation { suspended: Some(Suspended::Program), ..calm() };
    all_changes_refused(&program, &Denial::Suspended);
    all_changes_refused(&erase, &Denial::Suspended);
    let elsewhere = Request::Program(0x2000..0x2010);
    assert_eq!(permit(&elsewhere, &erase), Ok(()));
    assert_eq!(permit(&elsewhere, &program), Err(Denial::Suspended));
    assert_eq!(permit(&Request::Erase(0x2000..0x3000), &erase), Err(Denial::Suspended));
}

#[test]
fn protected_cells_stay_to_the_byte() {
    let why = Denial::BlockProtect { protected: PROTECTED };
    let register = Situation { protected: &PROTECTED, ..calm() };
    let row = Situation { hidden: Some(&PROTECTED), ..calm() };
    for now in [&register, &row] {
        for (range, free) in [
            (0x0FF0..0x1000, true),
            (0x0FF0..0x1001, false),
            (0x1FFF..0x2010, false),
            (0x2000..0x2010, true),
            (0x0000..0x4000, false),
            (0x1800..0x1800, true),
        ] {
            for request in [Request::Program(range.clone()), Request::Erase(range.clone())] {
                let expected = if free { Ok(()) } else { Err(why.clone()) };
                assert_eq!(permit(&request, now), expected, "{request:x?}");
            }
        }
        let all = Request::ChipErase(0..0x40_0000);
        assert_eq!(permit(&all, now), Err(Denial::ChipErase));
    }
    let by_bits = Situation { block_protect_forbids_chip_erase: true, ..calm() };
    assert_eq!(permit(&Request::ChipErase(0..0x40_0000), &by_bits), Err(Denial::ChipErase));
    assert_eq!(permit(&Request::Erase(0..0x1000), &by_bits), Ok(()));
    assert!(!overlaps(&(5..5), &(0..10)) && !overlaps(&(0..10), &(5..5)));
}

#[test]
fn individual_locks_count_in_the_place_of_the_range() {
    let part = catalog::names()
        .filter_map(catalog::part)
        .find(|part| part.individual_locks.is_some())
        .expect("a part has them");
    let data = part.individual_locks.as_ref().expect("found by it");
    let mut locks = Locks::new(data, part.capacity_bytes);
    locks.set_all(false);
    locks.set(0, true);
    let now = Situation { protected: &PROTECTED, locks: Some(&locks), ..calm() };
    let locked = permit(&Request::Program(0..16), &now);
    assert!(matches!(locked, Err(Denial::IndividualLock { .. })), "{locked:?}");
    let beside = part.capacity_bytes / 2;
    assert_eq!(permit(&Request::Program(beside..beside + 16), &now), Ok(()));
    locks.set(0, false);
    let now = Situation { protected: &PROTECTED, locks: Some(&locks), ..calm() };
    assert_eq!(permit(&Request::Program(0x1000..0x1010), &now), Ok(()), "the range does not count");
}

#[test]
fn the_lock_of_the_status_registers_in_all_its_states() {
    let write = Request::StatusWrite { bytes: 2, accepted: true };
    let lock = |power_lock, wp_enabled, wp_low, both| {
        let status_lock = StatusLockState { wp_enabled, power_lock, wp_low, both };
        permit(&write, &Situation { status_lock, ..calm() })
    };
    let once = BothLockBits::OneTimeProgram;
    for wp_low in [false, true] {
        assert_eq!(lock(false, false, wp_low, once), Ok(()));
        assert_eq!(lock(true, false, wp_low, once), Err(Denial::StatusPowerLock));
        assert_eq!(lock(true, true, wp_low, once), Err(Denial::StatusOneTimeProgram));
    }
    assert_eq!(lock(false, true, false, once), Ok(()));
    assert_eq!(lock(false, true, true, once), Err(Denial::StatusWriteProtectPin));
    let others = catalog::names().filter_map(catalog::part).map(|part| part.status_lock.both);
    for both in others.filter(|both| *both != once) {
        assert_eq!(lock(true, true, false, both), Err(Denial::StatusPowerLock));
    }
}

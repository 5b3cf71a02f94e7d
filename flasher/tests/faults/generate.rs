//! Plans from a seed: one kind for certain, sometimes one or two more.

use esp32_emulator::{
    fault::{
        counts::FaultKind,
        link::LinkNoise,
        plan::{
            BoardFault, BusFault, CellFault, Class, FaultPlan, Level, Moment, Operation, Scope,
            SupplyFault, Window,
        },
    },
    time::Duration,
};
use fastrand::Rng;
use spi_nor::part::RegisterName;

/// Chip selects of a flashing of a few KiB, roughly.
const TRANSACTIONS: u64 = 1_200;
/// The same of its programs.
const PROGRAMS: u64 = 160;
const FLASH_BOOT: u8 = 0x13;

/// The plan of `seed` for an image at `offset`.
pub(crate) fn plan(seed: u64, offset: u32, len: u32) -> FaultPlan {
    let mut random = Rng::with_seed(seed);
    let kinds = FaultKind::ALL;
    let first = kinds[(seed % kinds.len() as u64) as usize];
    let mut plan = FaultPlan { title: format!("{seed}"), seed, ..FaultPlan::default() };
    add(&mut plan, first, &mut random, offset, len);
    for _ in 0..random.u8(0..6).saturating_sub(3) {
        let more = kinds[random.usize(0..kinds.len())];
        add(&mut plan, more, &mut random, offset, len);
    }
    plan
}

fn add(plan: &mut FaultPlan, kind: FaultKind, random: &mut Rng, offset: u32, len: u32) {
    match kind {
        FaultKind::LinkFlip
        | FaultKind::LinkDrop
        | FaultKind::LinkDuplicate
        | FaultKind::LinkDelay
        | FaultKind::LinkSplit
        | FaultKind::LinkDisconnect
        | FaultKind::LinkWrongRate => {
            for noise in [&mut plan.link.to_chip, &mut plan.link.from_chip] {
                add_noise(noise, kind, random);
            }
        }
        FaultKind::MisoStuck
        | FaultKind::MosiStuck
        | FaultKind::ChipSelectLost
        | FaultKind::RegisterGlitch
        | FaultKind::LyingWrite => plan.bus.push(bus(kind, random)),
        FaultKind::StuckBit => {
            for _ in 0..3 {
                plan.cells.push(CellFault::StuckBit {
                    address: offset + random.u32(0..len),
                    bit: random.u8(0..8),
                    level: level(random),
                });
            }
        }
        FaultKind::WeakSector => {
            let percent = pick([2, 10, 60], random);
            plan.cells.push(CellFault::WeakSector { address: offset, percent });
        }
        FaultKind::PowerCut
        | FaultKind::PowerCutErase
        | FaultKind::PowerCutProgram
        | FaultKind::PowerCutStatusWrite
        | FaultKind::BrownOut => plan.supply.push(supply(kind, random)),
        FaultKind::Reset => {
            let strap = random.bool().then_some(FLASH_BOOT);
            plan.board.push(BoardFault::Reset { after: after(random), strap });
        }
        FaultKind::Watchdog => {
            let strap = random.bool().then_some(FLASH_BOOT);
            plan.board.push(BoardFault::Watchdog { after: after(random), strap });
        }
    }
}

fn add_noise(noise: &mut LinkNoise, kind: FaultKind, random: &mut Rng) {
    let rate = pick([60, 200, 600], random);
    let long = Duration::from_micros(random.u64(100..150_000));
    match kind {
        FaultKind::LinkFlip => noise.flips_per_million = rate,
        FaultKind::LinkDrop => noise.drops_per_million = rate,
        FaultKind::LinkDuplicate => noise.doubles_per_million = rate,
        FaultKind::LinkDelay => {
            noise.delays_per_million = rate * 4;
            noise.delay_max = long;
        }
        FaultKind::LinkSplit => noise.splits_per_million = rate * 20,
        FaultKind::LinkDisconnect => {
            noise.disconnects_per_million = rate / 2;
            noise.disconnect_max = long;
        }
        _ => {
            noise.wrong_rates_per_million = rate / 2;
            noise.wrong_rate_max = long;
        }
    }
}

fn bus(kind: FaultKind, random: &mut Rng) -> BusFault {
    // On all chip selects a fault may last. On the reads of cells alone it is short: a part whose id
    // reads right and whose cells all read alike cannot be told from a blank one.
    let anywhere = Window {
        on: Class::Any,
        skip: random.u64(0..TRANSACTIONS),
        count: Some(pick([1, 5, 40, 400], random)),
    };
    let narrow = pick(
        [
            Window { on: Class::Read, skip: random.u64(0..200), count: Some(random.u64(1..3)) },
            Window {
                on: Class::ReadStatus,
                skip: random.u64(0..600),
                count: Some(random.u64(1..8)),
            },
            Window { on: Class::WriteEnable, skip: random.u64(0..PROGRAMS), count: Some(1) },
            Window {
                on: Class::Program,
                skip: random.u64(0..PROGRAMS),
                count: Some(random.u64(1..9)),
            },
            Window { on: Class::Erase, skip: random.u64(0..3), count: Some(1) },
            Window { on: Class::StatusWrite, skip: 0, count: Some(1) },
        ],
        random,
    );
    let at = if random.bool() { anywhere } else { narrow };
    match kind {
        FaultKind::MisoStuck => BusFault::MisoStuck { level: level(random), at },
        FaultKind::ChipSelectLost => BusFault::ChipSelectLost { at },
        FaultKind::MosiStuck => {
            // A stuck address would change cells elsewhere, which nothing before the flash can see.
            let from_byte = match at.on {
                Class::Program => pick([0, 4, 20], random),
                Class::StatusWrite => pick([0, 1], random),
                _ => 0,
            };
            BusFault::MosiStuck { level: level(random), from_byte, at }
        }
        FaultKind::RegisterGlitch => {
            let (register, skip) = pick(
                [(RegisterName::Sr2, random.u64(0..3)), (RegisterName::Sr1, random.u64(0..600))],
                random,
            );
            let at = Window { skip, count: Some(random.u64(1..4)), ..Window::default() };
            BusFault::RegisterGlitch { register, flip: random.u8(1..), at }
        }
        _ => {
            let on = pick([Class::Program, Class::Erase, Class::StatusWrite, Class::Any], random);
            let skip = if on == Class::Program { random.u64(0..PROGRAMS) } else { 0 };
            let count = Some(pick([1, 3, 50], random));
            BusFault::LyingWrite { at: Window { on, skip, count } }
        }
    }
}

fn supply(kind: FaultKind, random: &mut Rng) -> SupplyFault {
    let scope = if random.bool() { Scope::Board } else { Scope::Flash };
    let percent = random.u8(0..100);
    match kind {
        FaultKind::PowerCut => {
            SupplyFault::CutAfter { transactions: random.u64(0..TRANSACTIONS), scope }
        }
        FaultKind::BrownOut => {
            let on = pick([Class::Program, Class::Erase, Class::StatusWrite, Class::Any], random);
            let skip = if on == Class::Program { random.u64(0..PROGRAMS) } else { 0 };
            let at = Window { on, skip, count: Some(pick([1, 10, 600], random)) };
            SupplyFault::BrownOut { mv: random.u16(1_000..2_600), at }
        }
        _ => {
            let (operation, skip) = match kind {
                FaultKind::PowerCutErase => (Operation::Erase, random.u64(0..2)),
                FaultKind::PowerCutProgram => (Operation::Program, random.u64(0..PROGRAMS)),
                _ => (Operation::StatusWrite, 0),
            };
            SupplyFault::CutIn { operation, skip, percent, scope }
        }
    }
}

fn after(random: &mut Rng) -> Moment {
    if random.bool() {
        Moment::Transactions(random.u64(0..TRANSACTIONS))
    } else {
        Moment::Micros(random.u64(100_000..1_500_000))
    }
}

fn level(random: &mut Rng) -> Level {
    if random.bool() { Level::Low } else { Level::High }
}

fn pick<T: Copy, const N: usize>(from: [T; N], random: &mut Rng) -> T {
    from[random.usize(0..N)]
}

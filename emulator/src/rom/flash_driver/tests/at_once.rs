//! What the part takes at once leaves behind what its chip selects leave behind one by one: random
//! work of the ROM's flash functions on every part of the catalogue, in the states that a part can
//! be in, on a part and on the same part behind a decorator.

use fastrand::Rng;
use spi_nor::catalog;

use super::*;
use crate::{
    flash::{FlashState, NorFlash, Pins},
    soc::{Efuse, Identity, Soc},
    spi::Transaction,
    time::Duration,
    trace::Trace,
};

/// A part that hears one chip select after the other, and counts them.
#[derive(Debug)]
struct OneByOne {
    part: NorFlash,
    count: u64,
}

impl SpiDevice for OneByOne {
    fn transfer(&mut self, now: Instant, transaction: &mut Transaction<'_>, trace: &mut Trace) {
        self.count += 1;
        self.part.transfer(now, transaction, trace);
    }

    fn busy_until(&self) -> Option<Instant> {
        self.part.busy_until()
    }
}

/// A part that counts what is made of it one by one.
#[derive(Debug)]
struct AtOnce(OneByOne);

impl SpiDevice for AtOnce {
    fn transfer(&mut self, now: Instant, transaction: &mut Transaction<'_>, trace: &mut Trace) {
        self.0.transfer(now, transaction, trace);
    }

    fn busy_until(&self) -> Option<Instant> {
        self.0.busy_until()
    }

    fn undisturbed(&mut self) -> Option<&mut NorFlash> {
        self.0.part.undisturbed()
    }
}

fn machine<F: SpiDevice>(flash: F) -> Machine<F> {
    let identity = Identity::default();
    let efuse = Efuse::with_cells(identity.cells());
    let soc = Soc::power_on(&identity, efuse, 0);
    let connection = SpiConnection::Default;
    let mut machine =
        Machine { now: Instant::ZERO, soc, flash, connection, trace: Trace::default() };
    FlashChip::DEFAULT.store(&mut machine);
    machine
}

/// One step of either side.
#[derive(Debug, Clone)]
enum Step {
    /// Bytes on the bus, whatever the ROM would send.
    Send(Vec<u8>),
    Wait(u64),
    Write(u32, Vec<u8>),
    Read(u32, usize),
    ReadInPieces(u32, usize, usize),
    EraseSector(u32),
    Unlock,
    Lock,
    /// `SPI_SET_PARAMS` with this capacity and page.
    Chip(u32, u32),
    /// Values of `CTRL` and `USER`, as a client leaves them.
    Controller(u32, u32),
    SupplyMv(u16),
    Pins(Pins),
}

/// Near the edges of sectors, of the ROM's default size and of the address phase.
fn address(rng: &mut Rng, capacity: u32) -> u32 {
    let edges = [0, 0x1000, 0x8000, 0x1_0000, 0x20_0000, capacity, capacity / 2, 1 << 24];
    let edge = edges[rng.usize(..edges.len())];
    let near = [0, 4, 32, 64, 128, 256, 512, 0x1000][rng.usize(..8)];
    let at = if rng.bool() { edge.saturating_sub(near) } else { edge.saturating_add(near) };
    if rng.u8(..8) == 0 { at + rng.u32(..16) } else { at }
}

fn data(rng: &mut Rng) -> Vec<u8> {
    let len = [4, 32, 36, 64, 252, 256, 260, 1024, 5000, 6144][rng.usize(..10)];
    let len = if rng.u8(..16) == 0 { len + 1 } else { len };
    match rng.u8(..4) {
        0 => vec![0xFF; len],
        1 => (0..len).map(|at| if at / 32 % 2 == 0 { 0xFF } else { rng.u8(..) }).collect(),
        _ => (0..len).map(|_| rng.u8(..)).collect(),
    }
}

/// Instructions that change modes, latches and protection, and some that mean nothing.
fn instruction(rng: &mut Rng) -> Vec<u8> {
    const ALONE: [u8; 16] = [
        0x06, 0x04, 0x50, 0x75, 0x7A, 0xB9, 0xAB, 0x66, 0x99, 0xB7, 0xE9, 0x3A, 0x98, 0x7E, 0x38,
        0xFF,
    ];
    match rng.u8(..8) {
        0 => vec![0x01, rng.u8(..) & 0x7F],
        1 => vec![0x01, rng.u8(..) & 0x7F, rng.u8(..) & 0x42],
        2 => vec![0x31, rng.u8(..) & 0x42],
        3 => vec![0x11, rng.u8(..)],
        4 => vec![0x20, 0, rng.u8(..), 0],
        5 => vec![0x02, 0, rng.u8(..), rng.u8(..), rng.u8(..)],
        _ => vec![ALONE[rng.usize(..ALONE.len())]],
    }
}

fn step(rng: &mut Rng, part: &NorFlash) -> Step {
    let capacity = part.part().capacity_bytes;
    match rng.u8(..24) {
        0..8 => Step::Write(address(rng, capacity), data(rng)),
        8..10 => Step::Read(address(rng, capacity), data(rng).len()),
        10..13 => {
            let piece = [128, 64, 100, 256][rng.usize(..4)];
            Step::ReadInPieces(address(rng, capacity), data(rng).len(), piece)
        }
        13..15 => Step::EraseSector(rng.u32(..20)),
        15..19 => Step::Send(instruction(rng)),
        19 => Step::Wait(rng.u64(..2_000_000)),
        20 => [Step::Unlock, Step::Unlock, Step::Lock][rng.usize(..3)].clone(),
        21 => Step::Chip(
            if rng.bool() { capacity } else { 0x20_0000 },
            [256, 128, 512][rng.usize(..3)],
        ),
        22 => Step::Controller(
            if rng.bool() { ctrl::FAST_READ } else { 0 },
            if rng.u8(..4) > 0 { 1 << 31 } else { 0 },
        ),
        _ if rng.bool() => Step::SupplyMv([3_300, 1_800, 2_000, 1_000][rng.usize(..4)]),
        _ => Step::Pins(Pins { wp_high: rng.bool(), hold_high: rng.u8(..4) > 0 }),
    }
}

/// Does `step`; gives what its caller sees.
fn play<F: SpiDevice>(
    machine: &mut Machine<F>,
    part: impl FnOnce(&mut F) -> &mut NorFlash,
    step: &Step,
) -> (Result<(), FlashError>, Vec<u8>) {
    let mut read = Vec::new();
    let result = match step {
        Step::Send(mosi) => {
            // With its write enable, or most of them would change nothing.
            machine.transfer(&[0x06], &mut []);
            read.resize(3, 0);
            machine.transfer(mosi, &mut read);
            Ok(())
        }
        Step::Wait(ns) => {
            machine.wait(Duration::from_nanos(*ns));
            Ok(())
        }
        Step::Write(address, data) => write(machine, *address, data),
        Step::Read(address, len) => {
            read.resize(*len, 0);
            super::super::read(machine, *address, &mut read)
        }
        Step::ReadInPieces(address, len, piece_bytes) => {
            read.resize(*len, 0);
            read_in_pieces(machine, *address, &mut read, *piece_bytes)
        }
        Step::EraseSector(number) => erase_sector(machine, *number),
        Step::Unlock => unlock(machine),
        Step::Lock => lock(machine),
        Step::Chip(chip_bytes, page_bytes) => {
            let chip = FlashChip {
                chip_bytes: *chip_bytes,
                page_bytes: *page_bytes,
                ..FlashChip::DEFAULT
            };
            chip.store(machine);
            Ok(())
        }
        Step::Controller(ctrl, user) => {
            machine.soc.spi1.set(offset::CTRL, *ctrl);
            machine.soc.spi1.set(offset::USER, *user);
            Ok(())
        }
        Step::SupplyMv(mv) => {
            part(&mut machine.flash).set_supply_mv(*mv);
            Ok(())
        }
        Step::Pins(pins) => {
            part(&mut machine.flash).set_pins(*pins);
            Ok(())
        }
    };
    (result, read)
}

/// Everything that anybody can find out about a part.
fn seen(part: &mut NorFlash) -> impl PartialEq + std::fmt::Debug + use<> {
    let registers: Vec<_> = part.part().registers.keys().map(|name| part.register(*name)).collect();
    let latch = part.write_enable_latch();
    (part.state().clone(), registers, latch, part.busy_until(), part.take_dirty())
}

fn words<F>(machine: &Machine<F>) -> Vec<u32> {
    (0..0x100).step_by(4).map(|at| machine.soc.spi1.get(at)).collect()
}

/// Chip selects one by one, and of the other side.
fn compare(name: &str, seed: u64) -> (u64, u64) {
    let mut rng = Rng::with_seed(seed);
    let part = catalog::part(name).unwrap();
    let state = FlashState::factory(&part);
    let part = NorFlash::new(part, state).unwrap();
    let mut one = machine(OneByOne { part: part.clone(), count: 0 });
    let mut all = machine(AtOnce(OneByOne { part, count: 0 }));
    for _ in 0..rng.usize(1..40) {
        let step = step(&mut rng, &one.flash.part);
        let expected = play(&mut one, |flash| &mut flash.part, &step);
        let found = play(&mut all, |flash| &mut flash.0.part, &step);
        let about = format!("{name}, seed {seed}, {step:02x?}");
        assert_eq!(found, expected, "{about}");
        assert_eq!(all.now, one.now, "{about}");
        assert_eq!(words(&all), words(&one), "{about}");
        assert!(all.trace.entries().eq(one.trace.entries()), "{about}");
        assert_eq!(seen(&mut all.flash.0.part), seen(&mut one.flash.part), "{about}");
    }
    (one.flash.count, all.flash.0.count)
}

#[test]
fn what_a_part_takes_at_once_leaves_what_its_chip_selects_leave() {
    let rounds = 12;
    let (mut one, mut all) = (0, 0);
    for (number, name) in (0..).zip(catalog::names()) {
        for round in 0..rounds {
            let (one_here, all_here) = compare(name, number * 1_000 + round);
            one += one_here;
            all += all_here;
        }
    }
    assert!(all * 2 < one, "most are taken at once: {all} of {one} were not");
}

/// A recorder of chip selects sees every one of them.
#[test]
fn who_records_the_bus_sees_every_chip_select() {
    let part = catalog::part("W25Q128FV").unwrap();
    let state = FlashState::factory(&part);
    let mut machine = machine(NorFlash::new(part, state).unwrap());
    machine.trace.record_spi();
    write(&mut machine, 0, &[0x55; 512]).unwrap();
    // Of 32 bytes each: ready, ready, 06h, latched, 02h, and a busy part once more; ready at the
    // end of each page, and of the empty piece behind the last one.
    assert_eq!(machine.trace.take_spi().len(), 16 * 6 + 2 + 1);
}

//! Protection that nobody can lift: no sequence of a client's commands changes a protected cell or a
//! bit that protects it.

use std::borrow::Cow;

use esp_protocol::{
    command::{Begin, Data, RegisterWrite, Request, SpiParameters},
    slip,
};
use esp32_emulator::{
    board::{Board, BoardSetup},
    flash::{FlashState, NorFlash, Pins, SECTOR_BYTES},
    time::{Duration, Instant},
};
use fastrand::Rng;
use spi_nor::{
    catalog,
    part::{Part, RegisterName},
};

/// SPI1 of the chip (ROM-FACTS 6): command, address, user registers, lengths, data.
const SPI1: u32 = 0x3FF4_2000;
const OPCODES: [u8; 18] = [
    0x01, 0x02, 0x04, 0x06, 0x11, 0x20, 0x31, 0x32, 0x35, 0x50, 0x52, 0x60, 0x66, 0x98, 0x99, 0xC7,
    0xD8, 0x39,
];

/// A part that holds `sr1` and `sr2`, with old content in the first and in the last sector.
fn locked(name: &str, sr1: u8, sr2: u8, pins: Pins) -> NorFlash {
    let part: Part = catalog::part(name).expect("the catalogue has it");
    let last = part.capacity_bytes - 4096;
    let mut state = FlashState::factory(&part);
    state.set_register(RegisterName::Sr1, sr1);
    state.set_register(RegisterName::Sr2, sr2);
    state.cells.load(0, &[0x5A; SECTOR_BYTES]);
    state.cells.load(last, &[0xA5; SECTOR_BYTES]);
    let mut flash = NorFlash::new(part, state).expect("the part can be modelled");
    flash.set_pins(pins);
    flash
}

/// One chip select through the controller's registers, as clients do it.
fn spi(random: &mut Rng) -> Request<'static> {
    let opcode = OPCODES[random.usize(0..OPCODES.len())];
    let mosi_bits = 8 * random.u32(0..5);
    let address = random.u32(..) & if random.bool() { 0x003F_FFFF } else { 0x0000_0FFF };
    let delay_us = random.u32(0..3) * 1_000;
    let write =
        |offset, value| RegisterWrite { address: SPI1 + offset, value, mask: u32::MAX, delay_us };
    // User command with command phase, and address or data as it comes.
    let phases = 1 << 31 | u32::from(mosi_bits > 0) << 27 | u32::from(opcode & 2 == 0) << 30;
    Request::WriteReg(vec![
        write(0x04, address << 8),
        write(0x1C, phases),
        write(0x20, 23 << 26),
        write(0x24, 7 << 28 | u32::from(opcode)),
        write(0x28, mosi_bits.saturating_sub(1)),
        write(0x80, random.u32(..)),
        write(0x00, if random.u8(0..8) == 0 { 1 << random.u32(16..32) } else { 1 << 18 }),
    ])
}

fn request(random: &mut Rng, block: &[u8]) -> Request<'static> {
    let offset = [0, 0x1000, 0x1_0000, 0x3F_F000][random.usize(0..4)];
    let begin = Begin {
        size: [0, 64, 0x1000, 0x40_0000][random.usize(0..4)],
        blocks: random.u32(0..4),
        block_size: 64,
        offset,
        encrypted: None,
    };
    let data = Data { sequence: random.u32(0..3), bytes: Cow::Owned(block.to_vec()) };
    match random.u8(0..12) {
        0 => Request::Sync,
        1 => Request::SpiAttach { pins: 0, legacy: Some(random.u32(0..2)) },
        2 => Request::SpiSetParams(SpiParameters::of_size(4 << 20)),
        3 => Request::FlashBegin(begin),
        4 => Request::FlashData(data),
        5 => Request::FlashEnd { action: 1 },
        6 => Request::FlashDeflBegin(begin),
        7 => Request::FlashDeflData(data),
        8 => Request::FlashDeflEnd { action: 1 },
        _ => spi(random),
    }
}

fn play(flash: NorFlash, seed: u64) -> u64 {
    let before = flash.snapshot();
    let registers = [RegisterName::Sr1, RegisterName::Sr2].map(|name| before.register(name));
    let protected = flash.protected();
    assert!(!protected.is_empty());
    let mut random = Rng::with_seed(seed);
    let mut board = Board::power_on(BoardSetup::default(), flash);
    let mut now = Instant::ZERO + Duration::from_millis(100);
    let mut block = vec![0; 64];
    for _ in 0..40 {
        random.fill(&mut block);
        let mut wire = Vec::new();
        slip::encode(&request(&mut random, &block).emit(), &mut wire);
        board.receive(now, &wire);
        now = board.now() + Duration::from_millis(1);
        board.transmit(now, &mut Vec::new());
        match random.u8(0..40) {
            0 => board.host_reset(now),
            1 => board.power_cycle(now),
            _ => {}
        }
    }
    let after = board.flash().state();
    for number in (protected.start / 4096)..(protected.end / 4096) {
        assert!(after.cells.sector(number) == before.cells.sector(number), "sector {number}");
    }
    let still = [RegisterName::Sr1, RegisterName::Sr2].map(|name| after.register(name));
    assert_eq!(still, registers);
    let refused = |entry: &&esp32_emulator::trace::Entry| {
        matches!(entry.event, esp32_emulator::trace::Event::Denied { .. })
    };
    board.trace().entries().filter(refused).count() as u64
}

#[test]
fn no_sequence_of_commands_changes_a_cell_under_a_lock_that_cannot_be_lifted() {
    let high = Pins { wp_high: true, hold_high: true };
    let wp_low = Pins { wp_high: false, hold_high: true };
    // SRP1 = SRP0 = 1 for good; SRP0 = 1 with WP# low and QE = 0.
    let locks = [
        ("W25Q32FV", 0x9C, 0x01, high),
        ("W25Q32FV", 0xA4, 0x01, high),
        ("W25Q32FV", 0x9C, 0x00, wp_low),
        ("GD25Q32C", 0x9C, 0x00, wp_low),
        ("XM25QH32C", 0x9C, 0x00, wp_low),
    ];
    for (name, sr1, sr2, pins) in locks {
        let flash = locked(name, sr1, sr2, pins);
        let refused: u64 = (0..120).map(|seed| play(flash.clone(), seed)).sum();
        assert!(refused > 200, "{name}: the lock was tried {refused} times");
    }
}

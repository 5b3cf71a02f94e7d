//! What one chip select costs: the ROM programs 16 MiB with 3.7 million of them.

#![expect(clippy::expect_used, reason = "a bench that cannot set up its part has to stop")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use esp32_emulator::{
    flash::{FlashState, NorFlash},
    spi::{CommandLines, SpiDevice, Transaction},
    time::{Duration, Instant},
    trace::Trace,
};
use spi_nor::catalog;

/// A part with a clock.
struct Bus {
    flash: NorFlash,
    trace: Trace,
    now: Instant,
}

impl Bus {
    fn new() -> Self {
        let parts = catalog::parse_all().expect("the catalogue");
        let mut large = parts.into_iter().filter(|part| part.capacity_bytes == 0x100_0000);
        let part = large.next().expect("a part of 16 MiB");
        let state = FlashState::factory(&part);
        let flash = NorFlash::new(part, state).expect("sound part");
        Self { flash, trace: Trace::default(), now: Instant::ZERO }
    }

    fn send(&mut self, mosi: &[u8], miso: &mut [u8]) {
        let mut transaction = Transaction { mosi, miso, command_lines: CommandLines::One };
        self.flash.transfer(self.now, &mut transaction, &mut self.trace);
        self.now += Duration::from_micros(1);
    }

    /// WREN and an instruction, then its busy time.
    fn change(&mut self, mosi: &[u8]) {
        self.send(&[0x06], &mut []);
        self.send(mosi, &mut []);
        if let Some(until) = self.flash.busy_until() {
            self.now = until;
        }
    }
}

/// An opcode and its address.
fn with_address(opcode: u8, address: u32) -> [u8; 4] {
    let [_, high, middle, low] = address.to_be_bytes();
    [opcode, high, middle, low]
}

fn status_read(criterion: &mut Criterion) {
    let mut bus = Bus::new();
    criterion.bench_function("flash bus: RDSR", |bencher| {
        bencher.iter(|| {
            let mut status = [0];
            bus.send(black_box(&[0x05]), &mut status);
            status
        });
    });
}

fn program(criterion: &mut Criterion) {
    let mut bus = Bus::new();
    let mut mosi = [0x5A; 36];
    let mut address = 0_u32;
    criterion.bench_function("flash bus: WREN + PP 32 bytes", |bencher| {
        bencher.iter(|| {
            mosi[..4].copy_from_slice(&with_address(0x02, address));
            // One megabyte, so that the caches hold it.
            address = (address + 32) & 0x000F_FFFF;
            bus.change(black_box(&mosi));
        });
    });
}

fn read(criterion: &mut Criterion) {
    let mut bus = Bus::new();
    bus.flash.load_image(0, &vec![0x5A; 0x10_0000]);
    let mut address = 0_u32;
    criterion.bench_function("flash bus: READ 64 bytes", |bencher| {
        bencher.iter(|| {
            let mut answer = [0; 64];
            bus.send(black_box(&with_address(0x03, address)), &mut answer);
            address = (address + 64) & 0x000F_FFFF;
            answer
        });
    });
}

fn sector_erase(criterion: &mut Criterion) {
    let mut bus = Bus::new();
    let mut address = 0_u32;
    criterion.bench_function("flash bus: WREN + PP 1 byte + WREN + sector erase", |bencher| {
        bencher.iter(|| {
            let [opcode, high, middle, low] = with_address(0x02, address);
            bus.change(&[opcode, high, middle, low, 0]);
            bus.change(black_box(&with_address(0x20, address)));
            address = (address + 4096) & 0x00FF_FFFF;
        });
    });
}

criterion_group!(flash_bus, status_read, program, read, sector_erase);
criterion_main!(flash_bus);

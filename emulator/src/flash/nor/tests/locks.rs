//! Block protection register of the SST26 family, WPSEL of Macronix.

use spi_nor::part::RegisterName::{Scur, Sr1};

use super::*;

/// A bit for every unit, highest first: the last 8 KiB block is the second bit (its write lock).
const LAST_BLOCK_ONLY: [u8; 10] = [0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn with(opcode: u8, data: &[u8]) -> Vec<u8> {
    [&[opcode], data].concat()
}

#[test]
fn q15_the_block_protection_register_is_written_and_read_back() {
    let mut bench = Bench::new("SST26VF032B");
    bench.change(&with(0x42, &LAST_BLOCK_ONLY));
    assert_eq!(bench.spi(&[0x72], 10), LAST_BLOCK_ONLY);
    bench.change(&[0x02, 0x3F, 0xDF, 0xFF, 0]);
    bench.change(&[0x02, 0x3F, 0xE0, 0x00, 0]);
    assert_eq!((bench.cell(0x3F_DFFF), bench.cell(0x3F_E000)), (0, 0xFF));
    let unit = 0x3F_E000..0x40_0000;
    assert_eq!(bench.denials(), [Denial::IndividualLock { unit }]);
    bench.change(&[0x42, 0, 0]);
    assert_eq!(bench.denials()[1..], [Denial::DataLength { bytes: 2 }]);
    assert_eq!(bench.spi(&[0x72], 10), LAST_BLOCK_ONLY);
}

#[test]
fn q15_lock_down_holds_until_the_power_cycle() {
    let mut bench = Bench::new("SST26VF032B");
    bench.change(&[0x8D]);
    assert_eq!(bench.flash.register(Sr1), 0x10);
    bench.change(&[0x98]);
    assert_eq!(bench.denials(), [Denial::StatusPowerLock]);
    assert_eq!(bench.flash.individually_locked(0), Some(true));
    bench.flash.power_cycle(bench.now);
    assert_eq!(bench.flash.register(Sr1), 0x00);
    bench.change(&[0x98]);
    assert_eq!(bench.flash.individually_locked(0), Some(false));
}

#[test]
fn q15_locks_for_ever_outlive_power_and_unlocking() {
    let mut bench = Bench::new("SST26VF032B");
    bench.change(&with(0xE8, &LAST_BLOCK_ONLY));
    assert!(bench.flash.take_dirty().registers);
    for _ in 0..2 {
        bench.change(&[0x98]);
        bench.change(&with(0x42, &[0; 10]));
        assert_eq!(bench.spi(&[0x72], 10), LAST_BLOCK_ONLY);
        bench.flash.power_cycle(bench.now);
    }
    let moved = NorFlash::new(bench.flash.part().clone(), bench.flash.snapshot()).unwrap();
    assert_eq!(moved.individually_locked(0x3F_FFFF), Some(true));
}

#[test]
fn wpsel_selects_the_individual_locks_once_and_for_ever() {
    let mut bench = Bench::new("MX25L12835F");
    bench.spi(&[0x68], 0);
    assert_eq!(bench.denials(), [Denial::WriteEnableLatch]);
    bench.change(&[0x68]);
    assert_eq!(bench.flash.register(Scur), 0x80);
    assert_eq!(bench.flash.individually_locked(0), Some(true));
    bench.change(&[0x02, 0, 0, 0, 0]);
    assert_eq!(bench.cell(0), 0xFF);
    bench.change(&[0x39, 0, 0, 0]);
    bench.change(&[0x02, 0, 0, 0, 0]);
    assert_eq!(bench.cell(0), 0);
    bench.change(&[0x68]);
    assert_eq!(bench.denials().last(), Some(&Denial::StatusPowerLock));
    bench.flash.power_cycle(bench.now);
    assert_eq!(bench.flash.register(Scur), 0x80);
    assert_eq!(bench.flash.individually_locked(0), Some(true));
}

//! Quirks of supply, power-down and dummy bytes, one test each.

use spi_nor::part::RegisterName::Sr3;

use super::*;

/// 03h at 0.
const READ: [u8; 4] = [0x03, 0, 0, 0];
/// 0Bh at 0 with its dummy byte.
const FAST_READ: [u8; 5] = [0x0B, 0, 0, 0, 0];

#[test]
fn q22_dummy_bits_of_the_third_register_shift_fast_reads_by_a_byte() {
    let mut bench = Bench::new("XM25QH128C");
    bench.flash.load_image(0, &[0x1C, 0x00, 0xFF, 0x3F]);
    assert_eq!(bench.spi(&FAST_READ, 4), [0x1C, 0x00, 0xFF, 0x3F]);
    // All ones in the registers, as the damaged part had them.
    bench.change(&[0x11, 0xFF]);
    assert_eq!(bench.flash.register(Sr3) & 0x03, 0x03);
    assert_eq!(bench.spi(&FAST_READ, 4), [0xFF, 0x1C, 0x00, 0xFF]);
    assert_eq!(bench.spi(&READ, 4), [0x1C, 0x00, 0xFF, 0x3F], "no dummy phase, no shift");
    bench.change(&[0x11, 0xFE]);
    assert_eq!(bench.spi(&FAST_READ, 1), [0x1C], "one of the two bits does nothing");
}

#[test]
fn q25_reads_work_down_to_their_own_limit_and_the_part_powers_up_above_it() {
    let mut bench = Bench::new("W25Q128FV");
    bench.flash.load_image(0, &[0x12]);
    let (inhibit, minimum) =
        (bench.flash.part().write_inhibit_mv, bench.flash.part().read_minimum_mv);
    assert!(minimum < inhibit);
    bench.flash.set_supply_mv(minimum);
    assert_eq!(bench.spi(&READ, 1), [0x12]);
    bench.spi(&[0x06], 0);
    assert_eq!(bench.spi(&[0x05], 1), [0x02]);
    bench.flash.set_supply_mv(minimum - 1);
    assert_eq!(bench.spi(&READ, 1), [0xFF]);
    assert_eq!(bench.spi(&[0x05], 1), [0xFF]);
    assert!(bench.denials().contains(&Denial::Unpowered { supply_mv: minimum - 1 }));
    bench.flash.set_supply_mv(3300);
    assert_eq!(bench.spi(&[0x05], 1), [0x00], "the latch did not live through it");
    assert_eq!(bench.spi(&READ, 1), [0x12]);
}

#[test]
fn q33_ultra_deep_power_down_ends_by_ffh_two_milliseconds_and_abh() {
    let mut bench = Bench::new("XM25QH128C");
    let id = bench.spi(&[0x9F], 3);
    // 79h alone, without the ordinary power-down, means nothing.
    bench.spi(&[0x79], 0);
    assert_eq!(bench.spi(&[0x9F], 3), id);
    bench.spi(&[0xB9], 0);
    bench.spi(&[0x79], 0);
    assert_eq!(bench.spi(&[0x9F], 3), [0xFF; 3], "the id reads wrong until the wake-up");
    bench.spi(&[0xAB], 0);
    assert_eq!(bench.spi(&[0x9F], 3), [0xFF; 3], "the ROM's wake-up alone does not do");
    bench.spi(&[0xFF], 0);
    bench.spi(&[0xAB], 0);
    assert_eq!(bench.spi(&[0x9F], 3), [0xFF; 3], "too early");
    bench.now += Duration::from_millis(2);
    bench.spi(&[0xAB], 0);
    assert_eq!(bench.spi(&[0x9F], 3), id);
}

#[test]
fn q33_a_power_cycle_ends_it_and_other_parts_do_not_have_it() {
    let mut bench = Bench::new("XM25QH128C");
    let id = bench.spi(&[0x9F], 3);
    bench.spi(&[0xB9], 0);
    bench.spi(&[0x79], 0);
    bench.flash.power_cycle(bench.now);
    assert_eq!(bench.spi(&[0x9F], 3), id);
    let mut bench = Bench::new("W25Q128FV");
    bench.spi(&[0xB9], 0);
    bench.spi(&[0x79], 0);
    bench.spi(&[0xAB], 0);
    assert_eq!(bench.spi(&[0x9F], 3), [0xEF, 0x40, 0x18]);
}

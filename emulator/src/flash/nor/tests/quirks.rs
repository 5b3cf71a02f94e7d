//! One test for each quirk of the quirk list that the part itself shows.

use spi_nor::part::RegisterName::{Fsr, Scur, Sr1, Sr2, Sr3};

use super::*;

impl Bench {
    /// An instruction with an address.
    fn at(&mut self, opcode: u8, address: u32, data: &[u8]) {
        let [_, high, middle, low] = address.to_be_bytes();
        let mosi: Vec<u8> = [opcode, high, middle, low].iter().chain(data).copied().collect();
        self.change(&mosi);
    }

    fn programs(&mut self, address: u32) -> bool {
        self.at(0x02, address, &[0]);
        self.cell(address) == 0
    }

    fn protected(&self) -> Range<u32> {
        self.flash.protected()
    }
}

/// The unlock of the flasher stub up to esptool 5.2: 35h, bit 9 kept, one 01h with two bytes.
fn legacy_stub_unlock(bench: &mut Bench) {
    let second = bench.spi(&[0x35], 1)[0];
    bench.change(&[0x01, 0x00, second & 0x02]);
}

#[test]
fn q02_the_stub_keeps_bit_9_and_nothing_else_and_sees_no_failure() {
    let mut bench = Bench::new("W25Q128FV");
    bench.change(&[0x01, 0x1C, 0x42]);
    legacy_stub_unlock(&mut bench);
    assert_eq!(bench.status(), [0x00, 0x02]);
    // A part that wants one byte each does not execute it, and only the contents tell (Q3).
    let mut bench = Bench::new("GD25Q128E");
    bench.change(&[0x01, 0x1C]);
    legacy_stub_unlock(&mut bench);
    assert_eq!(bench.status(), [0x1E, 0x00]);
    assert!(!bench.programs(0));
}

/// `write_flash_status --bytes 2 --non-volatile 0`, the host slower than the part.
fn recipe(bench: &mut Bench) {
    for mosi in [&[0x01, 0x00, 0x00][..], &[0x01, 0x00], &[0x31, 0x00]] {
        bench.change(mosi);
    }
    bench.spi(&[0x04], 0);
}

#[test]
fn q07_one_recipe_separates_three_populations() {
    // Bits set and free to clear, whichever form the part takes.
    for name in ["W25Q128FV", "GD25Q128E", "GD25LQ32", "W25Q64FV"] {
        let mut bench = Bench::new(name);
        for mosi in [&[0x01, 0x1C, 0x00][..], &[0x01, 0x1C]] {
            bench.change(mosi);
        }
        assert!(!bench.programs(0), "{name}");
        recipe(&mut bench);
        assert!(bench.programs(0), "{name}");
    }
    // Nothing set: nothing changes and it was no protection.
    let mut bench = Bench::new("W25Q128FV");
    recipe(&mut bench);
    assert_eq!(bench.status(), [0x00, 0x00]);
    assert!(bench.programs(0));
    // Not writable: locked registers, or a supply below write-inhibit.
    let mut bench = Bench::new("GD25Q32B");
    bench.change(&[0x01, 0x9C, 0x01]);
    recipe(&mut bench);
    assert_eq!(bench.status(), [0x9C, 0x01]);
    let mut bench = Bench::new("W25Q128FV");
    bench.change(&[0x01, 0x1C, 0x02]);
    bench.flash.set_supply_mv(bench.flash.part().write_inhibit_mv - 1);
    recipe(&mut bench);
    assert_eq!(bench.status(), [0x1C, 0x02]);
    assert!(!bench.programs(0));
}

#[test]
fn q16_byte_program_parts_power_up_locked() {
    let mut bench = Bench::new("SST25VF032B");
    assert_eq!(bench.protected(), 0..0x40_0000);
    assert!(!bench.programs(0));
    bench.change(&[0x01, 0x00]);
    assert!(bench.programs(0));
    bench.flash.power_cycle(bench.now);
    assert!(!bench.programs(1));
}

#[test]
fn q19_50h_means_three_things() {
    // Volatile write enable: no latch.
    let mut bench = Bench::new("GD25Q128E");
    bench.spi(&[0x50], 0);
    assert!(!bench.flash.write_enable_latch());
    bench.spi(&[0x01, 0x1C], 0);
    assert_eq!(bench.status()[0], 0x1C);
    bench.flash.power_cycle(bench.now);
    assert_eq!(bench.status()[0], 0x00);
    // Enable status write: the write stays until power goes, as all of this part's bits do.
    let mut bench = Bench::new("SST25VF032B");
    bench.spi(&[0x50], 0);
    bench.spi(&[0x01, 0x00], 0);
    bench.wait();
    assert_eq!(bench.spi(&[0x05], 1)[0] & 0x3C, 0x00);
    // Clear flag status: a status write is not enabled by it.
    let mut bench = Bench::new("MT25QL128");
    bench.spi(&[0x50], 0);
    bench.spi(&[0x01, 0x1C], 0);
    bench.wait();
    assert_eq!(bench.spi(&[0x05], 1)[0] & 0x1C, 0x00);
}

#[test]
fn q21_the_srp_table() {
    let locked = |name: &str, sr1: u8, sr2: u8, wp_high: bool, cycle: bool| {
        let mut bench = Bench::new(name);
        bench.change(&[0x01, sr1, sr2]);
        if cycle {
            bench.flash.power_cycle(bench.now);
        }
        bench.flash.set_pins(Pins { wp_high, hold_high: true });
        let before = bench.status()[0] & 0x04;
        bench.change(&[0x01, sr1 & 0x80 | 0x04, sr2]);
        bench.status()[0] & 0x04 == before
    };
    // Name, SRP0, SRP1, WP# high, power cycle between, locked.
    let rows = [
        ("GD25Q32B", 0x00, 0x00, false, false, false),
        ("GD25Q32B", 0x80, 0x00, true, false, false),
        ("GD25Q32B", 0x80, 0x00, false, false, true),
        ("GD25Q32B", 0x00, 0x01, true, false, true),
        ("GD25Q32B", 0x00, 0x01, true, true, false),
        ("GD25Q32B", 0x80, 0x01, true, false, true),
        ("GD25Q32B", 0x80, 0x01, true, true, true),
        ("W25Q128FV", 0x80, 0x01, true, false, true),
        ("W25Q128FV", 0x80, 0x01, true, true, false),
    ];
    for (name, sr1, sr2, wp_high, cycle, expected) in rows {
        let found = locked(name, sr1, sr2, wp_high, cycle);
        assert_eq!(found, expected, "{name} {sr1:02x} {sr2:02x} WP# {wp_high} cycle {cycle}");
    }
}

#[test]
fn q36_erase_refused_and_program_allowed_gives_the_and_of_both_images() {
    let mut bench = Bench::new("W25Q128FV");
    bench.flash.load_image(0x00FF_0000, &[0b1010_1010; 0x100]);
    bench.change(&[0x01, 0x44]);
    bench.at(0xD8, 0x00FF_0000, &[]);
    bench.at(0x02, 0x00FF_0000, &[0b1100_1100]);
    assert_eq!(bench.cell(0x00FF_0000), 0b1000_1000);
    assert_eq!(bench.denials().len(), 1);
}

#[test]
fn q37_the_latch_reads_back_on_every_part() {
    for part in catalog::parse_all().unwrap() {
        let name = part.name.clone();
        let mut bench = Bench::of(part);
        let before = bench.spi(&[0x05], 1)[0];
        bench.spi(&[0x06], 0);
        assert_eq!(bench.spi(&[0x05], 1)[0], before | 0x02, "{name}");
        bench.spi(&[0x04], 0);
        assert_eq!(bench.spi(&[0x05], 1)[0], before, "{name}");
    }
}

#[test]
fn q04_other_gigadevices_take_sixteen_bits_and_no_31h() {
    let mut bench = Bench::new("GD25LQ32");
    bench.change(&[0x01, 0x00, 0x02]);
    assert_eq!(bench.status(), [0x00, 0x02]);
    bench.change(&[0x31, 0x00]);
    assert_eq!(bench.status()[1], 0x02);
}

/// The three writes of `write_flash_status --bytes 2` with a gap between chip selects.
fn burst(gap: Duration) -> Bench {
    let mut bench = Bench::new("W25Q128FV");
    for mosi in [&[0x01, 0x1C, 0x02][..], &[0x01, 0x04], &[0x31, 0x00]] {
        bench.spi(&[0x06], 0);
        bench.now += gap;
        bench.spi(mosi, 0);
        bench.now += gap;
    }
    bench.wait();
    bench
}

#[test]
fn q06_the_burst_works_where_the_host_is_slower_than_the_part() {
    let mut bench = burst(Duration::from_millis(11));
    assert_eq!(bench.status(), [0x04, 0x00]);
    assert_eq!(bench.denials(), []);
}

#[test]
fn q20_a_status_write_while_busy_is_ignored() {
    let mut bench = burst(Duration::from_millis(1));
    assert_eq!(bench.status(), [0x1C, 0x02]);
    assert_eq!(bench.denials(), vec![Denial::Busy; 4]);
}

#[test]
fn q10_a_refused_erase_takes_no_time_and_shows_nothing() {
    for (name, latch) in [("W25Q128FV", 0x02), ("MX25L12835F", 0x00)] {
        let mut bench = Bench::new(name);
        bench.flash.load_image(0, &[0; 4096]);
        bench.change(&[0x01, 0x1C]);
        let before = bench.spi(&[0x05], 1)[0];
        bench.spi(&[0x06], 0);
        bench.spi(&[0x20, 0xFF, 0xF0, 0x00], 0);
        assert_eq!(bench.flash.busy_until(), None, "{name}");
        assert_eq!(bench.spi(&[0x05], 1), [before | latch], "{name}");
    }
}

#[test]
fn q12_a_block_erase_is_refused_for_one_protected_sector_of_it() {
    let mut bench = Bench::new("W25Q128FV");
    bench.flash.load_image(0x00FE_0000, &vec![0; 0x2_0000]);
    // SEC = 1, BP = 1: the last sector.
    bench.change(&[0x01, 0x44]);
    bench.at(0xD8, 0x00FF_0000, &[]);
    assert_eq!(bench.cell(0x00FF_0000), 0);
    bench.at(0xD8, 0x00FE_0000, &[]);
    bench.at(0x20, 0x00FF_E000, &[]);
    bench.at(0x20, 0x00FF_F000, &[]);
    let cells = [0x00FE_0000, 0x00FF_E000, 0x00FF_F000].map(|address| bench.cell(address));
    assert_eq!(cells, [0xFF, 0xFF, 0]);
    assert!(bench.programs(0x00FF_EFFF));
    assert_eq!(bench.denials().len(), 2);
}

#[test]
fn q13_cmp_with_bp_0_locks_all_and_with_bp_7_nothing() {
    for name in ["BY25Q64AS", "W25Q128FV"] {
        let mut bench = Bench::new(name);
        let all = 0..bench.flash.part().capacity_bytes;
        bench.change(&[0x01, 0x00, 0x42]);
        assert_eq!(bench.protected(), all, "{name}");
        assert!(!bench.programs(0), "{name}");
        bench.change(&[0x01, 0x1C, 0x42]);
        assert!(bench.protected().is_empty(), "{name}");
        bench.change(&[0x01, 0x00, 0x02]);
        assert!(bench.programs(0), "{name}");
    }
}

#[test]
fn q18_quad_enable_is_where_the_part_has_it_and_falls_with_its_register() {
    for (name, on) in [("MX25L12835F", 0x40), ("IS25LP128", 0x40)] {
        let mut bench = Bench::new(name);
        bench.change(&[0x01, on]);
        bench.flash.set_pins(Pins { wp_high: true, hold_high: false });
        assert_eq!(bench.spi(&[0x05], 1), [on], "{name}");
        bench.change(&[0x01, 0x00]);
        assert_eq!(bench.spi(&[0x05], 1), [0xFF], "{name}");
    }
}

#[test]
fn q23_one_time_bits_only_rise() {
    let mut bench = Bench::new("W25Q128FV");
    bench.spi(&[0x50], 0);
    bench.spi(&[0x01, 0x00, 0x38], 0);
    assert_eq!(bench.status()[1], 0x00);
    bench.change(&[0x01, 0x00, 0x08]);
    bench.change(&[0x01, 0x00, 0x32]);
    assert_eq!(bench.status()[1], 0x3A);
    bench.change(&[0x01, 0x00, 0x00]);
    bench.spi(&[0x50], 0);
    bench.spi(&[0x01, 0x00, 0x00], 0);
    bench.flash.power_cycle(bench.now);
    assert_eq!(bench.status(), [0x00, 0x38]);
    bench.at(0x42, 0x1000, &[0]);
    assert_eq!(bench.denials(), [Denial::StatusOneTimeProgram]);

    let mut bench = Bench::new("MX25L12835F");
    bench.change(&[0x01, 0x04, 0x08]);
    assert_eq!(bench.protected(), 0..0x1_0000);
    bench.change(&[0x01, 0x04, 0x00]);
    assert_eq!(bench.protected(), 0..0x1_0000);
}

#[test]
fn q24_wp_low_freezes_the_status_registers_unless_quad_is_enabled() {
    let mut bench = Bench::new("W25Q128FV");
    bench.change(&[0x01, 0x80, 0x00]);
    bench.flash.set_pins(Pins { wp_high: false, hold_high: true });
    bench.change(&[0x01, 0x9C, 0x00]);
    assert_eq!(bench.status(), [0x82, 0x00]);
    assert_eq!(bench.denials(), [Denial::StatusWriteProtectPin]);
    bench.flash.set_pins(Pins { wp_high: true, hold_high: true });
    bench.change(&[0x01, 0x80, 0x02]);
    bench.flash.set_pins(Pins { wp_high: false, hold_high: true });
    bench.change(&[0x01, 0x9C, 0x02]);
    assert_eq!(bench.status(), [0x9C, 0x02]);
}

#[test]
fn q24_hold_low_makes_the_part_deaf_or_resets_it() {
    let low = Pins { wp_high: true, hold_high: false };
    let high = Pins { wp_high: true, hold_high: true };
    let mut bench = Bench::new("W25Q128FV");
    bench.flash.set_pins(low);
    assert_eq!(bench.spi(&[0x9F], 3), [0xFF; 3]);
    bench.flash.set_pins(high);
    bench.change(&[0x31, 0x02]);
    bench.flash.set_pins(low);
    assert_eq!(bench.spi(&[0x9F], 3), [0xEF, 0x40, 0x18]);
    bench.flash.set_pins(high);
    bench.change(&[0x31, 0x00]);
    bench.change(&[0x11, 0x80]);
    bench.spi(&[0x06], 0);
    bench.flash.set_pins(low);
    bench.flash.set_pins(high);
    assert!(!bench.flash.write_enable_latch());
}

#[test]
fn q26_the_eon_table_says_what_stays_writable() {
    let mut bench = Bench::new("EN25Q32");
    bench.change(&[0x01, 0x04]);
    assert_eq!(bench.protected().len(), 0x40_0000 / 64 * 63);
    bench.change(&[0x01, 0x18]);
    assert_eq!(bench.protected().len(), 0x40_0000 / 2);
    bench.change(&[0x01, 0x1C]);
    assert_eq!(bench.protected(), 0..0x40_0000);
}

#[test]
fn q27_the_first_two_levels_of_fudan_lock_nothing() {
    let mut bench = Bench::new("FM25Q128A");
    for (value, protected) in [(0x04, 0), (0x08, 0), (0x0C, 0x10_0000), (0x10, 0x20_0000)] {
        bench.change(&[0x01, value]);
        assert_eq!(bench.protected().len(), protected, "{value:02x}");
    }
}

#[test]
fn q28_one_id_and_two_dies() {
    let (mut old, mut new) = (Bench::new("W25Q64FV"), Bench::new("W25Q64JV"));
    assert_eq!(old.spi(&[0x9F], 3), new.spi(&[0x9F], 3));
    for bench in [&mut old, &mut new] {
        bench.change(&[0x01, 0x00, 0x42]);
        bench.change(&[0x01, 0x00]);
    }
    // The one-byte write of the older die takes CMP along and unlocks it.
    assert_eq!((old.status()[1], new.status()[1]), (0x00, 0x42));
    assert!(old.programs(0) && !new.programs(0));
}

#[test]
fn q29_an_unknown_register_read_floats() {
    let mut bench = Bench::new("GD25Q32B");
    assert_eq!(bench.spi(&[0x15], 2), [0xFF; 2]);
    bench.flash.set_pull_level(0);
    assert_eq!(bench.spi(&[0x15], 2), [0x00; 2]);
}

#[test]
fn q30_fail_flags_tell_of_a_refusal_where_a_part_has_them() {
    let mut bench = Bench::new("MT25QL128");
    bench.change(&[0x01, 0x1C]);
    bench.at(0x20, 0x00FF_F000, &[]);
    assert_eq!(bench.flash.register(Fsr), 0x80 | 0x20 | 0x02);
    assert!(bench.flash.write_enable_latch());
    bench.spi(&[0x50], 0);
    bench.at(0x02, 0x00FF_F000, &[0]);
    assert_eq!(bench.flash.register(Fsr), 0x80 | 0x10 | 0x02);

    let mut bench = Bench::new("MX25L12835F");
    bench.change(&[0x01, 0x04]);
    bench.at(0x20, 0x00FF_F000, &[]);
    assert_eq!(bench.flash.register(Scur), 0x40);
    assert!(bench.programs(0));
    assert_eq!(bench.flash.register(Scur), 0);
}

#[test]
fn q31_the_second_status_byte_may_select_the_individual_locks() {
    let mut bench = Bench::new("FM25W128");
    assert!(bench.programs(0));
    bench.change(&[0x01, 0x00, 0x08]);
    assert_eq!(bench.flash.individually_locked(0), Some(true));
    assert!(!bench.programs(1));
    bench.change(&[0x01, 0x00, 0x00]);
    assert!(bench.programs(1));
}

#[test]
fn q32_otp_mode_turns_status_and_array_instructions_to_the_otp_sector() {
    let mut bench = Bench::new("EN25Q32");
    bench.change(&[0x01, 0x1C]);
    bench.spi(&[0x3A], 0);
    assert_eq!(bench.spi(&[0x05], 1), [0x00]);
    bench.at(0x02, 0, &[0x12]);
    assert_eq!(bench.spi(&[0x03, 0, 0, 0], 1), [0x12]);
    bench.change(&[0x01, 0x04]);
    bench.change(&[0x01, 0x00]);
    assert_eq!(bench.spi(&[0x05], 1), [0x04], "one-time bits stay");
    bench.at(0x20, 0, &[]);
    assert_eq!(bench.denials(), [Denial::StatusOneTimeProgram]);
    assert_eq!(bench.spi(&[0x03, 0, 0, 0], 1), [0x12]);
    bench.flash.host_reset(bench.now);
    assert_eq!(bench.spi(&[0x03, 0, 0, 0], 1), [0x12]);
    bench.spi(&[0x04], 0);
    assert_eq!((bench.spi(&[0x05], 1)[0], bench.cell(0)), (0x1C, 0xFF));
    bench.spi(&[0x3A], 0);
    bench.flash.power_cycle(bench.now);
    assert_eq!(bench.spi(&[0x05], 1), [0x1C]);
}

#[test]
fn q34_a_suspended_erase_blocks_status_writes_until_resume_or_power_cycle() {
    let mut bench = Bench::new("W25Q128FV");
    bench.spi(&[0x06], 0);
    bench.spi(&[0xD8, 0, 0, 0], 0);
    bench.now += Duration::from_millis(100);
    bench.spi(&[0x75], 0);
    assert_eq!(bench.status(), [0x00, 0x80]);
    bench.flash.host_reset(bench.now);
    bench.change(&[0x01, 0x1C]);
    bench.at(0x20, 0x10_0000, &[]);
    assert_eq!(bench.denials(), vec![Denial::Suspended; 2]);
    assert!(!bench.programs(0x1234));
    assert!(bench.programs(0x10_0000));
    bench.spi(&[0x7A], 0);
    let left = bench.flash.busy_until().unwrap().since(bench.now);
    assert!(left > Duration::from_millis(45) && left <= Duration::from_millis(50), "{left:?}");
    bench.wait();
    assert_eq!(bench.status(), [0x00, 0x00]);
    bench.spi(&[0x06], 0);
    bench.spi(&[0xD8, 0, 0, 0], 0);
    bench.spi(&[0x75], 0);
    bench.flash.power_cycle(bench.now);
    assert_eq!(bench.status(), [0x00, 0x00]);
}

#[test]
fn h3_a_register_write_that_clears_wps_by_side_effect_unlocks() {
    let mut part = catalog::part("W25Q128FV").unwrap();
    for form in part.status_write.iter_mut().filter(|form| form.opcode == 0x31) {
        form.clears = vec!["WPS".to_owned()];
    }
    let mut bench = Bench::of(part);
    bench.change(&[0x11, 0x04]);
    bench.flash.power_cycle(bench.now);
    assert_eq!(bench.status(), [0x00, 0x00]);
    bench.change(&[0x01, 0x00, 0x00]);
    assert!(!bench.programs(0));
    bench.change(&[0x31, 0x00]);
    assert_eq!(bench.flash.register(Sr3) & 0x04, 0);
    assert!(bench.programs(0));
}

#[test]
fn h7_below_write_inhibit_the_latch_sets_and_every_change_ends_at_once() {
    let mut bench = Bench::new("GD25Q64E");
    bench.flash.load_image(0, &[0; 4096]);
    let stored = bench.flash.snapshot();
    bench.flash.set_supply_mv(bench.flash.part().write_inhibit_mv - 1);
    let before = [Sr1, Sr2, Sr3].map(|name| bench.flash.register(name));
    for mosi in [&[0x20, 0, 0, 0][..], &[0x02, 0, 0, 0, 0], &[0xC7], &[0x31, 0x42], &[0x01, 0x1C]] {
        bench.spi(&[0x06], 0);
        assert_eq!(bench.spi(&[0x05], 1), [0x02]);
        bench.spi(mosi, 0);
        assert_eq!(bench.flash.busy_until(), None);
        assert_eq!(bench.spi(&[0x05], 1), [0x00]);
    }
    assert_eq!([Sr1, Sr2, Sr3].map(|name| bench.flash.register(name)), before);
    assert_eq!(bench.flash.snapshot(), stored);
    assert_eq!(bench.denials().len(), 5);
    bench.flash.set_supply_mv(3_300);
    bench.at(0x20, 0, &[]);
    assert_eq!(bench.cell(0), 0xFF);
}

#[test]
fn q19_bits_without_a_volatile_copy_ignore_a_write_after_50h() {
    let mut bench = Bench::new("EN25Q32");
    bench.spi(&[0x50], 0);
    bench.spi(&[0x01, 0x1C], 0);
    assert_eq!(bench.spi(&[0x05], 1), [0x00]);
    bench.change(&[0x01, 0x1C]);
    assert_eq!(bench.spi(&[0x05], 1), [0x1C]);
}

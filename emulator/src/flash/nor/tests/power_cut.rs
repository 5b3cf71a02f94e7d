//! A power cut in the middle of an operation.

use spi_nor::part::RegisterName::{Sr1, Sr2};

use super::*;

/// Starts `mosi` on `bench`, cuts the power after `share` hundredths of its time.
fn cut(mut bench: Bench, mosi: &[u8], share: u64, seed: u64) -> (Bench, Vec<Interrupted>) {
    bench.spi(&[0x06], 0);
    let started = bench.now;
    bench.spi(mosi, 0);
    let whole = bench.flash.busy_until().unwrap().since(started);
    bench.now = started + Duration::from_nanos(whole.as_nanos() / 100 * share);
    let interrupted = bench.flash.power_cut(bench.now, seed);
    (bench, interrupted)
}

fn cells(bench: &Bench, range: Range<u32>) -> Vec<u8> {
    let mut cells = vec![0; range.len()];
    bench.flash.read_cells(range.start, &mut cells);
    cells
}

fn filled(name: &str) -> Bench {
    let mut bench = Bench::new(name);
    let image: Vec<u8> = (0..=u8::MAX).cycle().take(0x3000).collect();
    bench.flash.load_image(0, &image);
    bench
}

#[test]
fn a_cut_program_has_cleared_some_of_its_bits_and_no_other() {
    let image: Vec<u8> = (0..=u8::MAX).collect();
    let mut counts = Vec::new();
    for share in [0, 50, 99] {
        let mosi: Vec<u8> = [0x02, 0, 0x10, 0].into_iter().chain([0x0F; 256]).collect();
        let (bench, interrupted) = cut(filled("W25Q128FV"), &mosi, share, 7);
        assert_eq!(interrupted, [Interrupted::Program(0x1000..0x1100)]);
        let after = cells(&bench, 0x1000..0x1100);
        let mut left = 0;
        for (&after, &old) in after.iter().zip(&image) {
            assert_eq!((after & !old, after & 0x0F), (0, old & 0x0F));
            left += (after & 0xF0).count_ones();
        }
        counts.push(left);
        assert_eq!(cells(&bench, 0..0x1000), filled("W25Q128FV").cells_of(0..0x1000));
    }
    assert!(counts[0] > counts[1] && counts[1] > counts[2], "{counts:?}");
}

impl Bench {
    fn cells_of(&self, range: Range<u32>) -> Vec<u8> {
        cells(self, range)
    }
}

#[test]
fn a_cut_erase_leaves_its_sectors_in_any_state_and_the_others_alone() {
    let mut seen = [false; 3];
    for seed in 0..40 {
        let (mut bench, interrupted) =
            cut(filled("W25Q128FV"), &[0x20, 0, 0x10, 0], seed % 10 * 10, seed);
        assert_eq!(interrupted, [Interrupted::Erase(0x1000..0x2000)]);
        let old = filled("W25Q128FV");
        assert_eq!(cells(&bench, 0..0x1000), old.cells_of(0..0x1000));
        assert_eq!(cells(&bench, 0x2000..0x4000), old.cells_of(0x2000..0x4000));
        let after = cells(&bench, 0x1000..0x2000);
        let blank = after.iter().all(|&cell| cell == 0xFF);
        let untouched = after == old.cells_of(0x1000..0x2000);
        seen[usize::from(blank) + 2 * usize::from(untouched)] = true;
        assert_eq!(bench.flash.take_dirty().sectors, [1]);
        // The part works afterwards.
        assert_eq!((bench.flash.busy_until(), bench.status()), (None, [0, 0]));
        bench.change(&[0x20, 0, 0x10, 0]);
        assert_eq!(bench.cell(0x1000), 0xFF);
    }
    assert_eq!(seen, [true; 3]);
}

#[test]
fn a_cut_status_write_leaves_old_new_or_mixed_bits() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..40 {
        let mut bench = Bench::new("W25Q128FV");
        bench.change(&[0x01, 0x1C, 0x00]);
        let (bench, interrupted) = cut(bench, &[0x01, 0x20, 0x42], 50, seed);
        assert_eq!(interrupted, [Interrupted::StatusWrite]);
        let status = [Sr1, Sr2].map(|name| bench.flash.register(name));
        assert_eq!((status[0] & !0x3C, status[1] & !0x42), (0, 0));
        assert_eq!(status, [Sr1, Sr2].map(|name| bench.flash.state().register(name)));
        seen.insert(status);
    }
    assert!(seen.contains(&[0x1C, 0x00]) && seen.contains(&[0x20, 0x42]) && seen.len() > 4);
}

#[test]
fn the_same_seed_and_instant_leave_the_same_cells() {
    let after = |seed| cells(&cut(filled("GD25Q32B"), &[0xD8, 0, 0, 0], 40, seed).0, 0..0x1_0000);
    assert_eq!(after(1), after(1));
    assert_ne!(after(1), after(2));
}

#[test]
fn what_was_finished_stays_whole() {
    let mut bench = filled("W25Q128FV");
    bench.change(&[0x20, 0, 0x10, 0]);
    assert_eq!(bench.flash.power_cut(bench.now, 3), []);
    assert!(cells(&bench, 0x1000..0x2000).iter().all(|&cell| cell == 0xFF));
    // A cut without an operation is a power cycle.
    bench.spi(&[0x06], 0);
    assert_eq!(bench.flash.power_cut(bench.now, 3), []);
    assert!(!bench.flash.write_enable_latch());
}

#[test]
fn a_suspended_erase_is_half_done_as_well() {
    let mut bench = filled("W25Q128FV");
    bench.spi(&[0x06], 0);
    bench.spi(&[0x20, 0, 0x10, 0], 0);
    bench.spi(&[0x75], 0);
    let (bench, interrupted) = cut(bench, &[0x02, 0, 0x20, 0, 0, 0], 0, 5);
    let expected = [Interrupted::Program(0x2000..0x2002), Interrupted::Erase(0x1000..0x2000)];
    assert_eq!(interrupted, expected);
    assert_eq!(cells(&bench, 0x2002..0x2100), filled("W25Q128FV").cells_of(0x2002..0x2100));
}

#[test]
fn dirty_names_what_changed_and_nothing_else() {
    let mut bench = Bench::new("W25Q32JV");
    assert!(bench.flash.take_dirty().is_empty());
    bench.change(&[0x02, 0, 0x30, 0, 0]);
    bench.change(&[0x02, 0, 0x10, 0, 0]);
    bench.change(&[0x02, 0, 0x30, 1, 0]);
    // A blank sector stays as it is.
    bench.change(&[0x20, 0, 0x80, 0]);
    assert_eq!(bench.flash.take_dirty(), Dirty { sectors: vec![3, 1], registers: false });
    assert!(bench.flash.take_dirty().is_empty());
    bench.change(&[0xD8, 0, 0, 0]);
    bench.change(&[0x01, 0x1C]);
    assert_eq!(bench.flash.take_dirty(), Dirty { sectors: vec![1, 3], registers: true });
    bench.change(&[0x02, 0, 0, 0, 0]);
    bench.spi(&[0x50], 0);
    bench.spi(&[0x01, 0x00], 0);
    assert!(bench.flash.take_dirty().is_empty());
}

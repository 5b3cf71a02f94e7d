//! Random instruction sequences against a second model, written from the wording of the
//! datasheets and with the protection tables of two of them copied by hand.

use std::collections::BTreeMap;

use proptest::prelude::*;
use spi_nor::part::RegisterName::{Sr1, Sr2};

use super::{every_opcode::assert_only_reported, *};

const WEL: u8 = 0x02;
const WIP: u8 = 0x01;

/// SEC, TB (`None`: does not matter), values of BP2..BP0, first and last protected byte.
type Row = (Option<bool>, Option<bool>, &'static [u8], u32, u32);

/// What a datasheet says.
struct Sheet {
    name: &'static str,
    bytes: u32,
    /// Protection with CMP = 0; with CMP = 1 it is the rest.
    table: &'static [Row],
    sec_bit: u8,
    tb_bit: u8,
    /// Bits of SR1 and SR2 that a write changes.
    writable: [u8; 2],
    one_time: u8,
    /// Bits of SR2 that a one-byte 01h clears.
    one_byte_clears: u8,
    has_31h: bool,
    /// Typical times in microseconds: page program, 20h, 52h, D8h, chip erase, status write.
    times: [u64; 6],
}

const NO: Option<bool> = Some(false);
const YES: Option<bool> = Some(true);

const W25Q128FV: Sheet = Sheet {
    name: "W25Q128FV",
    bytes: 0x100_0000,
    table: &[
        (None, None, &[0], 1, 0),
        (NO, NO, &[1], 0xFC_0000, 0xFF_FFFF),
        (NO, NO, &[2], 0xF8_0000, 0xFF_FFFF),
        (NO, NO, &[3], 0xF0_0000, 0xFF_FFFF),
        (NO, NO, &[4], 0xE0_0000, 0xFF_FFFF),
        (NO, NO, &[5], 0xC0_0000, 0xFF_FFFF),
        (NO, NO, &[6], 0x80_0000, 0xFF_FFFF),
        (NO, YES, &[1], 0, 0x03_FFFF),
        (NO, YES, &[2], 0, 0x07_FFFF),
        (NO, YES, &[3], 0, 0x0F_FFFF),
        (NO, YES, &[4], 0, 0x1F_FFFF),
        (NO, YES, &[5], 0, 0x3F_FFFF),
        (NO, YES, &[6], 0, 0x7F_FFFF),
        (None, None, &[7], 0, 0xFF_FFFF),
        (YES, NO, &[1], 0xFF_F000, 0xFF_FFFF),
        (YES, NO, &[2], 0xFF_E000, 0xFF_FFFF),
        (YES, NO, &[3], 0xFF_C000, 0xFF_FFFF),
        (YES, NO, &[4, 5], 0xFF_8000, 0xFF_FFFF),
        (YES, YES, &[1], 0, 0x00_0FFF),
        (YES, YES, &[2], 0, 0x00_1FFF),
        (YES, YES, &[3], 0, 0x00_3FFF),
        (YES, YES, &[4, 5], 0, 0x00_7FFF),
    ],
    sec_bit: 0x40,
    tb_bit: 0x20,
    writable: [0x7C, 0x42],
    one_time: 0x38,
    one_byte_clears: 0,
    has_31h: true,
    times: [700, 45_000, 120_000, 150_000, 40_000_000, 10_000],
};

/// BP4 and BP3 stand where SEC and TB do.
const GD25Q32B: Sheet = Sheet {
    name: "GD25Q32B",
    bytes: 0x40_0000,
    table: &[
        (None, None, &[0], 1, 0),
        (NO, NO, &[1], 0x3F_0000, 0x3F_FFFF),
        (NO, NO, &[2], 0x3E_0000, 0x3F_FFFF),
        (NO, NO, &[3], 0x3C_0000, 0x3F_FFFF),
        (NO, NO, &[4], 0x38_0000, 0x3F_FFFF),
        (NO, NO, &[5], 0x30_0000, 0x3F_FFFF),
        (NO, NO, &[6], 0x20_0000, 0x3F_FFFF),
        (NO, YES, &[1], 0, 0x00_FFFF),
        (NO, YES, &[2], 0, 0x01_FFFF),
        (NO, YES, &[3], 0, 0x03_FFFF),
        (NO, YES, &[4], 0, 0x07_FFFF),
        (NO, YES, &[5], 0, 0x0F_FFFF),
        (NO, YES, &[6], 0, 0x1F_FFFF),
        (None, None, &[7], 0, 0x3F_FFFF),
        (YES, NO, &[1], 0x3F_F000, 0x3F_FFFF),
        (YES, NO, &[2], 0x3F_E000, 0x3F_FFFF),
        (YES, NO, &[3], 0x3F_C000, 0x3F_FFFF),
        (YES, NO, &[4, 5, 6], 0x3F_8000, 0x3F_FFFF),
        (YES, YES, &[1], 0, 0x00_0FFF),
        (YES, YES, &[2], 0, 0x00_1FFF),
        (YES, YES, &[3], 0, 0x00_3FFF),
        (YES, YES, &[4, 5, 6], 0, 0x00_7FFF),
    ],
    sec_bit: 0x40,
    tb_bit: 0x20,
    writable: [0x7C, 0x42],
    one_time: 0x04,
    one_byte_clears: 0x43,
    has_31h: false,
    times: [700, 100_000, 200_000, 400_000, 20_000_000, 2_000],
};

/// The second model. Cells that are not in the map are 0xFF.
struct Reference {
    sheet: &'static Sheet,
    cells: BTreeMap<u32, u8>,
    /// SR1 and SR2 in force, and what comes back with the power.
    status: [u8; 2],
    stored: [u8; 2],
    latch: bool,
    volatile_next: bool,
    busy_until: Option<Instant>,
}

impl Reference {
    fn is_protected(&self, address: u32) -> bool {
        let [sr1, sr2] = self.status;
        let bp = sr1 >> 2 & 7;
        let (sec, tb) = (sr1 & self.sheet.sec_bit != 0, sr1 & self.sheet.tb_bit != 0);
        let row = self.sheet.table.iter().find(|(row_sec, row_tb, row_bp, ..)| {
            row_sec.is_none_or(|is| is == sec)
                && row_tb.is_none_or(|is| is == tb)
                && row_bp.contains(&bp)
        });
        let (.., first, last) = row.expect("a row of the table");
        (first..=last).contains(&&address) != (sr2 & 0x40 != 0)
    }

    /// Edges of protected ranges are multiples of a sector.
    fn any_protected(&self, range: Range<u32>) -> bool {
        range.step_by(0x1000).any(|at| self.is_protected(at))
    }

    fn cell(&self, address: u32) -> u8 {
        self.cells.get(&address).copied().unwrap_or(0xFF)
    }

    /// What the host reads from 05h and 35h.
    fn shown(&self) -> [u8; 2] {
        let latch = if self.latch { WEL } else { 0 };
        let busy = if self.busy_until.is_some() { WIP } else { 0 };
        [self.status[0] | latch | busy, self.status[1]]
    }

    fn pass_time(&mut self, now: Instant) {
        if self.busy_until.is_some_and(|until| until <= now) {
            self.busy_until = None;
            self.latch = false;
        }
    }

    fn start(&mut self, now: Instant, time: usize) {
        self.busy_until = Some(now + Duration::from_micros(self.sheet.times[time]));
    }

    /// One chip select. While a cycle runs nothing but the status reads is taken.
    fn instruction(&mut self, now: Instant, mosi: &[u8], program_time: Option<Instant>) {
        self.pass_time(now);
        if self.busy_until.is_some() {
            return;
        }
        let address =
            |bytes: &[u8]| u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]) % self.sheet.bytes;
        match *mosi {
            [0x06] => (self.latch, self.volatile_next) = (true, false),
            [0x04] => (self.latch, self.volatile_next) = (false, false),
            [0x50] => self.volatile_next = true,
            [0x02, ref rest @ ..] if rest.len() > 3 && self.latch => {
                let at = address(rest);
                self.program(now, at, &rest[3..], program_time);
            }
            [opcode @ (0x20 | 0x52 | 0xD8), ref rest @ ..] if rest.len() == 3 && self.latch => {
                let (time, size) = match opcode {
                    0x20 => (1, 0x1000),
                    0x52 => (2, 0x8000),
                    _ => (3, 0x1_0000),
                };
                let start = address(rest) / size * size;
                if !self.any_protected(start..start + size) {
                    self.cells.retain(|at, _| !(start..start + size).contains(at));
                    self.start(now, time);
                }
            }
            [0xC7 | 0x60] if self.latch && !self.any_protected(0..self.sheet.bytes) => {
                self.cells.clear();
                self.start(now, 4);
            }
            [opcode @ (0x01 | 0x31), ref data @ ..] => self.write_status(now, opcode, data),
            _ => {}
        }
    }

    /// Address bits 7..0 count on inside the page; of more than 256 bytes the last ones count.
    fn program(&mut self, now: Instant, address: u32, data: &[u8], busy_until: Option<Instant>) {
        let page = address & !0xFF;
        let mut latches: BTreeMap<u32, u8> = BTreeMap::new();
        for (offset, &byte) in (address & 0xFF..).zip(data) {
            latches.insert(page | (offset & 0xFF), byte);
        }
        if latches.keys().any(|&at| self.is_protected(at)) {
            return;
        }
        for (at, byte) in latches {
            let new = self.cell(at) & byte;
            self.cells.insert(at, new);
        }
        // How long a part of a page takes is up to the part; a page is the most.
        let limit = now + Duration::from_micros(self.sheet.times[0]);
        assert!(busy_until.is_some_and(|until| until > now && until <= limit));
        self.busy_until = busy_until;
    }

    fn write_status(&mut self, now: Instant, opcode: u8, data: &[u8]) {
        let sheet = self.sheet;
        let (values, clears) = match (opcode, data) {
            (0x01, &[sr1]) => ([Some(sr1), None], sheet.one_byte_clears),
            (0x01, &[sr1, sr2]) => ([Some(sr1), Some(sr2)], 0),
            (0x31, &[sr2]) if sheet.has_31h => ([None, Some(sr2)], 0),
            _ => return,
        };
        if !self.latch && !self.volatile_next {
            return;
        }
        let volatile = std::mem::take(&mut self.volatile_next);
        let write = |old: [u8; 2]| {
            let mut new = old;
            new[1] &= !clears;
            for number in 0..2 {
                if let Some(value) = values[number] {
                    let mask = sheet.writable[number];
                    new[number] = (new[number] & !mask) | (value & mask);
                }
            }
            if let (Some(sr2), false) = (values[1], volatile) {
                new[1] |= sr2 & sheet.one_time;
            }
            new
        };
        self.status = write(self.status);
        if !volatile {
            self.stored = write(self.stored);
            self.start(now, 5);
        }
    }

    fn power_cycle(&mut self) {
        self.status = self.stored;
        (self.latch, self.volatile_next, self.busy_until) = (false, false, None);
    }
}

#[derive(Debug, Clone)]
enum Step {
    Send(Vec<u8>),
    Wait(u64),
    WaitReady,
    PowerCycle,
}

/// Addresses at the edges of sectors, blocks and protected ranges, cut to the array by the part.
fn address() -> impl Strategy<Value = [u8; 3]> {
    let edges: Vec<u32> = [0x1000, 0x8000, 0x1_0000, 0x4_0000, 0x20_0000, 0x3F_0000, 0x3F_F000]
        .into_iter()
        .flat_map(|edge| [edge - 1, edge, edge + 0xF0, 0xFF_FFFF - edge, 0x100_0000 - edge])
        .chain([0, 0xFF_FFFF])
        .collect();
    proptest::sample::select(edges).prop_map(|at| {
        let [_, high, middle, low] = at.to_be_bytes();
        [high, middle, low]
    })
}

/// Status values without the SRP bits and without a row that the tables lack (SEC = 1, BP = 6).
fn sr1() -> impl Strategy<Value = u8> {
    any::<u8>().prop_map(|value| value & 0x7F).prop_filter("a row", |v| v & 0x5C != 0x58)
}

fn sr2() -> impl Strategy<Value = u8> {
    prop_oneof![4 => Just(0x00), 2 => Just(0x02), 2 => Just(0x40), 1 => any::<u8>().prop_map(|v| v & 0xFE)]
}

fn instruction() -> impl Strategy<Value = Vec<u8>> {
    let data = prop_oneof![
        6 => proptest::collection::vec(any::<u8>(), 0..20),
        1 => proptest::collection::vec(any::<u8>(), 250..300),
    ];
    let erase = proptest::sample::select(vec![0x20_u8, 0x20, 0x52, 0xD8]);
    prop_oneof![
        6 => (address(), data).prop_map(|(at, data)| [&[0x02], &at[..], &data].concat()),
        4 => (erase, address()).prop_map(|(opcode, at)| [&[opcode], &at[..]].concat()),
        1 => (address(), any::<u8>()).prop_map(|(at, extra)| [&[0x20], &at[..], &[extra]].concat()),
        1 => Just(vec![0x20, 0x00]),
        1 => Just(vec![0xC7]),
        2 => sr1().prop_map(|value| vec![0x01, value]),
        3 => (sr1(), sr2()).prop_map(|(one, two)| vec![0x01, one, two]),
        1 => (sr1(), sr2()).prop_map(|(one, two)| vec![0x01, one, two, 0]),
        1 => sr2().prop_map(|value| vec![0x31, value]),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let enable = prop_oneof![5 => Just(vec![0x06]), 1 => Just(vec![0x50]), 1 => Just(vec![0x04])];
    let change = (proptest::option::weighted(0.9, enable), instruction(), 0..4_u8).prop_map(
        |(enable, mosi, after)| {
            let sends = enable.into_iter().chain([mosi]).map(Step::Send);
            let ready = (after > 0).then_some(Step::WaitReady);
            sends.chain(ready).collect::<Vec<Step>>()
        },
    );
    let step = prop_oneof![
        12 => change,
        2 => (1..60_000_u64).prop_map(|us| vec![Step::Wait(us)]),
        1 => Just(vec![Step::PowerCycle]),
    ];
    proptest::collection::vec(step, 1..40).prop_map(|steps| steps.concat())
}

/// Plays one step on both and compares what the host sees.
fn play(bench: &mut Bench, model: &mut Reference, step: &Step) {
    bench.trace = Trace::default();
    let before = bench.flash.snapshot();
    match step {
        Step::Send(mosi) => {
            let now = bench.now;
            bench.spi(mosi, 0);
            model.instruction(now, mosi, bench.flash.busy_until());
        }
        Step::Wait(us) => bench.now += Duration::from_micros(*us),
        Step::WaitReady => bench.wait(),
        Step::PowerCycle => {
            bench.flash.power_cycle(bench.now);
            model.power_cycle();
        }
    }
    assert_only_reported(&before, bench.flash.state(), &bench.trace);
    model.pass_time(bench.now);
    assert_eq!(bench.status(), model.shown(), "{step:x?}");
    assert_eq!([Sr1, Sr2].map(|name| bench.flash.state().register(name)), model.stored);
    if let Step::Send(mosi) = step
        && mosi.len() > 3
    {
        let at = u32::from_be_bytes([0, mosi[1], mosi[2], mosi[3]]) % model.sheet.bytes;
        assert_eq!(bench.cell(at), model.cell(at), "{step:x?}");
        model.pass_time(bench.now);
        let busy = model.busy_until.is_some();
        let read = bench.spi(&[0x03, mosi[1], mosi[2], mosi[3]], 1)[0];
        assert_eq!(read, if busy { 0xFF } else { model.cell(at) });
    }
}

fn compare(sheet: &'static Sheet, steps: &[Step]) {
    let mut bench = Bench::new(sheet.name);
    let mut model = Reference {
        sheet,
        cells: BTreeMap::new(),
        status: [0, 0],
        stored: [0, 0],
        latch: false,
        volatile_next: false,
        busy_until: None,
    };
    assert_eq!(bench.flash.part().capacity_bytes, sheet.bytes);
    for step in steps {
        play(&mut bench, &mut model, step);
    }
    let mut expected = FlashState::factory(bench.flash.part()).cells;
    for (&at, &cell) in &model.cells {
        expected.load(at, &[cell]);
    }
    for number in 0..sheet.bytes / 4096 {
        assert_eq!(bench.flash.state().cells.sector(number), expected.sector(number));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_instructions_on_a_winbond_do_what_its_datasheet_says(steps in steps()) {
        compare(&W25Q128FV, &steps);
    }

    #[test]
    fn random_instructions_on_a_gigadevice_do_what_its_datasheet_says(steps in steps()) {
        compare(&GD25Q32B, &steps);
    }
}

//! A pair that is one operation against the two that it is made of.

use proptest::prelude::*;

use super::*;
use crate::{
    access::Side,
    bus::{Bus, BusFault, Width},
    memory::{Access, Memory},
    path::{
        compile::Path,
        execute::{Leave, execute},
        record::Key,
        step::{Outside, Span},
        values::SLOTS,
    },
};

const RAM: u32 = 0x3FFB_0000;
/// Where memory's backing bytes may be stored to.
const PLACES: u32 = 64;

/// A bus that refuses some addresses and gives each of its answers once.
struct Device(u32);

impl Bus for Device {
    fn load(&mut self, addr: u32, _: Width) -> Result<u32, BusFault> {
        self.0 = self.0.wrapping_mul(0x0001_9660).wrapping_add(addr);
        if addr & 4 == 0 { Ok(self.0) } else { Err(BusFault::Prohibited) }
    }

    fn store(&mut self, _: u32, _: Width, _: u32) -> Result<(), BusFault> {
        Err(BusFault::Prohibited)
    }
}

/// Registers, backing bytes, and how it ended, after `ops`.
fn after(ops: Box<[Micro]>, registers: &[u32; SLOTS]) -> (Vec<u32>, Vec<u8>, u32, String) {
    let key = Key { pc: 0, base: 0, window_start: 0, ps: 0, ps_mask: 0 };
    let mut path = Path::new(key, Vec::new(), None, Outside::default(), [900, 901], Vec::new());
    path.first = ops;
    path.spans = [Span { first: 0, bytes: PLACES, pages: RAM | 1 }].into();
    let mut mem = Memory::new();
    mem.map(RAM, 0x1_0000, Access::DATA).unwrap();
    let (mut ar, mut sar) = (*registers, 0);
    let (mut effects, mut attention) = (0, false);
    let mut side = Side { effects: &mut effects, attention: &mut attention };
    let mut bus = Device(1);
    let (_, leave) = execute(&path, &mut ar, &mut sar, &mut mem, &mut side, &mut bus, 1);
    let bytes = mem.slice(RAM, 0x100).unwrap().to_vec();
    (ar.to_vec(), bytes, bus.0, format!("{leave:?}"))
}

fn register() -> impl Strategy<Value = u8> {
    // Few, so that they meet, and one behind the core's own.
    prop_oneof![Just(1_u8), Just(2), Just(3), Just(70)]
}

fn small() -> impl Strategy<Value = u32> {
    prop_oneof![0_u32..4, Just(u32::MAX)]
}

fn first() -> impl Strategy<Value = Micro> {
    let op = prop_oneof![
        Just(Do::Mov),
        Just(Do::AddMask),
        Just(Do::Add),
        Just(Do::IfNeI),
        Just(Do::Xor),
    ];
    (op, [register(), register(), register()], small(), small())
        .prop_map(|(op, [d, a, b], imm, y)| Micro { op, d, a, b, imm, x: 7, y })
}

fn second() -> impl Strategy<Value = Micro> {
    let op = prop_oneof![
        Just(Do::LoadBus),
        Just(Do::IfNeither),
        Just(Do::Store16At),
        Just(Do::Store8),
        Just(Do::AddIfNe),
        Just(Do::AddIfLt),
        Just(Do::KeepAddMaskStore16),
    ];
    (op, [register(), register(), register()], small(), small(), 0_u32..4).prop_map(
        |(op, [d, a, b], imm, y, width)| match op {
            // Its address, width and mask.
            Do::LoadBus => {
                let b = if width == 3 { 0 } else { b & 8 };
                Micro { op, d, a: 0, b, imm: imm & 7, x: width, y: 9 }
            }
            Do::IfNeither => Micro { op, d: 0, a, b: 0, imm, x: 3 << 16 | 4, y },
            Do::Store16At => Micro { op, d, a: 0, b: 0, imm: imm & 0x3E, x: 0, y: 0 },
            Do::Store8 => Micro { op, d, a, b: 0, imm, x: 0, y: 11 },
            Do::KeepAddMaskStore16 => Micro { op, d, a, b: a, imm, x: 6, y },
            _ => Micro { op, d, a, b, imm, x: 8, y },
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]
    #[test]
    fn a_pair_does_what_its_two_do(
        first in first(),
        second in second(),
        numbers in prop::collection::vec(prop_oneof![small(), 0_u32..PLACES + 8, any::<u32>()], 4),
    ) {
        let mut registers = [0; SLOTS];
        for (register, number) in [1, 2, 3, 70].into_iter().zip(numbers) {
            registers[register] = number;
        }
        if let Some(both) = pair(first, second) {
            let apart = after(Box::new([first, second]), &registers);
            prop_assert_eq!(after(Box::new([both]), &registers), apart, "{:?}", both);
        }
    }
}

#[test]
fn each_pair_is_made() {
    let micro = |op, [d, a, b]: [u8; 3], imm, x, y| Micro { op, d, a, b, imm, x, y };
    // The loop in which a stub receives.
    let ops = vec![
        micro(Do::Mov, [42, 34, 0], 0, 0, 0),
        micro(Do::LoadBus, [34, 0, 8], 0x3FF4_0000, 2, 9),
        micro(Do::Mov, [49, 42, 0], 0, 0, 0),
        micro(Do::IfNeither, [0, 34, 0], 0xC0, 0xB_000A, 0xDB),
        micro(Do::Mov, [41, 44, 0], 0, 0, 0),
        micro(Do::AddMask, [44, 44, 0], 1, 0, 0xFFFF),
        micro(Do::Store16At, [44, 0, 0], 0x30B9C, 0, 0),
        micro(Do::Add, [41, 66, 41], 0, 0, 0),
        micro(Do::Store8, [34, 41, 0], 0, 1, 12),
        micro(Do::IfNeI, [0, 44, 0], 0x4040, 13, 0),
        micro(Do::AddIfNe, [26, 26, 0], u32::MAX, 14, u32::MAX),
        micro(Do::Xor, [22, 22, 23], 0, 0, 0),
        micro(Do::AddIfLt, [21, 21, 20], 1, 4, 0),
    ];
    let made: Vec<Do> = pairs(ops).iter().map(|micro| micro.op).collect();
    let expected = [
        Do::KeepLoadBus,
        Do::MovIfNeither,
        Do::KeepAddMaskStore16,
        Do::AddStore8,
        Do::IfNeICount,
        Do::XorAddIfLt,
    ];
    assert_eq!(made, expected);
}

#[test]
fn leaving_is_told_apart() {
    let leave = |ops: &[Micro]| after(ops.into(), &[5; SLOTS]).3;
    let test = Micro { op: Do::IfNeI, d: 0, a: 1, b: 0, imm: 5, x: 7, y: 0 };
    assert_eq!(leave(&[test]), format!("{:?}", Leave::At(7)));
    assert_eq!(leave(&[Micro { imm: 6, ..test }]), format!("{:?}", Leave::At(900)));
}

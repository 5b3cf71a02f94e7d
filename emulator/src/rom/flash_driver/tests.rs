mod at_once;

use super::*;

fn plan(offset: u32, byte_count: u32) -> Vec<(u8, u32)> {
    erase_plan(offset / 4096, byte_count / 4096).map(|(opcode, at)| (opcode, at * 4096)).collect()
}

fn count(plan: &[(u8, u32)], opcode: u8) -> usize {
    plan.iter().filter(|step| step.0 == opcode).count()
}

/// The table of ROM-FACTS 6.3 c.
#[test]
fn erase_plans_of_the_rom() {
    assert_eq!(count(&plan(0x10000, 0x10000), 0x20), 16);
    assert_eq!(count(&plan(0x20000, 0x20000), 0x20), 32);
    let aligned = plan(0x10000, 0x30000);
    assert_eq!((count(&aligned, 0x20), aligned[16]), (32, (0xD8, 0x20000)));
    let from_4k = plan(0x1000, 0x31000);
    assert_eq!(from_4k[15..17], [(0xD8, 0x10000), (0xD8, 0x20000)]);
    assert_eq!(count(&from_4k, 0x20), 17);
    assert_eq!(plan(0xF000, 0x12000), [(0x20, 0xF000), (0xD8, 0x10000), (0x20, 0x20000)]);
    assert!(plan(0x1000, 0).is_empty());
}

//! Which memory an instruction is about to touch, for watchpoints.

use crate::bus::Width;
use crate::cpu::Cpu;
use crate::insn::{Insn, Op};

/// An access that an instruction will make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataAccess {
    /// First address.
    pub address: u32,
    /// How many bytes.
    pub width: Width,
    /// Whether it reads.
    pub loads: bool,
    /// Whether it writes. `S32C1I` counts as both, whether its comparison succeeds or not.
    pub stores: bool,
}

const STORES: [Op; 9] =
    [Op::S8i, Op::S16i, Op::S32i, Op::S32ri, Op::S32e, Op::Ssi, Op::Ssiu, Op::Ssx, Op::Ssxu];
const LOADS: [Op; 17] = [
    Op::L8ui,
    Op::L16ui,
    Op::L16si,
    Op::L32i,
    Op::L32ai,
    Op::L32e,
    Op::L32r,
    Op::Lsi,
    Op::Lsiu,
    Op::Lsx,
    Op::Lsxu,
    Op::Ldinc,
    Op::Lddec,
    Op::MulaDaLdinc,
    Op::MulaDaLddec,
    Op::MulaDdLdinc,
    Op::MulaDdLddec,
];

impl Cpu {
    /// The access that `insn` makes when it is executed next. `None` for what has none by itself;
    /// register windows that `ENTRY` and `RETW` move are hardware's and do not count.
    #[must_use]
    pub fn data_access(&self, insn: Insn) -> Option<DataAccess> {
        let width = match insn.op {
            Op::L8ui | Op::S8i => Width::Byte,
            Op::L16ui | Op::L16si | Op::S16i => Width::Half,
            _ => Width::Word,
        };
        let (loads, stores) = match insn.op {
            op if STORES.contains(&op) => (false, true),
            op if LOADS.contains(&op) => (true, false),
            Op::S32c1i => (true, true),
            _ => return None,
        };
        let base = self.a(insn.s());
        let address = match insn.op {
            Op::L32r => insn.imm(),
            Op::Lsx | Op::Lsxu | Op::Ssx | Op::Ssxu => base.wrapping_add(self.a(insn.t())),
            Op::Ldinc | Op::MulaDaLdinc | Op::MulaDdLdinc => base.wrapping_add(4),
            Op::Lddec | Op::MulaDaLddec | Op::MulaDdLddec => base.wrapping_sub(4),
            _ => base.wrapping_add(insn.imm()),
        };
        Some(DataAccess { address, width, loads, stores })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{asm, decode};

    #[test]
    fn the_access_is_the_one_that_the_instruction_makes() {
        let mut cpu = Cpu::new();
        cpu.set_a(4, 0x1000);
        cpu.set_a(5, 0x20);
        for (text, address, width, loads, stores) in [
            ("l8ui a3, a4, 3", 0x1003, Width::Byte, true, false),
            ("l16si a3, a4, 6", 0x1006, Width::Half, true, false),
            ("s32i.n a3, a4, 8", 0x1008, Width::Word, false, true),
            ("s32c1i a3, a4, 0", 0x1000, Width::Word, true, true),
            ("s32e a3, a4, -16", 0xff0, Width::Word, false, true),
            ("l32r a3, 0x3ffffff0", 0x3fff_fff0, Width::Word, true, false),
            ("ssxu f1, a4, a5", 0x1020, Width::Word, false, true),
            ("lddec m0, a4", 0xffc, Width::Word, true, false),
        ] {
            let code = asm::assemble(0x4000_0000, text).unwrap();
            let insn = decode(0x4000_0000, [code[0], code[1], code.get(2).copied().unwrap_or(0)]);
            let expected = DataAccess { address, width, loads, stores };
            assert_eq!(cpu.data_access(insn), Some(expected), "{text}");
        }
        let nop = decode(0, [0xf0, 0x20, 0]);
        assert_eq!(cpu.data_access(nop), None);
    }
}

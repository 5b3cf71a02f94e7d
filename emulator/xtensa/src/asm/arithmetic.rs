//! Encodings of register arithmetic, shifts and the core's state.

use super::{Context, Reason, number, rrr, signed, unsigned};
use crate::special::sr_number;

impl Context<'_> {
    /// `ar, as, at`
    pub(super) fn three_registers(&self, name: &str) -> Result<Option<(u32, usize)>, Reason> {
        let word = match name {
            "and" => rrr(1, 0, 0),
            "or" => rrr(2, 0, 0),
            "xor" => rrr(3, 0, 0),
            "add" => rrr(8, 0, 0),
            "addx2" => rrr(9, 0, 0),
            "addx4" => rrr(10, 0, 0),
            "addx8" => rrr(11, 0, 0),
            "sub" => rrr(12, 0, 0),
            "subx2" => rrr(13, 0, 0),
            "subx4" => rrr(14, 0, 0),
            "subx8" => rrr(15, 0, 0),
            "src" => rrr(8, 1, 0),
            "mul16u" => rrr(12, 1, 0),
            "mul16s" => rrr(13, 1, 0),
            "mull" => rrr(8, 2, 0),
            "muluh" => rrr(10, 2, 0),
            "mulsh" => rrr(11, 2, 0),
            "quou" => rrr(12, 2, 0),
            "quos" => rrr(13, 2, 0),
            "remu" => rrr(14, 2, 0),
            "rems" => rrr(15, 2, 0),
            "min" => rrr(4, 3, 0),
            "max" => rrr(5, 3, 0),
            "minu" => rrr(6, 3, 0),
            "maxu" => rrr(7, 3, 0),
            "moveqz" => rrr(8, 3, 0),
            "movnez" => rrr(9, 3, 0),
            "movltz" => rrr(10, 3, 0),
            "movgez" => rrr(11, 3, 0),
            _ => return Ok(None),
        };
        Ok(Some((word | self.a(0)? << 12 | self.a(1)? << 8 | self.a(2)? << 4, 3)))
    }

    /// Two registers or one.
    pub(super) fn two_registers(&self, name: &str) -> Result<Option<(u32, usize)>, Reason> {
        // Which nibble (bit number) each operand goes to.
        let (word, places): (u32, &[u32]) = match name {
            "neg" => (0x0060_0000, &[12, 4]),
            "abs" => (0x0060_0100, &[12, 4]),
            "srl" => (rrr(9, 1, 0), &[12, 4]),
            "sra" => (rrr(11, 1, 0), &[12, 4]),
            "sll" => (rrr(10, 1, 0), &[12, 8]),
            "nsa" => (0x0040_e000, &[4, 8]),
            "nsau" => (0x0040_f000, &[4, 8]),
            "rer" => (0x0040_6000, &[4, 8]),
            "wer" => (0x0040_7000, &[4, 8]),
            "movsp" => (0x1000, &[4, 8]),
            "ritlb0" => (0x0050_3000, &[4, 8]),
            "iitlb" => (0x0050_4000, &[8]),
            "pitlb" => (0x0050_5000, &[4, 8]),
            "witlb" => (0x0050_6000, &[4, 8]),
            "ritlb1" => (0x0050_7000, &[4, 8]),
            "rdtlb0" => (0x0050_b000, &[4, 8]),
            "idtlb" => (0x0050_c000, &[8]),
            "pdtlb" => (0x0050_d000, &[4, 8]),
            "wdtlb" => (0x0050_e000, &[4, 8]),
            "rdtlb1" => (0x0050_f000, &[4, 8]),
            "ssr" => (0x0040_0000, &[8]),
            "ssl" => (0x0040_1000, &[8]),
            "ssa8l" => (0x0040_2000, &[8]),
            "ssa8b" => (0x0040_3000, &[8]),
            "jx" => (0xa0, &[8]),
            "callx0" => (0xc0, &[8]),
            "callx4" => (0xd0, &[8]),
            "callx8" => (0xe0, &[8]),
            "callx12" => (0xf0, &[8]),
            "mov" => {
                let s = self.a(1)?;
                return Ok(Some((rrr(2, 0, 0) | self.a(0)? << 12 | s << 8 | s << 4, 2)));
            }
            _ => return Ok(None),
        };
        let mut word = word;
        for (index, place) in places.iter().enumerate() {
            word |= self.a(index)? << place;
        }
        Ok(Some((word, places.len())))
    }

    /// Shifts and fields with immediates.
    pub(super) fn shifts(&self, name: &str) -> Result<Option<(u32, usize)>, Reason> {
        let word = match name {
            "slli" => {
                let by = 32 - self.value(2)?;
                let by = unsigned(by, 5, 1)?;
                rrr(by >> 4, 1, 0) | self.a(0)? << 12 | self.a(1)? << 8 | (by & 15) << 4
            }
            "srai" => {
                let by = unsigned(self.value(2)?, 5, 1)?;
                rrr(2 | by >> 4, 1, 0) | self.a(0)? << 12 | (by & 15) << 8 | self.a(1)? << 4
            }
            "srli" => {
                let by = unsigned(self.value(2)?, 4, 1)?;
                rrr(4, 1, 0) | self.a(0)? << 12 | by << 8 | self.a(1)? << 4
            }
            "extui" => {
                let by = unsigned(self.value(2)?, 5, 1)?;
                let bits = unsigned(self.value(3)? - 1, 4, 1)?;
                let word = rrr(bits, 4 | by >> 4, 0) | (by & 15) << 8;
                return Ok(Some((word | self.a(0)? << 12 | self.a(1)? << 4, 4)));
            }
            "sext" | "clamps" => {
                let op2 = if name == "sext" { 2 } else { 3 };
                let bit = unsigned(self.value(2)? - 7, 4, 1)?;
                rrr(op2, 3, 0) | self.a(0)? << 12 | self.a(1)? << 8 | bit << 4
            }
            _ => return Ok(None),
        };
        Ok(Some((word, 3)))
    }

    /// Special registers, levels, breaks.
    pub(super) fn state(&self, name: &str) -> Result<Option<(u32, usize)>, Reason> {
        let special = || -> Result<u32, Reason> {
            let text = self.text(1)?;
            let known = match text {
                "threadptr" => Some(231),
                "fcr" => Some(232),
                "fsr" => Some(233),
                _ if name.ends_with("sr") => sr_number(text),
                _ => None,
            };
            known.map_or_else(|| unsigned(number(text)?, 8, 1), Ok)
        };
        let small = |index| unsigned(self.value(index)?, 4, 1);
        let (word, operands) = match name {
            "rsr" => (rrr(0, 3, 0) | special()? << 8 | self.a(0)? << 4, 2),
            "wsr" => (rrr(1, 3, 0) | special()? << 8 | self.a(0)? << 4, 2),
            "xsr" => (rrr(6, 1, 0) | special()? << 8 | self.a(0)? << 4, 2),
            "rur" => (rrr(14, 3, 0) | self.a(0)? << 12 | special()? << 4, 2),
            "wur" => (rrr(15, 3, 0) | special()? << 8 | self.a(0)? << 4, 2),
            "ssai" => {
                let by = unsigned(self.value(0)?, 5, 1)?;
                (0x0040_4000 | (by & 15) << 8 | (by >> 4) << 4, 1)
            }
            "rotw" => (0x0040_8000 | signed(self.value(0)?, 4)? << 4, 1),
            "rfi" => (0x3010 | small(0)? << 8, 1),
            "rsil" => (0x6000 | small(1)? << 8 | self.a(0)? << 4, 2),
            "waiti" => (0x7000 | small(0)? << 8, 1),
            "break" => (0x4000 | small(0)? << 8 | small(1)? << 4, 2),
            _ => return Ok(None),
        };
        Ok(Some((word, operands)))
    }
}

//! Encodings of boolean and floating-point instructions.

use super::{Context, Reason, rrr, signed, unsigned};

impl Context<'_> {
    /// Booleans and floating point.
    pub(super) fn coprocessor(&self, name: &str) -> Result<Option<(u32, usize)>, Reason> {
        // Files of the operands and the nibble (bit number) each goes to.
        let (word, operands): (u32, &[(char, u32)]) = match name {
            "andb" => (rrr(0, 2, 0), &[('b', 12), ('b', 8), ('b', 4)]),
            "andbc" => (rrr(1, 2, 0), &[('b', 12), ('b', 8), ('b', 4)]),
            "orb" => (rrr(2, 2, 0), &[('b', 12), ('b', 8), ('b', 4)]),
            "orbc" => (rrr(3, 2, 0), &[('b', 12), ('b', 8), ('b', 4)]),
            "xorb" => (rrr(4, 2, 0), &[('b', 12), ('b', 8), ('b', 4)]),
            "any4" => (0x8000, &[('b', 4), ('b', 8)]),
            "all4" => (0x9000, &[('b', 4), ('b', 8)]),
            "any8" => (0xa000, &[('b', 4), ('b', 8)]),
            "all8" => (0xb000, &[('b', 4), ('b', 8)]),
            "movf" => (rrr(12, 3, 0), &[('a', 12), ('a', 8), ('b', 4)]),
            "movt" => (rrr(13, 3, 0), &[('a', 12), ('a', 8), ('b', 4)]),
            "bf" | "bt" => {
                let r = u32::from(name == "bt");
                let offset = signed(self.distance(1)?, 8)?;
                let word = offset << 16 | r << 12 | self.register(0, 'b')? << 8 | 0x76;
                return Ok(Some((word, 2)));
            }
            _ => return self.float(name),
        };
        let mut word = word;
        for (index, (file, place)) in operands.iter().enumerate() {
            word |= self.register(index, *file)? << place;
        }
        Ok(Some((word, operands.len())))
    }

    pub(super) fn float(&self, name: &str) -> Result<Option<(u32, usize)>, Reason> {
        let scaled = |op2: u32, to: char, from: char| -> Result<_, Reason> {
            let scale = unsigned(self.value(2)?, 4, 1)?;
            let registers = self.register(0, to)? << 12 | self.register(1, from)? << 8;
            Ok(Some((rrr(op2, 10, 0) | registers | scale << 4, 3)))
        };
        let (word, operands): (u32, &[(char, u32)]) = match name {
            "round.s" => return scaled(8, 'a', 'f'),
            "trunc.s" => return scaled(9, 'a', 'f'),
            "floor.s" => return scaled(10, 'a', 'f'),
            "ceil.s" => return scaled(11, 'a', 'f'),
            "float.s" => return scaled(12, 'f', 'a'),
            "ufloat.s" => return scaled(13, 'f', 'a'),
            "utrunc.s" => return scaled(14, 'a', 'f'),
            "lsi" | "ssi" | "lsiu" | "ssiu" => {
                let r = match name {
                    "lsi" => 0,
                    "ssi" => 4,
                    "lsiu" => 8,
                    _ => 12,
                };
                let imm = unsigned(self.value(2)?, 8, 4)?;
                let registers = self.a(1)? << 8 | self.register(0, 'f')? << 4;
                return Ok(Some((imm << 16 | r << 12 | registers | 3, 3)));
            }
            "mov.s" => (rrr(15, 10, 0), &[('f', 12), ('f', 8)]),
            "abs.s" => (rrr(15, 10, 0) | 0x10, &[('f', 12), ('f', 8)]),
            "rfr" => (rrr(15, 10, 0) | 0x40, &[('a', 12), ('f', 8)]),
            "wfr" => (rrr(15, 10, 0) | 0x50, &[('f', 12), ('a', 8)]),
            "neg.s" => (rrr(15, 10, 0) | 0x60, &[('f', 12), ('f', 8)]),
            "lsx" => (rrr(0, 8, 0), &[('f', 12), ('a', 8), ('a', 4)]),
            "lsxu" => (rrr(1, 8, 0), &[('f', 12), ('a', 8), ('a', 4)]),
            "ssx" => (rrr(4, 8, 0), &[('f', 12), ('a', 8), ('a', 4)]),
            "ssxu" => (rrr(5, 8, 0), &[('f', 12), ('a', 8), ('a', 4)]),
            _ => return self.float_registers(name),
        };
        let mut word = word;
        for (index, (file, place)) in operands.iter().enumerate() {
            word |= self.register(index, *file)? << place;
        }
        Ok(Some((word, operands.len())))
    }

    /// Floating-point instructions of three registers.
    pub(super) fn float_registers(&self, name: &str) -> Result<Option<(u32, usize)>, Reason> {
        let (word, to, last) = match name {
            "add.s" => (rrr(0, 10, 0), 'f', 'f'),
            "sub.s" => (rrr(1, 10, 0), 'f', 'f'),
            "mul.s" => (rrr(2, 10, 0), 'f', 'f'),
            "madd.s" => (rrr(4, 10, 0), 'f', 'f'),
            "msub.s" => (rrr(5, 10, 0), 'f', 'f'),
            "un.s" => (rrr(1, 11, 0), 'b', 'f'),
            "oeq.s" => (rrr(2, 11, 0), 'b', 'f'),
            "ueq.s" => (rrr(3, 11, 0), 'b', 'f'),
            "olt.s" => (rrr(4, 11, 0), 'b', 'f'),
            "ult.s" => (rrr(5, 11, 0), 'b', 'f'),
            "ole.s" => (rrr(6, 11, 0), 'b', 'f'),
            "ule.s" => (rrr(7, 11, 0), 'b', 'f'),
            "moveqz.s" => (rrr(8, 11, 0), 'f', 'a'),
            "movnez.s" => (rrr(9, 11, 0), 'f', 'a'),
            "movltz.s" => (rrr(10, 11, 0), 'f', 'a'),
            "movgez.s" => (rrr(11, 11, 0), 'f', 'a'),
            "movf.s" => (rrr(12, 11, 0), 'f', 'b'),
            "movt.s" => (rrr(13, 11, 0), 'f', 'b'),
            _ => return Ok(None),
        };
        let registers = self.register(0, to)? << 12 | self.register(1, 'f')? << 8;
        Ok(Some((word | registers | self.register(2, last)? << 4, 3)))
    }
}

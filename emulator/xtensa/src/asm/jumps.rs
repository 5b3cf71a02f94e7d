//! Encodings of loads, stores, jumps, calls, branches and loops.

use super::{Context, Reason, rrr, signed, to_u32, unsigned};
use crate::insn::{B4CONST, B4CONSTU};

impl Context<'_> {
    /// Loads, stores, immediates.
    pub(super) fn memory(&self, name: &str) -> Result<Option<(u32, usize)>, Reason> {
        let (r, unit) = match name {
            "l8ui" => (0, 1),
            "l16ui" => (1, 2),
            "l32i" => (2, 4),
            "s8i" => (4, 1),
            "s16i" => (5, 2),
            "s32i" => (6, 4),
            "l16si" => (9, 2),
            "l32ai" => (11, 4),
            "s32c1i" => (14, 4),
            "s32ri" => (15, 4),
            "movi" => {
                let imm = signed(self.value(1)?, 12)?;
                let word = (imm & 0xff) << 16 | 0xa000 | (imm >> 8) << 8;
                return Ok(Some((word | self.a(0)? << 4 | 2, 2)));
            }
            "addi" | "addmi" => {
                let value = self.value(2)?;
                let (r, imm) = match name {
                    "addi" => (12, signed(value, 8)?),
                    _ if value % 256 == 0 => (13, signed(value / 256, 8)?),
                    _ => return Err(Reason::Range(value)),
                };
                let word = imm << 16 | r << 12 | self.a(1)? << 8 | self.a(0)? << 4 | 2;
                return Ok(Some((word, 3)));
            }
            "l32e" | "s32e" => {
                let r = unsigned(self.value(2)? + 64, 4, 4)?;
                let op2 = if name == "l32e" { 0 } else { 4 };
                let word = rrr(op2, 9, 0) | r << 12 | self.a(1)? << 8 | self.a(0)? << 4;
                return Ok(Some((word, 3)));
            }
            "l32r" => {
                let base = i64::from(self.pc.wrapping_add(3) & !3);
                let distance = self.value(1)? - base;
                if distance % 4 != 0 || !(-0x4_0000..0).contains(&distance) {
                    return Err(Reason::Range(distance));
                }
                let imm = to_u32((distance / 4) & 0xffff)?;
                return Ok(Some((imm << 8 | self.a(0)? << 4 | 1, 2)));
            }
            _ => return Ok(None),
        };
        let imm = unsigned(self.value(2)?, 8, unit)?;
        Ok(Some((imm << 16 | r << 12 | self.a(1)? << 8 | self.a(0)? << 4 | 2, 3)))
    }

    /// Jumps, calls, `ENTRY`.
    pub(super) fn jumps(&self, name: &str) -> Result<Option<(u32, usize)>, Reason> {
        let n = match name {
            "j" => {
                return Ok(Some((signed(self.distance(0)?, 18)? << 6 | 6, 1)));
            }
            "entry" => {
                let bytes = unsigned(self.value(1)?, 12, 8)?;
                return Ok(Some((bytes << 12 | self.a(0)? << 8 | 0x36, 2)));
            }
            "call0" => 0,
            "call4" => 1,
            "call8" => 2,
            "call12" => 3,
            _ => return Ok(None),
        };
        let distance = self.value(0)? - i64::from(self.pc & !3) - 4;
        if distance % 4 != 0 {
            return Err(Reason::Range(distance));
        }
        Ok(Some((signed(distance / 4, 18)? << 6 | n << 4 | 5, 1)))
    }

    /// Branches and loops.
    pub(super) fn branches(&self, name: &str) -> Result<Option<(u32, usize)>, Reason> {
        let compare = |r: u32| -> Result<_, Reason> {
            let offset = signed(self.distance(2)?, 8)?;
            Ok((offset << 16 | r << 12 | self.a(0)? << 8 | self.a(1)? << 4 | 7, 3))
        };
        let zero = |m: u32| -> Result<_, Reason> {
            let offset = signed(self.distance(1)?, 12)?;
            Ok((offset << 12 | self.a(0)? << 8 | m << 6 | 0x16, 2))
        };
        let constant = |place: Option<usize>, low: u32| -> Result<_, Reason> {
            let bad = Reason::Range(self.value(1)?);
            let r = place.and_then(|place| u32::try_from(place).ok()).ok_or(bad)?;
            let offset = signed(self.distance(2)?, 8)?;
            Ok((offset << 16 | r << 12 | self.a(0)? << 8 | low, 3))
        };
        let b4 = |m: u32| {
            let value = self.value(1)?;
            constant(B4CONST.iter().position(|c| i64::from(*c) == value), m << 6 | 0x26)
        };
        let b4u = |m: u32| {
            let value = self.value(1)?;
            constant(B4CONSTU.iter().position(|c| i64::from(*c) == value), m << 6 | 0x36)
        };
        let bit = |r: u32| -> Result<_, Reason> {
            let bit = unsigned(self.value(1)?, 5, 1)?;
            let offset = signed(self.distance(2)?, 8)?;
            let word = offset << 16 | (r | bit >> 4) << 12 | self.a(0)? << 8;
            Ok((word | (bit & 15) << 4 | 7, 3))
        };
        let count = |r: u32| -> Result<_, Reason> {
            let offset = unsigned(self.distance(1)?, 8, 1)?;
            Ok((offset << 16 | r << 12 | self.a(0)? << 8 | 0x76, 2))
        };
        let encoded = match name {
            "bnone" => compare(0),
            "beq" => compare(1),
            "blt" => compare(2),
            "bltu" => compare(3),
            "ball" => compare(4),
            "bbc" => compare(5),
            "bany" => compare(8),
            "bne" => compare(9),
            "bge" => compare(10),
            "bgeu" => compare(11),
            "bnall" => compare(12),
            "bbs" => compare(13),
            "bbci" => bit(6),
            "bbsi" => bit(14),
            "beqz" => zero(0),
            "bnez" => zero(1),
            "bltz" => zero(2),
            "bgez" => zero(3),
            "beqi" => b4(0),
            "bnei" => b4(1),
            "blti" => b4(2),
            "bgei" => b4(3),
            "bltui" => b4u(2),
            "bgeui" => b4u(3),
            "loop" => count(8),
            "loopnez" => count(9),
            "loopgtz" => count(10),
            _ => return Ok(None),
        };
        encoded.map(Some)
    }
}

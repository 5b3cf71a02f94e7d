//! Encodings of the MAC16 option.

use super::{Context, Reason, rrr};
use crate::mac16::{Form, HALVES, TABLE};

impl Context<'_> {
    /// One of m0..m3 between `least` and `most`.
    fn mac_register(&self, index: usize, least: u32, most: u32) -> Result<u32, Reason> {
        let number = self.register(index, 'm')?;
        if (least..=most).contains(&number) {
            return Ok(number - least);
        }
        Err(Reason::Operand(self.text(index)?.to_owned()))
    }

    /// `UMUL`, `MUL`, `MULA`, `MULS` with their halves, `LDINC`, `LDDEC`.
    pub(super) fn mac16(&self, name: &str) -> Result<Option<(u32, usize)>, Reason> {
        let parts: Vec<&str> = name.split('.').collect();
        let (plain, halves) = match parts[..] {
            [single] => (single.to_owned(), ""),
            [kind, form, halves] => (format!("{kind}.{form}"), halves),
            [kind, form, halves, load] => (format!("{kind}.{form}.{load}"), halves),
            _ => return Ok(None),
        };
        let Some((_, form, op2, kind)) = TABLE.iter().find(|(op, ..)| op.name() == plain) else {
            return Ok(None);
        };
        let place = HALVES.iter().position(|known| *known == halves);
        let place = match (form, place) {
            (Form::Load, _) => 0,
            (_, Some(place)) => u32::try_from(place).unwrap_or(0),
            (_, None) => return Ok(None),
        };
        let mr = |index, least, most, bit: u32| {
            Ok::<u32, Reason>(self.mac_register(index, least, most)? << bit)
        };
        let (first, second) = (|index| mr(index, 0, 1, 14), |index| mr(index, 2, 3, 6));
        let target = || mr(0, 0, 3, 12);
        let a = |index, bit: u32| Ok::<u32, Reason>(self.a(index)? << bit);
        let (fields, operands) = match form {
            Form::Aa => (a(0, 8)? | a(1, 4)?, 2),
            Form::Ad => (a(0, 8)? | second(1)?, 2),
            Form::Da => (first(0)? | a(1, 4)?, 2),
            Form::Dd => (first(0)? | second(1)?, 2),
            Form::DaLoad => (target()? | a(1, 8)? | first(2)? | a(3, 4)?, 4),
            Form::DdLoad => (target()? | a(1, 8)? | first(2)? | second(3)?, 4),
            Form::Load => (target()? | a(1, 8)?, 2),
        };
        let op1 = u32::from(*kind) << 2 | place;
        Ok(Some((rrr((*op2).into(), op1, 4) | fields, operands)))
    }
}

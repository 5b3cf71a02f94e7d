//! What of an array is protected, run by run, as the part itself decides it.

use std::ops::Range;

use spi_nor::part::{Part, RegisterName};

use super::{FlashState, ModelError, NorFlash};
use crate::{
    spi::{CommandLines, SpiDevice, Transaction},
    time::Instant,
    trace::Trace,
};

/// A sector: no range of any part is finer.
const SECTOR: u32 = 4096;

/// What of an array is protected in one state of the registers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtectionMap {
    /// Size of the array.
    pub capacity_bytes: u32,
    /// Register values as the part reads them.
    pub registers: Vec<(RegisterName, u8)>,
    /// Runs in address order that cover the array.
    pub runs: Vec<Run>,
    /// The individual locks count, not the register bits.
    pub by_locks: bool,
    /// A chip erase is carried out.
    pub chip_erase: bool,
}

/// Neighbouring sectors of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Addresses.
    pub range: Range<u32>,
    /// Programs and erases are refused.
    pub protected: bool,
}

impl ProtectionMap {
    /// Powers a part up with these register values, the rest as shipped, and asks every sector.
    /// `unlocked` are addresses whose individual lock is opened after power-up.
    ///
    /// # Errors
    ///
    /// The part's sizes make no sense.
    pub fn of(
        part: Part,
        registers: &[(RegisterName, u8)],
        unlocked: &[u32],
    ) -> Result<Self, ModelError> {
        let mut state = FlashState::factory(&part);
        for (name, value) in registers {
            state.set_register(*name, *value);
        }
        let mut flash = NorFlash::new(part, state)?;
        for (name, value) in registers {
            flash.set_volatile(*name, flash.settable(*name, *value));
        }
        let names: Vec<_> = flash.part().registers.keys().copied().collect();
        let registers = names.into_iter().map(|name| (name, flash.register(name))).collect();
        for address in unlocked {
            flash.set_individual_lock(*address, false);
        }
        let enable = flash.part().instructions.write_enable.first().copied();
        send(&mut flash, enable);
        let capacity = flash.part().capacity_bytes;
        let mut runs: Vec<Run> = Vec::new();
        for start in (0..capacity).step_by(SECTOR as usize) {
            let range = start..start.saturating_add(SECTOR).min(capacity);
            let protected = !flash.permits_program(&range);
            match runs.last_mut() {
                Some(run) if run.protected == protected => run.range.end = range.end,
                _ => runs.push(Run { range, protected }),
            }
        }
        let by_locks = flash.individually_locked(0).is_some();
        let erase = flash.part().chip_erase.opcodes.first().copied();
        send(&mut flash, erase);
        // It takes time only where it is carried out.
        let chip_erase = flash.busy_until().is_some();
        Ok(Self { capacity_bytes: capacity, registers, runs, by_locks, chip_erase })
    }

    /// Protected bytes.
    #[must_use]
    pub fn protected_bytes(&self) -> u32 {
        let protected = self.runs.iter().filter(|run| run.protected);
        protected.map(|run| run.range.end - run.range.start).sum()
    }

    /// How much of a range is protected.
    #[must_use]
    pub fn share(&self, range: &Range<u32>) -> Share {
        let touched = || {
            self.runs
                .iter()
                .filter(|run| run.range.start < range.end && range.start < run.range.end)
        };
        match (touched().any(|run| run.protected), touched().any(|run| !run.protected)) {
            (true, true) => Share::Part,
            (true, false) => Share::All,
            _ => Share::None,
        }
    }
}

/// How much of a range is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// Nothing.
    None,
    /// Some of it.
    Part,
    /// All of it.
    All,
}

/// One chip select of one byte.
fn send(flash: &mut NorFlash, opcode: Option<u8>) {
    let mosi: Vec<u8> = opcode.into_iter().collect();
    let mut transaction =
        Transaction { mosi: &mosi, miso: &mut [], command_lines: CommandLines::One };
    flash.transfer(Instant::ZERO, &mut transaction, &mut Trace::default());
}

#[cfg(test)]
mod tests {
    use spi_nor::catalog;

    use super::*;

    fn map(name: &str, registers: &[(RegisterName, u8)], unlocked: &[u32]) -> ProtectionMap {
        ProtectionMap::of(catalog::part(name).expect("built in"), registers, unlocked)
            .expect("a part that can be modelled")
    }

    /// W25Q128FV: BP = 1 protects the upper 256 KiB, with CMP everything else (datasheet 7.1.15).
    #[test]
    fn ranges_are_those_of_the_datasheet() {
        let upper = map("W25Q128FV", &[(RegisterName::Sr1, 0x04)], &[]);
        assert_eq!(upper.runs.len(), 2);
        assert_eq!(upper.runs[1], Run { range: 0xFC_0000..0x100_0000, protected: true });
        assert!(!upper.chip_erase && !upper.by_locks);
        let complement = [(RegisterName::Sr1, 0x04), (RegisterName::Sr2, 0x40)];
        let complement = map("W25Q128FV", &complement, &[]);
        assert_eq!(complement.protected_bytes(), 0xFC_0000);
        assert_eq!(complement.share(&(0..0x1000)), Share::All);
        assert_eq!(complement.share(&(0xF0_0000..0x100_0000)), Share::Part);
        let free = map("W25Q128FV", &[], &[]);
        assert_eq!(free.protected_bytes(), 0);
        assert!(free.chip_erase);
        assert_eq!(free.share(&(0..0x1000)), Share::None);
    }

    #[test]
    fn individual_locks_are_all_closed_at_power_up_and_open_one_by_one() {
        let wps = [(RegisterName::Sr3, 0x64)];
        let locked = map("W25Q128FV", &wps, &[]);
        assert!(locked.by_locks);
        assert_eq!(locked.protected_bytes(), locked.capacity_bytes);
        // A 64 KiB block in the middle, a 4 KiB sector at the end.
        let opened = map("W25Q128FV", &wps, &[0x12_3456, 0xFF_F000]);
        let free: Vec<_> = opened.runs.iter().filter(|run| !run.protected).collect();
        assert_eq!(free[0].range, 0x12_0000..0x13_0000);
        assert_eq!(free[1].range, 0xFF_F000..0x100_0000);
    }
}

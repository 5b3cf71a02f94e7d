//! Which chip selects a fault is about, and what they touch.

use std::ops::Range;

use spi_nor::{
    Meaning,
    part::{Part, RegisterName},
};

use super::{
    counts::FaultKind,
    plan::{BusFault, Class, Window},
};

pub(super) const fn kind_of(fault: &BusFault) -> FaultKind {
    match fault {
        BusFault::MisoStuck { .. } => FaultKind::MisoStuck,
        BusFault::MosiStuck { .. } => FaultKind::MosiStuck,
        BusFault::ChipSelectLost { .. } => FaultKind::ChipSelectLost,
        BusFault::RegisterGlitch { .. } => FaultKind::RegisterGlitch,
        BusFault::LyingWrite { .. } => FaultKind::LyingWrite,
    }
}

pub(super) const fn window_of(fault: &BusFault) -> Window {
    match fault {
        BusFault::MisoStuck { at, .. }
        | BusFault::MosiStuck { at, .. }
        | BusFault::ChipSelectLost { at }
        | BusFault::RegisterGlitch { at, .. }
        | BusFault::LyingWrite { at } => *at,
    }
}

/// Whether a chip select counts for a fault.
pub(super) fn concerns(fault: &BusFault, window: Window, meaning: Meaning) -> bool {
    match fault {
        BusFault::RegisterGlitch { register, .. } => meaning == Meaning::ReadRegister(*register),
        BusFault::LyingWrite { .. } => changes(meaning) && is_on(window.on, meaning),
        _ => is_on(window.on, meaning),
    }
}

pub(super) fn changes(meaning: Meaning) -> bool {
    [Class::Program, Class::Erase, Class::StatusWrite].into_iter().any(|on| is_on(on, meaning))
}

/// Whether a chip select is of a class.
pub(super) fn is_on(class: Class, meaning: Meaning) -> bool {
    match class {
        Class::Any => true,
        Class::Read => matches!(meaning, Meaning::Read | Meaning::FastRead),
        Class::ReadStatus => meaning == Meaning::ReadRegister(RegisterName::Sr1),
        Class::ReadRegister => matches!(meaning, Meaning::ReadRegister(_)),
        Class::WriteEnable => {
            matches!(meaning, Meaning::WriteEnable | Meaning::WriteEnableVolatile)
        }
        Class::Program => matches!(meaning, Meaning::PageProgram | Meaning::QuadPageProgram),
        Class::Erase => matches!(meaning, Meaning::Erase(_) | Meaning::ChipErase),
        Class::StatusWrite => meaning == Meaning::WriteRegister,
    }
}

/// Addresses that a program or erase touches; `None` for other instructions.
pub(super) fn touched(part: &Part, meaning: Meaning, mosi: &[u8]) -> Option<Range<u32>> {
    let capacity = part.capacity_bytes.max(1);
    let address = mosi.get(1..4).map(|bytes| {
        bytes.iter().fold(0, |address, &byte| (address << 8) | u32::from(byte)) % capacity
    });
    match meaning {
        Meaning::ChipErase => Some(0..capacity),
        Meaning::Erase(index) => {
            let bytes = part.erase.get(index)?.bytes.max(1);
            let start = address? - address? % bytes;
            Some(start..start.saturating_add(bytes))
        }
        Meaning::PageProgram | Meaning::QuadPageProgram => {
            // A program wraps inside its page: all of it is in reach.
            let page = part.page_bytes.max(1);
            let start = address? - address? % page;
            Some(start..start + page)
        }
        _ => None,
    }
}

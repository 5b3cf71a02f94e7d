//! Faults of native functions on the program's memory.

use xtensa::Cause;

/// An access of a native function that raises a processor exception, as the ROM's own code would.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    /// EXCCAUSE.
    pub(crate) cause: Cause,
    /// EXCVADDR.
    pub(crate) address: u32,
}

impl Fault {
    /// A load from where nothing answers.
    pub(crate) const fn load(address: u32) -> Self {
        Self { cause: Cause::LoadProhibited, address }
    }

    /// A store to where nothing answers.
    pub(crate) const fn store(address: u32) -> Self {
        Self { cause: Cause::StoreProhibited, address }
    }

    /// A jump to where no code is.
    pub(crate) const fn fetch(address: u32) -> Self {
        Self { cause: Cause::InstructionFetchProhibited, address }
    }

    /// A division by zero.
    pub(crate) const fn division() -> Self {
        Self { cause: Cause::IntegerDivideByZero, address: 0 }
    }
}

//! What the core sees beyond plain memory.

/// How many bytes an access moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Width {
    /// One byte.
    Byte,
    /// Two bytes.
    Half,
    /// Four bytes.
    Word,
}

impl Width {
    /// Number of bytes: 1, 2 or 4.
    #[must_use]
    pub fn bytes(self) -> u32 {
        match self {
            Self::Byte => 1,
            Self::Half => 2,
            Self::Word => 4,
        }
    }
}

/// Why the bus refuses an access.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BusFault {
    /// Nothing answers there: the core takes `LoadProhibited` (28) or `StoreProhibited` (29).
    #[error("nothing answers at this address")]
    Prohibited,
    /// It answers, but not to this kind of access: the core takes `LoadStoreError` (3).
    #[error("the target refuses this kind of access")]
    Refused,
}

/// Everything that is not plain memory: peripheral registers and interrupt lines.
///
/// Plain memory never reaches the bus, see [`crate::Memory`].
pub trait Bus {
    /// Reads `width` bytes at `addr`, zero extended.
    ///
    /// # Errors
    ///
    /// [`BusFault`] if the access is refused; the core takes the matching exception.
    fn load(&mut self, addr: u32, width: Width) -> Result<u32, BusFault>;

    /// Writes the low `width` bytes of `value` at `addr`.
    ///
    /// # Errors
    ///
    /// [`BusFault`] if the access is refused; the core takes the matching exception.
    fn store(&mut self, addr: u32, width: Width, value: u32) -> Result<(), BusFault>;

    /// Interrupt inputs of the core, one bit a line, level-sensitive. Asked for at the start of
    /// each slice of about eight thousand instructions and after each store to the bus.
    fn interrupt_lines(&mut self) -> u32 {
        0
    }

    /// A number that changes whenever a *load* had a side effect (a FIFO popped) or gave a value
    /// that time alone changes. Idle detection compares it; stores are counted by the core.
    fn effects(&self) -> u64 {
        0
    }
}

/// A bus on which nothing answers.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoBus;

impl Bus for NoBus {
    fn load(&mut self, _: u32, _: Width) -> Result<u32, BusFault> {
        Err(BusFault::Prohibited)
    }

    fn store(&mut self, _: u32, _: Width, _: u32) -> Result<(), BusFault> {
        Err(BusFault::Prohibited)
    }
}

//! The SPI NOR flash: instructions, registers, protection, cells.

mod denial;
mod range;

pub use denial::Denial;
pub use range::protected_range;

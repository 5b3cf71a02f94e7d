//! The SPI NOR flash: instructions, registers, protection, cells.

mod denial;

pub use denial::Denial;

//! The SPI NOR flash: instructions, registers, protection, cells.

mod cells;
mod change;
mod decode;
mod denial;
mod dirty;
mod locks;
mod nor;
mod permit;
mod registers;
mod state;
mod range;

pub use cells::{Cells, SECTOR_BYTES, Sector};
pub use denial::Denial;
pub use dirty::Dirty;
pub use nor::{ModelError, NorFlash, Pins};
pub use state::FlashState;
pub use range::protected_range;

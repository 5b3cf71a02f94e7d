//! The SPI NOR flash: instructions, registers, protection, cells.

mod cells;
mod change;
mod decode;
mod denial;
mod dirty;
mod interim_range;
mod locks;
mod nor;
mod permit;
mod registers;
mod state;

pub use cells::{Cells, SECTOR_BYTES, Sector};
pub use denial::Denial;
pub use dirty::Dirty;
pub use nor::{ModelError, NorFlash, Pins};
pub use state::FlashState;

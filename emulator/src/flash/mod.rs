//! The SPI NOR flash: instructions, registers, protection, cells.

mod cells;
mod denial;
mod dirty;
mod locks;
mod map;
mod nor;
mod permit;
mod range;
mod registers;
mod state;

pub use cells::{Cells, SECTOR_BYTES, Sector};
pub use denial::Denial;
pub use dirty::Dirty;
pub use map::{ProtectionMap, Run, Share};
pub(crate) use nor::ProgramRun;
pub use nor::{Interrupted, ModelError, NorFlash, Pins};
pub use range::protected_range;
pub use state::FlashState;

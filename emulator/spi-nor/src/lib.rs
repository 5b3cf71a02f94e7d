//! SPI NOR flash parts as data: identity, registers, instructions, protection rules, timing.
//!
//! The crate holds vocabulary and checked data only. It judges nothing: whether a cell may change
//! is decided by the emulator's `permit`, and what a board's state means by the flasher's
//! diagnosis, each with its own code.

pub mod catalog;
mod check;
mod instruction_table;
mod lookup;
pub mod part;
mod part_error;

pub use instruction_table::{InstructionTable, Meaning};
pub use lookup::BitPosition;
pub use part::Part;
pub use part_error::{PartError, PartFault};

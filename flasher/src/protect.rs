//! Write protection as the wire shows it: which range the registers of a part protect, and how to
//! clear that without changing anything else.
//!
//! This reads the catalogue's data with code of its own; it shares none with the emulator.

mod plan;
mod range;

pub use plan::{ClearPlan, RegisterChange, clear_plan};
pub use range::{Protected, protected};

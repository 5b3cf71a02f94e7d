//! Write protection as the wire shows it: which range the registers of a part protect, and how to
//! change that without changing anything else.
//!
//! This reads the catalogue's data with code of its own; it shares none with the emulator.

mod change;
mod forms;
mod loader;
mod plan;
mod range;
mod registers;

pub use change::{ChangeError, ChangeReport, Journal, KeepJournal, Trial, TrialOutcome};
pub use forms::{PlanError, RegisterChange, WritePlan, locked, plan_write};
pub use loader::{Guard, GuardReport, after_rom_unlock};
pub use plan::{Choice, ClearPlan, choices, clear_plan, cleared, with_choice};
pub use range::{Protected, decode, protected};
pub use registers::{Registers, register_label};

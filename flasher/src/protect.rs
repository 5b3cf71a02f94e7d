//! Write protection as the wire shows it: which range the registers of a part protect, and how to
//! change that without changing anything else.
//!
//! This reads the catalogue's data with code of its own; it shares none with the emulator.

mod change;
mod forms;
mod journal;
mod loader;
mod locks;
mod plan;
mod range;
mod registers;

pub use change::{ChangeError, ChangeReport, Trial, TrialOutcome};
pub use forms::{PlanError, RegisterChange, WritePlan, locked, plan_write};
pub use journal::{Journal, KeepJournal, LockChange};
pub use loader::{Guard, GuardReport, after_rom_unlock};
pub use locks::{BlockLocks, has_block_register};
pub use plan::{
    Choice, ClearPlan, LockUnits, PartChoices, choices, choices_of_all, clear_plan, cleared,
    with_choice,
};
pub use range::{Protected, decode, protected};
pub use registers::{Registers, register_label};

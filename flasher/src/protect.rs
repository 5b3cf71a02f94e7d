//! Write protection as the wire shows it: which range the registers of a part protect, and how to
//! change that without changing anything else.
//!
//! ```
//! use esp32_flasher::{
//!     identity::Identity, port, protect::{Protected, Trial}, reset::ResetStrategy, session::Session,
//! };
//!
//! let mut session = Session::new(port::open("virtual:by25q64as-cmp", 115_200)?);
//! session.connect(&[ResetStrategy::classic()], 7)?;
//! let identity = Identity::of(session.attach_flash()?);
//! let mut old_values = Vec::new();
//! let report = session.clear_protection(&identity, Trial::Auto, &mut |journal| {
//!     old_values.push(journal.clone());
//!     Ok(())
//! })?;
//! let report = report.ok_or("nothing was protected")?;
//! assert_eq!(report.protected, Protected::Range(0..0));
//! assert_eq!(report.sent.len(), 1, "CMP goes, QE stays");
//! // And back.
//! session.restore_registers(&identity, &old_values[0], &mut |_| Ok(()))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
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
mod search;

pub(crate) use change::is_volatile;
pub use change::{ChangeError, ChangeReport, Trial, TrialOutcome};
pub use forms::{PlanError, RegisterChange, WritePlan, locked, obeys_pin, plan_write};
pub use journal::{Journal, KeepJournal, LockChange};
pub use loader::{Guard, GuardReport, after_rom_unlock};
pub use locks::{BlockLocks, has_block_register};
pub use plan::{
    Choice, ClearPlan, LockUnits, PartChoices, choices, choices_of_all, clear_plan, cleared,
    with_choice,
};
pub use range::{Protected, decode, protected};
pub use registers::{Registers, register_label};
pub use search::{Found, SearchReport, Suspect};

//! The mask ROM: reset banner, flash boot, and the serial loader of download mode.
//!
//! ROM-FACTS has the measured behaviour; every rule here names its section.

pub mod banner;
pub mod boot;
mod commands;
mod deflate;
mod flash_chip;
pub mod flash_driver;
mod loader;
pub mod personality;
mod slip;

pub use loader::{Loader, LoaderExit};

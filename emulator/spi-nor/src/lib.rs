//! SPI NOR flash parts as data: identity, registers, instructions, protection rules, timing.
//!
//! The crate holds vocabulary and checked data only. It judges nothing: whether a cell may change
//! is decided by the emulator's `permit`, and what a board's state means by the flasher's
//! diagnosis, each with its own code.

pub mod part;

//! A virtual ESP32 in download mode.
//!
//! The board is a deterministic state machine: time and bytes are arguments, no thread, clock,
//! file or socket inside. Transports, pacing and persistence are thin adapters around it.

pub mod board;
pub mod case;
pub mod cli;
pub mod control;
pub mod explain;
pub mod fault;
pub mod flash;
pub mod gdb;
mod guest;
pub mod persist;
pub mod program;
pub mod rom;
pub mod soc;
pub mod spi;
pub mod time;
pub mod trace;
pub mod transcript;
pub mod transport;

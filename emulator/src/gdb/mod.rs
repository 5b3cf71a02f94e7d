//! GDB's remote serial protocol for the program on a board, without sockets.
//!
//! Facts: GDB manual, appendix "Remote Protocol". Registers are numbered as the ESP32's Xtensa
//! configuration of GDB has them ([`registers`]).

mod packet;
pub mod registers;
mod session;

pub use session::{Outcome, Session};

#[cfg(test)]
mod tests;

//! GDB's remote serial protocol for the processor of a board, without sockets.
//!
//! Facts: GDB manual, appendix "Remote Protocol". Registers are numbered as the ESP32's Xtensa
//! configuration of GDB has them ([`registers`]).

mod packet;
pub mod registers;
mod session;
mod stops;
mod target;

pub use session::{Outcome, Session};
pub use target::{Scope, Target};

#[cfg(test)]
mod tests;

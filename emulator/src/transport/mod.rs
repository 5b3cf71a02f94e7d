//! Ways in to a board: PTY, TCP, RFC 2217, serprog. Protocols are sans-io; only the front ends
//! touch descriptors.

mod adapter;
pub mod client_watch;
pub mod control;
pub mod debugger;
pub mod device;
pub mod fronts;
pub mod group;
pub mod line;
pub mod link;
pub mod modem;
pub mod noisy;
pub mod pace;
mod patience;
pub mod pty;
pub mod remote;
pub mod rfc2217;
pub mod serprog;
pub mod server;
pub mod tap;
pub mod tcp;

/// The tests' devices.
#[cfg(test)]
pub(crate) mod fake;

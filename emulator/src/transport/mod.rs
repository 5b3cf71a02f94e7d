//! Ways in to a board: PTY, TCP, RFC 2217, serprog. Protocols are sans-io; only the front ends
//! touch descriptors.

pub mod line;
pub mod modem;
pub mod rfc2217;
pub mod serprog;
pub mod tcp;

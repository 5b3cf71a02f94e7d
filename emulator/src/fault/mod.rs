//! Faults as decorators: the production path knows nothing of them.

pub mod flash;
pub mod link;

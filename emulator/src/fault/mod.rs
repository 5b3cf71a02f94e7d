//! Faults as decorators: the production path knows nothing of them.
//!
//! A [`plan::FaultPlan`] says what goes wrong, [`board::FaultyBoard`] and [`seat::FaultyBus`] let it
//! happen at the two seams of a board, its line and its flash, and [`counts::FaultCounts`] says
//! what did.

pub mod board;
pub mod bus;
mod class;
pub mod counts;
pub mod link;
pub mod plan;
pub mod seat;
mod weak;

#[cfg(test)]
mod tests;

//! System tests in virtual time: no sleep, no socket, any order.

mod protection_tables;
mod tidy;
mod transcripts;

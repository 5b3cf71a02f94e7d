//! System tests in virtual time: no sleep, no socket, any order.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test says what went wrong"
)]

#[expect(dead_code, reason = "the hosted tests use the rest")]
#[path = "../hosted/clients.rs"]
mod clients;
mod dependencies;
mod locked;
mod protection_tables;
mod recordings;
mod stub_transcripts;
mod tidy;
mod transcripts;

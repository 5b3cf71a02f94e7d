//! System tests in virtual time: no sleep, no socket, any order.

#[expect(dead_code, reason = "the hosted tests use the rest")]
#[path = "../hosted/clients.rs"]
mod clients;
mod protection_tables;
mod stub_transcripts;
mod tidy;
mod transcripts;

//! System tests in virtual time: no sleep, no socket, any order.

#[path = "../hosted/clients.rs"]
mod clients;
mod protection_tables;
mod stub_transcripts;
mod tidy;
mod transcripts;

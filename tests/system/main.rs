//! System tests in virtual time: no sleep, no socket, any order.
#[path = "../hosted/clients.rs"]
mod clients;
mod instrument;
mod stub_transcripts;

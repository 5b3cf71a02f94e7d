//! Hosted tests: PTY and real clients, wall clock.

mod clients;
mod rfc2217;

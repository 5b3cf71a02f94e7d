//! Hosted tests: PTY and real clients, wall clock.

mod clients;
mod emulator;
mod exec;
mod rfc2217;
mod serprog;

//! Hosted tests: PTY and real clients, wall clock.
#![expect(clippy::expect_used, clippy::print_stderr, reason = "a test says what went wrong")]

mod clients;
mod emulator;
mod exec;
mod rfc2217;
mod serprog;

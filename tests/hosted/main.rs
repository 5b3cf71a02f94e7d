//! Hosted tests: PTY, TCP and real clients, wall clock. They prove the plumbing; behaviour is
//! tested in virtual time in `tests/system`.
#![expect(clippy::expect_used, clippy::print_stderr, reason = "a test says what went wrong")]

// A board on a PTY with its ground truth.
mod bench;
// esptool, installed from PyPI.
mod clients;
// The `emulator` command, built when missing.
mod emulator;
// The mask ROM as esptool sees it.
mod esptool;
// Clients with all their defaults under `emulator exec`.
mod exec;
// The TCP front end that pyserial calls rfc2217://.
mod rfc2217;
// esptool with its stubs, executed by the board.
mod stubs;
// flashrom at the flash itself.
mod serprog;
// How soon a served board answers, and what it costs.
mod start;

//! Hosted tests: PTY, TCP and real clients, wall clock. They prove the plumbing; behaviour is
//! tested in virtual time in `tests/system`.

// A board on a PTY with its ground truth.
mod bench;
// esptool, installed from PyPI.
mod clients;
// The mask ROM as esptool sees it.
mod esptool;
// The TCP front end that pyserial calls rfc2217://.
mod rfc2217;

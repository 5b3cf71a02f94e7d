//! Hosted tests: PTY, TCP and real clients, wall clock. They prove the plumbing; behaviour is
//! tested in virtual time in `tests/system`.
#![expect(clippy::expect_used, clippy::print_stderr, reason = "a test says what went wrong")]

// A board on a PTY with its ground truth.
mod bench;
// esptool with a stub of a chosen generation.
mod client;
// esptool, installed from PyPI.
mod clients;
// The `emulator` command, built when missing.
mod emulator;
// The mask ROM as esptool sees it.
mod esptool;
// espefuse against the eFuse controller.
mod espefuse;
// espflash, installed from crates.io.
mod espflash;
// Clients with all their defaults under `emulator exec`.
mod exec;
// Wall time against a device that answers at once.
mod instant;
// The device of that comparison.
mod instant_device;
// The look-alike of QEMU.
mod qemu;
// The flasher through stubs of esptool.
mod own_stub;
// An ESP RAM image.
mod ram_image;
// Every client on every case: the committed table.
mod matrix;
// A recorder between clients and ports.
mod proxy;
// The TCP front end that pyserial calls rfc2217://.
mod rfc2217;
// Many boards in one process.
mod farm;
// The flasher's RFC 2217 client against pyserial's server.
mod rfc2217_client;
// What hardware tests of flashing tools ask for besides.
mod hardware;
// esptool with its stubs, executed by the board.
mod stubs;
// Issue 915 and what users see on protected parts.
mod thread;
// flashrom at the flash itself.
mod serprog;
// How soon a served board answers, and what it costs.
mod start;

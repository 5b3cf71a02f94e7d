//! The behavioural suite over a given port: `ESP_PORT=/dev/ttyUSB0 cargo test --test hardware`.
//!
//! It works on a real ESP32 or on a served one, which it cannot tell apart. It erases and writes a
//! scratch range alone (the last 64 KiB of the flash, or `ESP_SCRATCH=ADDRESS[+BYTES]`), saves it
//! first, to a file as well, and puts it back whatever happens; what a killed process could not put
//! back, the next run does. Status registers are written only with `ESP_ALLOW_STATUS_WRITES=1`.
//! Everything that passed is in a transcript in `target/hardware`, which is then played to an
//! in-process board of the same identity; answers that differ are reported one by one.
//!
//! Without `ESP_PORT` the suite runs on the emulator, over a PTY, a PTY with modem lines, and RFC 2217,
//! and its own promises are tested: [`own`].
#![expect(clippy::expect_used, reason = "a test says what went wrong")]

// One board: session, scratch range, raw frames.
mod bench;
// Serving a board for the suite's own tests.
mod emulator;
// What is kept on disk until it has been put back.
mod journal;
// Tests of the suite itself.
mod own;
// The one place that opens a port.
mod port;
// The environment variables.
mod settings;
// What is checked.
mod steps;
// The course of a run.
mod suite;
// The in-process board of the same identity.
mod twin;

use std::io;

use settings::Settings;

/// The suite on the port of `ESP_PORT`; nothing without it.
#[test]
fn on_the_given_port() {
    let Some(settings) = Settings::from_environment().expect("the settings can be read") else {
        return;
    };
    // Not captured, so that a person at the bench sees what happens.
    let verdict = suite::run(&settings, steps::ALL, &mut io::stderr());
    assert!(verdict.is_good(&settings), "{verdict}");
}

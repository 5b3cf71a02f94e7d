//! The `emulator` command.

use std::{
    env,
    io::{self, Write},
    process::ExitCode,
};

use clap::Parser;
use esp32_emulator::cli::{Cli, qemu};

fn main() -> ExitCode {
    match Cli::parse_from(qemu::translated(env::args_os().collect())).run(&mut io::stdout()) {
        Ok(status) => status,
        // As with any filter whose reader has seen enough.
        Err(error) if error.is_closed_output() => error.exit_code(),
        Err(error) => {
            // Nothing can be done where not even this can be said.
            let _ = writeln!(io::stderr(), "emulator: {error}");
            error.exit_code()
        }
    }
}

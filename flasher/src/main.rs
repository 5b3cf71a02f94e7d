//! The `flasher` command.

mod args;
mod command;
mod failure;
mod help;
mod report;

use std::{
    io,
    process::ExitCode,
    sync::{Arc, atomic::AtomicBool},
};

use clap::FromArgMatches;
use esp32_flasher::exit::Exit;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::{
    args::{Cli, Command},
    report::Report,
};

fn main() -> ExitCode {
    let cli = match Cli::from_arg_matches(&help::command().get_matches()) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    start_log();
    if let Command::Completions { shell } = cli.command {
        clap_complete::generate(shell, &mut help::command(), "flasher", &mut io::stdout());
        return Exit::Done.into();
    }
    let mut report = Report::new(cli.global.json, cli.global.no_progress);
    match catch_interrupts().and_then(|interrupt| command::run(&cli, interrupt, &mut report)) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            report.failure(&failure);
            failure.exit().into()
        }
    }
}

/// A flag that Ctrl-C sets. A second Ctrl-C ends the process at once.
fn catch_interrupts() -> Result<Arc<AtomicBool>, failure::Failure> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The order counts: the second signal finds the flag set by the first.
        let exit = i32::from(Exit::Interrupted as u8);
        signal_hook::flag::register_conditional_shutdown(signal, exit, Arc::clone(&flag))?;
        signal_hook::flag::register(signal, Arc::clone(&flag))?;
    }
    Ok(flag)
}

/// Diagnostics of the program itself, by `RUST_LOG`; nothing by default.
fn start_log() {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
}

//! `flasher schema`.

use std::io::{self, Write};

use esp32_flasher::schema;

use crate::{args::SchemaArgs, failure::Failure};

/// Prints the schema of one command's lines, or of all.
pub(super) fn run(args: &SchemaArgs) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    if args.command.is_empty() {
        return Ok(out.write_all(schema::TEXT.as_bytes())?);
    }
    let command = args.command.join(" ");
    let found = schema::of_command(&command);
    let found = found.ok_or(Failure::NoSchema { command, known: schema::commands() })?;
    serde_json::to_writer_pretty(&mut out, &found).map_err(io::Error::from)?;
    Ok(writeln!(out)?)
}

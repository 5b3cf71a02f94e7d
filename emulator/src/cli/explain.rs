//! `emulator explain`: observations in, mechanisms out.

use std::{
    io::{self, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;

use super::CliError;
use crate::explain::{self, Observed, Progress};

/// Nothing reproduces all observations.
const NOTHING_FITS: u8 = 4;

/// Examples and the file's schema in short.
pub(super) const HELP: &str = r"Examples:
  emulator explain --observed seen.toml
  emulator explain --observed seen.toml --json | jq '.fits[].name'

Exit status: 0 at least one mechanism reproduces everything, 1 the system refused, 2 wrong usage,
3 wrong observation file, 4 nothing that is known here reproduces everything.";

/// The schema, for `--help`.
pub(super) const LONG_HELP: &str = r#"Examples:
  emulator explain --observed seen.toml
  emulator explain --observed seen.toml --json | jq '.fits[].name'

THE OBSERVATION FILE is TOML. What was not looked at is left out.

  title = "what it is about"
  sources = ["https://..."]             # optional
  steps = [                             # what was done, in order
    { write = { image = 1, loader = "legacy-stub", md5 = "intended" } },
    { boot = {} },
    { status = { sr1 = 0x00, sr2 = 0x02 } },
    { write = { image = 2, loader = "legacy-stub", says = "nothing", md5 = "old or other" } },
    { write-flash-status = { value = 0x0000 } },
    { status = { sr1 = 0x00, sr2 = 0x00 } },
  ]

  [flash]                               # what is known of the flash, all optional
  id = "c84018"                         # as 9Fh answers; ?? for a byte that is not known
  part = "..."                          # or part-file = "my.toml"
  capacity-bytes = 0x1000000
  size-setting-bytes = 0x400000         # what the tool believes, where that differs
  before = "blank"                      # or "data", the default: an older firmware

Steps. Keys marked * say what was seen; all others say what was done.

  write               at, bytes, image (a number), changed-byte, flash-end,
                      loader: "rom", "legacy-stub" (esptool up to 5.2), "stub" (5.4 to 5.6),
                              "application" (or a debugger)
                      md5*: "intended", "old", "blank" (0xFF), "other" (the same at every try),
                            "varying", or several with " or "
                      says*: "nothing", "error" (0x08 from the ROM loader), "hangs"
  erase               at, bytes, loader, took*: "no time", "time" or "7.2 s"
  erase-chip          took*
  status              sr1*, sr2*, sr3* (answers of 05h, 35h, 15h); latches = true compares WIP and
                      WEL as well
  write-flash-status  value, bytes (2), non-volatile (true): every form in a row, as esptool does
  write-register      opcode, data, enable (0x06, or 0x50)
  select              out (hex), write-enable, read (bytes), answer* (hex)
  boot                flavour (none, idf-unlock, idf-qio31h, ...); left out: everything is tried
  power-cycle, host-reset                 {}
  supply              mv
  pins                wp, hold: "high" or "low"

Exit status: 0 at least one mechanism reproduces everything, 1 the system refused, 2 wrong usage,
3 wrong observation file, 4 nothing that is known here reproduces everything."#;

/// Arguments.
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// What was done and seen.
    #[arg(long, value_name = "FILE")]
    observed: PathBuf,
    /// JSON instead of text.
    #[arg(long)]
    json: bool,
}

impl ExplainArgs {
    pub(super) fn run(&self, out: &mut dyn Write) -> Result<ExitCode, CliError> {
        let observed = Observed::load(&self.observed)?;
        let mut line = ProgressLine::new();
        let explanation = explain::explain(&observed, &mut |progress| line.show(progress))?;
        line.clear();
        if self.json {
            let text = serde_json::to_string(&explanation).map_err(io::Error::from)?;
            writeln!(out, "{text}")?;
        } else {
            write!(out, "{explanation}")?;
        }
        Ok(if explanation.fits.is_empty() {
            ExitCode::from(NOTHING_FITS)
        } else {
            ExitCode::SUCCESS
        })
    }
}

/// One line on a terminal that is written over.
struct ProgressLine {
    is_terminal: bool,
}

impl ProgressLine {
    fn new() -> Self {
        Self { is_terminal: io::stderr().is_terminal() }
    }

    fn show(&mut self, progress: Progress) {
        if self.is_terminal {
            let Progress { done, all, boards } = progress;
            let mut err = io::stderr();
            // A terminal that goes away takes the line with it.
            let _ = write!(err, "\r{done} of {all} mechanisms, {boards} boards");
            let _ = err.flush();
        }
    }

    fn clear(&mut self) {
        if self.is_terminal {
            let _ = write!(io::stderr(), "\r{:60}\r", "");
        }
    }
}

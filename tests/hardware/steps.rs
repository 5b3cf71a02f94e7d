//! What is checked, in this order. Each step leaves a loader that listens.

mod answers;
mod flash;
mod line;
mod protection;

use crate::suite::Step;

/// Everything.
pub(crate) const ALL: &[Step] = &[
    Step { name: "reset into download mode, each way", run: line::resets },
    Step { name: "reset into the program and back", run: line::run_and_back },
    Step { name: "identity", run: answers::identity },
    Step { name: "flash id", run: flash::id },
    Step { name: "status registers", run: flash::status },
    Step { name: "error answers of the ROM", run: answers::errors },
    Step { name: "memory, with all that SLIP escapes", run: answers::memory },
    Step { name: "two requests in one write", run: line::pipelined },
    Step { name: "noise between frames", run: line::noise },
    Step { name: "rates", run: line::rates },
    Step { name: "reads and digests", run: flash::reads },
    Step { name: "erase", run: flash::erase },
    Step { name: "program", run: flash::program },
    Step { name: "nothing without write enable", run: flash::write_enable },
    Step { name: "write through the loader", run: flash::loader_write },
    Step { name: "write through the loader, compressed", run: flash::loader_write_compressed },
    Step { name: "block protection", run: protection::block_protection },
];

/// An error with a text unless `holds`.
pub(crate) fn check(
    holds: bool,
    what: impl FnOnce() -> String,
) -> Result<(), crate::bench::Trouble> {
    if holds { Ok(()) } else { Err(what().into()) }
}

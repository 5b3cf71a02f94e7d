//! The commands.

mod board;
mod flash;
mod reproduce;
mod status;

use std::sync::{Arc, atomic::AtomicBool};

use esp32_flasher::{chip::Chip, exit::Exit, port};

use crate::{
    args::{Cli, Command, EraseCommand, StatusCommand},
    command::board::Board,
    failure::Failure,
    report::{Event, Report},
};

/// Runs one command.
pub(crate) fn run(
    cli: &Cli,
    interrupt: Arc<AtomicBool>,
    report: &mut Report,
) -> Result<Exit, Failure> {
    match &cli.command {
        Command::Completions { .. } => return Ok(Exit::Done),
        Command::ListPorts => {
            report.say(&Event::Ports { ports: &port::list()? })?;
            return Ok(Exit::Done);
        }
        Command::Reproduce(args) => return reproduce::run(args, interrupt, report),
        // Files are read and checked before the chip is touched.
        Command::Write(args) => {
            let images = flash::images(&args.files)?;
            let mut board = Board::connect(&cli.global, interrupt, report)?;
            flash::write(&mut board, &images, args, report)?;
            return board.release(&cli.global);
        }
        Command::Verify(files) => {
            let images = flash::images(files)?;
            let mut board = Board::connect(&cli.global, interrupt, report)?;
            flash::verify(&mut board, &images, report)?;
            return board.release(&cli.global);
        }
        _ => {}
    }
    let mut board = Board::connect(&cli.global, interrupt, report)?;
    match &cli.command {
        Command::Chip => {
            let chip = Chip::read(&mut board.session)?;
            report.say(&Event::Chip { chip: &chip })?;
        }
        Command::FlashId => flash::id(&mut board, report)?,
        Command::Status(StatusCommand::Read { bytes }) => {
            status::read(&mut board, *bytes, report)?;
        }
        Command::Status(StatusCommand::Write { value, bytes, volatile }) => {
            status::write(&mut board, *value, *bytes, *volatile, report)?;
        }
        Command::Read { address, size, file } => {
            flash::read(&mut board, *address, *size, file, report)?;
        }
        Command::Erase(EraseCommand::Chip) => flash::erase_chip(&mut board, report)?,
        Command::Erase(EraseCommand::Region { address, size }) => {
            flash::erase_region(&mut board, *address, *size, report)?;
        }
        Command::Write(_)
        | Command::Verify(_)
        | Command::ListPorts
        | Command::Reproduce(_)
        | Command::Completions { .. } => {}
    }
    board.release(&cli.global)
}

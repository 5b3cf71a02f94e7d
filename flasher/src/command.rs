//! The commands.

mod batch;
mod board;
mod doctor;
mod flash;
mod gate;
mod matrix;
mod protect;
mod reproduce;
mod schema;
mod status;

pub(crate) use protect::bar as protection_bar;

use std::sync::{Arc, atomic::AtomicBool};

use esp32_flasher::{chip::Chip, exit::Exit, port};

use crate::{
    args::{Cli, Command, EraseCommand, StatusCommand},
    command::board::Board,
    failure::Failure,
    report::{Event, Report},
};

/// Runs one command; what the process ends with.
pub(crate) fn run(
    cli: &Cli,
    interrupt: Arc<AtomicBool>,
    report: &mut Report,
) -> Result<u8, Failure> {
    let is_of_one_board = !matches!(
        cli.command,
        Command::Batch(_)
            | Command::Reproduce(_)
            | Command::Matrix(_)
            | Command::Schema(_)
            | Command::ListPorts
            | Command::Completions { .. }
    );
    if cli.global.record.is_some() && !is_of_one_board {
        return Err(Failure::NothingToRecord);
    }
    if let Command::Batch(args) = &cli.command {
        return batch::run(args, cli.global.stub.as_deref(), &interrupt, report);
    }
    run_one(cli, interrupt, report).map(|exit| exit as u8)
}

/// Runs a command on one board, or on none.
fn run_one(cli: &Cli, interrupt: Arc<AtomicBool>, report: &mut Report) -> Result<Exit, Failure> {
    match &cli.command {
        Command::Completions { .. } => return Ok(Exit::Done),
        Command::ListPorts => {
            report.say(&Event::Ports { ports: &port::list()? })?;
            return Ok(Exit::Done);
        }
        Command::Reproduce(args) => return reproduce::run(args, interrupt, report),
        Command::Schema(args) => return schema::run(args).map(|()| Exit::Done),
        Command::Matrix(args) => return matrix::run(args, &interrupt, report),
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
    run_connected(&cli.command, &mut board, report)?;
    board.release(&cli.global)
}

/// The commands that need nothing but a board.
fn run_connected(command: &Command, board: &mut Board, report: &mut Report) -> Result<(), Failure> {
    match command {
        Command::Chip => {
            let chip = Chip::read(&mut board.session)?;
            Ok(report.say(&Event::Chip { chip: &chip })?)
        }
        Command::FlashId => flash::id(board, report),
        Command::Status(StatusCommand::Read { bytes }) => status::read(board, *bytes, report),
        Command::Status(StatusCommand::Write { value, bytes, volatile, burst, journal }) => {
            let what = status::Write {
                value: *value,
                bytes: *bytes,
                volatile: *volatile,
                burst: *burst,
                journal: journal.clone(),
            };
            status::write(board, &what, report)
        }
        Command::Read { address, size, file } => flash::read(board, *address, *size, file, report),
        Command::Erase(EraseCommand::Chip { gate }) => flash::erase_chip(board, *gate, report),
        Command::Erase(EraseCommand::Region { address, size, gate }) => {
            flash::erase_region(board, *address, *size, *gate, report)
        }
        Command::Protect(command) => protect::run(board, command, report),
        Command::Doctor(args) => doctor::run(board, args, report),
        Command::Write(_)
        | Command::Verify(_)
        | Command::ListPorts
        | Command::Batch(_)
        | Command::Matrix(_)
        | Command::Schema(_)
        | Command::Reproduce(_)
        | Command::Completions { .. } => Ok(()),
    }
}

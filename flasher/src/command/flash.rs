//! Commands on the flash array.

use std::path::Path;

use esp32_flasher::{
    flash::{BLOCK_BYTES, EraseReport},
    input::{self, InputError},
    write::{Image, Prepared},
};

use super::board::Board;
use crate::{
    args::{Files, WriteArgs},
    failure::Failure,
    report::{Event, Report},
};

/// Reads and checks the files.
pub(super) fn images(files: &Files) -> Result<Vec<Image>, InputError> {
    let mut images = input::read_pairs(&input::expand_argument_files(&files.pairs)?)?;
    if let Some(path) = &files.flasher_args {
        images.extend(input::flasher_args(path)?);
    }
    input::check_images(&mut images)?;
    Ok(images)
}

pub(super) fn id(board: &mut Board, report: &mut Report) -> Result<(), Failure> {
    let identity = board.attach()?;
    Ok(report.say(&Event::Flash { identity: &identity })?)
}

pub(super) fn write(
    board: &mut Board,
    images: &[Image],
    args: &WriteArgs,
    report: &mut Report,
) -> Result<(), Failure> {
    board.attach()?;
    input::check_fit(images, board.session.flash_bytes())?;
    for image in images {
        let prepared = Prepared::new(image, board.session.dialect(), !args.no_compress);
        let done = board.session.write(&prepared, &mut |progress| report.progress(progress))?;
        report.say(&Event::Written { file: &image.name, offset: image.offset, report: done })?;
        if !args.no_verify {
            board.session.verify(&prepared)?;
            report.say(&verified(image, &prepared))?;
        }
    }
    Ok(())
}

pub(super) fn verify(
    board: &mut Board,
    images: &[Image],
    report: &mut Report,
) -> Result<(), Failure> {
    board.attach()?;
    input::check_fit(images, board.session.flash_bytes())?;
    for image in images {
        let prepared = Prepared::new(image, board.session.dialect(), false);
        board.session.verify(&prepared)?;
        report.say(&verified(image, &prepared))?;
    }
    Ok(())
}

fn verified<'a>(image: &'a Image, prepared: &Prepared) -> Event<'a> {
    let (offset, len, md5) = (prepared.offset, prepared.len, prepared.digest);
    Event::Verified { file: &image.name, offset, len, md5 }
}

pub(super) fn read(
    board: &mut Board,
    address: u32,
    size: u32,
    file: &Path,
    report: &mut Report,
) -> Result<(), Failure> {
    board.attach()?;
    let data = board.session.read_flash(address, size, &mut |p| report.progress(p))?;
    std::fs::write(file, data).map_err(|cause| Failure::File { path: file.to_owned(), cause })?;
    Ok(report.say(&Event::Read { file, offset: address, len: size })?)
}

pub(super) fn erase_chip(board: &mut Board, report: &mut Report) -> Result<(), Failure> {
    board.attach()?;
    let done = board.session.erase_chip()?;
    let len = board.session.flash_bytes();
    Ok(report.say(&erased(0, len, done))?)
}

pub(super) fn erase_region(
    board: &mut Board,
    address: u32,
    size: u32,
    report: &mut Report,
) -> Result<(), Failure> {
    board.attach()?;
    let done = board.session.erase_region(address, size, &mut |p| report.progress(p))?;
    Ok(report.say(&erased(address, size, done))?)
}

fn erased(offset: u32, len: u32, report: EraseReport) -> Event<'static> {
    // Looking at the flash takes the line longer than a sector's erase may take, so only larger
    // erases that were over at the first look tell something.
    let blocks = len / BLOCK_BYTES;
    let refused = report.not_busy == report.instructions && blocks > 0;
    Event::Erased { offset, len, report, probably_refused: refused }
}

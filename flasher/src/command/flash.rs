//! Commands on the flash array.

use std::{ops::Range, path::Path};

use esp32_flasher::{
    flash::{BLOCK_BYTES, EraseReport, SECTOR_BYTES},
    identity::Identity,
    input::{self, InputError},
    preflight::Changer,
    protect::Guard,
    write::{
        Check, Compression, Digest, Image, Prepared, Skip, Transfer, WriteError, WriteOptions,
    },
};

use super::{board::Board, doctor, gate};
use crate::{
    args::{Files, Gate, Via, WriteArgs},
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
    let identity = board.attach()?;
    input::check_fit(images, board.session.flash_bytes())?;
    if let Some(part) = identity.byte_program().filter(|_| !args.gate.no_preflight) {
        return Err(Failure::UnsupportedPart(part.name.clone()));
    }
    let dialect = board.session.dialect();
    let transfer = match args.via {
        Via::Auto => Transfer::for_flash(&identity, dialect),
        Via::Loader => Transfer::Loader,
        Via::Instructions => Transfer::Plain,
    };
    let changer = transfer.changer(dialect);
    let ranges: Vec<Range<u32>> = images.iter().map(sectors).collect();
    let found = gate::pass(board, &identity, &ranges, changer, args.gate, report)?;
    if transfer == Transfer::Plain {
        let part = identity.entered_by_rom_probe().map(|part| part.name.as_str());
        report.say(&Event::PlainInstructions { part })?;
    }
    let guard = match changer {
        Changer::RomLoader => Some(match found.as_ref().and_then(|found| found.parts.first()) {
            // The look has read all that is needed.
            Some(state) => Guard::with(&identity, identity.candidates.first(), &state.registers),
            None => board.session.repeat(|session| Guard::before(session, &identity))?,
        }),
        Changer::AsItIs => None,
    };
    let result = write_images(board, images, args, transfer, report);
    // The registers are mended even after a failure, as long as somebody answers.
    let guarded = guard.map(|guard| mend(board, &guard, report));
    if let Err(Failure::Write(error)) = result {
        return Err(explained(board, &identity, images, error, report)?);
    }
    result?;
    guarded.unwrap_or(Ok(()))
}

/// The failure with its diagnosis, if the flash did not take the data.
fn explained(
    board: &mut Board,
    identity: &Identity,
    images: &[Image],
    error: WriteError,
    report: &mut Report,
) -> Result<Failure, Failure> {
    let refused_at = match &error {
        WriteError::Mismatch(mismatch) => mismatch.offset,
        WriteError::NotTaken { offset } => *offset,
        _ => return Ok(error.into()),
    };
    let diagnosis = doctor::explain(board, identity, images, refused_at, report)?;
    Ok(match diagnosis {
        Some(diagnosis) => Failure::Explained { error: error.into(), diagnosis: diagnosis.into() },
        None => error.into(),
    })
}

fn write_images(
    board: &mut Board,
    images: &[Image],
    args: &WriteArgs,
    transfer: Transfer,
    report: &mut Report,
) -> Result<(), Failure> {
    let skip = match (args.resume, args.diff) {
        (true, _) => Skip::Right,
        (_, true) => Skip::Unchanged,
        _ => Skip::Nothing,
    };
    let check = match (args.no_verify, args.read_back) {
        (true, _) => Check::None,
        (_, true) => Check::ReadBack,
        _ => Check::Digest,
    };
    let compression = match (args.compress, args.no_compress) {
        (true, _) => Compression::Always,
        (_, true) => Compression::Never,
        _ => Compression::WhereItPays,
    };
    let options = WriteOptions { compression, skip, check, transfer };
    for image in images {
        let observer = &mut |progress| report.progress(progress);
        let done = board.session.write_image(image, options, observer)?;
        report.say(&Event::Written { file: &image.name, offset: image.offset, report: done })?;
        if let Some(md5) = done.digest {
            report.say(&verified(image, md5))?;
        }
    }
    Ok(())
}

/// Tells what the loader did to the registers, and puts QE back.
fn mend(board: &mut Board, guard: &Guard, report: &mut Report) -> Result<(), Failure> {
    let done = board.session.repeat(|session| guard.after(session))?;
    if done.is_quiet() && !guard.is_blind() {
        return Ok(());
    }
    Ok(report.say(&Event::LoaderWroteRegisters { report: &done })?)
}

/// The sectors that an image touches.
fn sectors(image: &Image) -> Range<u32> {
    let len = u32::try_from(image.data.len()).unwrap_or(u32::MAX);
    let end = image.offset.saturating_add(len).div_ceil(SECTOR_BYTES).saturating_mul(SECTOR_BYTES);
    image.offset..end
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
        board.session.repeat(|session| session.verify(&prepared))?;
        report.say(&verified(image, prepared.digest))?;
    }
    Ok(())
}

fn verified(image: &Image, md5: Digest) -> Event<'_> {
    let len = u32::try_from(image.data.len()).unwrap_or(u32::MAX);
    Event::Verified { file: &image.name, offset: image.offset, len, md5 }
}

pub(super) fn read(
    board: &mut Board,
    address: u32,
    size: u32,
    file: &Path,
    report: &mut Report,
) -> Result<(), Failure> {
    board.attach()?;
    let data = board.session.read_flash_surely(address, size, &mut |p| report.progress(p))?;
    std::fs::write(file, data).map_err(|cause| Failure::File { path: file.to_owned(), cause })?;
    Ok(report.say(&Event::Read { file, offset: address, len: size })?)
}

pub(super) fn erase_chip(
    board: &mut Board,
    gate: Gate,
    report: &mut Report,
) -> Result<(), Failure> {
    let identity = board.attach()?;
    let len = board.session.flash_bytes();
    let all = 0..len;
    gate::pass(board, &identity, &[all], Changer::AsItIs, gate, report)?;
    let done = match board.session.erase_chip() {
        Ok(done) => done,
        Err(error) => return Err(doctor::explain_erase(board, &identity, error, report)?),
    };
    Ok(report.say(&erased(0, len, done))?)
}

pub(super) fn erase_region(
    board: &mut Board,
    address: u32,
    size: u32,
    gate: Gate,
    report: &mut Report,
) -> Result<(), Failure> {
    let identity = board.attach()?;
    let range = address..address.saturating_add(size);
    gate::pass(board, &identity, &[range], Changer::AsItIs, gate, report)?;
    let done = board.session.erase_region(address, size, &mut |p| report.progress(p));
    let done = match done {
        Ok(done) => done,
        Err(error) => return Err(doctor::explain_erase(board, &identity, error, report)?),
    };
    Ok(report.say(&erased(address, size, done))?)
}

fn erased(offset: u32, len: u32, report: EraseReport) -> Event<'static> {
    // A refused erase of what holds something is an error; of what was blank it cannot be told
    // from one that was faster than the line, except where many took no time at all.
    let blocks = len / BLOCK_BYTES;
    let refused = report.not_busy == report.instructions && blocks > 0;
    Event::Erased { offset, len, report, probably_refused: refused }
}

//! The flash: identity, registers, and the scratch range.

use std::ops::Range;

use esp_protocol::response::Dialect;
use esp32_flasher::{
    flash::SECTOR_BYTES,
    protect::{Guard, after_rom_unlock},
    spi::{Instruction, STATUS_WEL, opcode},
    write::{Check, Compression, Digest, Image, Transfer, WriteOptions},
};

use super::check;
use crate::{
    bench::{Bench, Trouble},
    suite::Outcome,
};

/// The ROM's inflater writes so many bytes at a time (ROM-FACTS 5.5).
const WINDOW: u32 = 0x8000;
const WIP: u8 = 0x01;

pub(super) fn id(bench: &mut Bench) -> Result<Outcome, Trouble> {
    let again = bench.session.attach_flash()?;
    check(again == bench.identity.id, || format!("{:?}, then {again:?}", bench.identity.id))?;
    check(again.bytes().is_some(), || format!("no size in {again:?}"))?;
    Ok(Outcome::Passed)
}

pub(super) fn status(bench: &mut Bench) -> Result<Outcome, Trouble> {
    let again = bench.session.read_known_status(&bench.identity)?;
    check(again == bench.status, || format!("{}, then {again}", bench.status))?;
    let first = again.values[0].unwrap_or(0xff);
    check(first & (WIP | STATUS_WEL) == 0, || format!("busy or write-enabled at rest: {again}"))?;
    bench.session.write_enable()?;
    let enabled = bench.session.read_flash_register(opcode::READ_STATUS)?;
    bench.session.spi(&Instruction::new(opcode::WRITE_DISABLE))?;
    let disabled = bench.session.read_flash_register(opcode::READ_STATUS)?;
    check(enabled & STATUS_WEL != 0 && disabled & STATUS_WEL == 0, || {
        format!("06h gives {enabled:#04x}, 04h {disabled:#04x}")
    })?;
    Ok(Outcome::Passed)
}

fn first_sector(bench: &Bench) -> Range<u32> {
    bench.scratch.start..bench.scratch.start + SECTOR_BYTES
}

fn noise(seed: u64, len: u32) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..len).map(|_| random.u8(..)).collect()
}

pub(super) fn reads(bench: &mut Bench) -> Result<Outcome, Trouble> {
    let start = bench.scratch.start;
    let whole = bench.read(&first_sector(bench))?;
    for (at, len) in [(0, 1), (1, 63), (0x3f, 130), (0xff, 2), (0xfff, 1)] {
        let found = bench.session.read_flash(start + at, len, &mut |_| {})?;
        let expected = &whole[at as usize..(at + len) as usize];
        check(found == expected, || format!("{len} bytes at +{at:#x} read otherwise"))?;
        let digest = Digest(bench.session.flash_md5(start + at, len)?);
        check(digest == Digest::of(expected), || format!("digest of {len} bytes at +{at:#x}"))?;
    }
    Ok(Outcome::Passed)
}

pub(super) fn erase(bench: &mut Bench) -> Result<Outcome, Trouble> {
    if let Some(why) = bench.protected.clone() {
        return Ok(Outcome::Skipped(why));
    }
    let sector = first_sector(bench);
    let before = bench.session.flash_md5(sector.end, SECTOR_BYTES)?;
    bench.session.erase_region(sector.start, SECTOR_BYTES, &mut |_| {})?;
    let found = bench.read(&sector)?;
    check(found.iter().all(|byte| *byte == 0xff), || "the sector is not blank".to_owned())?;
    let after = bench.session.flash_md5(sector.end, SECTOR_BYTES)?;
    check(before == after, || "the next sector has changed".to_owned())?;
    Ok(Outcome::Passed)
}

pub(super) fn program(bench: &mut Bench) -> Result<Outcome, Trouble> {
    if let Some(why) = bench.protected.clone() {
        return Ok(Outcome::Skipped(why));
    }
    let sector = first_sector(bench);
    bench.session.erase_region(sector.start, SECTOR_BYTES, &mut |_| {})?;
    let mut expected = noise(1, SECTOR_BYTES);
    bench.session.program_bytes(sector.start, &expected)?;
    let found = bench.read(&sector)?;
    check(found == expected, || "the sector does not hold what was programmed".to_owned())?;
    // A program clears bits and sets none.
    let more = noise(2, 64);
    bench.session.program_bytes(sector.start, &more)?;
    expected.iter_mut().zip(&more).for_each(|(byte, more)| *byte &= more);
    let found = bench.read(&sector)?;
    check(found == expected, || "a second program did not AND".to_owned())?;
    Ok(Outcome::Passed)
}

pub(super) fn write_enable(bench: &mut Bench) -> Result<Outcome, Trouble> {
    let sector = first_sector(bench);
    let before = bench.session.flash_md5(sector.start, SECTOR_BYTES)?;
    bench.session.spi(&Instruction::new(opcode::WRITE_DISABLE))?;
    bench
        .session
        .spi(&Instruction::new(opcode::PAGE_PROGRAM).at(sector.start).writing(&[0; 16]))?;
    bench.session.spi(&Instruction::new(opcode::ERASE_SECTOR).at(sector.start))?;
    bench.session.wait_flash_ready(std::time::Duration::from_secs(3))?;
    let after = bench.session.flash_md5(sector.start, SECTOR_BYTES)?;
    check(before == after, || "it was programmed or erased without write enable".to_owned())?;
    Ok(Outcome::Passed)
}

/// `FLASH_BEGIN` writes the status registers (ROM-FACTS 5.3). Why it must not be sent, if it would
/// change them.
fn forbidden(bench: &mut Bench) -> Result<Option<String>, Trouble> {
    if bench.allow_status_writes {
        return Ok(None);
    }
    let Some(part) = bench.identity.candidates.first().cloned() else {
        let why = "FLASH_BEGIN writes the status registers of a part that is not known";
        return Ok(Some(format!("{why} (ESP_ALLOW_STATUS_WRITES=1 allows it)")));
    };
    let now = bench.session.read_registers(&bench.identity, &part)?;
    if after_rom_unlock(&part, &now) == now {
        return Ok(None);
    }
    let why = "FLASH_BEGIN would change the status registers";
    Ok(Some(format!("{why} (ESP_ALLOW_STATUS_WRITES=1 allows it)")))
}

fn write(bench: &mut Bench, data: Vec<u8>, compression: Compression) -> Result<Outcome, Trouble> {
    if let Some(why) = bench.protected.clone() {
        return Ok(Outcome::Skipped(why));
    }
    if Transfer::for_flash(&bench.identity, Dialect::Rom) == Transfer::Plain {
        // Not even the restoration would reach it then.
        let why = "FLASH_BEGIN would put this part into its four-line mode until the power is cut";
        return Ok(Outcome::Skipped(why.to_owned()));
    }
    if let Some(why) = forbidden(bench)? {
        return Ok(Outcome::Skipped(why));
    }
    let guard = Guard::before(&mut bench.session, &bench.identity)?;
    let offset = bench.scratch.start;
    let image = Image { name: "pattern".to_owned(), offset, data };
    let options = WriteOptions { compression, check: Check::ReadBack, ..WriteOptions::default() };
    let written = bench.session.write_image(&image, options, &mut |_| {});
    guard.after(&mut bench.session)?;
    written?;
    Ok(Outcome::Passed)
}

pub(super) fn loader_write(bench: &mut Bench) -> Result<Outcome, Trouble> {
    // Not whole sectors, and a word short of whole blocks.
    write(bench, noise(3, SECTOR_BYTES + 0x1fc), Compression::Never)
}

pub(super) fn loader_write_compressed(bench: &mut Bench) -> Result<Outcome, Trouble> {
    if bench.scratch.end - bench.scratch.start < 2 * WINDOW {
        return Ok(Outcome::Skipped("the scratch range is shorter than 64 KiB".to_owned()));
    }
    let mut data = noise(4, 0x2000);
    data.resize((WINDOW + 0x400) as usize, 0x5a);
    write(bench, data, Compression::Always)
}

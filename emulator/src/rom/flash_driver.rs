//! The ROM's flash functions: the exact bus traffic of ROM-FACTS 6.1 to 6.3.
//!
//! They put prebuilt bytes on the bus instead of going through the controller register by
//! register, and leave the registers as the ROM's own code would.

mod encrypted;
mod read;

pub use super::flash_chip::FlashChip;
use crate::{
    flash::ProgramRun,
    soc::{
        Machine, bus_time,
        spi::{ctrl, offset},
    },
    spi::{SpiConnection, SpiDevice},
    time::Instant,
    trace::Hang,
};
pub use encrypted::write_encrypted;
pub use read::read;
pub(super) use read::read_in_pieces;

/// Largest piece of one page program.
const PROGRAM_BYTES: usize = 32;
/// Sectors in a 64 KiB block.
const SECTORS_PER_BLOCK: u32 = 16;
/// Erase instructions that one command may take: the sectors of 256 MiB, most of an hour of a part's
/// time. `SPI_SET_PARAMS` can claim 4 GiB in sectors of one byte.
const ERASES_MAX: usize = 1 << 16;
/// Polls of a part that is not busy before it counts as stuck. One would do for a real part;
/// more leaves room for injected one-off read errors.
const FUTILE_POLLS_MAX: u32 = 8;

const WIP: u8 = 1 << 0;
const WEL: u8 = 1 << 1;
const QE: u8 = 1 << 1;

/// Why a flash function did not do its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FlashError {
    /// The range is beyond the size given by `SPI_SET_PARAMS`, or misaligned; nothing was done.
    #[error("the range is outside of the flash or misaligned")]
    Range,
    /// The ROM polls for ever.
    #[error("the ROM polls for ever: {0:?}")]
    Hang(Hang),
}

/// Polls `05h` until `done`, jumping over the part's busy time.
#[inline]
fn poll<F: SpiDevice>(
    machine: &mut Machine<F>,
    done: impl Fn(u8) -> bool,
    why: Hang,
) -> Result<u8, FlashError> {
    let mut futile_count = 0;
    loop {
        let mut status = [0];
        machine.transfer(&[0x05], &mut status);
        if done(status[0]) {
            machine.soc.spi1.set(offset::RD_STATUS, u32::from(status[0]));
            return Ok(status[0]);
        }
        match machine.flash.busy_until() {
            Some(ready) if ready > machine.now && ready < NEVER => machine.now = ready,
            _ => futile_count += 1,
        }
        if futile_count == FUTILE_POLLS_MAX {
            return Err(FlashError::Hang(why));
        }
    }
}

/// A busy time this late never ends.
const NEVER: Instant = Instant::from_nanos(u64::MAX / 2);

/// Waits until WIP is clear; gives the status register.
///
/// # Errors
///
/// WIP never clears.
pub fn wait_idle<F: SpiDevice>(machine: &mut Machine<F>) -> Result<u8, FlashError> {
    poll(machine, |status| status & WIP == 0, Hang::WriteInProgress)
}

/// `06h`, then waits for WEL.
///
/// # Errors
///
/// WIP never clears or WEL never sets.
pub fn write_enable<F: SpiDevice>(machine: &mut Machine<F>) -> Result<(), FlashError> {
    wait_idle(machine)?;
    machine.transfer(&[0x06], &mut []);
    poll(machine, |status| status & (WEL | WIP) == WEL, Hang::WriteEnableLatch)?;
    Ok(())
}

/// `35h`.
///
/// # Errors
///
/// WIP never clears.
pub fn read_status_high<F: SpiDevice>(machine: &mut Machine<F>) -> Result<u8, FlashError> {
    wait_idle(machine)?;
    let mut status = [0];
    machine.transfer(&[0x35], &mut status);
    machine.soc.spi1.set(offset::MISO_DLEN, 7);
    machine.soc.spi1.set(offset::W0, u32::from(status[0]));
    Ok(status[0])
}

/// `01h` with one byte, or two if `WRSR_2B` is on.
///
/// # Errors
///
/// WIP never clears.
pub fn write_status<F: SpiDevice>(
    machine: &mut Machine<F>,
    sr1: u8,
    sr2: u8,
) -> Result<(), FlashError> {
    wait_idle(machine)?;
    machine.soc.spi1.set(offset::RD_STATUS, u32::from_le_bytes([sr1, sr2, 0, 0]));
    if machine.soc.spi1.get(offset::CTRL) & ctrl::WRSR_2B == 0 {
        machine.transfer(&[0x01, sr1], &mut []);
    } else {
        machine.transfer(&[0x01, sr1, sr2], &mut []);
    }
    wait_idle(machine)?;
    Ok(())
}

fn enable_two_byte_status_write<F>(machine: &mut Machine<F>) {
    let spi1 = &mut machine.soc.spi1;
    spi1.set(offset::CTRL, spi1.get(offset::CTRL) | ctrl::WRSR_2B);
}

/// Writes SR1 and keeps SR2 as one unchecked `35h` showed it (ROM-FACTS 6.1).
fn write_sr1_keep_sr2<F: SpiDevice>(machine: &mut Machine<F>, sr1: u8) -> Result<(), FlashError> {
    let sr2 = read_status_high(machine)?;
    enable_two_byte_status_write(machine);
    write_enable(machine)?;
    write_status(machine, sr1, sr2)
}

/// Clears the block protect bits: `SPIUnlock`.
///
/// # Errors
///
/// The part never gets ready.
pub fn unlock<F: SpiDevice>(machine: &mut Machine<F>) -> Result<(), FlashError> {
    write_sr1_keep_sr2(machine, 0x00)
}

/// Sets BP0..BP2, non-volatile: what `FLASH_END` leaves behind (ROM-FACTS 5.4).
///
/// # Errors
///
/// The part never gets ready.
pub fn lock<F: SpiDevice>(machine: &mut Machine<F>) -> Result<(), FlashError> {
    write_sr1_keep_sr2(machine, 0x1C)
}

/// Takes the part out of quad mode; that clears the complete SR2 (ROM-FACTS 6.3 a).
///
/// # Errors
///
/// The part never gets ready.
pub fn leave_quad_mode<F: SpiDevice>(machine: &mut Machine<F>) -> Result<(), FlashError> {
    if read_status_high(machine)? & QE == 0 {
        return Ok(());
    }
    enable_two_byte_status_write(machine);
    write_enable(machine)?;
    let sr1 = wait_idle(machine)?;
    write_status(machine, sr1, 0)
}

/// Puts the part into quad mode, for flash boot in QIO or QOUT.
///
/// # Errors
///
/// The part never gets ready.
pub fn enter_quad_mode<F: SpiDevice>(machine: &mut Machine<F>) -> Result<(), FlashError> {
    let sr2 = read_status_high(machine)?;
    if sr2 & QE != 0 {
        return Ok(());
    }
    enable_two_byte_status_write(machine);
    write_enable(machine)?;
    let sr1 = wait_idle(machine)?;
    write_status(machine, sr1, sr2 | QE)
}

/// Connects both controllers, sets them up for slow reads and wakes the part (`spi_flash_attach`;
/// ROM-FACTS 5.7 and 6.2).
///
/// # Errors
///
/// With `legacy`: the part never gets ready.
pub fn attach<F: SpiDevice>(
    machine: &mut Machine<F>,
    connection: SpiConnection,
    legacy: bool,
) -> Result<(), FlashError> {
    const CACHE_FCTRL: u32 = 0x3C;
    const EXT3: u32 = 0xFC;
    machine.connect(connection);
    let soc = &mut machine.soc;
    for controller in [&mut soc.spi1, &mut soc.spi0] {
        controller.set(offset::CLOCK, 0x3043);
        controller.set(EXT3, 3);
    }
    soc.spi1.set(offset::CTRL, 0x0020_8000);
    soc.spi0.set(offset::CTRL, 0x0020_0000);
    soc.spi0.set(offset::MISO_DLEN, 0xFF);
    soc.spi0.set(offset::MOSI_DLEN, 0xFF);
    soc.spi0.set(offset::USER, 0xD000_0040);
    soc.spi0.set(offset::USER2, 0x7000_0003);
    soc.spi0.set(CACHE_FCTRL, soc.spi0.get(CACHE_FCTRL) | 4);
    machine.transfer(&[0xAB, 0, 0, 0], &mut [0]);
    if legacy { leave_quad_mode(machine) } else { Ok(()) }
}

/// One erase instruction with its write enable.
fn erase<F: SpiDevice>(
    machine: &mut Machine<F>,
    opcode: u8,
    address: u32,
) -> Result<(), FlashError> {
    write_enable(machine)?;
    wait_idle(machine)?;
    machine.soc.spi1.set(offset::ADDR, address);
    let [_, high, middle, low] = address.to_be_bytes();
    machine.transfer(&[opcode, high, middle, low], &mut []);
    wait_idle(machine)?;
    Ok(())
}

/// Erases one sector by its number (`SPIEraseSector`).
///
/// # Errors
///
/// The number is beyond the chip; the part never gets ready.
pub fn erase_sector<F: SpiDevice>(machine: &mut Machine<F>, number: u32) -> Result<(), FlashError> {
    let chip = FlashChip::load(machine);
    let address = unit_address(number, chip.sector_bytes, chip.chip_bytes)?;
    erase(machine, 0x20, address)
}

/// Erases one block by its number (`SPIEraseBlock`).
///
/// # Errors
///
/// The number is beyond the chip; the part never gets ready.
pub fn erase_block<F: SpiDevice>(machine: &mut Machine<F>, number: u32) -> Result<(), FlashError> {
    let chip = FlashChip::load(machine);
    let address = unit_address(number, chip.block_bytes, chip.chip_bytes)?;
    erase(machine, 0xD8, address)
}

/// Erases the whole part (`SPIEraseChip`).
///
/// # Errors
///
/// The part never gets ready.
pub fn erase_chip<F: SpiDevice>(machine: &mut Machine<F>) -> Result<(), FlashError> {
    write_enable(machine)?;
    wait_idle(machine)?;
    machine.transfer(&[0x60], &mut []);
    wait_idle(machine)?;
    Ok(())
}

fn unit_address(number: u32, unit_bytes: u32, chip_bytes: u32) -> Result<u32, FlashError> {
    match number.checked_mul(unit_bytes) {
        Some(address) if address < chip_bytes => Ok(address),
        _ => Err(FlashError::Range),
    }
}

/// Unlocks and erases for a BEGIN command: mode setup, range check, unlock, erase plan
/// (ROM-FACTS 5.3 and 6.3 a to c).
///
/// # Errors
///
/// Misaligned or beyond the chip (after the mode setup); the part never gets ready, or there is no
/// end of erasing.
pub fn prepare_range<F: SpiDevice>(
    machine: &mut Machine<F>,
    address: u32,
    byte_count: u32,
) -> Result<(), FlashError> {
    leave_quad_mode(machine)?;
    let chip = FlashChip::load(machine);
    let sector_bytes = chip.sector_bytes.max(1);
    check_range(&chip, address, byte_count)?;
    if !address.is_multiple_of(sector_bytes) {
        return Err(FlashError::Range);
    }
    unlock(machine)?;
    let sector = address / sector_bytes;
    let mut plan = erase_plan(sector, byte_count.div_ceil(sector_bytes));
    for (opcode, sector) in plan.by_ref().take(ERASES_MAX) {
        erase(machine, opcode, sector * sector_bytes)?;
    }
    plan.next().map_or(Ok(()), |_| Err(FlashError::Hang(Hang::Endless)))
}

/// Opcodes with their first sector: sectors up to a block boundary (a whole block's worth when
/// already on one), then blocks while more than 16 sectors remain, then sectors.
fn erase_plan(first: u32, count: u32) -> impl Iterator<Item = (u8, u32)> {
    let end = first + count;
    let head_end = end.min((first - first % SECTORS_PER_BLOCK).saturating_add(SECTORS_PER_BLOCK));
    let mut sector = first;
    std::iter::from_fn(move || {
        let at = sector;
        if at >= end {
            return None;
        }
        let (opcode, step) = if at >= head_end && end - at > SECTORS_PER_BLOCK {
            (0xD8, SECTORS_PER_BLOCK)
        } else {
            (0x20, 1)
        };
        sector = at.saturating_add(step);
        Some((opcode, at))
    })
}

fn check_range(chip: &FlashChip, address: u32, byte_count: u32) -> Result<(), FlashError> {
    match address.checked_add(byte_count) {
        Some(end) if end <= chip.chip_bytes => Ok(()),
        _ => Err(FlashError::Range),
    }
}

/// Programs `data` (`SPIWrite`; ROM-FACTS 6.3 d): pieces of at most 32 bytes, never across a page.
///
/// # Errors
///
/// Beyond the chip (nothing written); a piece that is no multiple of 4 bytes (what came before is
/// written; XTENSA 1.7); the part never gets ready.
pub fn write<F: SpiDevice>(
    machine: &mut Machine<F>,
    address: u32,
    data: &[u8],
) -> Result<(), FlashError> {
    let chip = FlashChip::load(machine);
    check_range(&chip, address, u32::try_from(data.len()).unwrap_or(u32::MAX))?;
    let page_bytes = chip.page_bytes.max(1) as usize;
    let mut address = address;
    let mut rest = data;
    loop {
        let room = page_bytes - address as usize % page_bytes;
        let (piece, behind) = rest.split_at(room.min(rest.len()));
        if !piece.len().is_multiple_of(4) {
            return Err(FlashError::Range);
        }
        write_page_piece(machine, address, piece)?;
        address += u32::try_from(piece.len()).unwrap_or(0);
        rest = behind;
        // A piece that reaches the page's end is followed by another, even by one of 0 bytes,
        // which only waits.
        if piece.len() < room {
            return Ok(());
        }
    }
}

fn write_page_piece<F: SpiDevice>(
    machine: &mut Machine<F>,
    address: u32,
    piece: &[u8],
) -> Result<(), FlashError> {
    if !program_at_once(machine, address, piece) {
        program_step_by_step(machine, address, piece)?;
    }
    let last = piece.chunks(PROGRAM_BYTES).next_back().unwrap_or_default();
    let last_at = address + u32::try_from(piece.len() - last.len()).unwrap_or(0);
    let length = u32::try_from(last.len()).unwrap_or(0);
    machine.soc.spi1.store_data(false, last);
    machine.soc.spi1.set(offset::ADDR, length << 24 | last_at & 0x00FF_FFFF);
    Ok(())
}

/// The chip selects of [`program_step_by_step`] in one go, if the part knows all their answers.
fn program_at_once<F: SpiDevice>(machine: &mut Machine<F>, address: u32, piece: &[u8]) -> bool {
    let run = ProgramRun { address, data: piece, piece_bytes: PROGRAM_BYTES };
    let Machine { now, soc, flash, trace, .. } = machine;
    let end = flash.undisturbed().and_then(|part| part.program_run(*now, &run, bus_time, trace));
    let Some(end) = end else { return false };
    *now = end.now;
    soc.spi1.set(offset::RD_STATUS, u32::from(end.status));
    true
}

fn program_step_by_step<F: SpiDevice>(
    machine: &mut Machine<F>,
    address: u32,
    piece: &[u8],
) -> Result<(), FlashError> {
    let mut mosi = [0; 4 + PROGRAM_BYTES];
    for (chunk, at) in piece.chunks(PROGRAM_BYTES).zip((address..).step_by(PROGRAM_BYTES)) {
        wait_idle(machine)?;
        write_enable(machine)?;
        mosi[..4].copy_from_slice(&at.to_be_bytes());
        mosi[0] = 0x02;
        match <&[u8; PROGRAM_BYTES]>::try_from(chunk) {
            // All but the last: of a known length, which spares a call.
            Ok(full) => mosi[4..].copy_from_slice(full),
            Err(_) => mosi[4..4 + chunk.len()].copy_from_slice(chunk),
        }
        machine.transfer(&mosi[..4 + chunk.len()], &mut []);
    }
    wait_idle(machine)?;
    Ok(())
}

#[cfg(test)]
mod tests;

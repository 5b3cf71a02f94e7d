//! Reading: `SPIRead`, and many of it in a row.

use super::{FlashChip, FlashError, check_range, wait_idle};
use crate::{
    soc::{
        Machine, bus_time,
        spi::{ctrl, offset, user},
    },
    spi::SpiDevice,
};

/// Bytes of one read command.
const READ_BYTES: usize = 64;
/// The same as an address step.
const READ_PIECE: u32 = 64;

/// Reads into `target` (`SPIRead`; ROM-FACTS 6.3 e): one wait, then commands of 64 bytes.
///
/// # Errors
///
/// Beyond the chip (nothing read); the part never gets ready.
pub fn read<F: SpiDevice>(
    machine: &mut Machine<F>,
    address: u32,
    target: &mut [u8],
) -> Result<(), FlashError> {
    let chip = FlashChip::load(machine);
    check_range(&chip, address, u32::try_from(target.len()).unwrap_or(u32::MAX))?;
    wait_idle(machine)?;
    if target.is_empty() {
        return Ok(());
    }
    let mut command = ReadCommand::set_up(machine);
    let mut piece = [0; READ_BYTES];
    let mut at = address;
    let mut last_at = address;
    let (whole, rest) = target.as_chunks_mut::<READ_BYTES>();
    if let Some(&[.., last]) = read_at_once(machine, &mut command, address, whole) {
        piece = last;
        at += u32::try_from(whole.len()).unwrap_or(0) * READ_PIECE;
        last_at = at - READ_PIECE;
    } else {
        for chunk in whole {
            machine.transfer(command.at(at), chunk);
            piece = *chunk;
            last_at = at;
            at += READ_PIECE;
        }
    }
    if !rest.is_empty() {
        // The ROM always reads a whole piece.
        machine.transfer(command.at(at), &mut piece);
        rest.copy_from_slice(&piece[..rest.len()]);
        last_at = at;
    }
    machine.soc.spi1.store_data(false, &piece);
    machine.soc.spi1.set(offset::ADDR, last_at << 8);
    Ok(())
}

/// The bytes of a read command. The ROM does not set the command phase: if a client switched it
/// off, the address byte goes out first (ROM-FACTS section 10).
struct ReadCommand {
    bytes: [u8; 5],
    first: usize,
    len: usize,
}

impl ReadCommand {
    fn set_up<F>(machine: &mut Machine<F>) -> Self {
        let spi1 = &mut machine.soc.spi1;
        let fast = spi1.get(offset::CTRL) & ctrl::FAST_READ != 0;
        let opcode = if fast { 0x0B } else { 0x03 };
        let dummy = if fast { user::DUMMY } else { 0 };
        let phases = spi1.get(offset::USER) & !(user::MOSI | user::DUMMY);
        spi1.set(offset::USER, phases | user::ADDR | user::MISO | dummy);
        spi1.set(offset::USER1, 0x5C00_0007);
        spi1.set(offset::USER2, spi1.get(offset::USER2) & 0xF000_0000 | u32::from(opcode));
        spi1.set(offset::MISO_DLEN, 511);
        Self {
            bytes: [opcode, 0, 0, 0, 0],
            first: usize::from(phases & user::COMMAND == 0),
            len: if fast { 5 } else { 4 },
        }
    }

    /// The same, if it begins with the opcode.
    fn whole_at(&mut self, address: u32) -> Option<&[u8]> {
        (self.first == 0).then(|| self.at(address))
    }

    #[inline]
    fn at(&mut self, address: u32) -> &[u8] {
        self.bytes[1..4].copy_from_slice(&address.to_be_bytes()[1..]);
        &self.bytes[self.first..self.len]
    }
}

/// Reads `target` from `address` on by commands in a row, taken at once; the same target, or `None`
/// if they have to be made one by one.
fn read_at_once<'a, F: SpiDevice>(
    machine: &mut Machine<F>,
    command: &mut ReadCommand,
    address: u32,
    target: &'a mut [[u8; READ_BYTES]],
) -> Option<&'a [[u8; READ_BYTES]]> {
    let Machine { now, flash, trace, .. } = machine;
    let mosi = command.whole_at(address)?;
    let part = flash.undisturbed()?;
    if !part.read_run(*now, mosi, target.as_flattened_mut(), trace) {
        return None;
    }
    *now += bus_time(mosi.len() + READ_BYTES) * target.len();
    Some(target)
}

/// Reads into `target` as [`read`] does for each `piece_bytes` of it.
///
/// # Errors
///
/// As [`read`]; what came before has been read.
pub(in crate::rom) fn read_in_pieces<F: SpiDevice>(
    machine: &mut Machine<F>,
    address: u32,
    target: &mut [u8],
    piece_bytes: usize,
) -> Result<(), FlashError> {
    let mut at = address;
    let mut rest = target;
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at_mut(piece_bytes.min(rest.len()));
        read(machine, at, piece)?;
        at = at.wrapping_add(u32::try_from(piece.len()).unwrap_or(0));
        let whole = behind.len() / piece_bytes * piece_bytes;
        let taken = read_pieces_at_once(machine, at, &mut behind[..whole], piece_bytes);
        at = at.wrapping_add(u32::try_from(taken).unwrap_or(0));
        rest = &mut behind[taken..];
    }
    Ok(())
}

/// Reads pieces behind one that was read, taken at once; gives how many bytes. Each would wait for a
/// part that is ready, and set the controller up as it is.
fn read_pieces_at_once<F: SpiDevice>(
    machine: &mut Machine<F>,
    address: u32,
    target: &mut [u8],
    piece_bytes: usize,
) -> usize {
    let chip = FlashChip::load(machine);
    let len = u32::try_from(target.len()).unwrap_or(u32::MAX);
    let (commands, []) = target.as_chunks_mut::<READ_BYTES>() else { return 0 };
    let is_whole = piece_bytes.is_multiple_of(READ_BYTES);
    if commands.is_empty() || !is_whole || check_range(&chip, address, len).is_err() {
        return 0;
    }
    let Machine { now, flash, trace, .. } = machine;
    if !flash.undisturbed().is_some_and(|part| part.stays_ready(*now, trace)) {
        return 0;
    }
    let mut command = ReadCommand::set_up(machine);
    let Some(&[.., last]) = read_at_once(machine, &mut command, address, commands) else {
        return 0;
    };
    machine.now += bus_time(2) * (target.len() / piece_bytes);
    machine.soc.spi1.store_data(false, &last);
    machine.soc.spi1.set(offset::ADDR, (address + len - READ_PIECE) << 8);
    target.len()
}

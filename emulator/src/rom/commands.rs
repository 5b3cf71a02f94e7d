//! The loader's commands (ROM-FACTS section 5).

use super::{
    deflate::{Step, WINDOW_BYTES},
    flash_driver::{self, FlashChip, FlashError},
    loader::{
        After, Done, Failing, Failure, Loader, LoaderExit, OP_SYNC, Outcome, Request, Transfer,
    },
};
use crate::{
    soc::{Machine, RECEIVE_BUFFER},
    spi::{SpiConnection, SpiDevice},
    time::Duration,
    trace::Hang,
};

/// Largest block of a data command.
const BLOCK_BYTES_MAX: u32 = 0x1800;
/// Largest size field of a data command: a block and its four words.
const DATA_SIZE_MAX: u16 = 0x1810;
/// Where a data command's block starts in the receive buffer.
const DATA_OFFSET: usize = 8 + 16;
/// Start value of the block checksum.
const CHECKSUM_SEED: u8 = 0xEF;
/// Bytes that `SPI_FLASH_MD5` reads at a time.
const MD5_PIECE_BYTES: usize = 128;
/// Bytes that one command may hash here; the ROM would read for minutes behind that.
const MD5_BYTES_MAX: u32 = 256 << 20;
/// So many of them are taken together here: a sector.
const MD5_BUFFER_BYTES: usize = 32 * MD5_PIECE_BYTES;
/// Payload of `READ_FLASH_SLOW`, and its longest read.
const READ_PAYLOAD_BYTES: usize = 64;
/// Payload of `SPI_FLASH_MD5`.
const MD5_PAYLOAD_BYTES: usize = 32;
/// One entry of `WRITE_REG`.
const WRITE_REG_BYTES: u16 = 16;

type CommandResult = Result<Done, Failing>;

/// Runs one request.
pub(super) fn run<F: SpiDevice>(
    loader: &mut Loader,
    machine: &mut Machine<F>,
    request: &Request,
) -> Result<Done, LoaderExit> {
    let known = matches!(request.op, 0x02..=0x0B | 0x0D..=0x13) && request.direction == 0;
    if !known {
        return Ok(Outcome::Failed(Failure::Refused).into());
    }
    loader.set_op(request.op);
    let result = match request.op {
        0x02 => flash_begin(loader, machine, request),
        0x03 => flash_data(loader, machine, request),
        0x04 => flash_end(loader, machine, request),
        0x05 => mem_begin(loader, request),
        0x06 => mem_end(request),
        0x07 => mem_data(loader, machine, request),
        OP_SYNC => {
            loader.value = request.words[0];
            Ok(Outcome::DoneClear.into())
        }
        0x09 => write_registers(machine, request),
        0x0A => machine.read_word(request.words[0]).map_err(Failing::from).map(|value| {
            loader.value = value;
            Outcome::DoneClear.into()
        }),
        0x0B => set_params(machine, request),
        0x0D => attach(machine, request),
        0x0E => read_flash(loader, machine, request),
        0x0F => change_baud(machine, request),
        0x10 => deflate_begin(loader, machine, request),
        0x11 => deflate_data(loader, machine, request),
        0x12 => deflate_end(loader, machine, request),
        _ => md5(loader, machine, request),
    };
    let payload_bytes = match request.op {
        0x0E => READ_PAYLOAD_BYTES,
        0x13 => MD5_PAYLOAD_BYTES,
        _ => 0,
    };
    match result {
        Ok(done) => Ok(Done { payload_bytes, ..done }),
        Err(Failing::Failure(failure)) => {
            Ok(Done { payload_bytes, ..Outcome::Failed(failure).into() })
        }
        Err(Failing::Exit(exit)) => Err(exit),
    }
}

fn begin_parameters(request: &Request) -> Result<Transfer, Failure> {
    let [total_bytes, blocks, block_bytes, address, ..] = request.words;
    if request.size != 16 || block_bytes > BLOCK_BYTES_MAX {
        return Err(Failure::Refused);
    }
    Ok(Transfer { total_bytes, blocks, block_bytes, address, seq: 0, received_bytes: 0 })
}

/// The checks that all three data commands share, up to the checksum. `seq` has advanced before
/// the checksum is looked at.
fn accept_block<'a>(
    transfer: &mut Transfer,
    request: &Request,
    buffer: &'a [u8],
) -> Result<&'a [u8], Failure> {
    let [len, seq, ..] = request.words;
    if request.size > DATA_SIZE_MAX || seq != transfer.seq || len > transfer.block_bytes {
        return Err(Failure::Refused);
    }
    let data = buffer.get(DATA_OFFSET..DATA_OFFSET + len as usize).ok_or(Failure::Refused)?;
    transfer.seq = transfer.seq.wrapping_add(1);
    if checksum(data) != request.checksum {
        return Err(Failure::Checksum);
    }
    Ok(data)
}

fn checksum(data: &[u8]) -> u8 {
    data.iter().fold(CHECKSUM_SEED, |sum, byte| sum ^ byte)
}

/// A copy of a block, because the flash and the receive buffer hang on the same machine.
struct Block {
    bytes: [u8; BLOCK_BYTES_MAX as usize],
    len: usize,
}

impl Block {
    fn copy(data: &[u8]) -> Self {
        let mut block = Self { bytes: [0; BLOCK_BYTES_MAX as usize], len: data.len() };
        block.bytes[..data.len()].copy_from_slice(data);
        block
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

fn mem_begin(loader: &mut Loader, request: &Request) -> CommandResult {
    loader.transfer = begin_parameters(request)?;
    Ok(Outcome::Done.into())
}

fn mem_data<F: SpiDevice>(
    loader: &mut Loader,
    machine: &mut Machine<F>,
    request: &Request,
) -> CommandResult {
    let buffer = machine.soc.memory.receive_buffer();
    let block = Block::copy(accept_block(&mut loader.transfer, request, buffer)?);
    machine.write_bytes(loader.transfer.address, block.bytes())?;
    advance(&mut loader.transfer, block.len);
    Ok(Outcome::Done.into())
}

fn advance(transfer: &mut Transfer, byte_count: usize) {
    let byte_count = u32::try_from(byte_count).unwrap_or(0);
    transfer.address = transfer.address.wrapping_add(byte_count);
    transfer.received_bytes = transfer.received_bytes.wrapping_add(byte_count);
}

fn mem_end(request: &Request) -> CommandResult {
    let [flag, entry, ..] = request.words;
    if request.size > 8 {
        return Err(Failure::Refused.into());
    }
    let after = match (low_byte(flag), entry) {
        (0, 0) => Some(After::Left),
        (0, entry) => Some(After::Call { entry }),
        _ => None,
    };
    Ok(Done { after, ..Outcome::Done.into() })
}

fn low_byte(word: u32) -> u8 {
    word.to_le_bytes()[0]
}

fn write_registers<F: SpiDevice>(machine: &mut Machine<F>, request: &Request) -> CommandResult {
    for index in 0..u32::from(request.size / WRITE_REG_BYTES) {
        let entry = RECEIVE_BUFFER + 8 + index * u32::from(WRITE_REG_BYTES);
        let word = |at: u32| machine.soc.memory.word(entry + at).unwrap_or(0);
        let (address, value, mask, delay_us) = (word(0), word(4), word(8), word(12));
        machine.wait(Duration::from_micros(u64::from(delay_us)));
        let old = machine.read_word(address)?;
        machine.write_word(address, old & !mask | value & mask)?;
    }
    Ok(Outcome::DoneClear.into())
}

fn set_params<F: SpiDevice>(machine: &mut Machine<F>, request: &Request) -> CommandResult {
    let [device_id, chip_bytes, block_bytes, sector_bytes, page_bytes, status_mask] = request.words;
    if request.size != 24 {
        return Err(Failure::Refused.into());
    }
    FlashChip { device_id, chip_bytes, block_bytes, sector_bytes, page_bytes, status_mask }
        .store(machine);
    Ok(Outcome::Done.into())
}

fn attach<F: SpiDevice>(machine: &mut Machine<F>, request: &Request) -> CommandResult {
    let connection = SpiConnection::from_attach_word(request.words[0]);
    flash_driver::attach(machine, connection, low_byte(request.words[1]) != 0)?;
    Ok(Outcome::DoneClear.into())
}

fn change_baud<F: SpiDevice>(machine: &mut Machine<F>, request: &Request) -> CommandResult {
    let [new, mode, ..] = request.words;
    let sixteenths = if low_byte(mode) == 0 {
        let crystal_hz = machine.soc.uart.clock_hz();
        (crystal_hz << 4)
            .checked_div(new)
            .ok_or(LoaderExit::Hang(Hang::Exception { address: 0 }))
            .map_err(Failing::Exit)?
    } else {
        new
    };
    let clkdiv = sixteenths >> 4 | (sixteenths & 0xF) << 20;
    Ok(Done { after: Some(After::ChangeBaud { clkdiv }), ..Outcome::DoneClear.into() })
}

fn flash_begin<F: SpiDevice>(
    loader: &mut Loader,
    machine: &mut Machine<F>,
    request: &Request,
) -> CommandResult {
    loader.transfer = begin_parameters(request)?;
    flash_driver::prepare_range(machine, loader.transfer.address, loader.transfer.total_bytes)?;
    Ok(Outcome::Done.into())
}

fn flash_data<F: SpiDevice>(
    loader: &mut Loader,
    machine: &mut Machine<F>,
    request: &Request,
) -> CommandResult {
    let [len, ..] = request.words;
    if loader.transfer.block_bytes == 0 || !len.is_multiple_of(4) {
        return Err(Failure::Refused.into());
    }
    let buffer = machine.soc.memory.receive_buffer();
    let mut block = Block::copy(accept_block(&mut loader.transfer, request, buffer)?);
    // The results of both are ignored: beyond the chip nothing happens and all is well.
    hang_only(flash_driver::write(machine, loader.transfer.address, block.bytes()))?;
    let len = block.len;
    let address = loader.transfer.address;
    hang_only(flash_driver::read(machine, address, &mut block.bytes[..len]))?;
    if let Some(target) = machine.soc.memory.receive_buffer_mut().get_mut(DATA_OFFSET..) {
        target[..len].copy_from_slice(block.bytes());
    }
    // Only the XOR is compared (ROM-FACTS 5.3).
    if checksum(block.bytes()) != request.checksum {
        return Err(Failure::ReadBack.into());
    }
    advance(&mut loader.transfer, len);
    Ok(Outcome::Done.into())
}

/// Drops the result of a flash function, but for a hang.
fn hang_only(result: Result<(), FlashError>) -> Result<(), Failing> {
    match result {
        Ok(()) | Err(FlashError::Range) => Ok(()),
        Err(FlashError::Hang(why)) => Err(Failing::Exit(LoaderExit::Hang(why))),
    }
}

fn flash_end<F: SpiDevice>(
    loader: &mut Loader,
    machine: &mut Machine<F>,
    request: &Request,
) -> CommandResult {
    let Transfer { total_bytes, blocks, seq, received_bytes, .. } = loader.transfer;
    if seq != blocks || received_bytes != total_bytes {
        let failed = Outcome::Failed(Failure::Operation);
        return Ok(Done { after: Some(After::Left), ..failed.into() });
    }
    flash_driver::lock(machine)?;
    Ok(if low_byte(request.words[0]) == 0 {
        Done { after: Some(After::Reset), ..Outcome::DoneClear.into() }
    } else {
        Done { after: Some(After::Left), ..Outcome::Done.into() }
    })
}

fn deflate_begin<F: SpiDevice>(
    loader: &mut Loader,
    machine: &mut Machine<F>,
    request: &Request,
) -> CommandResult {
    loader.deflate_transfer = begin_parameters(request)?;
    loader.inflation.restart();
    let Transfer { address, total_bytes, .. } = loader.deflate_transfer;
    flash_driver::prepare_range(machine, address, total_bytes)?;
    Ok(Outcome::Done.into())
}

fn deflate_data<F: SpiDevice>(
    loader: &mut Loader,
    machine: &mut Machine<F>,
    request: &Request,
) -> CommandResult {
    if loader.deflate_transfer.block_bytes == 0 {
        return Err(Failure::Refused.into());
    }
    let buffer = machine.soc.memory.receive_buffer();
    let block = Block::copy(accept_block(&mut loader.deflate_transfer, request, buffer)?);
    let mut rest = block.bytes();
    loop {
        let (step, taken) = loader.inflation.step(rest);
        rest = rest.get(taken..).unwrap_or_default();
        match step {
            Step::WindowFull => program_window(loader, machine)?,
            Step::NeedsInput | Step::Finished => break,
            Step::Tail => return Err(Failing::Exit(LoaderExit::Hang(Hang::DeflateTail))),
            Step::Bad => return Err(Failure::Inflate.into()),
            Step::Adler => return Err(Failure::Adler.into()),
            Step::Parameter => return Err(Failure::DeflateParameter.into()),
        }
    }
    if loader.deflate_transfer.seq == loader.deflate_transfer.blocks {
        if !loader.inflation.is_finished() {
            return Err(Failure::Inflate.into());
        }
        // Always a full window, whatever is left in it (ROM-FACTS 5.5).
        program_window(loader, machine)?;
    }
    Ok(Outcome::Done.into())
}

fn program_window<F: SpiDevice>(
    loader: &mut Loader,
    machine: &mut Machine<F>,
) -> Result<(), Failing> {
    let address = loader.deflate_transfer.address;
    hang_only(flash_driver::write(machine, address, loader.inflation.window()))?;
    advance(&mut loader.deflate_transfer, WINDOW_BYTES);
    Ok(())
}

fn deflate_end<F: SpiDevice>(
    loader: &mut Loader,
    machine: &mut Machine<F>,
    request: &Request,
) -> CommandResult {
    if loader.deflate_transfer.seq < loader.deflate_transfer.blocks {
        return Err(Failure::Operation.into());
    }
    flash_driver::lock(machine)?;
    let reboot = low_byte(request.words[0]) == 0;
    Ok(Done { after: reboot.then_some(After::Reset), ..Outcome::Done.into() })
}

fn read_flash<F: SpiDevice>(
    loader: &mut Loader,
    machine: &mut Machine<F>,
    request: &Request,
) -> CommandResult {
    let [address, len, ..] = request.words;
    if len as usize > READ_PAYLOAD_BYTES {
        return Err(Failure::ReadLength.into());
    }
    let chip = FlashChip::load(machine);
    if address.checked_add(len).is_none_or(|end| end > chip.chip_bytes) {
        return Err(Failure::Read.into());
    }
    let words_bytes = (len as usize).next_multiple_of(4);
    flash_driver::read(machine, address, &mut loader.payload_mut()[..words_bytes])
        .map_err(read_failure)?;
    Ok(Outcome::DoneClear.into())
}

fn read_failure(error: FlashError) -> Failing {
    match error {
        FlashError::Range => Failure::Read.into(),
        FlashError::Hang(why) => Failing::Exit(LoaderExit::Hang(why)),
    }
}

fn md5<F: SpiDevice>(
    loader: &mut Loader,
    machine: &mut Machine<F>,
    request: &Request,
) -> CommandResult {
    let [address, len, ..] = request.words;
    if request.size > DATA_SIZE_MAX {
        return Err(Failure::Refused.into());
    }
    let mut rest = if len.cast_signed() <= 0 { 0 } else { len };
    let chip_bytes = FlashChip::load(machine).chip_bytes;
    if rest > MD5_BYTES_MAX && address.checked_add(rest).is_some_and(|end| end <= chip_bytes) {
        return Err(Failing::Exit(LoaderExit::Hang(Hang::Endless)));
    }
    let mut context = md5::Context::new();
    let mut address = address;
    let mut buffer = [0; MD5_BUFFER_BYTES];
    while rest > 0 {
        let count = (rest as usize).min(MD5_BUFFER_BYTES);
        let read = &mut buffer[..count];
        flash_driver::read_in_pieces(machine, address, read, MD5_PIECE_BYTES)
            .map_err(read_failure)?;
        context.consume(&*read);
        let count = u32::try_from(count).unwrap_or(rest);
        address = address.wrapping_add(count);
        rest -= count;
    }
    let text = format!("{:x}", context.finalize());
    loader.payload_mut()[..MD5_PAYLOAD_BYTES].copy_from_slice(text.as_bytes());
    Ok(Outcome::DoneClear.into())
}

#[cfg(test)]
mod tests;

//! The ROM's flash functions over its own driver: one implementation of each bus sequence.

use super::{Call, Exit, Flow};
use crate::{
    guest::memory::Fault,
    rom::flash_driver::{self as driver, FlashError},
    soc::{
        Machine, Soc,
        flash_crypt::{UNIT_BYTES, UNIT_STEP},
        spi::{ctrl, offset},
    },
    spi::{SpiConnection, SpiDevice},
};

type Step = Result<Flow, Fault>;

/// `g_rom_flashchip` (XTENSA 1.6).
const FLASHCHIP: u32 = 0x3FFA_E270;
const FLASHCHIP_BYTES: u32 = 24;
/// `ESP_ROM_SPIFLASH_RESULT_OK` and `_ERR`.
const OK: u32 = 0;
const ERR: u32 = 1;
/// Read modes of `esp_rom_spiflash_config_readmode`: quad modes come first.
const MODE_QOUT: u32 = 1;
const MODE_FAST: u32 = 4;
/// `CTRL` bits of the read modes in the order of their numbers.
const MODE_BITS: [u32; 6] =
    [1 << 24 | 1 << 13, 1 << 20 | 1 << 13, 1 << 23 | 1 << 13, 1 << 14 | 1 << 13, 1 << 13, 0];
const MODE_MASK: u32 = 1 << 24 | 1 << 23 | 1 << 20 | 1 << 14 | ctrl::FAST_READ;

/// Runs one function of the driver on the program's flashchip record.
fn drive<F: SpiDevice, T>(
    call: &mut Call<'_, F>,
    function: impl FnOnce(&mut Machine<F>) -> Result<T, FlashError>,
) -> Result<Result<T, Flow>, Fault> {
    let record = call.bytes(FLASHCHIP, FLASHCHIP_BYTES)?;
    if let Some(place) = call.machine.soc.memory.bytes_mut(FLASHCHIP, record.len()) {
        place.copy_from_slice(&record);
    }
    call.cpu.note_effect();
    Ok(match function(call.machine) {
        Ok(value) => Ok(value),
        Err(FlashError::Range) => Err(Flow::Return(ERR)),
        Err(FlashError::Hang(why)) => Err(Flow::Exit(Exit::Hang(why))),
    })
}

/// A function of the driver whose only result is its status.
fn status<F: SpiDevice, T>(
    call: &mut Call<'_, F>,
    function: impl FnOnce(&mut Machine<F>) -> Result<T, FlashError>,
) -> Step {
    Ok(match drive(call, function)? {
        Ok(_) => Flow::Return(OK),
        Err(flow) => flow,
    })
}

/// `SPI_Wait_Idle(chip)`.
pub(super) fn wait_idle<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    status(call, driver::wait_idle)
}

/// `SPI_write_enable(chip)`.
pub(super) fn write_enable<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    status(call, driver::write_enable)
}

/// `SPIUnlock()`.
pub(super) fn unlock<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    status(call, driver::unlock)
}

/// `SPILock()`.
pub(super) fn lock<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    status(call, driver::lock)
}

/// `SPIEraseChip()`.
pub(super) fn erase_chip<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    status(call, driver::erase_chip)
}

/// `SPIEraseSector(number)`.
pub(super) fn erase_sector<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let number = call.argument(0)?;
    status(call, |machine| driver::erase_sector(machine, number))
}

/// `SPIEraseBlock(number)`.
pub(super) fn erase_block<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let number = call.argument(0)?;
    status(call, |machine| driver::erase_block(machine, number))
}

/// `SPIEraseArea(start, length)`: leaves quad mode, unlocks, erases.
pub(super) fn erase_area<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let (start, len) = (call.argument(0)?, call.argument(1)?);
    status(call, |machine| driver::prepare_range(machine, start, len))
}

/// `spi_flash_attach(config, legacy)`.
pub(super) fn attach<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let connection = SpiConnection::from_attach_word(call.argument(0)?);
    let legacy = call.argument(1)? & 0xFF != 0;
    status(call, |machine| driver::attach(machine, connection, legacy))
}

/// `SPIRead(address, destination, length)`.
pub(super) fn read<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let (address, target, len) = (call.argument(0)?, call.argument(1)?, call.argument(2)?);
    // The driver refuses what is beyond the chip; the buffer must not be larger than RAM either.
    let mut data = call.bytes(target, len)?;
    match drive(call, |machine| driver::read(machine, address, &mut data))? {
        Ok(()) => call.store(target, &data).map(|()| Flow::Return(OK)),
        Err(flow) => Ok(flow),
    }
}

/// `SPIWrite(address, source, length)`.
pub(super) fn write<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let (address, source, len) = (call.argument(0)?, call.argument(1)?, call.argument(2)?);
    let data = call.bytes(source, len)?;
    status(call, |machine| driver::write(machine, address, &data))
}

/// `SPIParamCfg(id, chip, block, sector, page, mask)`.
pub(super) fn configure<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let mut record = Vec::new();
    for n in 0..6 {
        record.extend(call.argument(n)?.to_le_bytes());
    }
    call.store(FLASHCHIP, &record)?;
    Ok(Flow::Return(OK))
}

/// `SPI_read_status(chip, *status)`.
pub(super) fn read_status<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let (chip, target) = (call.argument(0)?, call.argument(1)?);
    let mask = u32::from_le_bytes(
        call.bytes(chip.wrapping_add(20), 4)?.try_into().unwrap_or([0xFF, 0xFF, 0, 0]),
    );
    match drive(call, driver::wait_idle)? {
        Ok(sr1) => store_word(call, target, u32::from(sr1) & mask),
        Err(flow) => Ok(flow),
    }
}

/// `SPI_read_status_high(*status)`: SR2 in bits 15..8 (ROM-FACTS 6.1).
pub(super) fn read_status_high<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let target = call.argument(0)?;
    match drive(call, driver::read_status_high)? {
        Ok(sr2) => store_word(call, target, u32::from(sr2) << 8),
        Err(flow) => Ok(flow),
    }
}

/// `SPI_write_status(chip, value)`: one byte, or two with `WRSR_2B`. No write enable.
pub(super) fn write_status<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let [sr1, sr2, ..] = call.argument(1)?.to_le_bytes();
    status(call, |machine| driver::write_status(machine, sr1, sr2))
}

/// `SPI_user_command_read(*status, opcode)`: one byte of any read command; 0 stands for 35h.
pub(super) fn read_user_command<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    const STATUS_HIGH: u8 = 0x35;
    let (target, opcode) = (call.argument(0)?, call.argument(1)?.to_le_bytes()[0]);
    let opcode = if opcode == 0 { STATUS_HIGH } else { opcode };
    let mut answer = [0];
    call.machine.transfer(&[opcode], &mut answer);
    call.machine.soc.spi1.set(offset::MISO_DLEN, 7);
    call.machine.soc.spi1.set(offset::W0, u32::from(answer[0]));
    call.cpu.note_effect();
    store_word(call, target, u32::from(answer[0]))
}

/// `SPIMasterReadModeCnfig(mode)`: QIO, QOUT, DIO, DOUT, fast, slow.
pub(super) fn configure_read_mode<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let mode = call.argument(0)?;
    let Some(bits) = MODE_BITS.get(mode as usize) else { return Ok(Flow::Return(ERR)) };
    let prepared = if mode <= MODE_QOUT {
        drive(call, driver::enter_quad_mode)?
    } else if mode >= MODE_FAST {
        drive(call, driver::leave_quad_mode)?
    } else {
        Ok(())
    };
    if let Err(flow) = prepared {
        return Ok(flow);
    }
    let spi1 = &mut call.machine.soc.spi1;
    spi1.set(offset::CTRL, spi1.get(offset::CTRL) & !MODE_MASK | bits);
    Ok(Flow::Return(OK))
}

/// `esp_rom_spiflash_config_clk(divider, spi)`.
pub(super) fn configure_clock<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let (divider, number) = (call.argument(0)? & 0xFF, call.argument(1)? & 0xFF);
    let clock = match divider.checked_sub(1) {
        None | Some(0) => 1 << 31,
        Some(count) => count << 12 | ((count - 1) / 2) << 6 | count,
    };
    let soc = &mut call.machine.soc;
    let controller = if number == 0 { &mut soc.spi0 } else { &mut soc.spi1 };
    controller.set(offset::CLOCK, clock);
    Ok(Flow::Return(OK))
}

/// `SPI_Encrypt_Write(address, source, length)`.
pub(super) fn write_encrypted<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let (address, source, len) = (call.argument(0)?, call.argument(1)?, call.argument(2)?);
    let data = call.bytes(source, len)?;
    status(call, |machine| driver::write_encrypted(machine, address, &data))
}

/// `SPI_Write_Encrypt_Enable()`.
pub(super) fn enable_encryption<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    call.machine.enable_encryption(true);
    call.cpu.note_effect();
    Ok(Flow::Return(OK))
}

/// `SPI_Write_Encrypt_Disable()`.
pub(super) fn disable_encryption<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    call.machine.enable_encryption(false);
    call.cpu.note_effect();
    Ok(Flow::Return(OK))
}

/// `esp_rom_spiflash_prepare_encrypted_data(address, source)`: 32 bytes into the block.
pub(super) fn prepare_encrypted<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let (address, source) = (call.argument(0)?, call.argument(1)?);
    let unit: [u8; UNIT_BYTES] = call.bytes(source, UNIT_STEP)?.try_into().unwrap_or_default();
    let Soc { flash_encryption, efuse, .. } = &mut call.machine.soc;
    let _ = flash_encryption.run(address, unit, efuse);
    call.cpu.note_effect();
    Ok(Flow::Return(OK))
}

fn store_word<F: SpiDevice>(call: &mut Call<'_, F>, target: u32, value: u32) -> Step {
    call.store(target, &value.to_le_bytes())?;
    Ok(Flow::Return(OK))
}

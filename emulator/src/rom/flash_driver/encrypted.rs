//! Programming through the flash encryption block.

use super::{FlashChip, FlashError, check_range, write};
use crate::{
    soc::{
        Machine, Soc,
        flash_crypt::{UNIT_BYTES, UNIT_STEP},
    },
    spi::SpiDevice,
};

/// Programs `data` (`SPI_Encrypt_Write`): 32 bytes at a time go through the encryption block, which
/// the function switches on and off by itself: both generations of stubs rely on that.
///
/// # Errors
///
/// The address or the length is no multiple of 32, or beyond the chip; the part never gets ready.
pub fn write_encrypted<F: SpiDevice>(
    machine: &mut Machine<F>,
    address: u32,
    data: &[u8],
) -> Result<(), FlashError> {
    let (units, rest) = data.as_chunks::<UNIT_BYTES>();
    if !address.is_multiple_of(UNIT_STEP) || !rest.is_empty() {
        return Err(FlashError::Range);
    }
    let chip = FlashChip::load(machine);
    check_range(&chip, address, u32::try_from(data.len()).unwrap_or(u32::MAX))?;
    machine.enable_encryption(true);
    let encrypts = machine.encrypts();
    for (at, unit) in (address..).step_by(UNIT_BYTES).zip(units) {
        let Soc { flash_encryption, efuse, .. } = &mut machine.soc;
        let cipher_text = flash_encryption.run(at, *unit, efuse);
        write(machine, at, if encrypts { &cipher_text } else { unit })?;
    }
    machine.enable_encryption(false);
    Ok(())
}

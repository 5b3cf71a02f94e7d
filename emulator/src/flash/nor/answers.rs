//! Read instructions: what the part drives onto the bus.

use spi_nor::Meaning;

use super::NorFlash;
use crate::spi::Transaction;

impl NorFlash {
    /// Number of address bytes.
    pub(super) fn address_bytes(&self) -> usize {
        if self.four_byte { 4 } else { 3 }
    }

    /// The address phase, modulo the capacity; `None` if it was cut short.
    pub(super) fn address(&self, mosi: &[u8]) -> Option<u32> {
        let bytes = mosi.get(1..=self.address_bytes())?;
        let address = bytes.iter().fold(0u32, |address, &byte| (address << 8) | u32::from(byte));
        // The capacity is a power of two (`check`).
        Some(address & (self.part.capacity_bytes - 1))
    }

    /// Read instructions. What is not driven keeps the pull level.
    pub(super) fn answer(&self, op: Meaning, transaction: &mut Transaction<'_>) {
        let mosi = transaction.mosi;
        let address_bytes = self.address_bytes();
        let header = match op {
            Meaning::ReadId | Meaning::ReadBlockProtection => 1,
            Meaning::Read | Meaning::ReadLock => 1 + address_bytes,
            Meaning::FastRead => 2 + address_bytes + self.derived.extra_dummy,
            Meaning::SecurityRead => 2 + address_bytes,
            Meaning::ReadManufacturer | Meaning::ReleasePowerDown => 4,
            Meaning::ReadSfdp | Meaning::ReadUniqueId => 5,
            _ => return,
        };
        // Dummy bytes that the host did not shift out pass while it already samples; bytes that it
        // shifted out behind the header cost it that much of the answer.
        let miso = &mut *transaction.miso;
        let (late, skipped) =
            (header.saturating_sub(mosi.len()), mosi.len().saturating_sub(header));
        let Some(miso) = miso.get_mut(late..) else { return };
        let cycle = |bytes: &[u8], from: usize, miso: &mut [u8]| {
            for (answer, &byte) in miso.iter_mut().zip(bytes.iter().cycle().skip(from)) {
                *answer = byte;
            }
        };
        let derived = self.part.jedec_id.0[2].wrapping_sub(1);
        let device_id = self.part.device_id.unwrap_or(derived);
        let maker = self.part.jedec_id.0[0];
        match op {
            Meaning::ReadId => cycle(&self.part.jedec_id.0, skipped, miso),
            Meaning::ReleasePowerDown => miso.fill(device_id),
            Meaning::ReadManufacturer => {
                let swapped = usize::from(mosi.get(3).copied().unwrap_or(0) & 1);
                cycle(&[maker, device_id], skipped + swapped, miso);
            }
            Meaning::ReadUniqueId => cycle(&self.state.unique_id, skipped, miso),
            Meaning::ReadBlockProtection => {
                if let Some(locks) = &self.locks {
                    cycle(&locks.to_register(), skipped, miso);
                }
            }
            _ => self.answer_at(op, mosi, skipped, miso),
        }
    }

    /// Read instructions with an address.
    fn answer_at(&self, op: Meaning, mosi: &[u8], skipped: usize, miso: &mut [u8]) {
        // `skipped` is the length of a transaction and the sum wraps inside the array anyway.
        let skipped = u32::try_from(skipped).unwrap_or(0);
        if op == Meaning::ReadSfdp {
            let Some(&[_, high, mid, low]) = mosi.get(..4) else { return };
            let Some(table) = &self.part.sfdp else { return };
            let from = u32::from_be_bytes([0, high, mid, low]).saturating_add(skipped) as usize;
            miso.fill(0xFF);
            for (answer, &byte) in miso.iter_mut().zip(table.0.get(from..).unwrap_or_default()) {
                *answer = byte;
            }
            return;
        }
        let Some(address) = self.address(mosi) else { return };
        match op {
            Meaning::ReadLock => {
                if let Some(locks) = &self.locks {
                    miso.fill(u8::from(locks.is_locked(address)));
                }
            }
            Meaning::SecurityRead => self.state.security.read(address.wrapping_add(skipped), miso),
            _ if self.otp_mode => self.state.otp_sector.read(address.wrapping_add(skipped), miso),
            _ => self.state.cells.read(address.wrapping_add(skipped), miso),
        }
    }
}

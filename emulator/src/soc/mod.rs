//! The chip around the ROM: memory, UART0, the two SPI controllers, eFuse, flash encryption and
//! plain registers.
//!
//! [`Soc`] holds state only. [`Machine`] adds the flash, the trace and the processor's clock, and
//! is what both the ROM and uploaded code run on.

pub mod efuse;
pub mod flash_crypt;
mod identity;
mod machine;
mod memory;
mod registers;
pub mod spi;
mod uart;

pub use efuse::{Efuse, EfuseCells};
pub use flash_crypt::{FlashCipher, FlashEncryption};
pub use identity::{Crystal, Identity, mac_crc};
pub(crate) use machine::bus_time;
pub use machine::{BusError, Machine};
pub use memory::{Memory, RECEIVE_BUFFER, RECEIVE_BUFFER_BYTES};
pub use registers::{RegisterFile, address};
pub(crate) use uart::edges;
pub use uart::{Interrupt, Uart};

use spi::SpiController;

/// The chip's state.
#[derive(Debug, Clone)]
pub struct Soc {
    /// Main crystal.
    pub crystal: Crystal,
    /// RAM.
    pub memory: Memory,
    /// UART0.
    pub uart: Uart,
    /// The cache's flash controller at `0x3FF43000`.
    pub spi0: SpiController,
    /// The general flash controller at `0x3FF42000`.
    pub spi1: SpiController,
    /// The eFuse controller at `0x3FF5A000`.
    pub efuse: Efuse,
    /// The flash encryption block at `0x3FF5B000`.
    pub flash_encryption: FlashEncryption,
    /// Every other register.
    pub registers: RegisterFile,
}

impl Soc {
    /// The chip with these eFuses at power-on. RAM is zero (real RAM is random; ROM-FACTS section 0).
    #[must_use]
    pub fn power_on(identity: &Identity, efuse: Efuse, strap: u8) -> Self {
        Self {
            crystal: identity.crystal,
            memory: Memory::zeroed(),
            uart: Uart::reset(identity.crystal),
            spi0: SpiController::reset(),
            spi1: SpiController::reset(),
            efuse,
            flash_encryption: FlashEncryption::default(),
            registers: RegisterFile::reset(identity, strap),
        }
    }

    /// Resets the peripherals; RAM keeps its content.
    pub fn reset(&mut self, identity: &Identity, strap: u8) {
        self.uart.reset_registers(identity.crystal);
        self.spi0 = SpiController::reset();
        self.spi1 = SpiController::reset();
        self.efuse.reset();
        self.flash_encryption = FlashEncryption::default();
        self.registers = RegisterFile::reset(identity, strap);
    }
}

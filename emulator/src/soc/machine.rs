//! The chip, its flash, its trace and the processor's clock, as code that runs on it sees them.

use super::{
    FlashCipher, RegisterFile, Soc, address,
    efuse::Operation,
    flash_crypt::{UNIT_BYTES, UNIT_STEP},
    spi,
};
use crate::{
    spi::{SpiConnection, SpiDevice},
    time::{Duration, Instant},
    trace::{Event, Trace},
};

/// Mask ROM; reads as 0 but for the chip magic.
const ROM: std::ops::Range<u32> = 0x4000_0000..0x4007_0000;
const CHIP_MAGIC: u32 = 0x00F0_1D83;
/// Span of a controller's registers.
const CONTROLLER_BYTES: u32 = 0x100;
/// One byte at the ROM's 20 MHz.
const BYTE_NS: u64 = 400;
/// `SPI_ENCRYPT_ENABLE` in `DPORT_SLAVE_SPI_CONFIG`.
const ENCRYPT_ENABLE: u32 = 1 << 8;
/// GPIO0 in `GPIO_STRAP`: low in download mode.
const STRAP_GPIO0: u32 = 0x10;
/// Programming or reading the eFuses once, roughly.
const EFUSE_OPERATION: Duration = Duration::from_millis(1);
/// Setting up and polling the controller once, roughly.
const CHIP_SELECT_NS: u64 = 1_000;

/// Time that a chip select of so many bytes, both ways together, takes the processor.
#[inline]
pub(crate) fn bus_time(byte_count: usize) -> Duration {
    Duration::from_nanos(CHIP_SELECT_NS + BYTE_NS * byte_count as u64)
}

/// The chip and everything that hangs on it.
#[derive(Debug)]
pub struct Machine<F> {
    /// The processor's clock. It may be ahead of the host's time while the ROM is at work.
    pub now: Instant,
    /// The chip.
    pub soc: Soc,
    /// The flash on SPI1 and SPI0.
    pub flash: F,
    /// The pins that SPI1 and SPI0 drive.
    pub connection: SpiConnection,
    /// What happens.
    pub trace: Trace,
}

/// An access that raises a processor exception.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nothing answers at address {address:#010x}")]
pub struct BusError {
    /// Where.
    pub address: u32,
}

impl<F: SpiDevice> Machine<F> {
    /// One chip select with prebuilt bytes.
    #[inline]
    pub fn transfer(&mut self, mosi: &[u8], miso: &mut [u8]) {
        spi::transfer(self.now, &mut self.flash, &mut self.trace, mosi, miso);
        self.pass_bus_time(mosi.len() + miso.len());
    }

    /// One chip select of the cache's controller. It serves the processor's memory bus, so it
    /// leaves no record among the chip selects that code asks for.
    pub fn transfer_cached(&mut self, mosi: &[u8], miso: &mut [u8]) {
        spi::transfer(self.now, &mut self.flash, &mut Trace::default(), mosi, miso);
        self.pass_bus_time(mosi.len() + miso.len());
    }

    /// Reads flash as the cache does: decrypted where the eFuses say so; `fast` with 0Bh.
    pub fn read_cached(&mut self, address: u32, target: &mut [u8], fast: bool) {
        if !self.soc.efuse.decrypts_flash() {
            return self.read_cache_line(address, target, fast);
        }
        let cipher = FlashCipher::of(&self.soc.efuse);
        let mut at = address;
        let mut rest = target;
        while !rest.is_empty() {
            let mut unit = [0; UNIT_BYTES];
            let first = at & !(UNIT_STEP - 1);
            self.read_cache_line(first, &mut unit, fast);
            cipher.decrypt(first, &mut unit);
            let found = &unit[(at - first) as usize..];
            let (now, later) = rest.split_at_mut(found.len().min(rest.len()));
            now.copy_from_slice(&found[..now.len()]);
            at = first.wrapping_add(UNIT_STEP);
            rest = later;
        }
    }

    fn read_cache_line(&mut self, address: u32, target: &mut [u8], fast: bool) {
        let [_, high, middle, low] = address.to_be_bytes();
        if fast {
            self.transfer_cached(&[0x0B, high, middle, low, 0], target);
        } else {
            self.transfer_cached(&[0x03, high, middle, low], target);
        }
    }

    /// Lets the controllers drive other pins; the default ones may be elsewhere by eFuse.
    pub fn connect(&mut self, connection: SpiConnection) {
        let by_efuse = self.soc.efuse.flash_pins().filter(|_| connection == SpiConnection::Default);
        let connection = by_efuse.map_or(connection, SpiConnection::Pins);
        self.connection = connection;
        self.flash.connect(connection);
    }

    /// Puts flash encryption before page programs, or takes it away.
    pub fn enable_encryption(&mut self, enable: bool) {
        let old = self.soc.registers.read(address::SLAVE_SPI_CONFIG);
        let new = if enable { old | ENCRYPT_ENABLE } else { old & !ENCRYPT_ENABLE };
        self.soc.registers.write(address::SLAVE_SPI_CONFIG, new);
    }

    /// Whether page programs take what the encryption block made. An eFuse switches that off in
    /// download mode.
    #[must_use]
    pub fn encrypts(&self) -> bool {
        let in_download = self.soc.registers.read(address::GPIO_STRAP) & STRAP_GPIO0 == 0;
        self.soc.registers.read(address::SLAVE_SPI_CONFIG) & ENCRYPT_ENABLE != 0
            && !(in_download && self.soc.efuse.download_encryption_disabled())
    }

    #[inline]
    fn pass_bus_time(&mut self, byte_count: usize) {
        self.now += bus_time(byte_count);
    }

    /// Sends bytes; the clock waits where the FIFO is full.
    pub fn send(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.now = self.soc.uart.send(self.now, byte);
        }
    }

    /// Lets time pass.
    pub fn wait(&mut self, span: Duration) {
        self.now += span;
    }

    /// Waits until everything sent has left.
    pub fn flush(&mut self) {
        self.now = self.now.max(self.soc.uart.sent_at());
    }

    /// Loads one word, as the processor does.
    ///
    /// # Errors
    ///
    /// Nothing answers there.
    pub fn read_word(&mut self, address: u32) -> Result<u32, BusError> {
        if let Some(value) = self.soc.memory.word(address) {
            return Ok(value);
        }
        if let Some(register) = RegisterFile::peripheral(address) {
            return Ok(self.read_register(register));
        }
        match address {
            address::CHIP_MAGIC => Ok(CHIP_MAGIC),
            address if ROM.contains(&address) => Ok(0),
            address => Err(BusError { address }),
        }
    }

    /// Stores one word, as the processor does.
    ///
    /// # Errors
    ///
    /// Nothing answers there.
    pub fn write_word(&mut self, address: u32, value: u32) -> Result<(), BusError> {
        if self.soc.memory.set_word(address, value) || ROM.contains(&address) {
            return Ok(());
        }
        match RegisterFile::peripheral(address) {
            Some(register) => {
                self.write_register(register, value);
                Ok(())
            }
            None => Err(BusError { address }),
        }
    }

    /// Stores bytes one word after the other where there is no RAM.
    ///
    /// # Errors
    ///
    /// Nothing answers there; what came before has been stored.
    pub fn write_bytes(&mut self, address: u32, bytes: &[u8]) -> Result<(), BusError> {
        if let Some(target) = self.soc.memory.bytes_mut(address, bytes.len()) {
            target.copy_from_slice(bytes);
            return Ok(());
        }
        for (address, &byte) in (0..).map(|index| address.wrapping_add(index)).zip(bytes) {
            match self.soc.memory.bytes_mut(address, 1) {
                Some(target) => target.copy_from_slice(&[byte]),
                None => self.write_word(address, u32::from(byte))?,
            }
        }
        Ok(())
    }

    fn read_register(&mut self, register: u32) -> u32 {
        match Block::of(register) {
            Block::Uart(offset) => self.soc.uart.read(self.now, offset),
            Block::Spi1(offset) => self.soc.spi1.get(offset),
            Block::Spi0(offset) => self.soc.spi0.get(offset),
            Block::Efuse(offset) => self.soc.efuse.get(offset),
            Block::FlashEncryption(offset) => self.soc.flash_encryption.get(offset),
            Block::Plain => self.soc.registers.read(register),
        }
    }

    fn write_register(&mut self, register: u32, value: u32) {
        match Block::of(register) {
            Block::Uart(offset) => self.now = self.soc.uart.write(self.now, offset, value),
            Block::Spi1(spi::offset::CMD) => {
                if value & spi::cmd::PP != 0 && self.encrypts() {
                    let cipher_text = self.soc.flash_encryption.result();
                    self.soc.spi1.store_data(false, &cipher_text);
                }
                let Self { now, soc, flash, trace, .. } = self;
                let byte_count = soc.spi1.execute(value, *now, flash, trace);
                self.pass_bus_time(byte_count);
            }
            Block::Spi0(spi::offset::CMD) => {
                let Self { now, soc, flash, trace, .. } = self;
                let byte_count = soc.spi0.execute(value, *now, flash, trace);
                self.pass_bus_time(byte_count);
            }
            Block::Spi1(offset) => self.soc.spi1.set(offset, value),
            Block::Spi0(offset) => self.soc.spi0.set(offset, value),
            Block::Efuse(offset) => self.write_efuse(offset, value),
            Block::FlashEncryption(offset) => {
                let Soc { flash_encryption, efuse, .. } = &mut self.soc;
                flash_encryption.set(offset, value, efuse);
            }
            Block::Plain => self.soc.registers.write(register, value),
        }
    }
}

impl<F> Machine<F> {
    fn write_efuse(&mut self, offset: u32, value: u32) {
        let operation = self.soc.efuse.set(offset, value);
        if operation == Operation::None {
            return;
        }
        if let Operation::Program { burned, refused, in_time } = operation {
            let clock = if in_time { "" } else { "; the clock is that of no APB frequency" };
            let what =
                format!("{burned} eFuse bits are burned, {refused} are write-protected{clock}");
            self.trace.push(self.now, Event::Note { what });
        }
        self.now += EFUSE_OPERATION;
    }
}

/// The eFuse controller has twice the registers of the others.
const EFUSE_SECOND_HALF: u32 = address::EFUSE + CONTROLLER_BYTES;

/// Which block a register is in, with its offset.
enum Block {
    Uart(u32),
    Spi1(u32),
    Spi0(u32),
    Efuse(u32),
    FlashEncryption(u32),
    Plain,
}

impl Block {
    fn of(register: u32) -> Self {
        let offset = register & (CONTROLLER_BYTES - 1);
        match register - offset {
            address::UART0 => Self::Uart(offset),
            address::SPI1 => Self::Spi1(offset),
            address::SPI0 => Self::Spi0(offset),
            address::EFUSE => Self::Efuse(offset),
            EFUSE_SECOND_HALF => Self::Efuse(offset + CONTROLLER_BYTES),
            address::FLASH_ENCRYPTION => Self::FlashEncryption(offset),
            _ => Self::Plain,
        }
    }
}

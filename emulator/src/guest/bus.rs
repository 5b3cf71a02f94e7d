//! The machine as the interpreter's bus: peripheral registers and the UART's interrupt line.

use xtensa::{Bus, BusFault, Width};

use super::clock;
use crate::{
    soc::{Machine, RegisterFile, address},
    spi::SpiDevice,
    time::{Duration, Instant},
};

/// Interrupt matrix register of UART0 (source 34) on the first core.
pub(super) const UART0_MATRIX: u32 = 0x3FF0_0104 + 4 * 34;
/// UART0's data and status registers.
const UART0_FIFO: u32 = address::UART0;
const UART0_STATUS: u32 = address::UART0 + 0x1C;
/// Bytes that wait to be sent, in `STATUS`.
const TX_COUNT: u32 = 0xFF << 16;
/// SPI1's command register.
const SPI1_CMD: u32 = address::SPI1;
/// A busy time this late never ends.
const NEVER: Instant = Instant::from_nanos(u64::MAX / 2);
/// An access to a peripheral takes about ten cycles of the APB bus.
const APB_ACCESS: Duration = Duration::from_nanos(125);

/// The bus of one run.
pub(crate) struct GuestBus<'a, F> {
    machine: &'a mut Machine<F>,
    effects: &'a mut u64,
    uart_line: u32,
    /// A clock that only polls the flash may jump to here.
    jump_limit: Instant,
    polled_busy: bool,
}

impl<'a, F: SpiDevice> GuestBus<'a, F> {
    /// `jump_limit`: when the next bytes arrive.
    pub(crate) fn new(
        machine: &'a mut Machine<F>,
        effects: &'a mut u64,
        jump_limit: Instant,
    ) -> Self {
        let line = machine.soc.registers.read(UART0_MATRIX);
        let uart_line = 1_u32.checked_shl(line).unwrap_or(0);
        Self { machine, effects, uart_line, jump_limit, polled_busy: false }
    }

    /// The register that programs read most.
    fn take_received(&mut self) -> u32 {
        let received = self.machine.soc.uart.pop_received();
        self.machine.wait(APB_ACCESS);
        *self.effects = self.effects.wrapping_add(received.is_some().into());
        received.unwrap_or(0).into()
    }

    /// A second command in a row that finds the flash busy is a loop that waits for it: the clock
    /// jumps to the end, or to the next bytes from the host.
    fn skip_polling(&mut self) {
        let busy = self.machine.flash.busy_until().filter(|end| *end > self.machine.now);
        if let Some(end) = busy
            && self.polled_busy
            && end < NEVER
        {
            self.machine.now = self.machine.now.max(end.min(self.jump_limit));
        }
        self.polled_busy = busy.is_some();
    }
}

/// The address by which this module knows a register, whichever bus the code reaches it through.
#[inline]
fn canonical(word: u32) -> u32 {
    RegisterFile::peripheral(word).unwrap_or(word)
}

impl<F: SpiDevice> Bus for GuestBus<'_, F> {
    fn load(&mut self, addr: u32, width: Width) -> Result<u32, BusFault> {
        if addr == UART0_FIFO {
            return Ok(self.take_received());
        }
        let word = canonical(addr & !3);
        let waiting = word == UART0_FIFO && self.machine.soc.uart.interrupt_raw() & 1 != 0;
        let value = self.machine.read_word(word).map_err(|_| BusFault::Prohibited)?;
        self.machine.wait(APB_ACCESS);
        if waiting || word == UART0_STATUS && value & TX_COUNT != 0 {
            *self.effects = self.effects.wrapping_add(1);
        }
        let shifted = value >> ((addr & 3) * 8);
        Ok(match width {
            Width::Byte => shifted & 0xFF,
            Width::Half => shifted & 0xFFFF,
            Width::Word => value,
        })
    }

    fn store(&mut self, addr: u32, width: Width, value: u32) -> Result<(), BusFault> {
        let word = canonical(addr & !3);
        let value = match width {
            Width::Word => value,
            Width::Byte | Width::Half => value << ((addr & 3) * 8),
        };
        self.machine.write_word(word, value).map_err(|_| BusFault::Prohibited)?;
        self.machine.wait(APB_ACCESS);
        if word == SPI1_CMD {
            self.skip_polling();
        } else if clock::is_clock_register(word) {
            clock::apply(self.machine);
        } else if word == UART0_MATRIX {
            self.uart_line = 1_u32.checked_shl(value).unwrap_or(0);
        }
        Ok(())
    }

    fn interrupt_lines(&mut self) -> u32 {
        if self.machine.soc.uart.interrupt_status() == 0 { 0 } else { self.uart_line }
    }

    fn effects(&self) -> u64 {
        *self.effects
    }
}

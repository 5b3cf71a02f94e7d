//! ROM functions that run natively: how they see the program and the machine.

#![expect(clippy::unnecessary_wraps, reason = "all functions of the table have one type")]

mod arithmetic;
mod callback;
mod crc;
mod flash;
mod hash;
mod libc;
mod system;
mod table;
mod text;
mod uart;

pub(crate) use table::find;
pub(crate) use uart::UART_DEVICE;

use xtensa::Cpu;

use super::{bus::GuestBus, memory::Fault, tinfl::Inflaters};
use crate::{soc::Machine, spi::SpiDevice, time::Instant, trace::Hang};

/// A native function.
pub(crate) type Native<F> = fn(&mut Call<'_, F>) -> Result<Flow, Fault>;

/// Interrupt numbers of the core.
const INTERRUPTS: usize = 32;
/// Longest block that a function moves at a time, in bytes: more than there is RAM.
const BLOCK_MAX: u32 = 1 << 20;

/// How a native function ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    /// It returns a word.
    Return(u32),
    /// It waits until then and returns a word.
    ReturnAt(u32, Instant),
    /// It returns two words, low first.
    ReturnWide(u64),
    /// It waits for a received byte and is then called again.
    WaitForInput,
    /// It has gone on elsewhere.
    Jumped,
    /// It never returns.
    Exit(Exit),
}

/// Why a native function never returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The chip is reset, with this cause as the ROM prints it.
    Reset {
        /// Reset cause.
        cause: u8,
    },
    /// The ROM's flash driver polls for ever.
    Hang(Hang),
}

/// What the ROM keeps in its own data, of which programs see only the effects.
#[derive(Debug, Clone)]
pub(crate) struct RomState {
    /// Level-1 handlers with their arguments (`ets_isr_attach`).
    pub(crate) handlers: [Option<(u32, u32)>; INTERRUPTS],
    /// Where `ets_printf` sends characters (`ets_install_putc1`, `ets_install_putc2`).
    pub(crate) putc: [u32; 2],
    /// State of `rand`.
    pub(crate) random: u64,
    /// The program's decompressors.
    pub(crate) inflaters: Inflaters,
    /// Crystal in hertz.
    pub(crate) crystal_hz: u32,
    /// Ticks of the processor per microsecond, as the program told (`ets_update_cpu_frequency`).
    pub(crate) ticks_per_us: u32,
    /// Cause of the last reset.
    pub(crate) reset_cause: u8,
}

impl RomState {
    pub(crate) fn new(crystal_hz: u32, reset_cause: u8) -> Self {
        Self {
            handlers: [None; INTERRUPTS],
            putc: [callback::WRITE_CHAR_UART, 0],
            random: 1,
            inflaters: Inflaters::default(),
            crystal_hz,
            ticks_per_us: crystal_hz / 1_000_000,
            reset_cause,
        }
    }
}

/// A call of a native function, at the core's `Stop::OutsideRam`.
pub(crate) struct Call<'a, F> {
    pub(crate) cpu: &'a mut Cpu,
    pub(crate) machine: &'a mut Machine<F>,
    pub(crate) rom: &'a mut RomState,
}

impl<F: SpiDevice> Call<'_, F> {
    /// Argument `n`, 0 is the first; 64-bit ones count as two.
    pub(crate) fn argument(&mut self, n: u8) -> Result<u32, Fault> {
        let stack = self.cpu.a(1);
        let now = self.machine.now;
        let value = self.cpu.argument(&mut GuestBus::new(self.machine, &mut 0, now), n);
        value.ok_or(Fault::load(stack))
    }

    /// The 64-bit argument that starts at (even) position `n`.
    pub(crate) fn wide_argument(&mut self, n: u8) -> Result<u64, Fault> {
        let (low, high) = (self.argument(n)?, self.argument(n + 1)?);
        Ok(u64::from(high) << 32 | u64::from(low))
    }

    /// One byte of memory or of a register.
    pub(crate) fn byte(&mut self, address: u32) -> Result<u8, Fault> {
        if let Some(&[byte]) = self.cpu.mem.slice(address, 1) {
            return Ok(byte);
        }
        let word = self.machine.read_word(address & !3).map_err(|_| Fault::load(address))?;
        Ok(word.to_le_bytes()[(address & 3) as usize])
    }

    /// `len` bytes of memory.
    pub(crate) fn bytes(&mut self, address: u32, len: u32) -> Result<Vec<u8>, Fault> {
        if let Some(slice) = self.cpu.mem.slice(address, len as usize) {
            return Ok(slice.to_vec());
        }
        if len > BLOCK_MAX {
            return Err(Fault::load(address));
        }
        (0..len).map(|at| self.byte(address.wrapping_add(at))).collect()
    }

    /// A string up to its zero.
    pub(crate) fn string(&mut self, address: u32) -> Result<Vec<u8>, Fault> {
        self.string_within(address, BLOCK_MAX)
    }

    /// A string up to its zero or to `most` bytes.
    pub(crate) fn string_within(&mut self, address: u32, most: u32) -> Result<Vec<u8>, Fault> {
        let mut text = Vec::new();
        for at in 0..most.min(BLOCK_MAX) {
            match self.byte(address.wrapping_add(at))? {
                0 => break,
                byte => text.push(byte),
            }
        }
        Ok(text)
    }

    /// Stores bytes. Where there is no memory, registers get the whole words.
    pub(crate) fn store(&mut self, address: u32, data: &[u8]) -> Result<(), Fault> {
        if self.cpu.mem.write(address, data).is_ok() {
            return Ok(());
        }
        let mut place = address;
        for word in data.chunks(4) {
            let fault = Fault::store(place);
            if self.cpu.mem.write(place, word).is_err() {
                let value = word.first_chunk().map(|word| u32::from_le_bytes(*word));
                let value = value.filter(|_| place.is_multiple_of(4)).ok_or(fault)?;
                self.machine.write_word(place, value).map_err(|_| fault)?;
                self.cpu.note_effect();
            }
            place = place.wrapping_add(4);
        }
        Ok(())
    }

    /// Fills memory with one byte.
    pub(crate) fn fill(&mut self, address: u32, value: u8, len: u32) -> Result<(), Fault> {
        if len > BLOCK_MAX {
            return Err(Fault::store(address));
        }
        self.store(address, &vec![value; len as usize])
    }

    /// Sends bytes; the clock waits where the FIFO is full.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.machine.send(bytes);
        self.cpu.note_effect();
    }
}

/// A function without any effect here; its result register keeps the first argument.
pub(crate) fn nothing<F: SpiDevice>(call: &mut Call<'_, F>) -> Result<Flow, Fault> {
    Ok(Flow::Return(call.argument(0)?))
}

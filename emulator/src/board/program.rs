//! Programs that nobody uploaded over the line, and looking into the one that runs.

use std::sync::Arc;

use xtensa::Cpu;

use super::{Activity, Board};
use crate::{
    guest::{self, Guest, GuestEnd, Probe, RomImage},
    rom::banner::ResetCause,
    soc::{BusError, address},
    spi::SpiDevice,
    time::Instant,
};

impl<F: SpiDevice> Board<F> {
    /// Puts `segments` (address and bytes) into RAM and calls `entry` as the loader does at the
    /// end of an upload, with the chip in whatever state it is.
    ///
    /// # Errors
    ///
    /// [`BusError`] with the address where nothing takes a segment's bytes.
    pub fn run_program<'a>(
        &mut self,
        now: Instant,
        segments: impl IntoIterator<Item = (u32, &'a [u8])>,
        entry: u32,
    ) -> Result<(), BusError> {
        self.advance(now);
        self.release_guest();
        self.machine.now = self.machine.now.max(now);
        for (address, bytes) in segments {
            self.machine.write_bytes(address, bytes)?;
        }
        self.program_end = None;
        self.call(entry);
        Ok(())
    }

    /// Runs a dump of the mask ROM in place of the native one, from a power-on reset at `now` on.
    /// [`RomImage`] tells what is known of it.
    pub fn insert_rom(&mut self, now: Instant, rom: RomImage) {
        self.advance(now);
        self.rom = Some(Arc::new(rom));
        self.host_reset(now);
    }

    /// Lets uploaded programs notice each received byte when it arrives, as on silicon. Otherwise
    /// they notice a few dozen at once, which costs a fraction of the instructions and differs in
    /// nothing but the moment of the interrupts. The receive FIFO is then as deep as silicon's, 128
    /// bytes, and what a program does not fetch in time is lost; otherwise it holds 64 KiB, because
    /// a host whose wall time is not the board's cannot pace itself.
    pub fn receive_one_by_one(&mut self) {
        self.receives_one_by_one = true;
        self.machine.soc.uart.use_real_fifo();
        if let Activity::Guest(guest) = &mut self.activity {
            guest.receive_one_by_one();
        }
    }

    /// Looks into the programs that run from now on; `None` ends it.
    pub fn set_probe(&mut self, probe: Option<Probe>) {
        self.probe = probe;
    }

    /// What looks into programs.
    #[must_use]
    pub fn probe(&self) -> Option<&Probe> {
        self.probe.as_ref()
    }

    /// What looks into programs, to change.
    pub fn probe_mut(&mut self) -> Option<&mut Probe> {
        self.probe.as_mut()
    }

    /// The core of the program that runs or is paused.
    #[must_use]
    pub fn core(&self) -> Option<&Cpu> {
        match &self.activity {
            Activity::Guest(guest) => Some(guest.cpu()),
            _ => None,
        }
    }

    /// The core, to change: registers and RAM.
    pub fn core_mut(&mut self) -> Option<&mut Cpu> {
        match &mut self.activity {
            Activity::Guest(guest) => Some(guest.cpu_mut()),
            _ => None,
        }
    }

    /// Lets a program that the probe has paused go on, for one instruction or until it is paused
    /// again. A `BREAK` that it is paused at is skipped.
    pub fn resume_program(&mut self, step: bool) {
        let Some(probe) = &mut self.probe else { return };
        let Activity::Guest(guest) = &mut self.activity else { return probe.resume(None, step) };
        if probe.pause() == Some(&guest::Pause::Break) {
            guest.skip_break();
        }
        probe.resume(Some(guest.cpu().pc), step);
    }

    /// Whether a debugger holds the processor, in a program or in the ROM.
    #[must_use]
    pub fn is_halted(&self) -> bool {
        self.probe.as_ref().is_some_and(|probe| probe.pause().is_some())
    }

    /// How the last program ended; `None` while it runs, and where the host ended it.
    #[must_use]
    pub fn program_end(&self) -> Option<GuestEnd> {
        self.program_end
    }

    /// Instructions that the program has executed, or the last one did.
    #[must_use]
    pub fn program_instructions(&self) -> u64 {
        match &self.activity {
            Activity::Guest(guest) => guest.instructions(),
            _ => self.ended_instructions,
        }
    }

    /// Reads bytes as a debugger does: RAM of the program, else registers, but for the UART's FIFO,
    /// from which a look would take a byte away. False if nothing answers at one of them.
    pub fn peek(&mut self, address: u32, out: &mut [u8]) -> bool {
        if self.core().is_some_and(|cpu| cpu.mem.read(address, out).is_ok()) {
            return true;
        }
        for (place, byte) in (0..).map(|at| address.wrapping_add(at)).zip(out) {
            let word = place & !3;
            let value = match self.core().and_then(|cpu| cpu.mem.read_word(word).ok()) {
                Some(value) => value,
                None if word == address::UART0 => return false,
                None => match self.machine.read_word(word) {
                    Ok(value) => value,
                    Err(_) => return false,
                },
            };
            *byte = value.to_le_bytes()[(place & 3) as usize];
        }
        true
    }

    /// Writes bytes as a debugger does: RAM of the program, or whole words of registers. False if
    /// nothing takes one of them; those before it are written.
    pub fn poke(&mut self, address: u32, bytes: &[u8]) -> bool {
        if self.core_mut().is_some_and(|cpu| cpu.mem.write(address, bytes).is_ok()) {
            return true;
        }
        if !address.is_multiple_of(4) || !bytes.len().is_multiple_of(4) {
            let ram = self.machine.soc.memory.bytes_mut(address, bytes.len());
            let ram = ram.filter(|_| !matches!(self.activity, Activity::Guest(_)));
            return ram.map(|ram| ram.copy_from_slice(bytes)).is_some();
        }
        (address..).step_by(4).zip(bytes.chunks_exact(4)).all(|(place, word)| {
            let value = word.first_chunk().map_or(0, |word| u32::from_le_bytes(*word));
            self.machine.write_word(place, value).is_ok()
        })
    }

    /// The name of the ROM function that starts at `address`.
    #[must_use]
    pub fn rom_symbol(address: u32) -> Option<&'static str> {
        guest::rom_symbol::<F>(address)
    }

    pub(super) fn call(&mut self, entry: u32) {
        let cause = self.reset_cause as u8;
        if let Some(profile) = self.probe.as_mut().and_then(|probe| probe.profile.as_mut()) {
            profile.call(entry);
        }
        let mut guest = Guest::start(&mut self.machine, self.rom.as_deref(), entry, cause);
        if self.receives_one_by_one {
            guest.receive_one_by_one();
        }
        self.activity = Activity::Guest(Box::new(guest));
    }

    pub(super) fn receive_in_guest(&mut self, now: Instant, bytes: &[u8]) -> usize {
        if let Activity::Guest(guest) = &mut self.activity {
            guest.receive(&mut self.machine, now, bytes);
        }
        bytes.len()
    }

    pub(super) fn guest_instructions(&self) -> u64 {
        match &self.activity {
            Activity::Guest(guest) => guest.instructions(),
            _ => 0,
        }
    }

    pub(super) fn leave_guest(&mut self, end: GuestEnd) {
        self.release_guest();
        self.program_end = Some(end);
        match end {
            GuestEnd::Returned => {
                self.machine.send(b"user code done\r\n");
                self.activity = Activity::Deaf;
            }
            GuestEnd::Reset { cause } => {
                self.restart(self.machine.now, ResetCause::of_software(cause));
            }
            GuestEnd::Stopped(why) => self.hang(why),
        }
    }

    /// RAM outlives the program.
    pub(super) fn release_guest(&mut self) {
        if let Activity::Guest(guest) = &self.activity {
            guest.release(&mut self.machine);
            self.ended_instructions = guest.instructions();
        }
    }
}

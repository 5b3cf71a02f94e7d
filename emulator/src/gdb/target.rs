//! What a debugger works on.

use xtensa::Cpu;

use crate::{
    board::{Board, Probe, ProgramEnd},
    spi::SpiDevice,
};

/// What a session is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// One program: its end is the session's.
    #[default]
    Program,
    /// The processor of a board that clients use: programs come and go, and between them the ROM
    /// runs, which can be halted too.
    Processor,
}

/// A board as a debugger sees it. The methods are those of [`Board`].
pub trait Target {
    /// See [`Board::core`].
    fn core(&self) -> Option<&Cpu>;
    /// See [`Board::core_mut`].
    fn core_mut(&mut self) -> Option<&mut Cpu>;
    /// See [`Board::probe`].
    fn probe(&self) -> Option<&Probe>;
    /// See [`Board::probe_mut`].
    fn probe_mut(&mut self) -> Option<&mut Probe>;
    /// See [`Board::set_probe`].
    fn set_probe(&mut self, probe: Option<Probe>);
    /// See [`Board::peek`].
    fn peek(&mut self, address: u32, out: &mut [u8]) -> bool;
    /// See [`Board::poke`].
    fn poke(&mut self, address: u32, bytes: &[u8]) -> bool;
    /// See [`Board::resume_program`].
    fn resume_program(&mut self, step: bool);
    /// See [`Board::program_end`].
    fn program_end(&self) -> Option<ProgramEnd>;
}

impl<F: SpiDevice> Target for Board<F> {
    fn core(&self) -> Option<&Cpu> {
        Self::core(self)
    }

    fn core_mut(&mut self) -> Option<&mut Cpu> {
        Self::core_mut(self)
    }

    fn probe(&self) -> Option<&Probe> {
        Self::probe(self)
    }

    fn probe_mut(&mut self) -> Option<&mut Probe> {
        Self::probe_mut(self)
    }

    fn set_probe(&mut self, probe: Option<Probe>) {
        Self::set_probe(self, probe);
    }

    fn peek(&mut self, address: u32, out: &mut [u8]) -> bool {
        Self::peek(self, address, out)
    }

    fn poke(&mut self, address: u32, bytes: &[u8]) -> bool {
        Self::poke(self, address, bytes)
    }

    fn resume_program(&mut self, step: bool) {
        Self::resume_program(self, step);
    }

    fn program_end(&self) -> Option<ProgramEnd> {
        Self::program_end(self)
    }
}

//! Exceptions: causes, and how they reach a handler.

use crate::cpu::{Cpu, ps};

/// Why an exception was taken; the number is EXCCAUSE. ISA reference manual, table 4-64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Cause {
    /// No such instruction, or not now.
    IllegalInstruction = 0,
    /// `SYSCALL`.
    Syscall = 1,
    /// The instruction's bytes cannot be read.
    InstructionFetchError = 2,
    /// The memory refuses this width or direction.
    LoadStoreError = 3,
    /// A level-1 interrupt.
    Level1Interrupt = 4,
    /// `MOVSP` with the caller's frame in memory. Never taken here, see [`Cpu`].
    Alloca = 5,
    /// `QUOS`, `QUOU`, `REMS`, `REMU` by zero.
    IntegerDivideByZero = 6,
    /// A privileged instruction in user ring.
    Privileged = 8,
    /// An unaligned access where only aligned ones work.
    LoadStoreAlignment = 9,
    /// No memory to execute from.
    InstructionFetchProhibited = 20,
    /// A load from where nothing answers.
    LoadProhibited = 28,
    /// A store to where nothing answers, or to read-only memory.
    StoreProhibited = 29,
    /// A floating-point instruction while CPENABLE bit 0 is clear.
    Coprocessor0Disabled = 32,
}

impl Cause {
    /// The EXCCAUSE number.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The name that Espressif's panic handler prints.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::IllegalInstruction => "IllegalInstruction",
            Self::Syscall => "Syscall",
            Self::InstructionFetchError => "InstructionFetchError",
            Self::LoadStoreError => "LoadStoreError",
            Self::Level1Interrupt => "Level1Interrupt",
            Self::Alloca => "Alloca",
            Self::IntegerDivideByZero => "IntegerDivideByZero",
            Self::Privileged => "Privileged",
            Self::LoadStoreAlignment => "LoadStoreAlignment",
            Self::InstructionFetchProhibited => "InstrFetchProhibited",
            Self::LoadProhibited => "LoadProhibited",
            Self::StoreProhibited => "StoreProhibited",
            Self::Coprocessor0Disabled => "Coprocessor0Disabled",
        }
    }
}

/// An exception that no code in memory handles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("exception {} ({}) at {pc:#010x}, EXCVADDR {vaddr:#010x}", cause.number(), cause.name())]
pub struct Exception {
    /// Why.
    pub cause: Cause,
    /// Address of the instruction that took it.
    pub pc: u32,
    /// EXCVADDR: the address of the access, or what it was before.
    pub vaddr: u32,
}

/// An exception inside one instruction, before its address is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trap {
    pub(crate) cause: Cause,
    pub(crate) vaddr: Option<u32>,
}

impl Trap {
    pub(crate) fn new(cause: Cause) -> Self {
        Self { cause, vaddr: None }
    }

    pub(crate) fn at(cause: Cause, vaddr: u32) -> Self {
        Self { cause, vaddr: Some(vaddr) }
    }
}

/// Offsets of the vectors from VECBASE on the ESP32 (XTENSA 4.2 and core configuration).
pub(crate) mod vector {
    /// General exceptions and level-1 interrupts, PS.UM clear.
    pub(crate) const KERNEL: u32 = 0x300;
    /// The same, PS.UM set.
    pub(crate) const USER: u32 = 0x340;
    /// An exception while PS.EXCM is set.
    pub(crate) const DOUBLE: u32 = 0x3c0;
    /// Interrupt levels 2 to 7 (6 is debug, 7 NMI).
    pub(crate) const LEVEL2: u32 = 0x180;
}

impl Cpu {
    /// Takes an exception at `pc` if code in memory can handle it: the address of the vector.
    ///
    /// Otherwise gives the exception back, with only EXCCAUSE and EXCVADDR written.
    #[cold]
    pub(crate) fn raise(&mut self, pc: u32, trap: Trap) -> Result<u32, Exception> {
        self.sr.exccause = trap.cause.number().into();
        if let Some(vaddr) = trap.vaddr {
            self.sr.excvaddr = vaddr;
        }
        let double = self.ps & ps::EXCM != 0;
        let offset = match (double, self.ps & ps::UM != 0) {
            (true, _) => vector::DOUBLE,
            (false, true) => vector::USER,
            (false, false) => vector::KERNEL,
        };
        let vector = self.sr.vecbase.wrapping_add(offset);
        if !self.mem.is_code(vector) {
            return Err(Exception { cause: trap.cause, pc, vaddr: self.sr.excvaddr });
        }
        // DEPC is EPC "0".
        self.sr.epc[usize::from(!double)] = pc;
        self.ps |= ps::EXCM;
        self.update_loop();
        Ok(vector)
    }

    /// EXCCAUSE and EXCVADDR as the last exception left them.
    #[must_use]
    pub fn exception_state(&self) -> (u32, u32) {
        (self.sr.exccause, self.sr.excvaddr)
    }
}

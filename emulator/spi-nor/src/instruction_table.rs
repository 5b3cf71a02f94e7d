//! What each of the 256 opcodes means on one part.

use crate::part::{Instructions, Part, Protection, RegisterName};

/// What an opcode means on a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Meaning {
    /// The part does not know it and leaves the data line alone (QUIRKS Q29).
    #[default]
    Ignored,
    /// WREN.
    WriteEnable,
    /// WREN for one volatile register write.
    WriteEnableVolatile,
    /// EWSR of the SST25 family.
    EnableStatusWrite,
    /// WRDI.
    WriteDisable,
    /// READ.
    Read,
    /// FAST READ.
    FastRead,
    /// Page program.
    PageProgram,
    /// Quad-input page program.
    QuadPageProgram,
    /// Read JEDEC id.
    ReadId,
    /// Read SFDP.
    ReadSfdp,
    /// Read unique id.
    ReadUniqueId,
    /// Read manufacturer and device id.
    ReadManufacturer,
    /// First half of the software reset.
    ResetEnable,
    /// Second half of the software reset.
    Reset,
    /// Deep power-down.
    PowerDown,
    /// Release from deep power-down.
    ReleasePowerDown,
    /// Second half of the ultra-deep power-down.
    UltraPowerDown,
    /// Suspend.
    Suspend,
    /// Resume.
    Resume,
    /// Enter QPI.
    EnterQpi,
    /// Leave QPI.
    ExitQpi,
    /// Enter OTP mode.
    EnterOtp,
    /// Clear the failure flags.
    ClearFlags,
    /// Erase a security register.
    SecurityErase,
    /// Program a security register.
    SecurityProgram,
    /// Read a security register.
    SecurityRead,
    /// Enter four-byte addressing.
    Enter4Byte,
    /// Leave four-byte addressing.
    Exit4Byte,
    /// Read a register.
    ReadRegister(RegisterName),
    /// Register write; the forms are those entries of [`Part::status_write`] with this opcode.
    WriteRegister,
    /// Erase; the index into [`Part::erase`].
    Erase(usize),
    /// Chip erase.
    ChipErase,
    /// Lock one unit.
    LockUnit,
    /// Unlock one unit.
    UnlockUnit,
    /// Read one unit's lock.
    ReadLock,
    /// Lock all units.
    GlobalLock,
    /// Unlock all units.
    GlobalUnlock,
    /// Set the bit that selects the individual locks (WPSEL).
    SelectIndividualLocks,
    /// Read the block protection register.
    ReadBlockProtection,
    /// Write the block protection register.
    WriteBlockProtection,
    /// Freeze the block protection register until the next power cycle.
    LockDownBlockProtection,
    /// Make the block protection register's locks permanent.
    LockBlockProtectionForEver,
}

/// The meaning of every opcode, resolved once per part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstructionTable([Meaning; 256]);

impl InstructionTable {
    /// Meaning of `opcode`.
    #[must_use]
    pub fn meaning(&self, opcode: u8) -> Meaning {
        self.0[usize::from(opcode)]
    }
}

impl Part {
    /// Resolves what each opcode means. A checked part gives no opcode two meanings.
    #[must_use]
    pub fn instruction_table(&self) -> InstructionTable {
        let mut table = [Meaning::Ignored; 256];
        for (opcode, meaning) in self.meanings() {
            table[usize::from(opcode)] = meaning;
        }
        InstructionTable(table)
    }

    /// Every opcode that the part knows with its meaning, in the order of the file's sections.
    ///
    /// The forms of one register write instruction count once.
    #[must_use]
    pub fn meanings(&self) -> Vec<(u8, Meaning)> {
        let mut all = self.instructions.meanings();
        for (name, register) in &self.registers {
            all.extend(register.read.iter().map(|&op| (op, Meaning::ReadRegister(*name))));
        }
        let mut writes: Vec<u8> = self.status_write.iter().map(|form| form.opcode).collect();
        writes.sort_unstable();
        writes.dedup();
        all.extend(writes.into_iter().map(|op| (op, Meaning::WriteRegister)));
        all.extend(self.erase.iter().enumerate().map(|(i, e)| (e.opcode, Meaning::Erase(i))));
        all.extend(self.chip_erase.opcodes.iter().map(|&op| (op, Meaning::ChipErase)));
        if let Some(locks) = &self.individual_locks {
            let groups = [
                (&locks.lock, Meaning::LockUnit),
                (&locks.unlock, Meaning::UnlockUnit),
                (&locks.read, Meaning::ReadLock),
                (&locks.global_lock, Meaning::GlobalLock),
                (&locks.global_unlock, Meaning::GlobalUnlock),
                (&locks.select, Meaning::SelectIndividualLocks),
            ];
            all.extend(spread(&groups));
        }
        if let Protection::BlockProtectionRegister { read, write, lock_down, lock_for_ever } =
            &self.protection
        {
            all.extend([
                (*read, Meaning::ReadBlockProtection),
                (*write, Meaning::WriteBlockProtection),
                (*lock_down, Meaning::LockDownBlockProtection),
                (*lock_for_ever, Meaning::LockBlockProtectionForEver),
            ]);
        }
        all
    }
}

impl Instructions {
    /// Opcodes of this section with their meanings.
    fn meanings(&self) -> Vec<(u8, Meaning)> {
        let groups = [
            (&self.write_enable, Meaning::WriteEnable),
            (&self.write_enable_volatile, Meaning::WriteEnableVolatile),
            (&self.enable_status_write, Meaning::EnableStatusWrite),
            (&self.write_disable, Meaning::WriteDisable),
            (&self.read, Meaning::Read),
            (&self.fast_read, Meaning::FastRead),
            (&self.page_program, Meaning::PageProgram),
            (&self.quad_page_program, Meaning::QuadPageProgram),
            (&self.read_id, Meaning::ReadId),
            (&self.read_sfdp, Meaning::ReadSfdp),
            (&self.read_unique_id, Meaning::ReadUniqueId),
            (&self.read_manufacturer, Meaning::ReadManufacturer),
            (&self.reset_enable, Meaning::ResetEnable),
            (&self.reset, Meaning::Reset),
            (&self.power_down, Meaning::PowerDown),
            (&self.release_power_down, Meaning::ReleasePowerDown),
            (&self.ultra_power_down, Meaning::UltraPowerDown),
            (&self.suspend, Meaning::Suspend),
            (&self.resume, Meaning::Resume),
            (&self.enter_qpi, Meaning::EnterQpi),
            (&self.exit_qpi, Meaning::ExitQpi),
            (&self.enter_otp, Meaning::EnterOtp),
            (&self.clear_flags, Meaning::ClearFlags),
            (&self.security_erase, Meaning::SecurityErase),
            (&self.security_program, Meaning::SecurityProgram),
            (&self.security_read, Meaning::SecurityRead),
            (&self.enter_4_byte, Meaning::Enter4Byte),
            (&self.exit_4_byte, Meaning::Exit4Byte),
        ];
        spread(&groups)
    }
}

/// One pair for every opcode of every group.
fn spread(groups: &[(&Vec<u8>, Meaning)]) -> Vec<(u8, Meaning)> {
    groups
        .iter()
        .flat_map(|(opcodes, meaning)| opcodes.iter().map(|&opcode| (opcode, *meaning)))
        .collect()
}

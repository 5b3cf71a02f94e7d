//! What each opcode means on one part: 256 entries, made once from the part's data.

use spi_nor::part::{Part, Protection, RegisterName};

use super::registers::index;

/// Meaning of an opcode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    /// Not an instruction of this part.
    Unknown,
    WriteEnable,
    WriteEnableVolatile,
    EnableStatusWrite,
    WriteDisable,
    Read,
    FastRead,
    PageProgram,
    /// Index into the part's erase list.
    Erase(u8),
    ChipErase,
    ReadId,
    ReadSfdp,
    ReadUniqueId,
    ReadManufacturer,
    ResetEnable,
    Reset,
    PowerDown,
    ReleasePowerDown,
    Suspend,
    Resume,
    EnterQpi,
    ExitQpi,
    EnterOtp,
    ClearFlags,
    SecurityErase,
    SecurityProgram,
    SecurityRead,
    Enter4Byte,
    Exit4Byte,
    /// Index of the register.
    ReadRegister(u8),
    /// A register write; its forms are found by opcode and length.
    WriteRegister,
    Lock,
    Unlock,
    ReadLock,
    GlobalLock,
    GlobalUnlock,
    /// Read the block protection register.
    ReadBlockProtection,
    /// Write the block protection register.
    WriteBlockProtection,
    /// Freeze the block protection register until a power cycle.
    LockDownBlockProtection,
}

/// Opcodes of the block protection register family (QUIRKS Q15; SST26 datasheet: RBPR, WBPR, LBPR).
const BLOCK_PROTECTION_OPCODES: [(u8, Op); 3] = [
    (0x72, Op::ReadBlockProtection),
    (0x42, Op::WriteBlockProtection),
    (0x8D, Op::LockDownBlockProtection),
];

/// Builds the table. Where a part gives one opcode two meanings the later group below wins:
/// register accesses and locks are the more specific ones.
pub(crate) fn table(part: &Part) -> Box<[Op; 256]> {
    let mut table = Box::new([Op::Unknown; 256]);
    let mut set = |opcodes: &[u8], op: Op| {
        for &opcode in opcodes {
            table[usize::from(opcode)] = op;
        }
    };
    let i = &part.instructions;
    for (opcodes, op) in [
        (&i.security_erase, Op::SecurityErase),
        (&i.security_program, Op::SecurityProgram),
        (&i.security_read, Op::SecurityRead),
        (&i.write_enable, Op::WriteEnable),
        (&i.write_enable_volatile, Op::WriteEnableVolatile),
        (&i.enable_status_write, Op::EnableStatusWrite),
        (&i.write_disable, Op::WriteDisable),
        (&i.read, Op::Read),
        (&i.fast_read, Op::FastRead),
        (&i.page_program, Op::PageProgram),
        (&i.quad_page_program, Op::PageProgram),
        (&i.read_id, Op::ReadId),
        (&i.read_sfdp, Op::ReadSfdp),
        (&i.read_unique_id, Op::ReadUniqueId),
        (&i.read_manufacturer, Op::ReadManufacturer),
        (&i.reset_enable, Op::ResetEnable),
        (&i.reset, Op::Reset),
        (&i.power_down, Op::PowerDown),
        (&i.release_power_down, Op::ReleasePowerDown),
        (&i.suspend, Op::Suspend),
        (&i.resume, Op::Resume),
        (&i.enter_qpi, Op::EnterQpi),
        (&i.exit_qpi, Op::ExitQpi),
        (&i.enter_otp, Op::EnterOtp),
        (&i.clear_flags, Op::ClearFlags),
        (&i.enter_4_byte, Op::Enter4Byte),
        (&i.exit_4_byte, Op::Exit4Byte),
    ] {
        set(opcodes, op);
    }
    for (erase, number) in part.erase.iter().zip(0..=u8::MAX) {
        set(&[erase.opcode], Op::Erase(number));
    }
    set(&part.chip_erase.opcodes, Op::ChipErase);
    for (name, register) in &part.registers {
        set(&register.read, Op::ReadRegister(register_number(*name)));
    }
    for form in &part.status_write {
        set(&[form.opcode], Op::WriteRegister);
    }
    if let Some(locks) = &part.individual_locks {
        set(&locks.lock, Op::Lock);
        set(&locks.unlock, Op::Unlock);
        set(&locks.read, Op::ReadLock);
        set(&locks.global_lock, Op::GlobalLock);
        set(&locks.global_unlock, Op::GlobalUnlock);
    }
    if matches!(part.protection, Protection::BlockProtectionRegister {}) {
        for (opcode, op) in BLOCK_PROTECTION_OPCODES {
            set(&[opcode], op);
        }
    }
    table
}

/// A register's index as the byte that [`Op`] carries.
fn register_number(name: RegisterName) -> u8 {
    // There are nine registers.
    index(name) as u8
}

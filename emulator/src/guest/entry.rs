//! The state in which the ROM leaves the core and RAM when it calls uploaded code (XTENSA 4.2).

use xtensa::{Access, Cpu, Memory};

use super::{RomImage, bus::UART0_MATRIX, native};
use crate::soc::Machine;

/// RAM of the program: base, length, rights (XTENSA 4.1).
const REGIONS: &[(u32, u32, Access)] = &[
    (0x3FFA_E000, 0x5_2000, Access::DATA),
    (0x4007_0000, 0x5_0000, Access::CODE_WORDS),
    (0x400C_0000, 0x2000, Access::CODE),
    (0x5000_0000, 0x2000, Access::DATA),
];
/// Where the calling ROM function's frame is.
const STACK: u32 = 0x3FFE_3EB0;
/// Save area of the outermost frame under it.
const FRAME: [u32; 4] = [0, 0x3FFE_3F20, 0x0000_CDCD, 1];
const WINDOW: u8 = 1;
const PS: u32 = 0x0006_0320;
const CALLER: u32 = 0x4000_0740;
const RETURN: u32 = 0x8000_7C18;
/// Special registers by number: LBEG, LEND, LCOUNT, SAR, INTENABLE, VECBASE.
const SPECIAL: &[(u32, u32)] =
    &[(0, 0x4000_C2E0), (1, 0x4000_C2F6), (2, 0), (3, 32), (228, 0), (231, 0x4000_0000)];
/// `UartDev`: rate, data bits, parity (two), stop bits, flow control, which UART, ring buffer.
const UART_DEVICE: [u32; 8] = [115_200, 3, 0, 0, 1, 0, 0, 0x3FFE_009C];
/// The core's interrupt of UART0 (XTENSA 1.3).
const UART0_INTERRUPT: u32 = 5;

/// `RTC_CNTL_RESET_STATE`: the causes of both cores, and their vectors in ROM.
const RESET_STATE: u32 = 0x3FF4_8034;
const VECTORS_IN_ROM: u32 = 3 << 12;
/// PS after a reset: everything is masked, windows are off.
const PS_AT_RESET: u32 = 0x1F;

/// A core with the machine's RAM, and with the ROM if there is a dump.
fn with_memory<F>(machine: &Machine<F>, rom: Option<&RomImage>) -> Cpu {
    let mut cpu = Cpu::new();
    let regions = rom.map(RomImage::regions);
    for (base, content, execute) in regions.into_iter().flatten() {
        let access = Access { execute, write: false, word_only: false };
        let _ = cpu.mem.map(base, u32::try_from(content.len()).unwrap_or(0), access);
        let _ = cpu.mem.write(base, content);
    }
    for &(base, len, access) in REGIONS {
        // The table's regions are whole pages and apart from each other.
        let _ = cpu.mem.map(base, len, access);
        if let Some(content) = machine.soc.memory.bytes(base, len as usize) {
            let _ = cpu.mem.write(base, content);
        }
    }
    cpu
}

/// The core at the reset vector of a dump of the ROM.
pub(super) fn at_reset<F>(machine: &mut Machine<F>, rom: &RomImage, cause: u8) -> Cpu {
    let mut cpu = with_memory(machine, Some(rom));
    let cause = u32::from(cause & 0x3F);
    machine.soc.registers.write(RESET_STATE, VECTORS_IN_ROM | cause << 6 | cause);
    cpu.set_ps(PS_AT_RESET);
    cpu.pc = RomImage::RESET_VECTOR;
    cpu
}

/// The core at the first instruction of `entry`, with the machine's RAM.
pub(super) fn core<F>(machine: &mut Machine<F>, rom: Option<&RomImage>, entry: u32) -> Cpu {
    let mut cpu = with_memory(machine, rom);
    let words = (STACK - 16..).step_by(4).zip(FRAME);
    let device = (native::UART_DEVICE..).step_by(4).zip(UART_DEVICE);
    for (address, word) in words.chain(device) {
        let _ = cpu.mem.write_word(address, word);
    }
    cpu.set_window(WINDOW, 1 << WINDOW);
    for &(number, value) in SPECIAL {
        cpu.set_special_register(number, value);
    }
    cpu.set_ps(PS);
    cpu.set_a(0, CALLER);
    cpu.set_a(1, STACK);
    cpu.set_a(2, entry);
    cpu.set_a(8, RETURN);
    cpu.pc = entry;
    machine.soc.registers.write(UART0_MATRIX, UART0_INTERRUPT);
    cpu
}

/// Puts RAM back.
pub(super) fn copy_back<F>(machine: &mut Machine<F>, memory: &Memory) {
    for &(base, len, _) in REGIONS {
        let content = memory.slice(base, len as usize);
        let place = machine.soc.memory.bytes_mut(base, len as usize);
        if let (Some(content), Some(place)) = (content, place) {
            place.copy_from_slice(content);
        }
    }
}

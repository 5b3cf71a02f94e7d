//! Interrupts, clocks, reset and eFuse functions of the ROM.

use xtensa::ps;

use super::{Call, Exit, Flow};
use crate::{guest::memory::Fault, soc::address, spi::SpiDevice, time::Duration};

type Step = Result<Flow, Fault>;

/// Reset causes as the ROM prints them (ROM-FACTS 1.2).
const SW_RESET: u8 = 0x03;
const SW_CPU_RESET: u8 = 0x0C;
/// Interrupt matrix of the first core: one register a source.
pub(crate) const INTERRUPT_MATRIX: u32 = 0x3FF0_0104;
/// The level that `ets_intr_lock` masks.
const LOCK_LEVEL: u32 = 3;

/// `ets_isr_attach(number, handler, argument)`.
pub(super) fn attach_handler<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let (number, handler, argument) = (call.argument(0)?, call.argument(1)?, call.argument(2)?);
    if let Some(slot) = call.rom.handlers.get_mut(number as usize) {
        *slot = (handler != 0).then_some((handler, argument));
    }
    call.cpu.note_effect();
    Ok(Flow::Return(number))
}

/// `ets_isr_mask(bits)`.
pub(super) fn mask<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let bits = call.argument(0)?;
    call.cpu.set_interrupts_enabled(call.cpu.interrupts_enabled() & !bits);
    Ok(Flow::Return(bits))
}

/// `ets_isr_unmask(bits)`.
pub(super) fn unmask<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let bits = call.argument(0)?;
    call.cpu.set_interrupts_enabled(call.cpu.interrupts_enabled() | bits);
    Ok(Flow::Return(bits))
}

/// `_xtos_ints_off(bits)` and `_xtos_ints_on(bits)` give the old enables.
pub(super) fn interrupts_off<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let old = call.cpu.interrupts_enabled();
    mask(call)?;
    Ok(Flow::Return(old))
}

pub(super) fn interrupts_on<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let old = call.cpu.interrupts_enabled();
    unmask(call)?;
    Ok(Flow::Return(old))
}

fn set_level<F: SpiDevice>(call: &mut Call<'_, F>, level: u32) -> Step {
    let old = call.cpu.ps();
    call.cpu.set_ps(old & !ps::INTLEVEL | level & ps::INTLEVEL);
    Ok(Flow::Return(old & ps::INTLEVEL))
}

/// `_xtos_set_intlevel(level)`.
pub(super) fn set_interrupt_level<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let level = call.argument(0)?;
    set_level(call, level)
}

/// `ets_intr_lock()`.
pub(super) fn lock_interrupts<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    set_level(call, LOCK_LEVEL)
}

/// `ets_intr_unlock()`.
pub(super) fn unlock_interrupts<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    set_level(call, 0)
}

/// `intr_matrix_set(core, source, number)`.
pub(super) fn set_interrupt_matrix<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    const SOURCES: u32 = 69;
    let (core, source, number) = (call.argument(0)?, call.argument(1)?, call.argument(2)?);
    if core == 0 && source < SOURCES {
        // The matrix always answers.
        let _ = call.machine.write_word(INTERRUPT_MATRIX + 4 * source, number);
        call.cpu.note_effect();
    }
    Ok(Flow::Return(core))
}

/// `ets_delay_us(us)`.
pub(super) fn delay_us<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let us = call.argument(0)?;
    call.cpu.note_effect();
    Ok(Flow::ReturnAt(us, call.machine.now + Duration::from_micros(us.into())))
}

/// `ets_update_cpu_frequency(mhz)`.
pub(super) fn set_cpu_mhz<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    call.rom.ticks_per_us = call.argument(0)?;
    Ok(Flow::Return(call.rom.ticks_per_us))
}

/// `ets_get_cpu_frequency()`.
pub(super) fn cpu_mhz<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    Ok(Flow::Return(call.rom.ticks_per_us))
}

/// `ets_get_detected_xtal_freq()`.
pub(super) fn crystal_hz<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    Ok(Flow::Return(call.rom.crystal_hz))
}

/// `xthal_get_ccount()`.
pub(super) fn cycle_count<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    call.cpu.note_effect();
    Ok(Flow::Return(call.cpu.ccount()))
}

/// `software_reset()`.
pub(super) fn software_reset<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    call.machine.flush();
    Ok(Flow::Exit(Exit::Reset { cause: SW_RESET }))
}

/// `software_reset_cpu(core)`.
pub(super) fn software_reset_cpu<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let core = call.argument(0)?;
    if core != 0 {
        return Ok(Flow::Return(core));
    }
    Ok(Flow::Exit(Exit::Reset { cause: SW_CPU_RESET }))
}

/// `rtc_get_reset_reason(core)`.
pub(super) fn reset_reason<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    Ok(Flow::Return(call.rom.reset_cause.into()))
}

/// A function whose answer is 0: `ets_efuse_get_spiconfig()` on default pins,
/// `rtc_get_wakeup_cause()` without a sleep.
pub(super) fn zero<F: SpiDevice>(_: &mut Call<'_, F>) -> Step {
    Ok(Flow::Return(0))
}

/// `ets_efuse_get_8M_clock()`: the low byte of word 4.
pub(super) fn efuse_8m_clock<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let word = call.machine.read_word(address::EFUSE + 16).unwrap_or(0);
    Ok(Flow::Return(word & 0xFF))
}

/// CCOMPARE registers.
const COMPARES: u32 = 3;
const CCOMPARE0: u32 = 240;

/// `xthal_set_ccompare(n, value)`.
pub(super) fn set_compare<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let (n, value) = (call.argument(0)?, call.argument(1)?);
    if n < COMPARES {
        call.cpu.set_special_register(CCOMPARE0 + n, value);
    }
    Ok(Flow::Return(n))
}

/// `xthal_get_ccompare(n)`.
pub(super) fn compare<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let n = call.argument(0)?;
    let value = if n < COMPARES { call.cpu.special_register(CCOMPARE0 + n) } else { None };
    Ok(Flow::Return(value.unwrap_or(0)))
}

/// `xthal_get_interrupt()`.
pub(super) fn pending_interrupts<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    call.cpu.note_effect();
    Ok(Flow::Return(call.cpu.pending()))
}

/// `xthal_set_intclear(bits)`.
pub(super) fn clear_interrupts<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    const INTCLEAR: u32 = 227;
    let bits = call.argument(0)?;
    call.cpu.set_special_register(INTCLEAR, bits);
    Ok(Flow::Return(bits))
}

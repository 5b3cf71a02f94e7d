//! Clocks that a program may switch: crystal or PLL (XTENSA 4.2).

use crate::{soc::Machine, time::Duration};

/// `RTC_CNTL_CLK_CONF`; bits 28..27 select the source of the processor's clock.
const CLK_CONF: u32 = 0x3FF4_8070;
/// `DPORT_CPU_PER_CONF`; bits 1..0 select the rate behind the PLL.
const CPU_PER_CONF: u32 = 0x3FF0_003C;
/// Bus clock behind the PLL.
const APB_PLL_HZ: u32 = 80_000_000;
const NS_PER_S: u64 = 1_000_000_000;

fn uses_pll<F>(machine: &Machine<F>) -> bool {
    machine.soc.registers.read(CLK_CONF) >> 27 & 3 == 1
}

/// Whether a write to this register may change a clock.
pub(super) fn is_clock_register(address: u32) -> bool {
    address == CLK_CONF || address == CPU_PER_CONF
}

/// Feeds the UART from the clock that the registers select.
pub(super) fn apply<F>(machine: &mut Machine<F>) {
    let hz = if uses_pll(machine) { APB_PLL_HZ } else { machine.soc.crystal.hertz() };
    machine.soc.uart.set_clock(hz);
}

/// Rate of the processor in hertz.
pub(super) fn cpu_hz<F>(machine: &Machine<F>) -> u32 {
    if !uses_pll(machine) {
        return machine.soc.crystal.hertz();
    }
    match machine.soc.registers.read(CPU_PER_CONF) & 3 {
        0 => 80_000_000,
        1 => 160_000_000,
        _ => 240_000_000,
    }
}

/// Time of `cycles` at `hz`.
pub(super) fn span(cycles: u64, hz: u32) -> Duration {
    Duration::from_nanos(cycles.saturating_mul(NS_PER_S) / u64::from(hz.max(1)))
}

/// Whole cycles in `span` at `hz`.
pub(super) fn cycles(span: Duration, hz: u32) -> u64 {
    let product = u128::from(span.as_nanos()) * u128::from(hz);
    u64::try_from(product / u128::from(NS_PER_S)).unwrap_or(u64::MAX)
}

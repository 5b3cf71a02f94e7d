//! Functions of the ROM that call the program back, and those that leave by another way than they
//! came: `qsort`, `setjmp`, `longjmp`, the program's own `putc`.

use xtensa::{NoBus, Stop, ps};

use super::{Call, Flow};
use crate::{
    guest::{bus::GuestBus, clock, memory::Fault},
    spi::SpiDevice,
};

type Step = Result<Flow, Fault>;

/// Where a function of the program returns to that the ROM called; nothing is there.
const CALLBACK_RETURN: u32 = 0x4000_0A00;
/// Instructions of one call back; a function that takes more is taken for one that never returns.
const CALLBACK_MAX: u64 = 50_000_000;
/// Window increment of the ROM's own calls (`CALL8`).
const INCREMENT: u8 = 2;
/// `ets_write_char_uart`, which `ets_printf` uses at first.
pub(super) const WRITE_CHAR_UART: u32 = 0x4000_7CF8;
/// Longest array, in bytes.
const ARRAY_MAX: u32 = 1 << 19;

impl<F: SpiDevice> Call<'_, F> {
    /// Calls `function` of the program as the ROM's code would from inside this native one; gives
    /// its result. Interrupts wait until it has returned, and no debugger looks into it.
    pub(crate) fn call_back(&mut self, function: u32, args: &[u32]) -> Result<u32, Fault> {
        let window: [u32; 16] = std::array::from_fn(|n| self.cpu.a(n.to_le_bytes()[0]));
        let (pc, state, increment) = (self.cpu.pc, self.cpu.ps(), self.cpu.call_increment());
        self.cpu.set_ps(state | ps::INTLEVEL & 1);
        self.cpu.begin_call(function, args, CALLBACK_RETURN);
        let result = self.run_callback();
        let value = self.cpu.a(INCREMENT * 4 + 2);
        for (n, saved) in (0..).zip(window) {
            self.cpu.set_a(n, saved);
        }
        self.cpu.set_ps(state);
        self.cpu.set_call_increment(increment);
        self.cpu.pc = pc;
        self.cpu.note_effect();
        result.map(|()| value)
    }

    /// Runs until the program's function has returned.
    fn run_callback(&mut self) -> Result<(), Fault> {
        let mut left = CALLBACK_MAX;
        loop {
            let now = self.machine.now;
            let mut effects = 0;
            let mut bus = GuestBus::new(self.machine, &mut effects, now);
            let outcome = self.cpu.run(&mut bus, left);
            let hz = clock::cpu_hz(self.machine);
            self.machine.now += clock::span(outcome.instructions, hz);
            left = left.saturating_sub(outcome.instructions);
            match outcome.stop {
                Stop::OutsideRam { pc: CALLBACK_RETURN } => return Ok(()),
                Stop::OutsideRam { pc } => {
                    let run = super::find::<F>(pc).and_then(|row| row.run);
                    match run.ok_or(Fault::fetch(pc))?(self)? {
                        Flow::Return(value) => self.cpu.return_from_native(value),
                        Flow::ReturnAt(value, until) => {
                            self.machine.now = self.machine.now.max(until);
                            self.cpu.return_from_native(value);
                        }
                        _ => return Err(Fault::fetch(pc)),
                    }
                }
                Stop::Exception(exception) => {
                    return Err(Fault { cause: exception.cause, address: exception.vaddr });
                }
                _ => return Err(Fault::fetch(self.cpu.pc)),
            }
        }
    }
}

/// `qsort(base, count, size, compare)`. Equal elements stay in their order.
pub(super) fn qsort<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let (base, count) = (call.argument(0)?, call.argument(1)?);
    let (size, compare) = (call.argument(2)?, call.argument(3)?);
    let bytes = count.checked_mul(size).filter(|bytes| *bytes <= ARRAY_MAX);
    let Some(_) = bytes else { return Err(Fault::load(base)) };
    if size == 0 {
        return Ok(Flow::Return(base));
    }
    // An element goes up until it meets one that is not greater: the program's function sees
    // elements in their places only, as it does of the ROM's.
    for index in 1..count {
        let (mut low, mut high) = (0, index);
        let place = |at: u32| base.wrapping_add(at * size);
        while low < high {
            let middle = low.midpoint(high);
            let order = call.call_back(compare, &[place(middle), place(index)])?;
            if order.cast_signed() <= 0 { low = middle + 1 } else { high = middle }
        }
        let moved = call.bytes(place(index), size)?;
        let behind = call.bytes(place(low), (index - low) * size)?;
        call.store(place(low), &moved)?;
        call.store(place(low + 1), &behind)?;
    }
    call.cpu.note_effect();
    Ok(Flow::Return(base))
}

/// Words of a `jmp_buf` here: a0 to a11, the window increment, and the address behind the call.
/// The ROM's own has 17 words in another order, which nothing but the pair looks at.
const JUMP_REGISTERS: u8 = 12;
const JUMP_INCREMENT: u32 = 48;
const JUMP_ADDRESS: u32 = 52;

/// `setjmp(buffer)`.
pub(super) fn setjmp<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let buffer = call.argument(0)?;
    // Callers' windows are on the stack from now on, where a jump finds them.
    call.cpu
        .flush_windows(&mut NoBus)
        .map_err(|exception| Fault { cause: exception.cause, address: exception.vaddr })?;
    for n in 0..JUMP_REGISTERS {
        let value = call.cpu.a(n);
        call.store(buffer.wrapping_add(4 * u32::from(n)), &value.to_le_bytes())?;
    }
    let increment = u32::from(call.cpu.call_increment());
    call.store(buffer.wrapping_add(JUMP_INCREMENT), &increment.to_le_bytes())?;
    let address = call.cpu.return_address();
    call.store(buffer.wrapping_add(JUMP_ADDRESS), &address.to_le_bytes())?;
    call.cpu.note_effect();
    Ok(Flow::Return(0))
}

/// `longjmp(buffer, value)`: `setjmp` returns once more, with `value`, or 1 for 0.
pub(super) fn longjmp<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let (buffer, value) = (call.argument(0)?, call.argument(1)?);
    let word = |call: &mut Call<'_, F>, at: u32| {
        let bytes = call.bytes(buffer.wrapping_add(at), 4)?;
        Ok::<u32, Fault>(bytes.first_chunk().map_or(0, |word| u32::from_le_bytes(*word)))
    };
    let increment = (word(call, JUMP_INCREMENT)? & 3) as u8;
    let address = word(call, JUMP_ADDRESS)?;
    let registers = (increment * 4).min(JUMP_REGISTERS);
    let mut saved = Vec::with_capacity(registers.into());
    for n in 0..registers {
        saved.push(word(call, 4 * u32::from(n))?);
    }
    // The only live window is the caller's of `setjmp`: all others come back from the stack.
    let base = call.cpu.window_base();
    call.cpu.set_window(base, 1 << base);
    for (n, value) in (0..).zip(saved) {
        call.cpu.set_a(n, value);
    }
    call.cpu.set_a(increment * 4 + 2, value.max(1));
    call.cpu.pc = address;
    call.cpu.note_effect();
    Ok(Flow::Jumped)
}

/// `ets_install_putc1(function)` and `ets_install_putc2(function)`: where `ets_printf` sends its
/// characters; 0 is nowhere.
pub(super) fn install_putc<F: SpiDevice>(call: &mut Call<'_, F>, which: usize) -> Step {
    let function = call.argument(0)?;
    if let Some(slot) = call.rom.putc.get_mut(which) {
        *slot = function;
    }
    call.cpu.note_effect();
    Ok(Flow::Return(function))
}

/// `ets_install_uart_printf()`: back to the UART.
pub(super) fn install_uart<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    call.rom.putc[0] = WRITE_CHAR_UART;
    call.cpu.note_effect();
    super::nothing(call)
}

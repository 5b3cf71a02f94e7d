//! A program that cannot go on: the ROM's text on the UART, a diagnosis in the trace.

use xtensa::{Cause, Cpu, Exception};

use super::{GuestEnd, Pause};
use crate::{
    soc::Machine,
    spi::SpiDevice,
    trace::{Event, Hang},
};

/// Special registers EPC2, EPC3 and DEPC.
const EPC2: u32 = 178;
const EPC3: u32 = 179;
const DEPC: u32 = 192;

/// An exception that no code handles: what the ROM prints (ROM-FACTS 1.4).
pub(super) fn exception<F: SpiDevice>(
    machine: &mut Machine<F>,
    cpu: &Cpu,
    exception: Exception,
) -> GuestEnd {
    print(machine, cpu, exception);
    diagnose(machine, cpu, exception.to_string());
    GuestEnd::Stopped(Hang::Guest)
}

/// The same for somebody who looks in.
pub(super) fn as_pause(exception: Exception) -> Pause {
    Pause::Fault { cause: exception.cause.number(), what: exception.to_string() }
}

/// A call of [`unknown_function`] for somebody who looks in.
pub(super) fn unknown_as_pause(pc: u32, symbol: Option<&str>) -> Pause {
    let name = symbol.unwrap_or("no known name");
    let what = format!("ROM function {pc:#010x} ({name}) is not modelled");
    Pause::Fault { cause: Cause::InstructionFetchProhibited.number(), what }
}

/// `BREAK` without a debugger: the ROM's debug vector takes it and prints nothing.
pub(super) fn breakpoint<F: SpiDevice>(machine: &mut Machine<F>, cpu: &Cpu, pc: u32) -> GuestEnd {
    diagnose(machine, cpu, format!("BREAK at {pc:#010x}"));
    GuestEnd::Stopped(Hang::Guest)
}

/// A call of an address where there is no RAM and no native function.
pub(super) fn unknown_function<F: SpiDevice>(
    machine: &mut Machine<F>,
    cpu: &Cpu,
    pc: u32,
    symbol: Option<&str>,
) -> GuestEnd {
    let cause = Cause::InstructionFetchProhibited;
    print(machine, cpu, Exception { cause, pc, vaddr: pc });
    let name = symbol.unwrap_or("no known name");
    let arguments = cpu.call_args().map(|word| format!("{word:#x}")).join(", ");
    let back = cpu.return_address();
    let what = format!(
        "ROM function {pc:#010x} ({name}) is not modelled; called with ({arguments}), \
         return address {back:#010x}"
    );
    diagnose(machine, cpu, what);
    GuestEnd::Stopped(Hang::Guest)
}

fn print<F: SpiDevice>(machine: &mut Machine<F>, cpu: &Cpu, exception: Exception) {
    let register = |number| cpu.special_register(number).unwrap_or(0);
    let text = format!(
        "Fatal exception ({}): {}\r\nepc1={:#010x}, epc2={:#010x}, epc3={:#010x}, \
         excvaddr={:#010x}, depc={:#010x}\r\n",
        exception.cause.number(),
        exception.cause.name(),
        exception.pc,
        register(EPC2),
        register(EPC3),
        exception.vaddr,
        register(DEPC),
    );
    machine.send(text.as_bytes());
}

/// The reason and the last instructions.
fn diagnose<F>(machine: &mut Machine<F>, cpu: &Cpu, what: String) {
    machine.trace.push(machine.now, Event::Guest { what });
    for line in cpu.history_text() {
        machine.trace.push(machine.now, Event::Guest { what: line });
    }
}

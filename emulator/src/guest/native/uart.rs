//! The ROM's functions of UART0. Other UARTs have no line here: bytes to them are dropped.

use super::{Call, Flow};
use crate::{guest::memory::Fault, spi::SpiDevice};

type Step = Result<Flow, Fault>;

/// `UartDev` (XTENSA 1.6).
pub(crate) const UART_DEVICE: u32 = 0x3FFE_019C;
/// `OK` and `FAIL` of the ROM.
const OK: u32 = 0;
const FAIL: u32 = 1;
/// SLIP.
const END: u8 = 0xC0;
const ESCAPE: u8 = 0xDB;

/// `uart_tx_one_char(c)`.
pub(super) fn send_char<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let byte = call.argument(0)?.to_le_bytes()[0];
    call.send(&[byte]);
    Ok(Flow::Return(OK))
}

/// `ets_write_char_uart(c)`: line feeds get a carriage return before them.
pub(super) fn write_char<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let character = call.argument(0)?;
    match character.to_le_bytes()[0] {
        b'\n' => call.send(b"\r\n"),
        b'\r' => {}
        byte => call.send(&[byte]),
    }
    Ok(Flow::Return(character))
}

/// `uart_tx_flush(uart)` and `uart_tx_wait_idle(uart)`.
pub(super) fn flush<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    call.cpu.note_effect();
    let uart = call.argument(0)?;
    Ok(Flow::ReturnAt(uart, call.machine.soc.uart.sent_at().max(call.machine.now)))
}

/// `uart_rx_one_char(*c)`: 1 if nothing waits.
pub(super) fn receive_char<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let target = call.argument(0)?;
    take_into(call, target)
}

/// `uart_rx_readbuff(buffer, *c)`.
pub(super) fn receive_from_buffer<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let target = call.argument(1)?;
    take_into(call, target)
}

fn take_into<F: SpiDevice>(call: &mut Call<'_, F>, target: u32) -> Step {
    match call.machine.soc.uart.pop_received() {
        Some(byte) => {
            call.cpu.note_effect();
            call.store(target, &[byte])?;
            Ok(Flow::Return(OK))
        }
        None => Ok(Flow::Return(FAIL)),
    }
}

/// `uart_rx_one_char_block()`.
pub(super) fn receive_char_block<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    Ok(match call.machine.soc.uart.pop_received() {
        Some(byte) => {
            call.cpu.note_effect();
            Flow::Return(byte.into())
        }
        None => Flow::WaitForInput,
    })
}

/// `uart_div_modify(uart, divider in sixteenths)`. The FIFO resets that it pulses lose nothing
/// here: what the host has queued is still on its way on a board.
pub(super) fn set_divider<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    const CLKDIV: u32 = 0x14;
    let (uart, divider) = (call.argument(0)? & 0xFF, call.argument(1)?);
    if uart == 0 {
        let register = crate::soc::address::UART0 + CLKDIV;
        let value = divider >> 4 | (divider & 0xF) << 20;
        call.machine.flush();
        // UART0 always answers.
        let _ = call.machine.write_word(register, value);
    }
    call.cpu.note_effect();
    Ok(Flow::Return(uart))
}

/// `GetUartDevice()`.
pub(super) fn device<F: SpiDevice>(_: &mut Call<'_, F>) -> Step {
    Ok(Flow::Return(UART_DEVICE))
}

/// `send_packet(data, length)` and `SendMsg`: one SLIP frame.
pub(super) fn send_packet<F: SpiDevice>(call: &mut Call<'_, F>) -> Step {
    let (data, len) = (call.argument(0)?, call.argument(1)?);
    let mut wire = vec![END];
    for byte in call.bytes(data, len)? {
        match byte {
            END => wire.extend([ESCAPE, 0xDC]),
            ESCAPE => wire.extend([ESCAPE, 0xDD]),
            byte => wire.push(byte),
        }
    }
    wire.push(END);
    call.send(&wire);
    Ok(Flow::Return(OK))
}

//! `ets_printf`.

use super::{Call, Flow, callback::WRITE_CHAR_UART};
use crate::{
    guest::{
        memory::Fault,
        printf::{self, Arguments},
    },
    spi::SpiDevice,
};

/// Arguments of a variadic call.
struct Variadic<'a, 'b, F> {
    call: &'a mut Call<'b, F>,
    next: u8,
}

impl<F: SpiDevice> Arguments for Variadic<'_, '_, F> {
    fn word(&mut self) -> Result<u32, Fault> {
        let value = self.call.argument(self.next)?;
        self.next = self.next.saturating_add(1);
        Ok(value)
    }

    fn wide(&mut self) -> Result<u64, Fault> {
        // 64-bit arguments start at an even position.
        self.next = self.next.saturating_add(self.next & 1);
        Ok(u64::from(self.word()?) | u64::from(self.word()?) << 32)
    }

    fn byte(&mut self, address: u32) -> Result<u8, Fault> {
        self.call.byte(address)
    }
}

/// `ets_printf(format, ...)`: the number of characters before line feeds are expanded.
pub(super) fn printf<F: SpiDevice>(call: &mut Call<'_, F>) -> Result<Flow, Fault> {
    let format = call.argument(0)?;
    let text = printf::format(format, &mut Variadic { call, next: 1 })?;
    let outputs = call.rom.putc;
    if outputs == [WRITE_CHAR_UART, 0] {
        to_uart(call, &text);
    } else {
        for &byte in &text {
            for function in outputs {
                match function {
                    0 => {}
                    WRITE_CHAR_UART => to_uart(call, &[byte]),
                    _ => call.call_back(function, &[byte.into()]).map(|_| ())?,
                }
            }
        }
    }
    Ok(Flow::Return(u32::try_from(text.len()).unwrap_or(u32::MAX)))
}

/// Line feeds get a carriage return before them.
fn to_uart<F: SpiDevice>(call: &mut Call<'_, F>, text: &[u8]) {
    let mut wire = Vec::with_capacity(text.len() + 8);
    for &byte in text {
        if byte == b'\n' {
            wire.push(b'\r');
        }
        wire.push(byte);
    }
    call.send(&wire);
}

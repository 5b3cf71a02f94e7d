//! The board's trace in a few lines: what the chip really did.

use std::collections::BTreeMap;

use esp32_emulator::trace::{Entry, Event};

/// One line for each kind of thing that happened, in the order in which the kinds appeared.
pub(super) fn lines(entries: &[Entry]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut totals = Totals::default();
    for Entry { event, .. } in entries {
        match event {
            Event::StatusWrite { register, old, new, volatile } => {
                let register = format!("{register:?}").to_uppercase();
                let kind = if *volatile { "volatile" } else { "non-volatile" };
                let change =
                    if old == new { "unchanged".to_owned() } else { format!("was {old:#04x}") };
                lines.push(format!("{register} = {new:#04x} ({change}, {kind})"));
            }
            Event::Erased { range, busy } => {
                totals.erased_bytes += u64::from(range.end - range.start);
                totals.erase_busy_ms += busy.as_micros() / 1000;
            }
            Event::Programmed { range } => {
                totals.programmed_bytes += u64::from(range.end - range.start);
            }
            Event::Denied { opcode, why, count, .. } => {
                *totals.denied.entry(format!("{opcode:02X}h: {}", reason(why))).or_default() +=
                    count;
            }
            Event::Hang { why } => lines.push(format!("waits for ever: {why:?}")),
            Event::Note { what } | Event::Guest { what } => lines.push(what.clone()),
            Event::FlashReset => lines.push("flash software reset (66h, 99h)".to_owned()),
            _ => {}
        }
    }
    lines.dedup();
    lines.extend(totals.lines());
    lines
}

#[derive(Default)]
struct Totals {
    erased_bytes: u64,
    erase_busy_ms: u64,
    programmed_bytes: u64,
    denied: BTreeMap<String, u64>,
}

impl Totals {
    fn lines(self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.erased_bytes > 0 {
            lines.push(format!(
                "erased {} bytes, busy for {}.{:03} s",
                self.erased_bytes,
                self.erase_busy_ms / 1000,
                self.erase_busy_ms % 1000
            ));
        }
        if self.programmed_bytes > 0 {
            lines.push(format!("programmed {} bytes", self.programmed_bytes));
        }
        for (what, count) in self.denied {
            lines.push(format!("refused without a sign, {count} x {what}"));
        }
        lines
    }
}

fn reason(why: &esp32_emulator::flash::Denial) -> String {
    use esp32_emulator::flash::Denial;
    match why {
        Denial::WriteEnableLatch => "WEL is 0".to_owned(),
        Denial::Busy => "the part is busy".to_owned(),
        Denial::BlockProtect { protected } => {
            format!("the registers protect {:#x}..{:#x}", protected.start, protected.end)
        }
        Denial::IndividualLock { .. } => "an individual lock covers it".to_owned(),
        Denial::ChipErase => "something is protected".to_owned(),
        Denial::StatusWriteProtectPin => "registers locked by SRP and WP#".to_owned(),
        Denial::StatusPowerLock => "registers locked until the next power cycle".to_owned(),
        Denial::StatusOneTimeProgram => "registers locked for ever".to_owned(),
        Denial::DataLength { bytes } => format!("the part does not take {bytes} data bytes here"),
        Denial::WriteInhibit { supply_mv } => {
            format!("the supply of {supply_mv} mV is below write-inhibit")
        }
        other => format!("{other:?}"),
    }
}

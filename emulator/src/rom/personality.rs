//! What a board's application does after flash boot, as data: the status-register writes of a
//! bootloader, lines of text, waits (QUIRKS Q8).

use serde::Deserialize;
use spi_nor::part::HexBytes;

use super::flash_driver;
use crate::{
    soc::Machine,
    spi::SpiDevice,
    time::Duration,
    trace::{Event, Hang},
};

/// Longest answer that a step may ask for.
const READ_BYTES_MAX: u8 = 64;

/// What runs after a good image was loaded.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BootPersonality {
    /// Steps, in order.
    #[serde(default)]
    pub steps: Vec<BootStep>,
    /// After the last step go on with this one, for ever (an application that writes its NVS).
    #[serde(default)]
    pub repeat_from: Option<usize>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "step", deny_unknown_fields, rename_all = "kebab-case")]
pub enum BootStep {
    /// One chip select.
    Spi {
        /// Bytes to send, as hex.
        out: HexBytes,
        /// Bytes to read behind them, at most 64.
        #[serde(default)]
        read_bytes: u8,
    },
    /// Read a register, change bits, write it where that changes it, wait until it is done.
    UpdateRegister(crate::case::boot::RegisterWrite),
    /// Poll `05h` until WIP is clear.
    WaitIdle {},
    /// The inner steps only if a register differs.
    IfRegister {
        /// Read command, as hex; one byte is read.
        read: HexBytes,
        /// Bits that are compared.
        mask: u8,
        /// The value at which the inner steps are skipped.
        differs_from: u8,
        /// Inner steps; no delays.
        then: Vec<Self>,
    },
    /// Text on UART0.
    Text {
        /// Sent as it is.
        text: String,
    },
    /// Time passes.
    Delay {
        /// Microseconds.
        us: u64,
    },
    /// A note in the trace.
    Note {
        /// One line.
        what: String,
    },
}

impl BootStep {
    /// Runs the step.
    ///
    /// # Errors
    ///
    /// The part never gets ready.
    pub fn run<F: SpiDevice>(&self, machine: &mut Machine<F>) -> Result<(), Hang> {
        match self {
            Self::Spi { out, read_bytes } => {
                let mut answer = [0; READ_BYTES_MAX as usize];
                let count = usize::from((*read_bytes).min(READ_BYTES_MAX));
                machine.transfer(&out.0, &mut answer[..count]);
            }
            Self::UpdateRegister(write) => {
                machine.flash.set_boot_writes(true);
                let done = write.play(|out, answer| machine.transfer(out, answer));
                machine.flash.set_boot_writes(false);
                if done {
                    wait_idle(machine)?;
                }
            }
            Self::WaitIdle {} => wait_idle(machine)?,
            Self::IfRegister { read, mask, differs_from, then } => {
                let mut value = [0];
                machine.transfer(&read.0, &mut value);
                if (value[0] ^ differs_from) & mask != 0 {
                    then.iter().try_for_each(|step| step.run(machine))?;
                }
            }
            Self::Text { text } => machine.send(text.as_bytes()),
            Self::Delay { us } => machine.wait(Duration::from_micros(*us)),
            Self::Note { what } => {
                machine.trace.push(machine.now, Event::Note { what: what.clone() });
            }
        }
        Ok(())
    }
}

fn wait_idle<F: SpiDevice>(machine: &mut Machine<F>) -> Result<(), Hang> {
    match flash_driver::wait_idle(machine) {
        Ok(_) | Err(flash_driver::FlashError::Range) => Ok(()),
        Err(flash_driver::FlashError::Hang(why)) => Err(why),
    }
}

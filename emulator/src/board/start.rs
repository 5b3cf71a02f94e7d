//! From reset to whatever runs: boot mode, flash boot, the application.

use super::{Activity, AutoBaud, Board, HEADER_RETRY, RESET_TO_BANNER};
use crate::{
    guest::{self, Guest},
    rom::{
        Loader,
        banner::{BootMode, ResetCause, banner},
        boot::{FlashBoot, boot},
        flash_driver,
    },
    soc::address,
    spi::{SpiConnection, SpiDevice, SpiPins},
    time::Duration,
};

impl<F: SpiDevice> Board<F> {
    /// What the ROM does from its reset vector on.
    pub(super) fn boot(&mut self, cause: ResetCause) {
        self.reset_cause = cause;
        self.machine.connect(SpiConnection::Nothing);
        if let Some(rom) = self.rom.clone() {
            // A dump attaches the flash through pads that are plain registers here.
            self.machine.connect(SpiConnection::Default);
            let guest = Guest::reset(&mut self.machine, &rom, cause as u8);
            self.activity = Activity::Guest(Box::new(guest));
            return;
        }
        self.machine.wait(RESET_TO_BANNER);
        let strap = self.strap;
        let mode = BootMode::from_strap(strap);
        let print = self.prints(mode);
        if print && mode != BootMode::Ate {
            self.machine.send(banner(cause, strap).as_bytes());
        }
        match mode {
            BootMode::Download if self.machine.soc.efuse.download_disabled() => {
                self.machine.send(b"Download mode is disabled. Restart with GPIO0 high.\r\n");
                self.activity = Activity::Deaf;
            }
            BootMode::Download => {
                self.machine.send(b"waiting for download\r\n");
                self.auto_baud = Some(AutoBaud::default());
                self.activity = Activity::Loader(Loader::start(&mut self.machine, true));
            }
            BootMode::Uart => {
                self.activity = Activity::Loader(Loader::start(&mut self.machine, false));
            }
            BootMode::Sdio => {
                self.machine.send(b"waiting for sdio host\r\n");
                self.activity = Activity::Deaf;
            }
            BootMode::Ate => {
                self.machine.send(b"ets_main.c 246 \r\n");
                self.activity = Activity::Deaf;
            }
            BootMode::SpiFlash => {
                match flash_driver::attach(&mut self.machine, SpiConnection::Default, true) {
                    Err(flash_driver::FlashError::Hang(why)) => self.hang(why),
                    _ => self.leave_without_code(),
                }
            }
            BootMode::SpiFastFlash => self.boot_flash(print, SpiConnection::Default),
            BootMode::HspiFlash => self.boot_flash(print, SpiConnection::Pins(SpiPins::HSPI)),
        }
    }

    /// Flash-boot modes can be silent (ROM-FACTS 1.2).
    fn prints(&self, mode: BootMode) -> bool {
        const STRAP_MTDO: u8 = 0x02;
        let silent = self.strap & STRAP_MTDO == 0
            || self.machine.soc.registers.read(address::RTC_STORE4) & 1 != 0;
        !(silent && matches!(mode, BootMode::SpiFastFlash | BootMode::HspiFlash))
    }

    fn boot_flash(&mut self, print: bool, connection: SpiConnection) {
        match boot(&mut self.machine, print, connection) {
            FlashBoot::Hang(why) => self.hang(why),
            FlashBoot::Retry { line } => {
                let next = self.machine.now + HEADER_RETRY;
                self.activity = Activity::BootRetry { line, print, next, line_count: 0 };
            }
            FlashBoot::Run { .. } if self.setup.personality.is_some() => {
                self.activity = Activity::Application { step: 0, next: Some(self.machine.now) };
            }
            FlashBoot::Run { entry } if guest::returns_at_once(&self.machine, entry) => {
                self.call(entry);
            }
            FlashBoot::Run { .. } => {
                self.activity = Activity::Application { step: 0, next: None };
            }
        }
    }

    pub(super) fn act_as_application(&mut self) {
        let Activity::Application { step, next } = &mut self.activity else {
            return;
        };
        let personality = self.setup.personality.as_ref();
        let todo = personality.and_then(|personality| personality.steps.get(*step));
        self.machine.now = next.map_or(self.machine.now, |due| due.max(self.machine.now));
        let Some(todo) = todo else {
            *next = None;
            return;
        };
        let result = todo.run(&mut self.machine);
        *step += 1;
        let repeat = personality.filter(|personality| *step >= personality.steps.len());
        if let Some(first) = repeat.and_then(|personality| personality.repeat_from) {
            *step = first;
        }
        // A round takes time even if its steps do not.
        self.machine.wait(Duration::from_micros(1));
        *next = Some(self.machine.now);
        if let Err(why) = result {
            self.hang(why);
        }
    }
}

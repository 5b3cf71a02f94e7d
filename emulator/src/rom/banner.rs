//! What the ROM prints after a reset (ROM-FACTS 1.1 and 1.2).

/// Name of each reset cause as printed.
const CAUSES: &[&str] = &[
    "NO_MEAN",
    "POWERON_RESET",
    "EXT_SYS_RESET",
    "SW_RESET",
    "OWDT_RESET",
    "DEEPSLEEP_RESET",
    "SDIO_RESET",
    "TG0WDT_SYS_RESET",
    "TG1WDT_SYS_RESET",
    "RTCWDT_SYS_RESET",
    "INTRUSION_RESET",
    "TGWDT_CPU_RESET",
    "SW_CPU_RESET",
    "RTCWDT_CPU_RESET",
    "EXT_CPU_RESET",
    "RTCWDT_BROWN_OUT_RESET",
    "RTCWDT_RTC_RESET",
];

/// Reset cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetCause {
    /// Power-on, and also the EN pin.
    PowerOn = 0x1,
    /// The ROM's own software reset.
    Software = 0x3,
    /// A program reset the core alone.
    SoftwareCpu = 0xC,
    /// The RTC watchdog.
    RtcWatchdog = 0x10,
}

impl ResetCause {
    /// The cause of a reset by software, by its number.
    #[must_use]
    pub const fn of_software(number: u8) -> Self {
        if number == Self::SoftwareCpu as u8 { Self::SoftwareCpu } else { Self::Software }
    }
}

/// What the strap pins select.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootMode {
    /// Flash boot.
    SpiFastFlash,
    /// Flash boot on the HSPI pins.
    HspiFlash,
    /// Flash boot or BASIC.
    SpiFlash,
    /// SDIO slave.
    Sdio,
    /// Test mode; no banner.
    Ate,
    /// Command loop without SYNC.
    Uart,
    /// Download mode.
    Download,
}

impl BootMode {
    /// Decodes a strap value.
    #[must_use]
    pub const fn from_strap(strap: u8) -> Self {
        match strap & 0x1F {
            0x10..=0x1F => Self::SpiFastFlash,
            0x08..=0x0B => Self::HspiFlash,
            0x0C => Self::SpiFlash,
            0x0D => Self::Sdio,
            0x0E => Self::Ate,
            0x0F => Self::Uart,
            _ => Self::Download,
        }
    }

    fn name(self, strap: u8) -> String {
        let edges = ["FEI_FEO", "FEI_REO", "REI_FEO", "REI_REO"][usize::from(strap & 3)];
        match self {
            Self::SpiFastFlash => "SPI_FAST_FLASH_BOOT".to_owned(),
            Self::HspiFlash => "HSPI_FLASH_BOOT".to_owned(),
            Self::SpiFlash => "SPI_FLASH_BOOT".to_owned(),
            Self::Sdio => "SDIO_REI_FEO_V1_BOOT".to_owned(),
            Self::Ate => String::new(),
            Self::Uart => "UART_BOOT(UART0)".to_owned(),
            Self::Download => format!("DOWNLOAD_BOOT(UART0/UART1/SDIO_{edges}_V2)"),
        }
    }
}

/// The banner: date, reset cause, boot mode.
#[must_use]
pub fn banner(cause: ResetCause, strap: u8) -> String {
    let number = cause as u8;
    let cause = CAUSES.get(usize::from(number)).copied().unwrap_or_default();
    let mode = BootMode::from_strap(strap).name(strap);
    format!(
        "ets Jul 29 2019 12:21:46\r\n\r\nrst:{number:#x} ({cause}),boot:{strap:#x} ({mode})\r\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn download_banner() {
        assert_eq!(
            banner(ResetCause::PowerOn, 0x03),
            "ets Jul 29 2019 12:21:46\r\n\r\n\
             rst:0x1 (POWERON_RESET),boot:0x3 (DOWNLOAD_BOOT(UART0/UART1/SDIO_REI_REO_V2))\r\n"
        );
        assert!(banner(ResetCause::RtcWatchdog, 0x13).contains("rst:0x10 (RTCWDT_RTC_RESET)"));
    }

    #[test]
    fn straps_of_rom_facts_1_1() {
        for (strap, mode) in [
            (0x13, BootMode::SpiFastFlash),
            (0x33, BootMode::SpiFastFlash),
            (0x03, BootMode::Download),
            (0x23, BootMode::Download),
            (0x0A, BootMode::HspiFlash),
            (0x0C, BootMode::SpiFlash),
            (0x0D, BootMode::Sdio),
            (0x0E, BootMode::Ate),
            (0x0F, BootMode::Uart),
        ] {
            assert_eq!(BootMode::from_strap(strap), mode, "{strap:#x}");
        }
    }
}

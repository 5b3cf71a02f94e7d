//! What a board is made of, apart from its flash.

use serde::Deserialize;

use super::wiring::Wiring;
use crate::{
    rom::personality::BootPersonality,
    soc::{EfuseCells, Identity},
};

/// Strap value that a usual board samples with GPIO0 low (ROM-FACTS 1.1).
pub const STRAP_DOWNLOAD: u8 = 0x03;
/// Strap value that a usual board samples with GPIO0 high.
pub const STRAP_FLASH_BOOT: u8 = 0x13;
/// GPIO0 in the strap value.
pub const STRAP_GPIO0: u8 = 0x10;

/// Board data.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct BoardSetup {
    /// The chip.
    pub identity: Identity,
    /// eFuses that are burned besides those of the identity.
    #[serde(skip)]
    pub efuses: EfuseCells,
    /// Strap pins at power-on. The control lines drive GPIO0 (bit 4) from then on.
    pub strap: u8,
    /// How the control lines reach EN and GPIO0.
    pub wiring: Wiring,
    /// What runs after flash boot; none: the image runs without any effect.
    pub personality: Option<BootPersonality>,
    /// The RTC watchdog restarts a flash boot that finds no image, as on boards (ROM-FACTS 1.3).
    pub rtc_watchdog: bool,
}

impl Default for BoardSetup {
    fn default() -> Self {
        Self {
            identity: Identity::default(),
            efuses: EfuseCells::BLANK,
            strap: STRAP_DOWNLOAD,
            wiring: Wiring::default(),
            personality: None,
            rtc_watchdog: false,
        }
    }
}

//! A second flash on pins of its own, which the chip reaches only when it is told to.

use crate::{
    flash::NorFlash,
    spi::{SpiConnection, SpiPins},
};

/// Which part the controllers reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Route {
    /// The main one, as in a programmer's socket before there is a board.
    #[default]
    Main,
    /// The second one.
    Second,
    /// None.
    Open,
}

/// The parts on their pins.
#[derive(Debug, Clone)]
pub(super) struct Routing {
    /// Pins of the main flash.
    pub(super) pins: SpiPins,
    /// The main flash is reached from reset on, whatever the ROM attaches.
    pub(super) always_attached: bool,
    /// What a line that nobody drives reads.
    pub(super) pull: u8,
    /// The second part.
    pub(super) second: Option<Box<SecondFlash>>,
    /// Where the pads lead now.
    pub(super) route: Route,
}

/// A part on pins of its own.
#[derive(Debug, Clone)]
pub(super) struct SecondFlash {
    pub(super) pins: SpiPins,
    pub(super) nor: NorFlash,
}

impl Default for Routing {
    fn default() -> Self {
        Self {
            pins: SpiPins::SPI,
            always_attached: false,
            pull: 0xFF,
            second: None,
            route: Route::Main,
        }
    }
}

impl Routing {
    /// The controllers drive other pins.
    pub(super) fn connect(&mut self, connection: SpiConnection) {
        self.route = match connection {
            SpiConnection::Default => Route::Main,
            SpiConnection::Nothing if self.always_attached => Route::Main,
            SpiConnection::Nothing => Route::Open,
            SpiConnection::Pins(pins) if self.pins.reaches(pins) => Route::Main,
            SpiConnection::Pins(pins) => match &self.second {
                Some(second) if second.pins.reaches(pins) => Route::Second,
                _ => Route::Open,
            },
        };
    }

    /// The part that the controllers reach, if it is the second.
    pub(super) fn second_mut(&mut self) -> Option<&mut NorFlash> {
        let second = self.second.as_mut().filter(|_| self.route == Route::Second)?;
        Some(&mut second.nor)
    }
}

//! The serial line as the two sides see it.

use esp_protocol::rfc2217::Format;

use super::{Board, framing::LineEnd};
use crate::{spi::SpiDevice, time::Instant};

impl<F: SpiDevice> Board<F> {
    /// Stores the host's rate; `None` = the transport has none.
    pub fn set_host_baud(&mut self, now: Instant, rate: Option<u32>) {
        self.advance(now);
        self.host_baud = rate;
    }

    /// Stores the host's data bits, parity and stop bits; eight, none and one until then. They count
    /// where the host's rate is known.
    pub fn set_host_format(&mut self, now: Instant, format: Format) {
        self.advance(now);
        self.host_format = format;
    }

    /// The host's end of the line at `rate` baud.
    pub(super) fn host_end(&self, rate: u32) -> LineEnd {
        LineEnd { rate, format: self.host_format }
    }

    /// The chip's end at `rate` baud. The ROM sets 8N1, and programs that change it are not known.
    #[expect(clippy::unused_self, reason = "the format would be the UART's")]
    pub(super) const fn chip_end(&self, rate: u32) -> LineEnd {
        LineEnd { rate, format: Format::EIGHT_N_ONE }
    }

    /// The host's rate, if the transport has one.
    #[must_use]
    pub fn host_baud(&self) -> Option<u32> {
        self.host_baud
    }

    /// Present rate of UART0 in baud, as its divider gives it: 115211 for a nominal 115200.
    #[must_use]
    pub fn baud(&self) -> u32 {
        self.machine.soc.uart.baud()
    }

    /// When the last byte of the host that is on the line has arrived; in the past if none is.
    #[must_use]
    pub fn received_at(&self) -> Instant {
        self.machine.soc.uart.received_at()
    }

    /// When the last byte that the transmitter holds has left; in the past if it holds none.
    #[must_use]
    pub fn sent_at(&self) -> Instant {
        self.machine.soc.uart.sent_at()
    }
}

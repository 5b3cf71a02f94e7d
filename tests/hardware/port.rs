//! Opening the port that the suite is given.

use esp32_flasher::{
    port::{self, Port, PortError},
    session::CONNECT_BAUD,
};

/// A serial device, a PTY, or what else the flasher can open.
pub(crate) fn open(name: &str) -> Result<Box<dyn Port>, PortError> {
    port::open(name, CONNECT_BAUD)
}

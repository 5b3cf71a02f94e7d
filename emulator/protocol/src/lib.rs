//! The ESP serial protocol: SLIP framing, commands, responses, image and partition layouts.
//!
//! No I/O, no clock, no policy. Both the virtual board and the flasher use it, so there is one
//! place that parses and one that emits each wire format. All numbers on the wire are
//! little-endian. Parsers take untrusted bytes: they return errors, never panic, and allocate no
//! more than the input is long.
//!
//! ```
//! use esp_protocol::{command::Request, slip};
//!
//! let mut wire = Vec::new();
//! slip::encode(&Request::ReadReg { address: 0x4000_1000 }.emit(), &mut wire);
//! assert_eq!(wire, b"\xc0\x00\x0a\x04\x00\x00\x00\x00\x00\x00\x10\x00\x40\xc0");
//! ```

pub mod base64;
mod bytes;
pub mod command;
pub mod image;
pub mod partition;
pub mod response;
pub mod rfc2217;
pub mod slip;
pub mod telnet;

/// Start value of the checksum of data blocks and image segments.
pub const CHECKSUM_SEED: u8 = 0xef;

/// Bytes of a digest of `SPI_FLASH_MD5`.
pub const MD5_BYTES: usize = 16;

/// XOR checksum over `data`, going on from `seed` ([`CHECKSUM_SEED`] at the start).
///
/// ```
/// assert_eq!(esp_protocol::checksum(esp_protocol::CHECKSUM_SEED, &[0x0f, 0xf0]), 0x10);
/// ```
#[must_use]
pub fn checksum(seed: u8, data: &[u8]) -> u8 {
    data.iter().fold(seed, |sum, byte| sum ^ byte)
}

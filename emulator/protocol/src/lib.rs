//! The ESP serial protocol: SLIP framing, commands, responses, image and partition layouts.
//!
//! No I/O, no clock, no policy. Both the virtual board and the flasher use it, so there is one
//! place that parses and one that emits each wire format.

pub mod rfc2217;
pub mod telnet;

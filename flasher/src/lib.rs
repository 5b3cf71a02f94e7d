//! Flash ESP32 boards over UART; detect, explain and cure SPI flash write protection.
//!
//! The library is blocking code over one narrow trait, [`port::Port`], which also owns the clock.
//! So the same code flashes a serial device, a PTY, a board in process, and the scripted fakes of
//! the tests, where time is virtual. It prints nothing; what it has to say is in its return values
//! and in [`progress::Progress`].
//!
//! Every error is an enum with data; nothing has to be read out of a text.
//!
//! A session, here on a board in process; `/dev/ttyUSB0` opens the same way:
//!
//! ```
//! use esp32_flasher::{chip::Chip, port, reset::ResetStrategy, session::Session};
//!
//! let port = port::open("virtual:W25Q32JV", 115_200)?;
//! let mut session = Session::new(port);
//! session.connect(&[ResetStrategy::classic()], 7)?;
//! assert_eq!(Chip::read(&mut session)?.mac.to_string(), "24:0a:c4:00:00:01");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What goes wrong is matched, not parsed:
//!
//! ```
//! use esp32_flasher::{port, reset::ResetStrategy, session::{Cause, Session}};
//!
//! // Nobody pulls the chip into download mode.
//! let mut session = Session::new(port::open("virtual:W25Q32JV", 115_200)?);
//! let result = session.connect(&["D0|R1|W0.1|R0".parse::<ResetStrategy>()?], 1);
//! assert!(matches!(result.map_err(|error| error.cause), Err(Cause::WrongBootMode { boot: 0x13 })));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod batch;
pub mod chip;
pub mod diagnose;
pub mod exit;
pub mod flash;
pub mod identity;
pub mod input;
pub mod matrix;
pub mod port;
pub mod preflight;
pub mod progress;
pub mod protect;
pub mod reproduce;
pub mod reset;
pub mod schema;
pub mod session;
pub mod spi;
pub mod status;
pub mod stub;
pub mod write;

//! Flash ESP32 boards over UART; detect, explain and cure SPI flash write protection.
//!
//! The library is blocking code over one narrow trait, [`port::Port`], which also owns the clock.
//! So the same code flashes a serial device, a PTY, a board in process, and the scripted fakes of
//! the tests, where time is virtual. It prints nothing; what it has to say is in its return values
//! and in [`progress::Progress`].
//!
//! A session in four lines:
//!
//! ```no_run
//! use esp32_flasher::{chip::Chip, port::serial::SerialPort, reset::ResetStrategy, session::Session};
//!
//! let port = SerialPort::open("/dev/ttyUSB0", 115_200)?;
//! let mut session = Session::new(Box::new(port));
//! session.connect(&[ResetStrategy::classic()], 7)?;
//! println!("{}", Chip::read(&mut session)?.mac);
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

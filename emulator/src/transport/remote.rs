//! A real port as a device: what `emulator proxy` stands in front of.

mod rfc2217;
mod serial;
mod stream;
mod tcp;

use std::{io, os::fd::BorrowedFd};

pub use rfc2217::Rfc2217Upstream;
pub use serial::SerialUpstream;
pub use tcp::TcpUpstream;

use super::device::SerialDevice;
use crate::{board::ControlLines, time::Instant};

/// Bytes of the port that may wait for the client; more are lost, as on a line without a reader.
const INCOMING_MAX: usize = 1 << 20;

/// A port with a board behind it. Nothing here waits for long.
pub trait Upstream: Send {
    /// Sends all of `bytes`; what arrives meanwhile goes to `incoming`.
    ///
    /// # Errors
    ///
    /// The port is gone, or takes nothing for a long time.
    fn write(&mut self, bytes: &[u8], incoming: &mut Vec<u8>) -> io::Result<()>;

    /// Appends what has arrived.
    ///
    /// # Errors
    ///
    /// The port is gone.
    fn read(&mut self, incoming: &mut Vec<u8>) -> io::Result<()>;

    /// Drives the modem lines; a port without them does nothing.
    ///
    /// # Errors
    ///
    /// The port is gone.
    fn set_lines(&mut self, lines: ControlLines) -> io::Result<()>;

    /// Changes the rate, in baud.
    ///
    /// # Errors
    ///
    /// The port is gone or does not do the rate.
    fn set_baud(&mut self, rate: u32) -> io::Result<()>;

    /// Sends a BREAK.
    ///
    /// # Errors
    ///
    /// The port is gone.
    fn send_break(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Can be read when bytes have arrived or the port is gone.
    fn fd(&self) -> BorrowedFd<'_>;
}

/// The device that is a real port. Its time is that of whoever drives it.
pub struct Remote {
    name: String,
    upstream: Box<dyn Upstream>,
    incoming: Vec<u8>,
    now: Instant,
    baud: Option<u32>,
    failed: Option<io::Error>,
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A port cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open {name}: {cause}")]
pub struct OpenError {
    /// As given.
    pub name: String,
    /// Why.
    #[source]
    pub cause: io::Error,
}

/// Rate of a first connection, in baud.
const BAUD_AT_CONNECT: u32 = 115_200;

impl Remote {
    /// Opens a serial device, a PTY, `rfc2217://HOST:PORT`, or `socket://HOST:PORT`.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub fn open(name: &str) -> Result<Self, OpenError> {
        let fail = |cause| OpenError { name: name.to_owned(), cause };
        let upstream: Box<dyn Upstream> = match name.split_once("://") {
            Some(("rfc2217", address)) => {
                Box::new(Rfc2217Upstream::connect(address, BAUD_AT_CONNECT).map_err(fail)?)
            }
            Some(("socket", address)) => Box::new(TcpUpstream::connect(address).map_err(fail)?),
            Some((scheme, _)) => {
                let what = format!(
                    "{scheme}:// is not known; a device, rfc2217://HOST:PORT, socket://HOST:PORT"
                );
                return Err(fail(io::Error::new(io::ErrorKind::Unsupported, what)));
            }
            None => Box::new(SerialUpstream::open(name, BAUD_AT_CONNECT).map_err(fail)?),
        };
        Ok(Self {
            name: name.to_owned(),
            upstream,
            incoming: Vec::new(),
            now: Instant::ZERO,
            baud: Some(BAUD_AT_CONNECT),
            failed: None,
        })
    }

    /// Whether the port is still there.
    ///
    /// # Errors
    ///
    /// What happened to it; told once.
    pub fn check(&mut self) -> io::Result<()> {
        let Some(error) = self.failed.take() else { return Ok(()) };
        Err(io::Error::new(error.kind(), format!("{} is gone: {error}", self.name)))
    }

    fn keep(&mut self, result: io::Result<()>) {
        if let Err(error) = result
            && self.failed.is_none()
        {
            self.failed = Some(error);
        }
    }
}

impl SerialDevice for Remote {
    fn now(&self) -> Instant {
        self.now
    }

    fn receive(&mut self, now: Instant, bytes: &[u8]) {
        self.advance(now);
        let result = self.upstream.write(bytes, &mut self.incoming);
        self.keep(result);
    }

    fn transmit(&mut self, now: Instant, out: &mut Vec<u8>) {
        self.advance(now);
        let result = self.upstream.read(&mut self.incoming);
        self.keep(result);
        self.incoming.truncate(INCOMING_MAX);
        out.append(&mut self.incoming);
    }

    fn next_event(&self) -> Option<Instant> {
        None
    }

    fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    fn set_host_baud(&mut self, now: Instant, baud: Option<u32>) {
        self.advance(now);
        if let Some(rate) = baud
            && baud != self.baud
        {
            self.baud = baud;
            let result = self.upstream.set_baud(rate);
            self.keep(result);
        }
    }

    fn receive_break(&mut self, now: Instant) {
        self.advance(now);
        let result = self.upstream.send_break();
        self.keep(result);
    }

    fn set_lines(&mut self, now: Instant, lines: ControlLines) {
        self.advance(now);
        let result = self.upstream.set_lines(lines);
        self.keep(result);
    }

    fn wake_fd(&self) -> Option<BorrowedFd<'_>> {
        // A port that is gone can be read for ever.
        self.failed.is_none().then(|| self.upstream.fd())
    }
}

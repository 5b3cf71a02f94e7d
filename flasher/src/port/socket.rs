//! The bare bytes of a serial line over TCP (`socket://`), as ser2net's raw mode or QEMU serve them.
//!
//! There are no modem lines, and nobody at the other end is told a rate.

use std::{
    io::{self, ErrorKind},
    time::Duration,
};

use super::{Lines, Port, PortError, WRITE_STALL_MAX, address::Address, stream::Stream};

/// What may arrive unread; more is lost, as on a line without a reader.
const RECEIVED_MAX: usize = 0x10_0000;

/// A TCP connection to a serial line.
#[derive(Debug)]
pub struct SocketPort {
    name: String,
    stream: Stream,
    received: Vec<u8>,
    baud: u32,
}

impl SocketPort {
    /// Connects to `address`; `baud` is what the line is taken to run at.
    ///
    /// # Errors
    ///
    /// [`PortError::Open`] if nobody listens there.
    pub fn open(name: &str, address: &Address, baud: u32) -> Result<Self, PortError> {
        let stream = Stream::connect(&address.peer, address.timeout)
            .map_err(|cause| PortError::Open { name: name.to_owned(), cause })?;
        Ok(Self { name: name.to_owned(), stream, received: Vec::new(), baud })
    }

    fn receive(&mut self) -> Result<usize, PortError> {
        let count = self.stream.receive(&mut self.received)?;
        self.received.truncate(RECEIVED_MAX);
        Ok(count)
    }
}

impl Port for SocketPort {
    fn name(&self) -> &str {
        &self.name
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), PortError> {
        let mut written = 0;
        let mut stalled_at = self.now() + WRITE_STALL_MAX;
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            let count = self.stream.send(rest)?;
            written += count;
            if count > 0 {
                stalled_at = self.now() + WRITE_STALL_MAX;
                continue;
            }
            if self.now() >= stalled_at {
                return Err(PortError::Stalled { written, total: bytes.len() });
            }
            // The server may wait for us to take its bytes before it takes ours.
            self.receive()?;
            self.stream.wait(true, stalled_at)?;
        }
        Ok(())
    }

    fn read(&mut self, out: &mut Vec<u8>, deadline: Duration) -> Result<usize, PortError> {
        loop {
            if !self.received.is_empty() || self.receive()? > 0 {
                let count = self.received.len();
                out.append(&mut self.received);
                return Ok(count);
            }
            if self.now() >= deadline {
                return Ok(0);
            }
            self.stream.wait(false, deadline)?;
        }
    }

    fn set_lines(&mut self, _lines: Lines) -> Result<(), PortError> {
        Err(PortError::LinesUnsupported)
    }

    fn has_rate(&self) -> bool {
        false
    }

    fn set_baud(&mut self, baud: u32) -> Result<(), PortError> {
        if baud == self.baud {
            return Ok(());
        }
        let cause = io::Error::new(
            ErrorKind::Unsupported,
            "nobody behind a socket:// port can be told a rate; rfc2217:// can",
        );
        Err(PortError::Baud { baud, cause })
    }

    fn flush_input(&mut self) -> Result<(), PortError> {
        while self.receive()? > 0 {
            self.received.clear();
        }
        self.received.clear();
        Ok(())
    }

    fn now(&self) -> Duration {
        self.stream.now()
    }

    #[expect(clippy::disallowed_methods, reason = "a real port waits")]
    fn wait(&mut self, span: Duration) {
        std::thread::sleep(span);
    }
}

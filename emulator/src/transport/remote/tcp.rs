//! A bare byte stream over TCP, as pyserial's `socket://`.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

use super::{Upstream, serial::wait};
use crate::board::ControlLines;

/// A server needs no longer to accept.
const CONNECT_MAX: Duration = Duration::from_secs(5);
const CHUNK: usize = 0x4000;
/// Chunks read in one go, so that a flood cannot hold the loop.
const CHUNKS_MAX: usize = 16;

/// A connection without modem lines and without a rate.
#[derive(Debug)]
pub struct TcpUpstream {
    stream: TcpStream,
    /// Read already, and to be read again.
    unread: Vec<u8>,
}

impl TcpUpstream {
    /// Connects to `HOST:PORT`.
    ///
    /// # Errors
    ///
    /// Nobody listens there.
    pub fn connect(address: &str) -> io::Result<Self> {
        let mut last = io::Error::new(ErrorKind::NotFound, "no such host");
        for address in address.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, CONNECT_MAX) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    stream.set_nonblocking(true)?;
                    return Ok(Self { stream, unread: Vec::new() });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Gives back bytes that arrived during a write.
    pub(super) fn unread(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
    }
}

impl Upstream for TcpUpstream {
    fn write(&mut self, bytes: &[u8], incoming: &mut Vec<u8>) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.read(incoming)?;
                    wait(self.stream.as_fd())?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn read(&mut self, incoming: &mut Vec<u8>) -> io::Result<()> {
        let mut chunk = [0; CHUNK];
        incoming.append(&mut self.unread);
        for _ in 0..CHUNKS_MAX {
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => incoming.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn set_lines(&mut self, _lines: ControlLines) -> io::Result<()> {
        Ok(())
    }

    fn set_baud(&mut self, _rate: u32) -> io::Result<()> {
        Ok(())
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

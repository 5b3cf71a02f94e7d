//! A bare byte stream over TCP, as pyserial's `socket://`.

use std::{
    io::{self, ErrorKind},
    net::{TcpStream, ToSocketAddrs},
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

use super::{Upstream, stream};
use crate::board::ControlLines;

/// A server needs no longer to accept.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// A connection without modem lines and without a rate.
#[derive(Debug)]
pub struct TcpUpstream {
    stream: TcpStream,
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
                    return Ok(Self { stream });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

impl Upstream for TcpUpstream {
    fn write(&mut self, bytes: &[u8], incoming: &mut Vec<u8>) -> io::Result<()> {
        stream::write(&mut self.stream, bytes, incoming)
    }

    fn read(&mut self, incoming: &mut Vec<u8>) -> io::Result<()> {
        stream::read(&mut self.stream, incoming)
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

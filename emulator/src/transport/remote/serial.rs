//! A serial device or a PTY.

use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::OpenOptionsExt,
    },
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::OFlags,
    io::Errno,
};
use serialport::{SerialPort as _, TTYPort};

use super::Upstream;
use crate::board::ControlLines;

/// A write that moves no byte for so long has failed.
const STALL: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };
/// Bytes read in one go.
const CHUNK: usize = 4096;
/// Chunks read in one go, so that a flood cannot hold the loop.
const CHUNKS_MAX: usize = 64;

/// A serial device or a PTY.
#[derive(Debug)]
pub struct SerialUpstream {
    /// For the data: it can be waited for.
    file: File,
    /// For rate and lines, the same device once more.
    tty: TTYPort,
    has_lines: bool,
}

impl SerialUpstream {
    /// Opens `path` at `baud`, for this process alone.
    ///
    /// # Errors
    ///
    /// It is missing, in use, or no serial port.
    pub fn open(path: &str, baud: u32) -> io::Result<Self> {
        let flags = (OFlags::NOCTTY | OFlags::NONBLOCK).bits();
        let flags = i32::try_from(flags).unwrap_or(0);
        let file = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)?;
        // Second, because it takes the device for this process alone; it makes the line raw, too.
        let tty = serialport::new(path, baud).open_native().map_err(io::Error::from)?;
        tty.clear(serialport::ClearBuffer::Input).map_err(io::Error::from)?;
        Ok(Self { file, tty, has_lines: true })
    }

    fn read_some(&mut self, incoming: &mut Vec<u8>) -> io::Result<()> {
        let mut chunk = [0; CHUNK];
        for _ in 0..CHUNKS_MAX {
            match self.file.read(&mut chunk) {
                // A device that was unplugged reads as an end.
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => incoming.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Upstream for SerialUpstream {
    fn write(&mut self, bytes: &[u8], incoming: &mut Vec<u8>) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.file.write(rest) {
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    // Two sides that both only write would wait for ever.
                    self.read_some(incoming)?;
                    wait(self.file.as_fd())?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn read(&mut self, incoming: &mut Vec<u8>) -> io::Result<()> {
        self.read_some(incoming)
    }

    fn set_lines(&mut self, lines: ControlLines) -> io::Result<()> {
        if self.has_lines {
            let dtr = self.tty.write_data_terminal_ready(lines.dtr);
            let both = dtr.and_then(|()| self.tty.write_request_to_send(lines.rts));
            // A PTY has none. A device that is gone fails again at the next read.
            self.has_lines = both.is_ok();
        }
        Ok(())
    }

    fn set_baud(&mut self, rate: u32) -> io::Result<()> {
        self.tty.set_baud_rate(rate).map_err(io::Error::from)
    }

    fn send_break(&mut self) -> io::Result<()> {
        let done = self.tty.set_break().and_then(|()| self.tty.clear_break());
        done.map_err(io::Error::from)
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Waits until the port takes or has bytes.
pub(super) fn wait(fd: BorrowedFd<'_>) -> io::Result<()> {
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::OUT | PollFlags::IN)];
    match poll(&mut fds, Some(&STALL)) {
        Ok(0) => Err(io::Error::new(ErrorKind::TimedOut, "it takes no bytes")),
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

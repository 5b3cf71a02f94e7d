//! A serial device or a PTY.

use std::{
    fs::{File, OpenOptions},
    io::{self, IsTerminal},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::OpenOptionsExt,
    },
};

use rustix::fs::OFlags;
use serialport::{SerialPort as _, TTYPort};

use super::{Upstream, stream};
use crate::board::ControlLines;

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
        if !file.is_terminal() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no serial port"));
        }
        // Second, because it takes the device for this process alone; it makes the line raw, too.
        let tty = serialport::new(path, baud).open_native().map_err(io::Error::from)?;
        tty.clear(serialport::ClearBuffer::Input).map_err(io::Error::from)?;
        Ok(Self { file, tty, has_lines: true })
    }
}

impl Upstream for SerialUpstream {
    fn write(&mut self, bytes: &[u8], incoming: &mut Vec<u8>) -> io::Result<()> {
        stream::write(&mut self.file, bytes, incoming)
    }

    fn read(&mut self, incoming: &mut Vec<u8>) -> io::Result<()> {
        stream::read(&mut self.file, incoming)
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

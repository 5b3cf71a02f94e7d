//! Serial devices and PTYs.

use std::{
    io::{self, ErrorKind, Read, Write},
    os::fd::AsRawFd,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    unistd,
};
use serialport::{ClearBuffer, SerialPort as _, TTYPort};

use super::{Lines, Port, PortError, WRITE_STALL_MAX};

/// How long to look for an answer before sleeping, if the last one came as soon as [`QUICK`].
const LOOK: Duration = Duration::from_micros(100);
const QUICK: Duration = Duration::from_micros(200);
/// One step of waiting inside a read, so that a deadline is met.
const READ_STEP_MAX: Duration = Duration::from_millis(100);

/// A serial device or a PTY, opened for this process alone.
pub struct SerialPort {
    name: String,
    tty: TTYPort,
    opened: Instant,
    /// The last answer came so soon that looking for it beats sleeping.
    is_quick: bool,
}

impl SerialPort {
    /// Opens `path` at `baud`, takes it for this process alone and drops stale input.
    ///
    /// # Errors
    ///
    /// [`PortError::Open`] if it is missing, in use, or no serial port.
    #[expect(clippy::disallowed_methods, reason = "a real port reads the clock")]
    pub fn open(path: &str, baud: u32) -> Result<Self, PortError> {
        let open = |cause| PortError::Open { name: path.to_owned(), cause };
        let tty = serialport::new(path, baud)
            .timeout(READ_STEP_MAX)
            .open_native()
            .map_err(|error| open(why_not_opened(error)))?;
        set_nonblocking(&tty).map_err(|errno| open(errno.into()))?;
        let mut port = Self { name: path.to_owned(), tty, opened: Instant::now(), is_quick: false };
        port.flush_input()?;
        Ok(port)
    }
}

/// In our words where the file is no terminal, which the library calls "Not a typewriter".
fn why_not_opened(error: serialport::Error) -> io::Error {
    if error.description == Errno::ENOTTY.desc() {
        io::Error::new(ErrorKind::InvalidInput, "it is no serial port")
    } else {
        error.into()
    }
}

impl SerialPort {
    /// Looks for a quick answer until `until`, where sleeping would take longer: a PTY's other side
    /// answers in less than it takes to wake a processor up. Says whether bytes are there.
    fn look(&self, until: Duration) -> bool {
        while self.is_quick && self.now() < until {
            match self.tty.bytes_to_read() {
                Ok(0) => {}
                Ok(_) => return true,
                Err(_) => return false,
            }
            // The other side may need this very processor.
            std::thread::yield_now();
        }
        false
    }

    /// Reads what is there. `serialport` asks the system whether there is anything before each
    /// read, which a look has answered.
    fn take(&self, buffer: &mut [u8]) -> Option<usize> {
        unistd::read(self.tty.as_raw_fd(), buffer).ok().filter(|count| *count > 0)
    }

    /// Writes what fits at once; waits for room only if nothing does.
    fn put(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match unistd::write(self.tty.as_raw_fd(), bytes) {
            Ok(count) => Ok(count),
            Err(nix::Error::EAGAIN) => self.tty.write(bytes),
            Err(error) => Err(error.into()),
        }
    }
}

/// Without it, a write to a stalled peer ignores the timeout and blocks for ever.
fn set_nonblocking(tty: &TTYPort) -> nix::Result<()> {
    let flags = OFlag::from_bits_truncate(fcntl(tty.as_raw_fd(), FcntlArg::F_GETFL)?);
    fcntl(tty.as_raw_fd(), FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

impl Port for SerialPort {
    fn name(&self) -> &str {
        &self.name
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), PortError> {
        let mut written = 0;
        let mut stalled_at = self.now() + WRITE_STALL_MAX;
        while written < bytes.len() {
            match self.put(&bytes[written..]) {
                Ok(count) => {
                    written += count;
                    stalled_at = self.now() + WRITE_STALL_MAX;
                }
                Err(error) if is_wait(&error) => {
                    if self.now() >= stalled_at {
                        return Err(PortError::Stalled { written, total: bytes.len() });
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        if self.is_quick {
            // What takes the bytes to the other side may need this very processor.
            std::thread::yield_now();
        }
        Ok(())
    }

    fn read(&mut self, out: &mut Vec<u8>, deadline: Duration) -> Result<usize, PortError> {
        let mut buffer = [0; 4096];
        let start = self.now();
        if self.look(start + LOOK)
            && let Some(count) = self.take(&mut buffer)
        {
            out.extend_from_slice(&buffer[..count]);
            return Ok(count);
        }
        loop {
            // The timeout is rounded up: a step of zero would spin.
            let left = deadline.saturating_sub(self.now()).max(Duration::from_millis(1));
            self.tty.set_timeout(left.min(READ_STEP_MAX)).map_err(io::Error::from)?;
            match self.tty.read(&mut buffer) {
                Ok(0) => return Err(io::Error::from(ErrorKind::UnexpectedEof).into()),
                Ok(count) => {
                    self.is_quick = self.now().saturating_sub(start) < QUICK;
                    out.extend_from_slice(&buffer[..count]);
                    return Ok(count);
                }
                Err(error) if is_wait(&error) => {}
                Err(error) => return Err(error.into()),
            }
            if self.now() >= deadline {
                return Ok(0);
            }
        }
    }

    fn set_lines(&mut self, lines: Lines) -> Result<(), PortError> {
        let dtr = self.tty.write_data_terminal_ready(lines.dtr);
        let both = dtr.and_then(|()| self.tty.write_request_to_send(lines.rts));
        // A PTY answers ENOTTY, which serialport has no kind for. A device that is gone fails
        // again, with its own error, at the next read or write.
        both.map_err(|_| PortError::LinesUnsupported)
    }

    fn set_baud(&mut self, baud: u32) -> Result<(), PortError> {
        self.tty.set_baud_rate(baud).map_err(|error| PortError::Baud { baud, cause: error.into() })
    }

    fn flush_input(&mut self) -> Result<(), PortError> {
        self.tty.clear(ClearBuffer::Input).map_err(|error| PortError::Io(error.into()))
    }

    fn now(&self) -> Duration {
        self.opened.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "a real port waits")]
    fn wait(&mut self, span: Duration) {
        std::thread::sleep(span);
    }
}

fn is_wait(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

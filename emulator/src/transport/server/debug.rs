//! A debugger at a served board.

use std::{
    io,
    os::{fd::AsFd, unix::net::UnixStream},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};

use super::{Server, wall_now};
use crate::transport::device::SerialDevice;

impl<D: SerialDevice> Server<D> {
    /// Serves the debugger. True if it holds the board, or did so until now.
    pub(super) fn debug(&mut self) -> io::Result<bool> {
        let was_halted = self.device.is_halted();
        self.fronts.debug(&mut self.device);
        let is_halted = self.device.is_halted();
        if was_halted || is_halted {
            self.clock.hold(&self.device, wall_now());
            // Everything that has waited is due.
            self.more = !is_halted;
            self.port.write()?;
        }
        Ok(was_halted || is_halted)
    }

    /// Waits until a debugger has come and has let the board go on; ends when `stop` can be read.
    ///
    /// # Errors
    ///
    /// The system cannot wait.
    pub fn await_debugger(&mut self, stop: &UnixStream) -> io::Result<()> {
        let mut seen = false;
        loop {
            let mut fds = vec![PollFd::from_borrowed_fd(stop.as_fd(), PollFlags::IN)];
            self.fronts.debugger_fds(&mut fds);
            match poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            if fds.first().is_some_and(|fd| !fd.revents().is_empty()) {
                return Ok(());
            }
            drop(fds);
            self.debug()?;
            seen |= self.device.is_halted();
            if seen && !self.device.is_halted() {
                return Ok(());
            }
        }
    }
}

//! The ways in besides the PTY: modem lines for it, RFC 2217, bare TCP, serprog. All of them join
//! the one loop of [`super::server::Server`].
//!
//! The serial fronts are wired in parallel, as two adapters on the same pins would be: the board's
//! bytes go to every client, and whoever writes is heard. serprog is a clip on the flash.

use std::{
    io,
    net::SocketAddr,
    os::fd::AsFd,
    path::{Path, PathBuf},
    time,
};

use rustix::event::{PollFd, PollFlags};

use super::{
    adapter::TransmitBuffer,
    debugger::DebugServer,
    device::SerialDevice,
    line::{Format, RawSession, SerialLine},
    modem::{ModemRequest, ModemSocket},
    pace::Clock,
    rfc2217::Session,
    serprog::{self, SpiBus},
    server::Hook,
    tcp::TcpServer,
};
use crate::{
    board::ControlLines,
    gdb::Scope,
    spi::{CommandLines, Transaction},
    time::{Duration, Instant},
};

/// Rate that an RFC 2217 client is told before it sets one, in baud.
const BAUD_AT_CONNECT: u32 = 115_200;

/// Fronts of one board; none at first.
#[derive(Debug, Default)]
pub struct Fronts {
    modem: Option<ModemSocket>,
    rfc2217: Option<TcpServer<Session>>,
    raw: Option<TcpServer<RawSession>>,
    serprog: Option<TcpServer<serprog::Server>>,
    debugger: Option<DebugServer>,
    /// What the RFC 2217 client set last.
    baud: Option<u32>,
    /// The same; `None` is 8N1.
    format: Option<Format>,
    /// What the RFC 2217 client has sent and the line has not taken.
    buffer: TransmitBuffer,
}

impl Fronts {
    /// Takes modem lines for the PTY from the preload library at the socket `path`.
    ///
    /// # Errors
    ///
    /// As [`ModemSocket::bind`].
    pub fn listen_modem(&mut self, path: &Path) -> io::Result<PathBuf> {
        let socket = self.modem.insert(ModemSocket::bind(path)?);
        Ok(socket.path().to_owned())
    }

    /// Serves the board's UART over RFC 2217; returns the address with its port.
    ///
    /// # Errors
    ///
    /// As [`TcpServer::bind`].
    pub fn listen_rfc2217(&mut self, address: SocketAddr) -> io::Result<SocketAddr> {
        self.rfc2217.insert(TcpServer::bind(address)?).local_addr()
    }

    /// Serves the board's UART over bare TCP (pyserial's `socket://`).
    ///
    /// # Errors
    ///
    /// As [`TcpServer::bind`].
    pub fn listen_raw(&mut self, address: SocketAddr) -> io::Result<SocketAddr> {
        self.raw.insert(TcpServer::bind(address)?).local_addr()
    }

    /// Serves the board's flash over serprog, for flashrom.
    ///
    /// # Errors
    ///
    /// As [`TcpServer::bind`].
    pub fn listen_serprog(&mut self, address: SocketAddr) -> io::Result<SocketAddr> {
        self.serprog.insert(TcpServer::bind(address)?).local_addr()
    }

    /// Lets GDB look into the board's processor.
    ///
    /// # Errors
    ///
    /// As [`DebugServer::bind`].
    pub fn listen_gdb(&mut self, address: SocketAddr) -> io::Result<SocketAddr> {
        self.debugger.insert(DebugServer::bind(address, Scope::Processor)?).local_addr()
    }

    /// Whether a debugger is connected.
    pub(crate) fn has_debugger(&mut self) -> bool {
        self.debugger.as_mut().is_some_and(DebugServer::is_attached)
    }

    /// Adds the debugger's descriptors alone: it holds the board.
    pub(crate) fn debugger_fds<'a>(&'a mut self, fds: &mut Vec<PollFd<'a>>) {
        if let Some(debugger) = &mut self.debugger {
            debugger.poll_fds(fds);
        }
    }

    /// Takes what debuggers want of `device`.
    pub(crate) fn debug<D: SerialDevice>(&mut self, device: &mut D) {
        if let (Some(debugger), Some(target)) = (&mut self.debugger, device.debug_target()) {
            debugger.service(target);
        }
    }

    /// The board has run: the debugger is told if it has paused.
    pub(crate) fn tell_debugger<D: SerialDevice>(&mut self, device: &mut D) {
        if let (Some(debugger), Some(target)) = (&mut self.debugger, device.debug_target()) {
            debugger.tell(target);
        }
    }

    /// Adds the descriptors to wait for.
    pub(crate) fn poll_fds<'a>(&'a mut self, fds: &mut Vec<PollFd<'a>>) {
        if let Some(modem) = &self.modem {
            fds.push(PollFd::from_borrowed_fd(modem.as_fd(), PollFlags::IN));
        }
        if let Some(server) = &mut self.rfc2217 {
            server.poll_fds(fds);
        }
        if let Some(server) = &mut self.raw {
            server.poll_fds(fds);
        }
        if let Some(server) = &mut self.serprog {
            server.poll_fds(fds);
        }
        if let Some(debugger) = &mut self.debugger {
            debugger.poll_fds(fds);
        }
    }

    /// How long until the line takes more of what waits for it.
    pub(crate) fn wait<D: SerialDevice>(
        &self,
        device: &D,
        clock: &Clock,
        wall: time::Instant,
    ) -> Option<time::Duration> {
        self.buffer.wait(device, clock, wall)
    }

    /// The next client of the PTY that waits for its line change.
    pub(crate) fn modem_request(&mut self) -> Option<ModemRequest> {
        self.modem.as_mut()?.next_request()
    }

    /// The lines as `request` wants them.
    pub(crate) fn modem_wanted(&self, request: &ModemRequest) -> ControlLines {
        self.modem.as_ref().map(|modem| modem.wanted(request)).unwrap_or_default()
    }

    /// The board has the lines of `request`.
    pub(crate) fn modem_answer(&mut self, request: &ModemRequest) {
        if let Some(modem) = &mut self.modem {
            modem.answer(request);
        }
    }

    /// The PTY's last client has gone: its lines fall. Says whether they were up.
    pub(crate) fn modem_release(&mut self) -> bool {
        let Some(modem) = &mut self.modem else { return false };
        let was_up = modem.lines() != ControlLines::default();
        modem.release();
        was_up
    }

    /// Moves bytes from the network into `device`, and serprog's answers back behind `hooks`, whose
    /// error is the only one.
    pub(crate) fn service<D: SerialDevice>(
        &mut self,
        device: &mut D,
        clock: &mut Clock,
        hooks: &mut [Hook<D>],
        wall: time::Instant,
    ) -> io::Result<()> {
        if let Some(server) = &mut self.rfc2217 {
            let buffer = Some(&mut self.buffer);
            let (baud, format) = (self.baud, self.format);
            let mut line = DeviceLine { device, clock, wall, baud, format, buffer };
            line.feed();
            let activity = server.service(&mut line, |_| Session::new(BAUD_AT_CONNECT));
            let gone = activity.disconnected;
            (self.baud, self.format) = if gone { (None, None) } else { (line.baud, line.format) };
            if gone {
                device.set_host_format(device.now(), Format::EIGHT_N_ONE);
            }
        }
        if let Some(server) = &mut self.raw {
            let mut line =
                DeviceLine { device, clock, wall, baud: None, format: None, buffer: None };
            server.service(&mut line, |_| RawSession::default());
        }
        if let Some(server) = &mut self.serprog {
            let mut bus = DeviceBus { device, clock, hooks, wall, stored: Ok(()) };
            server.service(&mut bus, |_| serprog::Server::default());
            bus.stored?;
        }
        Ok(())
    }

    /// Gives the board's bytes to the serial clients and sends what waits for them.
    pub(crate) fn transmit(&mut self, bytes: &[u8]) {
        if let Some(server) = &mut self.rfc2217 {
            if let Some(session) = server.session() {
                session.transmit(bytes);
            }
            server.flush();
        }
        if let Some(server) = &mut self.raw {
            if let Some(session) = server.session() {
                session.transmit(bytes);
            }
            server.flush();
        }
    }
}

/// A device's serial line at one moment.
struct DeviceLine<'a, D> {
    device: &'a mut D,
    clock: &'a mut Clock,
    wall: time::Instant,
    baud: Option<u32>,
    format: Option<Format>,
    /// Of an adapter that has one.
    buffer: Option<&'a mut TransmitBuffer>,
}

impl<D: SerialDevice> DeviceLine<'_, D> {
    /// The bytes that follow are framed as the client's; one that cannot set frames has the usual
    /// ones.
    fn frame(&mut self) {
        let format = self.format.unwrap_or(Format::EIGHT_N_ONE);
        self.device.set_host_format(self.device.now(), format);
    }

    fn feed(&mut self) {
        if self.buffer.as_ref().is_some_and(|buffer| !buffer.is_empty()) {
            self.frame();
        }
        if let Some(buffer) = &mut self.buffer {
            buffer.feed(self.device, self.clock, self.wall, self.baud);
        }
    }
}

impl<D: SerialDevice> SerialLine for DeviceLine<'_, D> {
    fn receive(&mut self, bytes: &[u8]) {
        if let Some(buffer) = &mut self.buffer {
            buffer.send(bytes);
        } else {
            self.frame();
            self.clock.input(self.device, self.wall, self.baud, bytes);
        }
        self.feed();
    }

    fn has_room(&self) -> bool {
        self.buffer.as_ref().is_none_or(|buffer| buffer.has_room())
    }

    fn discard_received(&mut self) {
        if let Some(buffer) = &mut self.buffer {
            buffer.discard();
        }
    }

    fn set_lines(&mut self, dtr: bool, rts: bool) {
        let now = self.clock.happens(self.device, self.wall);
        self.device.set_lines(now, ControlLines { dtr, rts });
    }

    fn set_baud(&mut self, rate: u32) {
        self.baud = Some(rate);
        let now = self.clock.happens(self.device, self.wall);
        self.device.set_host_baud(now, self.baud);
    }

    fn set_format(&mut self, format: Format) {
        self.format = Some(format);
        let now = self.clock.happens(self.device, self.wall);
        self.device.set_host_format(now, format);
    }

    fn set_break(&mut self, on: bool) {
        if on {
            let now = self.clock.happens(self.device, self.wall);
            self.device.receive_break(now);
        }
    }
}

/// A device's flash with a programmer clipped to it.
struct DeviceBus<'a, D> {
    device: &'a mut D,
    clock: &'a mut Clock,
    hooks: &'a mut [Hook<D>],
    stored: io::Result<()>,
    wall: time::Instant,
}

impl<D: SerialDevice> DeviceBus<'_, D> {
    fn pass(&mut self, now: Instant) {
        self.device.advance(now);
        self.clock.touched(self.device);
        // Answers leave as soon as they are made, so what they tell is stored first.
        for hook in self.hooks.iter_mut() {
            if let Err(error) = hook(self.device) {
                self.stored = Err(error);
            }
        }
    }
}

impl<D: SerialDevice> SpiBus for DeviceBus<'_, D> {
    fn transfer(&mut self, clock_hz: u32, mosi: &[u8], miso: &mut [u8]) {
        let now = self.clock.happens(self.device, self.wall);
        let span = serprog::transfer_time(mosi.len() + miso.len(), clock_hz);
        let mut transaction = Transaction { mosi, miso, command_lines: CommandLines::One };
        let busy_before = self.device.spi_transfer(now, &mut transaction);
        // The poll that met the part busy has told its client so; the next one finds it ready.
        let end = busy_before.filter(|_| self.clock.jumps()).unwrap_or(now);
        self.pass(end.max(now + span));
    }

    fn wait(&mut self, span: Duration) {
        let now = self.clock.happens(self.device, self.wall);
        self.pass(now + span);
    }

    fn drive(&mut self, _on: bool) {}
}

#[cfg(test)]
mod tests;

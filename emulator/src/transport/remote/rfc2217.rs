//! A serial port of another machine, over RFC 2217.
//!
//! Changes of lines and rate stand in the stream between the data, so nothing waits for answers.

use std::{io, os::fd::BorrowedFd};

use esp_protocol::rfc2217::{Client, Command, Control, Format};

use super::{TcpUpstream, Upstream};
use crate::board::ControlLines;

/// A connection to an RFC 2217 server.
#[derive(Debug)]
pub struct Rfc2217Upstream {
    tcp: TcpUpstream,
    client: Client,
}

impl Rfc2217Upstream {
    /// Connects to `HOST:PORT` and asks for the serial port there, at `baud`.
    ///
    /// # Errors
    ///
    /// Nobody listens there.
    pub fn connect(address: &str, baud: u32) -> io::Result<Self> {
        let mut upstream = Self { tcp: TcpUpstream::connect(address)?, client: Client::new() };
        let Format { data_bits, parity, stop_bits } = Format::EIGHT_N_ONE;
        upstream.command(&[
            Command::SetBaudRate(baud),
            Command::SetDataSize(data_bits),
            Command::SetParity(parity),
            Command::SetStopSize(stop_bits),
            Command::SetControl(Control::FlowNone),
        ])?;
        Ok(upstream)
    }

    /// Sends what the client has to say; what the server says meanwhile is heard.
    fn flush(&mut self) -> io::Result<()> {
        while !self.client.outbox().is_empty() {
            let mut raw = Vec::new();
            let wire = self.client.outbox();
            let count = wire.len();
            let result = self.tcp.write(wire, &mut raw);
            self.client.sent(count);
            self.client.receive(&raw);
            result?;
        }
        Ok(())
    }

    fn command(&mut self, commands: &[Command]) -> io::Result<()> {
        self.client.command(commands);
        self.flush()
    }
}

impl Upstream for Rfc2217Upstream {
    fn write(&mut self, bytes: &[u8], incoming: &mut Vec<u8>) -> io::Result<()> {
        self.client.data(bytes);
        let result = self.flush();
        incoming.append(self.client.received());
        result
    }

    fn read(&mut self, incoming: &mut Vec<u8>) -> io::Result<()> {
        let mut raw = Vec::new();
        // What came before the end still counts.
        let result = self.tcp.read(&mut raw);
        self.client.receive(&raw);
        incoming.append(self.client.received());
        self.flush()?;
        result
    }

    fn set_lines(&mut self, lines: ControlLines) -> io::Result<()> {
        let dtr = if lines.dtr { Control::DtrOn } else { Control::DtrOff };
        let rts = if lines.rts { Control::RtsOn } else { Control::RtsOff };
        self.command(&[Command::SetControl(dtr), Command::SetControl(rts)])
    }

    fn set_baud(&mut self, rate: u32) -> io::Result<()> {
        self.command(&[Command::SetBaudRate(rate)])
    }

    fn send_break(&mut self) -> io::Result<()> {
        self.command(&[Control::BreakOn, Control::BreakOff].map(Command::SetControl))
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.tcp.fd()
    }
}

//! A serial port of another machine, over RFC 2217.
//!
//! Changes of lines and rate stand in the stream between the data, so nothing waits for answers.

use std::{io, os::fd::BorrowedFd};

use esp_protocol::{
    rfc2217::{Command, Control, Speaker},
    telnet::{
        Decoder, Event, Negotiator, OPTION_BINARY, OPTION_COM_PORT, OPTION_SUPPRESS_GO_AHEAD,
    },
};

use super::{TcpUpstream, Upstream};
use crate::board::ControlLines;

/// Telnet's own words that may wait to be sent.
const ANSWERS_MAX: usize = 0x1_0000;

/// A connection to an RFC 2217 server.
#[derive(Debug)]
pub struct Rfc2217Upstream {
    tcp: TcpUpstream,
    decoder: Decoder,
    negotiator: Negotiator,
}

impl Rfc2217Upstream {
    /// Connects to `HOST:PORT` and asks for the serial port there, at `baud`.
    ///
    /// # Errors
    ///
    /// Nobody listens there.
    pub fn connect(address: &str, baud: u32) -> io::Result<Self> {
        let tcp = TcpUpstream::connect(address)?;
        let options = [OPTION_COM_PORT, OPTION_BINARY, OPTION_SUPPRESS_GO_AHEAD];
        let mut upstream =
            Self { tcp, decoder: Decoder::default(), negotiator: Negotiator::new(&options) };
        let mut wire = Vec::new();
        upstream.negotiator.ask(OPTION_COM_PORT, true, &mut wire);
        for option in [OPTION_BINARY, OPTION_SUPPRESS_GO_AHEAD] {
            upstream.negotiator.ask(option, true, &mut wire);
            upstream.negotiator.ask(option, false, &mut wire);
        }
        for command in [
            Command::SetBaudRate(baud),
            Command::SetDataSize(8),
            Command::SetParity(1),
            Command::SetStopSize(1),
            Command::SetControl(Control::FlowNone),
        ] {
            command.emit(Speaker::Client, &mut wire);
        }
        upstream.tcp.write(&wire, &mut Vec::new())?;
        Ok(upstream)
    }

    /// Takes the server's bytes; data goes to `incoming`, answers to its questions are sent.
    fn take(&mut self, bytes: &[u8], incoming: &mut Vec<u8>) -> io::Result<()> {
        let mut rest = bytes;
        let mut answers = Vec::new();
        while let Some(event) = self.decoder.next(&mut rest) {
            match event {
                Event::Data(data) => incoming.extend_from_slice(data),
                Event::Negotiate { verb, option } if answers.len() < ANSWERS_MAX => {
                    self.negotiator.receive(verb, option, &mut answers);
                }
                _ => {}
            }
        }
        if answers.is_empty() {
            return Ok(());
        }
        self.send(&answers, incoming)
    }

    fn send(&mut self, wire: &[u8], incoming: &mut Vec<u8>) -> io::Result<()> {
        let mut raw = Vec::new();
        self.tcp.write(wire, &mut raw)?;
        if raw.is_empty() { Ok(()) } else { self.take(&raw, incoming) }
    }

    fn command(&mut self, command: &Command) -> io::Result<()> {
        let (mut wire, mut raw) = (Vec::new(), Vec::new());
        command.emit(Speaker::Client, &mut wire);
        self.tcp.write(&wire, &mut raw)?;
        self.tcp.unread(&raw);
        Ok(())
    }
}

impl Upstream for Rfc2217Upstream {
    fn write(&mut self, bytes: &[u8], incoming: &mut Vec<u8>) -> io::Result<()> {
        let mut wire = Vec::new();
        Event::Data(bytes).emit(&mut wire);
        self.send(&wire, incoming)
    }

    fn read(&mut self, incoming: &mut Vec<u8>) -> io::Result<()> {
        let mut raw = Vec::new();
        // What came before the end still counts.
        let result = self.tcp.read(&mut raw);
        self.take(&raw, incoming)?;
        result
    }

    fn set_lines(&mut self, lines: ControlLines) -> io::Result<()> {
        let dtr = if lines.dtr { Control::DtrOn } else { Control::DtrOff };
        let rts = if lines.rts { Control::RtsOn } else { Control::RtsOff };
        self.command(&Command::SetControl(dtr))?;
        self.command(&Command::SetControl(rts))
    }

    fn set_baud(&mut self, rate: u32) -> io::Result<()> {
        self.command(&Command::SetBaudRate(rate))
    }

    fn send_break(&mut self) -> io::Result<()> {
        self.command(&Command::SetControl(Control::BreakOn))?;
        self.command(&Command::SetControl(Control::BreakOff))
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.tcp.fd()
    }
}

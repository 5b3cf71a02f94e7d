//! A serial port of another machine, over RFC 2217: rate, format, modem lines, BREAK and purge.
//!
//! Answers are waited for, so that a line change has happened when [`Port::set_lines`] returns.
//! A server that answers no line changes (Espressif's `esp_rfc2217_server` plays its own reset
//! instead) or no purge is waited for once.

use std::{
    io::{self, ErrorKind},
    time::Duration,
};

use esp_protocol::rfc2217::{
    Agreement, Client, Command, Control, Format, MODEM_CARRIER, MODEM_CTS, MODEM_DSR, MODEM_RING,
    PURGE_RECEIVED, PURGE_TRANSMIT,
};

use super::{Lines, Port, PortError, WRITE_STALL_MAX, address::Address, stream::Stream};

/// Data handed over between two looks at the server's flow control.
const WRITE_CHUNK: usize = 0x1000;
/// A server needs no longer for a line change; one that says nothing is not waited for again.
const CONTROL_ANSWER_MAX: Duration = Duration::from_millis(500);
/// What a server says before it hangs up is shown up to here.
const WORDS_MAX: usize = 200;

/// A port behind an RFC 2217 server.
#[derive(Debug)]
pub struct Rfc2217Port {
    name: String,
    stream: Stream,
    client: Client,
    timeout: Duration,
    /// What was last asked for; `None` before.
    lines: Option<Lines>,
    /// The server answers line changes.
    answers_control: bool,
    /// The server answers a purge.
    answers_purge: bool,
}

/// Inputs of the adapter at the other end, in the bits of NOTIFY-MODEMSTATE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModemState(pub u8);

impl ModemState {
    /// Clear to send.
    #[must_use]
    pub const fn cts(self) -> bool {
        self.0 & MODEM_CTS != 0
    }

    /// Data set ready.
    #[must_use]
    pub const fn dsr(self) -> bool {
        self.0 & MODEM_DSR != 0
    }

    /// Ring indicator.
    #[must_use]
    pub const fn ring(self) -> bool {
        self.0 & MODEM_RING != 0
    }

    /// Carrier detect.
    #[must_use]
    pub const fn carrier(self) -> bool {
        self.0 & MODEM_CARRIER != 0
    }
}

/// Who may stop the data to the chip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlowControl {
    /// Nobody.
    None,
    /// XON and XOFF.
    XonXoff,
    /// RTS and CTS.
    Hardware,
}

impl Rfc2217Port {
    /// Connects to `address`, agrees on the protocol, and sets `baud`, eight data bits, no parity,
    /// one stop bit and no flow control. The modem lines stay as they are.
    ///
    /// # Errors
    ///
    /// [`PortError::Open`] if nobody listens there, [`PortError::Server`] if what listens there
    /// speaks something else or sends the client away, [`PortError::Baud`].
    pub fn open(name: &str, address: &Address, baud: u32) -> Result<Self, PortError> {
        let stream = Stream::connect(&address.peer, address.timeout)
            .map_err(|cause| PortError::Open { name: name.to_owned(), cause })?;
        let mut port = Self {
            name: name.to_owned(),
            stream,
            client: Client::new(),
            timeout: address.timeout,
            lines: None,
            answers_control: !address.ignore_control_answers,
            answers_purge: true,
        };
        port.agree()?;
        port.set_baud(baud)?;
        port.set_format(Format::EIGHT_N_ONE)?;
        port.set_flow_control(FlowControl::None)?;
        port.flush_input()?;
        Ok(port)
    }

    fn agree(&mut self) -> Result<(), PortError> {
        let result = self.pump(self.timeout, |client| client.agreement() != Agreement::Open);
        match (result, self.client.agreement()) {
            (Ok(_), Agreement::Agreed) => Ok(()),
            (Ok(_), Agreement::Refused) => Err(self.server("it offers no serial port (RFC 2217)")),
            (Ok(_), Agreement::Open) => {
                Err(self.server("it does not speak RFC 2217; socket:// takes bare bytes"))
            }
            (Err(_), _) if !self.client.received().is_empty() => {
                let words = String::from_utf8_lossy(self.client.received());
                let words = words.trim().chars().take(WORDS_MAX).collect::<String>();
                Err(self.server(&format!("it hung up and said: {words:?}")))
            }
            (Err(error), _) => Err(error),
        }
    }

    fn server(&self, problem: &str) -> PortError {
        PortError::Server { name: self.name.clone(), problem: problem.to_owned() }
    }

    /// Data bits, parity and stop bits.
    ///
    /// # Errors
    ///
    /// [`PortError::Server`] if the server does not take them.
    pub fn set_format(&mut self, format: Format) -> Result<(), PortError> {
        let Format { data_bits, parity, stop_bits } = format;
        let commands = [
            Command::SetDataSize(data_bits),
            Command::SetParity(parity),
            Command::SetStopSize(stop_bits),
        ];
        if self.ask(&commands, self.timeout)? {
            return Ok(());
        }
        Err(self.server(&format!(
            "it does not take {data_bits} data bits, parity {parity}, stop {stop_bits}"
        )))
    }

    /// Flow control between the adapter and the chip.
    ///
    /// # Errors
    ///
    /// [`PortError`] if the server is gone. One that does not answer is taken to do as asked.
    pub fn set_flow_control(&mut self, flow: FlowControl) -> Result<(), PortError> {
        let control = match flow {
            FlowControl::None => Control::FlowNone,
            FlowControl::XonXoff => Control::FlowXonXoff,
            FlowControl::Hardware => Control::FlowHardware,
        };
        self.control(&[control])
    }

    /// Begins or ends a BREAK towards the chip.
    ///
    /// # Errors
    ///
    /// [`PortError`] if the server is gone.
    pub fn set_break(&mut self, on: bool) -> Result<(), PortError> {
        self.control(&[if on { Control::BreakOn } else { Control::BreakOff }])
    }

    /// Drops what was written and has not reached the chip yet.
    ///
    /// # Errors
    ///
    /// [`PortError`] if the server is gone.
    pub fn discard_output(&mut self) -> Result<(), PortError> {
        self.purge(PURGE_TRANSMIT)
    }

    /// The adapter's inputs, as the server has told them last.
    ///
    /// # Errors
    ///
    /// [`PortError`] if the server is gone.
    pub fn modem_state(&mut self) -> Result<ModemState, PortError> {
        self.pump(Duration::ZERO, |_| true)?;
        Ok(ModemState(self.client.modem_state()))
    }

    /// Receive errors since the last call, as bits of RFC 2217 NOTIFY-LINESTATE (8 framing, 4
    /// parity, 2 overrun, 16 BREAK); none from a server that does not tell them.
    ///
    /// # Errors
    ///
    /// [`PortError`] if the server is gone.
    pub fn take_line_errors(&mut self) -> Result<u8, PortError> {
        self.pump(Duration::ZERO, |_| true)?;
        Ok(self.client.take_line_state())
    }

    fn control(&mut self, controls: &[Control]) -> Result<(), PortError> {
        let commands: Vec<_> = controls.iter().copied().map(Command::SetControl).collect();
        let wait = if self.answers_control {
            CONTROL_ANSWER_MAX.min(self.timeout)
        } else {
            Duration::ZERO
        };
        if !self.ask(&commands, wait)? {
            self.answers_control = false;
        }
        Ok(())
    }

    fn purge(&mut self, which: u8) -> Result<(), PortError> {
        let wait =
            if self.answers_purge { CONTROL_ANSWER_MAX.min(self.timeout) } else { Duration::ZERO };
        if !self.ask(&[Command::PurgeData(which)], wait)? {
            self.answers_purge = false;
        }
        Ok(())
    }

    /// Sends `commands`; true if all of them were answered as they are within `wait`.
    fn ask(&mut self, commands: &[Command], wait: Duration) -> Result<bool, PortError> {
        self.client.command(commands);
        self.flush(self.stream.now() + WRITE_STALL_MAX)?;
        let until = self.stream.now() + wait;
        let is_done = |client: &Client| commands.iter().all(|it| client.answers().contains(it));
        self.pump_until(until, is_done)
    }

    /// As [`Self::pump_until`], for so long from now on.
    fn pump(
        &mut self,
        wait: Duration,
        is_done: impl Fn(&Client) -> bool,
    ) -> Result<bool, PortError> {
        self.pump_until(self.stream.now() + wait, is_done)
    }

    /// Moves bytes both ways until `is_done` or the time is over; says whether it is done.
    fn pump_until(
        &mut self,
        until: Duration,
        is_done: impl Fn(&Client) -> bool,
    ) -> Result<bool, PortError> {
        let mut bytes = Vec::new();
        loop {
            let sent = self.stream.send(self.client.outbox())?;
            self.client.sent(sent);
            let received = self.stream.receive(&mut bytes)?;
            self.client.receive(&bytes);
            bytes.clear();
            if is_done(&self.client) {
                return Ok(true);
            }
            if self.stream.now() >= until {
                return Ok(false);
            }
            if sent == 0 && received == 0 {
                self.stream.wait(!self.client.outbox().is_empty(), until)?;
            }
        }
    }

    /// Sends what is queued.
    fn flush(&mut self, until: Duration) -> Result<(), PortError> {
        let total = self.client.outbox().len();
        if self.pump_until(until, |client| client.outbox().is_empty())? {
            return Ok(());
        }
        Err(PortError::Stalled { written: total - self.client.outbox().len().min(total), total })
    }
}

impl Port for Rfc2217Port {
    fn name(&self) -> &str {
        &self.name
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), PortError> {
        let total = bytes.len();
        for (index, chunk) in bytes.chunks(WRITE_CHUNK).enumerate() {
            let stalled = PortError::Stalled { written: index * WRITE_CHUNK, total };
            if self.client.is_suspended()
                && !self.pump(WRITE_STALL_MAX, |client| !client.is_suspended())?
            {
                return Err(stalled);
            }
            self.client.data(chunk);
            if !self.pump(WRITE_STALL_MAX, |client| client.outbox().is_empty())? {
                return Err(stalled);
            }
        }
        Ok(())
    }

    fn read(&mut self, out: &mut Vec<u8>, deadline: Duration) -> Result<usize, PortError> {
        let is_there = |client: &Client| client.has_received();
        if !is_there(&self.client) {
            self.pump_until(deadline, is_there)?;
        }
        let received = self.client.received();
        let count = received.len();
        out.append(received);
        Ok(count)
    }

    fn set_lines(&mut self, lines: Lines) -> Result<(), PortError> {
        let before = self.lines.replace(lines);
        let dtr = if lines.dtr { Control::DtrOn } else { Control::DtrOff };
        let rts = if lines.rts { Control::RtsOn } else { Control::RtsOff };
        let mut changes = Vec::new();
        changes.extend((before.map(|it| it.dtr) != Some(lines.dtr)).then_some(dtr));
        changes.extend((before.map(|it| it.rts) != Some(lines.rts)).then_some(rts));
        // Both in one go: what is between them would be a state of the reset circuit.
        self.control(&changes)
    }

    fn has_served_lines(&self) -> bool {
        true
    }

    fn set_baud(&mut self, baud: u32) -> Result<(), PortError> {
        let rate_of = |command: &Command| match command {
            Command::SetBaudRate(rate) => Some(*rate),
            _ => None,
        };
        self.client.command(&[Command::SetBaudRate(baud)]);
        self.pump(self.timeout, |client| client.answers().iter().any(|it| rate_of(it).is_some()))?;
        let problem = match self.client.answers().iter().find_map(rate_of) {
            // Adapters divide a clock; a UART bears three percent.
            Some(rate) if rate.abs_diff(baud) <= baud / 32 => return Ok(()),
            Some(rate) => format!("the server set {rate}"),
            None => "the server does not answer".to_owned(),
        };
        Err(PortError::Baud { baud, cause: io::Error::new(ErrorKind::InvalidInput, problem) })
    }

    fn flush_input(&mut self) -> Result<(), PortError> {
        self.purge(PURGE_RECEIVED)?;
        if !self.answers_purge {
            self.client.received().clear();
        }
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

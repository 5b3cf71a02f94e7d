//! The client's side of RFC 2217, sans-io: what to send, and what the server's bytes mean.

use super::{Command, PURGE_RECEIVED, Speaker};
use crate::telnet::{
    Decoder, Event, Negotiator, OPTION_BINARY, OPTION_COM_PORT, OPTION_SUPPRESS_GO_AHEAD, Verb,
};

/// Bytes of the line that may wait to be read; more are lost, as on a line without a reader.
const RECEIVED_MAX: usize = 0x10_0000;
/// Answers of the server that are kept.
const ANSWERS_MAX: usize = 32;
/// A server that makes us talk more than this without listening gets no more answers.
const OUTBOX_MAX: usize = 0x10_0000;

/// How far the server agrees on the COM-PORT option.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Agreement {
    /// It has not said yet.
    #[default]
    Open,
    /// It controls a serial port for us.
    Agreed,
    /// It does not know the option.
    Refused,
}

/// One connection.
#[derive(Debug, Clone)]
pub struct Client {
    decoder: Decoder,
    negotiator: Negotiator,
    agreement: Agreement,
    /// Ready for the socket.
    outbox: Vec<u8>,
    received: Vec<u8>,
    answers: Vec<Command>,
    modem_state: u8,
    line_state: u8,
    suspended: bool,
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl Client {
    /// A client that has just connected and asks for a serial port, eight bits both ways.
    #[must_use]
    pub fn new() -> Self {
        let options = [OPTION_COM_PORT, OPTION_BINARY, OPTION_SUPPRESS_GO_AHEAD];
        let mut client = Self {
            decoder: Decoder::default(),
            negotiator: Negotiator::new(&options),
            agreement: Agreement::Open,
            outbox: Vec::new(),
            received: Vec::new(),
            answers: Vec::new(),
            modem_state: 0,
            line_state: 0,
            suspended: false,
        };
        client.negotiator.ask(OPTION_COM_PORT, true, &mut client.outbox);
        for option in [OPTION_BINARY, OPTION_SUPPRESS_GO_AHEAD] {
            client.negotiator.ask(option, true, &mut client.outbox);
            client.negotiator.ask(option, false, &mut client.outbox);
        }
        client
    }

    /// Takes bytes of the server.
    pub fn receive(&mut self, mut bytes: &[u8]) {
        let mut decoder = std::mem::take(&mut self.decoder);
        while let Some(event) = decoder.next(&mut bytes) {
            self.event(event);
        }
        self.decoder = decoder;
    }

    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Data(data) => {
                let room = RECEIVED_MAX.saturating_sub(self.received.len());
                self.received.extend(data.iter().take(room));
            }
            Event::Negotiate { verb, option } => {
                if self.outbox.len() < OUTBOX_MAX {
                    self.negotiator.receive(verb, option, &mut self.outbox);
                }
                if option == OPTION_COM_PORT {
                    self.agreement = match verb {
                        Verb::Do => Agreement::Agreed,
                        Verb::Dont => Agreement::Refused,
                        Verb::Will | Verb::Wont => self.agreement,
                    };
                }
            }
            Event::Subnegotiation { option: OPTION_COM_PORT, payload } => {
                if let Ok((Speaker::Server, command)) = Command::parse(&payload) {
                    self.told(command);
                }
            }
            Event::Subnegotiation { .. } | Event::Overlong { .. } | Event::Command(_) => {}
        }
    }

    fn told(&mut self, command: Command) {
        match command {
            Command::NotifyModemState(state) => self.modem_state = state,
            Command::NotifyLineState(state) => self.line_state |= state,
            Command::FlowControlSuspend => self.suspended = true,
            Command::FlowControlResume => self.suspended = false,
            answer => {
                // What came before the answer is what was to be purged.
                if matches!(answer, Command::PurgeData(which) if which & PURGE_RECEIVED != 0) {
                    self.received.clear();
                }
                if self.answers.len() < ANSWERS_MAX {
                    self.answers.push(answer);
                }
            }
        }
    }

    /// Whether the server has agreed on COM-PORT.
    #[must_use]
    pub const fn agreement(&self) -> Agreement {
        self.agreement
    }

    /// Queues `commands`; answers to earlier ones are forgotten.
    pub fn command(&mut self, commands: &[Command]) {
        self.answers.clear();
        for command in commands {
            command.emit(Speaker::Client, &mut self.outbox);
        }
    }

    /// Queues data for the line.
    pub fn data(&mut self, bytes: &[u8]) {
        Event::Data(bytes).emit(&mut self.outbox);
    }

    /// Answers since the last [`Self::command`].
    #[must_use]
    pub fn answers(&self) -> &[Command] {
        &self.answers
    }

    /// Bytes for the socket.
    #[must_use]
    pub fn outbox(&self) -> &[u8] {
        &self.outbox
    }

    /// The first `count` bytes of [`Self::outbox`] are on their way.
    pub fn sent(&mut self, count: usize) {
        self.outbox.drain(..count.min(self.outbox.len()));
    }

    /// Bytes of the line that nobody has read.
    pub fn received(&mut self) -> &mut Vec<u8> {
        &mut self.received
    }

    /// Whether bytes of the line wait to be read.
    #[must_use]
    pub const fn has_received(&self) -> bool {
        !self.received.is_empty()
    }

    /// The server wants no data now.
    #[must_use]
    pub const fn is_suspended(&self) -> bool {
        self.suspended
    }

    /// Inputs of the port, as last told (RFC 2217 NOTIFY-MODEMSTATE).
    #[must_use]
    pub const fn modem_state(&self) -> u8 {
        self.modem_state
    }

    /// Line errors since the last call (RFC 2217 NOTIFY-LINESTATE).
    pub fn take_line_state(&mut self) -> u8 {
        std::mem::take(&mut self.line_state)
    }
}

#[cfg(test)]
mod tests;

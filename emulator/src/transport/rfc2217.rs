//! RFC 2217 server: one client's session, sans-io.
//!
//! [`Session::next`] turns the client's bytes into [`Action`]s in the order of the stream, so a
//! line change takes effect between the data bytes that it stood between. [`Session::transmit`]
//! takes the board's bytes; what goes to the client collects in its [`Outbox`]. What
//! pyserial waits for is listed in DEPS 1c.1: every setting is echoed as it now holds.

use esp_protocol::{
    rfc2217::{
        Command, Control, Format, MODEM_CTS, MODEM_DSR, PURGE_RECEIVED, PURGE_TRANSMIT, Speaker,
    },
    telnet::{
        Decoder, Event, Negotiator, OPTION_BINARY, OPTION_COM_PORT, OPTION_SUPPRESS_GO_AHEAD,
    },
};

use super::{
    line::SerialLine,
    tcp::{Outbox, StreamSession},
};

/// Answers that may wait for the client before the session takes no more of its bytes.
const ANSWERS_MAX: usize = 0x1_0000;
/// Bytes of the board that may wait for the client; more are lost, as on a line without a reader.
const FROM_BOARD_MAX: usize = 0x10_0000;
/// What the server calls itself.
const SIGNATURE: &[u8] = b"esp32-emulator";
/// CTS and DSR: the inputs of the adapter are not wired, the server itself is always ready.
const MODEM_STATE: u8 = MODEM_CTS | MODEM_DSR;

/// What the board's serial side has to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action<'a> {
    /// Bytes arrive at the board's receiver.
    Data(&'a [u8]),
    /// The client drives its lines so; `true` is asserted, as a driver's `TIOCM_DTR`.
    Lines {
        /// DTR is asserted.
        dtr: bool,
        /// RTS is asserted.
        rts: bool,
    },
    /// The client's UART now runs at this rate in baud.
    Baud(u32),
    /// The client's UART now uses this format.
    Format(Format),
    /// A BREAK begins or ends.
    Break(bool),
    /// Drop what was taken from the client and has not reached the board yet.
    DiscardToBoard,
}

/// One client's session.
#[derive(Debug, Clone)]
pub struct Session {
    decoder: Decoder,
    negotiator: Negotiator,
    /// Ready for the socket.
    wire: Vec<u8>,
    /// The board's bytes that are not framed yet, so that a purge can still drop them.
    from_board: Vec<u8>,
    baud: u32,
    format: Format,
    /// Which control holds for each thing that can be asked for.
    flow: Control,
    inbound_flow: Control,
    break_state: Control,
    dtr: Control,
    rts: Control,
    /// The client asked for silence.
    suspended: bool,
    greeted: bool,
}

impl Session {
    /// A session whose port runs at `baud` until the client says otherwise, lines released.
    #[must_use]
    pub fn new(baud: u32) -> Self {
        let options = [OPTION_BINARY, OPTION_SUPPRESS_GO_AHEAD, OPTION_COM_PORT];
        Self {
            decoder: Decoder::default(),
            negotiator: Negotiator::new(&options),
            wire: Vec::new(),
            from_board: Vec::new(),
            baud,
            format: Format::EIGHT_N_ONE,
            flow: Control::FlowNone,
            inbound_flow: Control::InboundFlowNone,
            break_state: Control::BreakOff,
            dtr: Control::DtrOff,
            rts: Control::RtsOff,
            suspended: false,
            greeted: false,
        }
    }

    /// Takes the client's bytes off the front of `input` up to the next thing that concerns the
    /// board; `None` if nothing in the rest does, or if too many answers wait in the [`Outbox`] (then bytes
    /// are left).
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Option<Action<'a>> {
        while self.wire.len() < ANSWERS_MAX
            && let Some(event) = self.decoder.next(input)
        {
            let action = match event {
                Event::Data(bytes) => Some(Action::Data(bytes)),
                Event::Negotiate { verb, option } => {
                    self.negotiator.receive(verb, option, &mut self.wire);
                    self.greet();
                    None
                }
                Event::Subnegotiation { option: OPTION_COM_PORT, payload } => {
                    match Command::parse(&payload) {
                        Ok((Speaker::Client, command)) => self.command(command),
                        Ok((Speaker::Server, _)) | Err(_) => None,
                    }
                }
                Event::Subnegotiation { .. } | Event::Overlong { .. } | Event::Command(_) => None,
            };
            if action.is_some() {
                return action;
            }
        }
        None
    }

    /// How many bytes of the board [`Self::transmit`] takes now.
    #[must_use]
    pub fn room(&self) -> usize {
        FROM_BOARD_MAX.saturating_sub(self.from_board.len() + self.wire.len())
    }

    /// Takes bytes that the board sent; what exceeds [`Self::room`] is lost.
    pub fn transmit(&mut self, bytes: &[u8]) {
        let count = self.room().min(bytes.len());
        self.from_board.extend(bytes.iter().take(count));
    }

    /// Once the client speaks COM-PORT: asks for eight-bit data both ways, tells the inputs.
    fn greet(&mut self) {
        if self.greeted || !self.negotiator.is_on(OPTION_COM_PORT) {
            return;
        }
        self.greeted = true;
        for option in [OPTION_BINARY, OPTION_SUPPRESS_GO_AHEAD] {
            self.negotiator.ask(option, true, &mut self.wire);
            self.negotiator.ask(option, false, &mut self.wire);
        }
        self.answer(&Command::NotifyModemState(MODEM_STATE));
    }

    fn answer(&mut self, command: &Command) {
        command.emit(Speaker::Server, &mut self.wire);
    }

    fn command(&mut self, command: Command) -> Option<Action<'static>> {
        match command {
            Command::SetBaudRate(rate) => self.set_baud(rate),
            Command::SetDataSize(bits) => {
                let format = Format { data_bits: bits, ..self.format };
                let action = (5..=8).contains(&bits).then(|| self.set_format(format));
                self.answer(&Command::SetDataSize(self.format.data_bits));
                action
            }
            Command::SetParity(parity) => {
                let format = Format { parity, ..self.format };
                let action = (1..=5).contains(&parity).then(|| self.set_format(format));
                self.answer(&Command::SetParity(self.format.parity));
                action
            }
            Command::SetStopSize(stop_bits) => {
                let format = Format { stop_bits, ..self.format };
                let action = (1..=3).contains(&stop_bits).then(|| self.set_format(format));
                self.answer(&Command::SetStopSize(self.format.stop_bits));
                action
            }
            Command::SetControl(control) => self.control(control),
            Command::PurgeData(which) => {
                if which & PURGE_RECEIVED != 0 {
                    self.from_board.clear();
                }
                self.answer(&Command::PurgeData(which));
                (which & PURGE_TRANSMIT != 0).then_some(Action::DiscardToBoard)
            }
            Command::FlowControlSuspend | Command::FlowControlResume => {
                self.suspended = command == Command::FlowControlSuspend;
                None
            }
            // With a text the client only introduces itself.
            Command::Signature(text) => {
                if text.is_empty() {
                    self.answer(&Command::Signature(SIGNATURE.to_vec()));
                }
                None
            }
            Command::SetLineStateMask(_) | Command::SetModemStateMask(_) => {
                self.answer(&command);
                None
            }
            // Only a server tells these.
            Command::NotifyLineState(_) | Command::NotifyModemState(_) => None,
        }
    }

    fn set_baud(&mut self, rate: u32) -> Option<Action<'static>> {
        if rate != 0 {
            self.baud = rate;
        }
        self.answer(&Command::SetBaudRate(self.baud));
        (rate != 0).then_some(Action::Baud(rate))
    }

    fn set_format(&mut self, format: Format) -> Action<'static> {
        self.format = format;
        Action::Format(format)
    }

    fn control(&mut self, control: Control) -> Option<Action<'static>> {
        let (holds, is_question) = match control {
            Control::FlowNone
            | Control::FlowXonXoff
            | Control::FlowHardware
            | Control::FlowDcd
            | Control::FlowDsr => (&mut self.flow, false),
            Control::InboundFlowNone
            | Control::InboundFlowXonXoff
            | Control::InboundFlowHardware
            | Control::InboundFlowDtr => (&mut self.inbound_flow, false),
            Control::BreakOn | Control::BreakOff => (&mut self.break_state, false),
            Control::DtrOn | Control::DtrOff => (&mut self.dtr, false),
            Control::RtsOn | Control::RtsOff => (&mut self.rts, false),
            Control::AskFlow => (&mut self.flow, true),
            Control::AskInboundFlow => (&mut self.inbound_flow, true),
            Control::AskBreak => (&mut self.break_state, true),
            Control::AskDtr => (&mut self.dtr, true),
            Control::AskRts => (&mut self.rts, true),
        };
        if !is_question {
            *holds = control;
        }
        let answer = Command::SetControl(*holds);
        self.answer(&answer);
        match control {
            Control::BreakOn | Control::BreakOff => {
                Some(Action::Break(control == Control::BreakOn))
            }
            Control::DtrOn | Control::DtrOff | Control::RtsOn | Control::RtsOff => {
                let (dtr, rts) = (self.dtr == Control::DtrOn, self.rts == Control::RtsOn);
                Some(Action::Lines { dtr, rts })
            }
            _ => None,
        }
    }
}

impl Outbox for Session {
    fn pending(&mut self) -> &[u8] {
        if !self.suspended && !self.from_board.is_empty() {
            Event::Data(&self.from_board).emit(&mut self.wire);
            self.from_board.clear();
        }
        &self.wire
    }

    fn sent(&mut self, count: usize) {
        self.wire.drain(..count.min(self.wire.len()));
    }
}

impl<Line: SerialLine + ?Sized> StreamSession<Line> for Session {
    fn receive(&mut self, bytes: &[u8], line: &mut Line) -> usize {
        let mut input = bytes;
        while line.has_room()
            && let Some(action) = self.next(&mut input)
        {
            match action {
                Action::Data(data) => line.receive(data),
                Action::Lines { dtr, rts } => line.set_lines(dtr, rts),
                Action::Baud(rate) => line.set_baud(rate),
                Action::Format(format) => line.set_format(format),
                Action::Break(on) => line.set_break(on),
                Action::DiscardToBoard => line.discard_received(),
            }
        }
        bytes.len() - input.len()
    }

    fn close(&mut self, line: &mut Line) {
        line.set_break(false);
        line.set_lines(false, false);
    }
}

#[cfg(test)]
mod tests;

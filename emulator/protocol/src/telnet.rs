//! Telnet framing (RFC 854, RFC 855) and option negotiation: the layer under [`crate::rfc2217`].
//!
//! No I/O. [`Decoder`] takes bytes in chunks of any size and gives [`Event`]s; memory is bounded
//! by [`SUBNEGOTIATION_MAX`] whatever the peer sends. [`Event::emit`] is the way back. The end of
//! line rules of the network virtual terminal (CR NUL) are left out on purpose: both ends of a
//! COM-PORT session speak binary, and the clients send raw bytes even before they agree on it.

/// "Interpret as command": begins every command; doubled where the data byte 0xFF is meant.
pub const IAC: u8 = 255;
/// End of subnegotiation.
pub const SE: u8 = 240;
/// Begin of subnegotiation.
pub const SB: u8 = 250;
/// The BREAK key of the network virtual terminal.
pub const BREAK: u8 = 243;
/// Option 0, RFC 856: eight bits are data.
pub const OPTION_BINARY: u8 = 0;
/// Option 1, RFC 857: the sender of WILL echoes what it gets.
pub const OPTION_ECHO: u8 = 1;
/// Option 3, RFC 858: no GO AHEAD after each turn.
pub const OPTION_SUPPRESS_GO_AHEAD: u8 = 3;
/// Option 44, RFC 2217: control of a serial port.
pub const OPTION_COM_PORT: u8 = 44;

/// Longest payload of a subnegotiation in bytes; a longer one becomes [`Event::Overlong`].
pub const SUBNEGOTIATION_MAX: usize = 512;

/// The four words of option negotiation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// The sender wants to, or agrees to, use the option itself.
    Will,
    /// The sender does not use the option itself.
    Wont,
    /// The sender asks, or allows, the receiver to use the option.
    Do,
    /// The sender wants the receiver not to use the option.
    Dont,
}

impl Verb {
    /// The code on the wire (RFC 854).
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Will => 251,
            Self::Wont => 252,
            Self::Do => 253,
            Self::Dont => 254,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        match code {
            251 => Some(Self::Will),
            252 => Some(Self::Wont),
            253 => Some(Self::Do),
            254 => Some(Self::Dont),
            _ => None,
        }
    }
}

/// One thing that the peer said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// A run of data, doubled IACs already undone. Runs end where a chunk ends.
    Data(&'a [u8]),
    /// A word about an option.
    Negotiate {
        /// What is said.
        verb: Verb,
        /// About which option.
        option: u8,
    },
    /// A subnegotiation, doubled IACs already undone.
    Subnegotiation {
        /// Of which option.
        option: u8,
        /// What stands between the option and IAC SE.
        payload: Vec<u8>,
    },
    /// A subnegotiation longer than [`SUBNEGOTIATION_MAX`]; its payload was dropped.
    Overlong {
        /// Of which option.
        option: u8,
    },
    /// Any other two-byte command: NOP, [`BREAK`], ARE YOU THERE, ...
    Command(u8),
}

impl Event<'_> {
    /// Appends the event as it looks on the wire.
    ///
    /// [`Event::Overlong`] has no wire form and appends nothing; [`Event::Command`] must not carry
    /// the code of another event (SB, SE, IAC or a negotiation word).
    pub fn emit(&self, out: &mut Vec<u8>) {
        match self {
            Self::Data(bytes) => put_escaped(out, bytes),
            Self::Negotiate { verb, option } => out.extend([IAC, verb.code(), *option]),
            Self::Subnegotiation { option, payload } => {
                out.extend([IAC, SB]);
                put_escaped(out, &[*option]);
                put_escaped(out, payload);
                out.extend([IAC, SE]);
            }
            Self::Overlong { .. } => {}
            Self::Command(code) => out.extend([IAC, *code]),
        }
    }
}

/// Appends `bytes` with every IAC doubled.
fn put_escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    for run in bytes.split_inclusive(|byte| *byte == IAC) {
        out.extend_from_slice(run);
        if run.ends_with(&[IAC]) {
            out.push(IAC);
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Data,
    /// After IAC.
    Command,
    /// After IAC and one of the four words.
    Option(Verb),
    /// After IAC SB. `escaped`: an IAC came instead of the option.
    Begin { escaped: bool },
    /// Inside a subnegotiation. `escaped`: the last byte was an IAC.
    Inside { option: u8, escaped: bool },
}

/// Turns bytes into events.
#[derive(Debug, Clone, Default)]
pub struct Decoder {
    state: State,
    payload: Vec<u8>,
    overlong: bool,
}

impl Decoder {
    /// Takes bytes off the front of `input` up to and including the end of the next event.
    ///
    /// `None` means that all of `input` was taken and no event is complete; call again with the
    /// next chunk.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Option<Event<'a>> {
        while !input.is_empty() {
            if self.state == State::Data {
                let run = input.iter().position(|byte| *byte == IAC).unwrap_or(input.len());
                if run > 0 {
                    let (data, rest) = input.split_at(run);
                    *input = rest;
                    return Some(Event::Data(data));
                }
            }
            let (byte, rest) = input.split_at(1);
            *input = rest;
            if let Some(event) = self.step(byte) {
                return Some(event);
            }
        }
        None
    }

    /// Takes one byte, which is a slice so that a doubled IAC can be handed on as data.
    fn step<'a>(&mut self, byte: &'a [u8]) -> Option<Event<'a>> {
        let code = *byte.first()?;
        match self.state {
            // `next` stops at an IAC, so this byte is one.
            State::Data => {
                self.state = State::Command;
                None
            }
            State::Command => self.command(code, byte),
            State::Option(verb) => {
                self.state = State::Data;
                Some(Event::Negotiate { verb, option: code })
            }
            State::Begin { escaped } => self.begin(code, escaped, byte),
            State::Inside { option, escaped } => self.inside(option, code, escaped, byte),
        }
    }

    fn command<'a>(&mut self, code: u8, byte: &'a [u8]) -> Option<Event<'a>> {
        self.state = State::Data;
        if let Some(verb) = Verb::from_code(code) {
            self.state = State::Option(verb);
            return None;
        }
        match code {
            IAC => Some(Event::Data(byte)),
            SB => {
                self.state = State::Begin { escaped: false };
                None
            }
            // The end of something that never began.
            SE => None,
            other => Some(Event::Command(other)),
        }
    }

    fn begin<'a>(&mut self, code: u8, escaped: bool, byte: &'a [u8]) -> Option<Event<'a>> {
        match (escaped, code) {
            (false, IAC) => self.state = State::Begin { escaped: true },
            // IAC SB IAC SE: a subnegotiation of nothing. Any other command gives it up as well.
            (true, code) if code != IAC => return self.command(code, byte),
            (_, option) => {
                self.payload.clear();
                self.overlong = false;
                self.state = State::Inside { option, escaped: false };
            }
        }
        None
    }

    fn inside<'a>(
        &mut self,
        option: u8,
        code: u8,
        escaped: bool,
        byte: &'a [u8],
    ) -> Option<Event<'a>> {
        match (escaped, code) {
            (false, IAC) => {
                self.state = State::Inside { option, escaped: true };
                None
            }
            (true, SE) => {
                self.state = State::Data;
                let payload = std::mem::take(&mut self.payload);
                Some(if self.overlong {
                    Event::Overlong { option }
                } else {
                    Event::Subnegotiation { option, payload }
                })
            }
            // A command inside a subnegotiation: the peer lost its end. Drop it, obey the command.
            (true, code) if code != IAC => {
                self.payload.clear();
                self.command(code, byte)
            }
            (_, code) => {
                self.state = State::Inside { option, escaped: false };
                if self.payload.len() < SUBNEGOTIATION_MAX {
                    self.payload.push(code);
                } else {
                    self.overlong = true;
                }
                None
            }
        }
    }
}

/// What one side of one option is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Side {
    #[default]
    Off,
    /// We asked and the peer has not answered.
    Asked,
    On,
}

/// Whether we use an option, and whether the peer does.
#[derive(Debug, Clone, Copy)]
struct OptionState {
    option: u8,
    ours: Side,
    theirs: Side,
}

/// Agrees on options without loops (RFC 854 rules, as RFC 1143 makes them precise): only a change
/// of state is answered, and an option outside the list is always refused.
#[derive(Debug, Clone)]
pub struct Negotiator {
    options: Vec<OptionState>,
}

impl Negotiator {
    /// Agrees to each of `options`, on both sides, and to nothing else.
    #[must_use]
    pub fn new(options: &[u8]) -> Self {
        let state =
            |option: &u8| OptionState { option: *option, ours: Side::Off, theirs: Side::Off };
        Self { options: options.iter().map(state).collect() }
    }

    /// Asks for `option`: WILL if `ours`, DO if not. Appends nothing if that is on or under way.
    pub fn ask(&mut self, option: u8, ours: bool, out: &mut Vec<u8>) {
        let Some(state) = self.options.iter_mut().find(|state| state.option == option) else {
            return;
        };
        let (side, verb) =
            if ours { (&mut state.ours, Verb::Will) } else { (&mut state.theirs, Verb::Do) };
        if *side == Side::Off {
            *side = Side::Asked;
            Event::Negotiate { verb, option }.emit(out);
        }
    }

    /// Takes a word of the peer, appends the answer if one is due.
    pub fn receive(&mut self, verb: Verb, option: u8, out: &mut Vec<u8>) {
        let (ours, on) = match verb {
            Verb::Do => (true, true),
            Verb::Dont => (true, false),
            Verb::Will => (false, true),
            Verb::Wont => (false, false),
        };
        let answer = |on: bool| match (ours, on) {
            (true, true) => Verb::Will,
            (true, false) => Verb::Wont,
            (false, true) => Verb::Do,
            (false, false) => Verb::Dont,
        };
        let Some(state) = self.options.iter_mut().find(|state| state.option == option) else {
            if on {
                Event::Negotiate { verb: answer(false), option }.emit(out);
            }
            return;
        };
        let side = if ours { &mut state.ours } else { &mut state.theirs };
        let before = *side;
        *side = if on { Side::On } else { Side::Off };
        // An answer to our own question, or nothing new, is not answered again.
        if matches!((before, on), (Side::Off, true) | (Side::On, false)) {
            Event::Negotiate { verb: answer(on), option }.emit(out);
        }
    }

    /// Whether either side uses `option`.
    #[must_use]
    pub fn is_on(&self, option: u8) -> bool {
        self.options.iter().any(|state| {
            state.option == option && (state.ours == Side::On || state.theirs == Side::On)
        })
    }
}

#[cfg(test)]
mod tests;

//! COM-PORT option of telnet (RFC 2217): a serial port at the other end of a TCP connection.
//!
//! The payload of a subnegotiation of option 44, both ways. Framing and IAC doubling are the work
//! of [`crate::telnet`]. A server answers each command with the same command, its code plus 100,
//! and the value that now holds.

mod client;

pub use client::{Agreement, Client};

use crate::telnet::{Event, OPTION_COM_PORT};

/// What the server adds to the code of a command.
const SERVER_OFFSET: u8 = 100;

/// PURGE-DATA: what came from the serial port and was not sent to the client yet.
pub const PURGE_RECEIVED: u8 = 1;
/// PURGE-DATA: what the client sent and has not left the serial port yet.
pub const PURGE_TRANSMIT: u8 = 2;

/// NOTIFY-MODEMSTATE: clear to send.
pub const MODEM_CTS: u8 = 0x10;
/// NOTIFY-MODEMSTATE: data set ready.
pub const MODEM_DSR: u8 = 0x20;
/// NOTIFY-MODEMSTATE: ring indicator.
pub const MODEM_RING: u8 = 0x40;
/// NOTIFY-MODEMSTATE: carrier detect.
pub const MODEM_CARRIER: u8 = 0x80;

/// Data bits, parity and stop bits, in the values of RFC 2217.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// 5 to 8.
    pub data_bits: u8,
    /// 1 none, 2 odd, 3 even, 4 mark, 5 space.
    pub parity: u8,
    /// 1 one, 2 two, 3 one and a half.
    pub stop_bits: u8,
}

impl Format {
    /// What the ROM's UART uses.
    pub const EIGHT_N_ONE: Self = Self { data_bits: 8, parity: 1, stop_bits: 1 };
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// The access client, which wants a serial port.
    Client,
    /// The access server, which has one.
    Server,
}

/// One command of the option, the same for both speakers.
///
/// Where a value is a plain number, RFC 2217 gives zero the meaning "tell me what holds".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// 0: a name. An empty one from either side asks for the other's.
    Signature(Vec<u8>),
    /// 1: speed in baud.
    SetBaudRate(u32),
    /// 2: data bits, 5 to 8.
    SetDataSize(u8),
    /// 3: 1 none, 2 odd, 3 even, 4 mark, 5 space.
    SetParity(u8),
    /// 4: 1 one stop bit, 2 two, 3 one and a half.
    SetStopSize(u8),
    /// 5: flow control, BREAK, DTR, RTS; or a question about one of them.
    SetControl(Control),
    /// 6: line state (overrun, parity error, framing error, break ...), as in a 16550's LSR.
    NotifyLineState(u8),
    /// 7: state of CTS, DSR, RI, CD and their changes, as in a 16550's MSR.
    NotifyModemState(u8),
    /// 8: the receiver shall stop to send.
    FlowControlSuspend,
    /// 9: the receiver may send again.
    FlowControlResume,
    /// 10: which bits of the line state are worth a message.
    SetLineStateMask(u8),
    /// 11: which bits of the modem state are worth a message.
    SetModemStateMask(u8),
    /// 12: 1 the receive buffer of the server, 2 its transmit buffer, 3 both.
    PurgeData(u8),
}

/// The values of SET-CONTROL (RFC 2217 section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Control {
    /// Which outbound flow control holds?
    AskFlow = 0,
    /// No flow control.
    FlowNone = 1,
    /// XON/XOFF.
    FlowXonXoff = 2,
    /// RTS/CTS.
    FlowHardware = 3,
    /// Is BREAK on?
    AskBreak = 4,
    /// BREAK begins.
    BreakOn = 5,
    /// BREAK ends.
    BreakOff = 6,
    /// What is DTR?
    AskDtr = 7,
    /// DTR asserted (pin low on a TTL adapter).
    DtrOn = 8,
    /// DTR released.
    DtrOff = 9,
    /// What is RTS?
    AskRts = 10,
    /// RTS asserted (pin low on a TTL adapter).
    RtsOn = 11,
    /// RTS released.
    RtsOff = 12,
    /// Which inbound flow control holds?
    AskInboundFlow = 13,
    /// No inbound flow control.
    InboundFlowNone = 14,
    /// XON/XOFF inbound.
    InboundFlowXonXoff = 15,
    /// RTS/CTS inbound.
    InboundFlowHardware = 16,
    /// DCD stops outbound data.
    FlowDcd = 17,
    /// DTR stops inbound data.
    InboundFlowDtr = 18,
    /// DSR stops outbound data.
    FlowDsr = 19,
}

impl Control {
    const ALL: [Self; 20] = [
        Self::AskFlow,
        Self::FlowNone,
        Self::FlowXonXoff,
        Self::FlowHardware,
        Self::AskBreak,
        Self::BreakOn,
        Self::BreakOff,
        Self::AskDtr,
        Self::DtrOn,
        Self::DtrOff,
        Self::AskRts,
        Self::RtsOn,
        Self::RtsOff,
        Self::AskInboundFlow,
        Self::InboundFlowNone,
        Self::InboundFlowXonXoff,
        Self::InboundFlowHardware,
        Self::FlowDcd,
        Self::InboundFlowDtr,
        Self::FlowDsr,
    ];

    /// The value on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The control of a value on the wire.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

/// Why a payload is no COM-PORT command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ComPortError {
    /// There is no command byte.
    #[error("empty COM-PORT subnegotiation")]
    Empty,
    /// RFC 2217 has no such command.
    #[error("unknown COM-PORT command {code}")]
    UnknownCommand {
        /// As on the wire.
        code: u8,
    },
    /// The value is missing, too short or too long.
    #[error("COM-PORT command {code} with a value of {got} bytes")]
    ValueLength {
        /// As on the wire.
        code: u8,
        /// Bytes after the command byte.
        got: usize,
    },
    /// RFC 2217 has no such value of SET-CONTROL.
    #[error("unknown COM-PORT control {value}")]
    UnknownControl {
        /// As on the wire.
        value: u8,
    },
}

impl Command {
    /// Reads the payload of a subnegotiation of option 44.
    ///
    /// # Errors
    ///
    /// The payload is no command of RFC 2217.
    pub fn parse(payload: &[u8]) -> Result<(Speaker, Self), ComPortError> {
        let (&code, value) = payload.split_first().ok_or(ComPortError::Empty)?;
        let (speaker, plain) = match code.checked_sub(SERVER_OFFSET) {
            None => (Speaker::Client, code),
            Some(plain) => (Speaker::Server, plain),
        };
        let wrong = ComPortError::ValueLength { code, got: value.len() };
        let byte = || match value {
            [byte] => Ok(*byte),
            _ => Err(wrong),
        };
        let nothing = |command: Self| if value.is_empty() { Ok(command) } else { Err(wrong) };
        let command = match plain {
            0 => Self::Signature(value.to_vec()),
            1 => Self::SetBaudRate(u32::from_be_bytes(value.try_into().map_err(|_| wrong)?)),
            2 => Self::SetDataSize(byte()?),
            3 => Self::SetParity(byte()?),
            4 => Self::SetStopSize(byte()?),
            5 => {
                let value = byte()?;
                let control = Control::from_code(value);
                Self::SetControl(control.ok_or(ComPortError::UnknownControl { value })?)
            }
            6 => Self::NotifyLineState(byte()?),
            7 => Self::NotifyModemState(byte()?),
            8 => nothing(Self::FlowControlSuspend)?,
            9 => nothing(Self::FlowControlResume)?,
            10 => Self::SetLineStateMask(byte()?),
            11 => Self::SetModemStateMask(byte()?),
            12 => Self::PurgeData(byte()?),
            _ => return Err(ComPortError::UnknownCommand { code }),
        };
        Ok((speaker, command))
    }

    /// The code a client uses; a server's is 100 more.
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::Signature(_) => 0,
            Self::SetBaudRate(_) => 1,
            Self::SetDataSize(_) => 2,
            Self::SetParity(_) => 3,
            Self::SetStopSize(_) => 4,
            Self::SetControl(_) => 5,
            Self::NotifyLineState(_) => 6,
            Self::NotifyModemState(_) => 7,
            Self::FlowControlSuspend => 8,
            Self::FlowControlResume => 9,
            Self::SetLineStateMask(_) => 10,
            Self::SetModemStateMask(_) => 11,
            Self::PurgeData(_) => 12,
        }
    }

    /// The payload of the subnegotiation.
    #[must_use]
    pub fn payload(&self, speaker: Speaker) -> Vec<u8> {
        let offset = match speaker {
            Speaker::Client => 0,
            Speaker::Server => SERVER_OFFSET,
        };
        let mut payload = vec![self.code() + offset];
        match self {
            Self::Signature(text) => payload.extend_from_slice(text),
            Self::SetBaudRate(rate) => payload.extend(rate.to_be_bytes()),
            Self::SetControl(control) => payload.push(control.code()),
            Self::SetDataSize(value)
            | Self::SetParity(value)
            | Self::SetStopSize(value)
            | Self::NotifyLineState(value)
            | Self::NotifyModemState(value)
            | Self::SetLineStateMask(value)
            | Self::SetModemStateMask(value)
            | Self::PurgeData(value) => payload.push(*value),
            Self::FlowControlSuspend | Self::FlowControlResume => {}
        }
        payload
    }

    /// Appends the whole subnegotiation as it looks on the wire.
    pub fn emit(&self, speaker: Speaker, out: &mut Vec<u8>) {
        Event::Subnegotiation { option: OPTION_COM_PORT, payload: self.payload(speaker) }.emit(out);
    }
}

#[cfg(test)]
mod tests;

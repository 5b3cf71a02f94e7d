//! Packets: `$data#checksum`, acknowledgements, the interrupt byte.

/// Longest packet that is taken, and that GDB is told of.
pub(super) const PACKET_MAX: usize = 0x4000;

/// What a client sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Input {
    /// A packet's data, without escapes.
    Packet(Vec<u8>),
    /// A packet with a wrong checksum, or too long.
    Damaged,
    /// The last answer did not arrive.
    Resend,
    /// Control-C.
    Interrupt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Outside,
    Data,
    Escaped,
    Sum,
    SumLow(u8),
}

/// Takes bytes apart. It holds one packet at most.
#[derive(Debug, Clone, Default)]
pub(super) struct Decoder {
    state: State,
    data: Vec<u8>,
    sum: u8,
    too_long: bool,
}

impl Decoder {
    /// Takes one byte.
    pub(super) fn push(&mut self, byte: u8) -> Option<Input> {
        match (self.state, byte) {
            (State::Outside, 0x03) => return Some(Input::Interrupt),
            (State::Outside, b'-') => return Some(Input::Resend),
            (_, b'$') => {
                *self = Self { state: State::Data, ..Self::default() };
            }
            (State::Outside, _) => {}
            (State::Data | State::Escaped, b'#') => self.state = State::Sum,
            (State::Data, b'}') => {
                self.sum = self.sum.wrapping_add(byte);
                self.state = State::Escaped;
            }
            (State::Data, _) => self.keep(byte, byte),
            (State::Escaped, _) => {
                self.state = State::Data;
                self.keep(byte, byte ^ 0x20);
            }
            (State::Sum, _) => self.state = State::SumLow(byte),
            (State::SumLow(high), _) => {
                self.state = State::Outside;
                let sum = hex_digit(high).zip(hex_digit(byte)).map(|(high, low)| high << 4 | low);
                let data = std::mem::take(&mut self.data);
                if sum != Some(self.sum) || self.too_long {
                    return Some(Input::Damaged);
                }
                return Some(Input::Packet(data));
            }
        }
        None
    }

    fn keep(&mut self, raw: u8, byte: u8) {
        self.sum = self.sum.wrapping_add(raw);
        if self.data.len() < PACKET_MAX {
            self.data.push(byte);
        } else {
            self.too_long = true;
        }
    }
}

fn hex_digit(byte: u8) -> Option<u8> {
    (byte as char).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Appends a packet with `data`, escaped.
pub(super) fn encode(data: &[u8], out: &mut Vec<u8>) {
    out.push(b'$');
    let start = out.len();
    for &byte in data {
        if matches!(byte, b'$' | b'#' | b'}' | b'*') {
            out.extend([b'}', byte ^ 0x20]);
        } else {
            out.push(byte);
        }
    }
    let sum = out.iter().skip(start).fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    out.extend(format!("#{sum:02x}").bytes());
}

/// A hexadecimal number.
pub(super) fn number(text: &str) -> Option<u32> {
    // A sign is no digit.
    let all_digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    all_digits.then(|| u32::from_str_radix(text, 16).ok()).flatten()
}

/// Two digits a byte.
pub(super) fn to_hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The bytes of two digits each.
pub(super) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.bytes().map(hex_digit).collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2))?;
    Some(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

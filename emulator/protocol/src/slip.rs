//! SLIP framing as the ROM loader and the stubs use it (ROM-FACTS 2).
//!
//! [`encode`] serves both sides. [`Decoder`] is the host's: strict, bounded and self-healing. (The
//! ROM's own receiver is laxer in documented ways and lives in the emulator.)

#[cfg(test)]
mod tests;

use memchr::memchr2;

/// Frame delimiter.
pub const END: u8 = 0xc0;
/// First byte of an escape.
pub const ESC: u8 = 0xdb;
/// Second byte of an escaped [`END`].
pub const ESC_END: u8 = 0xdc;
/// Second byte of an escaped [`ESC`].
pub const ESC_ESC: u8 = 0xdd;

/// Unframed text that a [`Decoder`] keeps for diagnosis; older bytes go first.
pub const TEXT_BYTES_MAX: usize = 4096;

/// Appends `payload` as one frame with both delimiters.
///
/// ```
/// let mut wire = Vec::new();
/// esp_protocol::slip::encode(&[1, 0xc0, 0xdb], &mut wire);
/// assert_eq!(wire, [0xc0, 1, 0xdb, 0xdc, 0xdb, 0xdd, 0xc0]);
/// ```
pub fn encode(payload: &[u8], out: &mut Vec<u8>) {
    out.reserve(payload.len() + payload.len() / 64 + 2);
    out.push(END);
    let mut rest = payload;
    while let Some(at) = memchr2(END, ESC, rest) {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain);
        out.extend_from_slice(&[ESC, if tail[0] == END { ESC_END } else { ESC_ESC }]);
        rest = &tail[1..];
    }
    out.extend_from_slice(rest);
    out.push(END);
}

/// A frame that could not be decoded. The decoder goes on at the next delimiter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SlipError {
    /// An escape byte was followed by something else than its two partners.
    #[error("invalid SLIP escape db {second:02x}")]
    BadEscape {
        /// The byte after the escape byte.
        second: u8,
    },
    /// The frame is longer than the decoder's bound.
    #[error("frame longer than {max} bytes")]
    TooLong {
        /// The bound in bytes.
        max: usize,
    },
}

/// Strict incremental decoder with a bound on the frame length.
///
/// Bytes outside of frames are kept as text, up to [`TEXT_BYTES_MAX`] bytes: on these boards it is
/// the boot log. Empty frames are skipped.
///
/// ```
/// use esp_protocol::slip::Decoder;
///
/// let mut decoder = Decoder::new(64);
/// let mut input: &[u8] = b"ets\xc0\x01\xdb\xdc\xc0";
/// assert_eq!(decoder.next_frame(&mut input), Some(Ok(vec![0x01, 0xc0])));
/// assert_eq!(decoder.next_frame(&mut input), None);
/// assert_eq!(decoder.take_text(), b"ets");
/// ```
#[derive(Debug, Clone)]
pub struct Decoder {
    state: State,
    frame: Vec<u8>,
    frame_bytes_max: usize,
    text: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before an opening delimiter.
    Outside,
    /// Collecting.
    Inside,
    /// After an escape byte.
    Escaped,
    /// After an error, up to the next delimiter.
    Skipping,
}

impl Decoder {
    /// A decoder for frames of at most `frame_bytes_max` decoded bytes.
    #[must_use]
    pub const fn new(frame_bytes_max: usize) -> Self {
        Self { state: State::Outside, frame: Vec::new(), frame_bytes_max, text: Vec::new() }
    }

    /// Takes bytes from the front of `input` up to the end of the next frame or to the first error
    /// in it. `None`: the input is used up and more is needed.
    ///
    /// # Errors
    ///
    /// [`SlipError`] once for each damaged frame; call again to go on behind it.
    pub fn next_frame(&mut self, input: &mut &[u8]) -> Option<Result<Vec<u8>, SlipError>> {
        while !input.is_empty() {
            if let Some(outcome) = self.step(input) {
                return Some(outcome);
            }
        }
        None
    }

    /// Forgets a frame that has begun, and the text.
    pub fn reset(&mut self) {
        self.state = State::Outside;
        self.frame.clear();
        self.text.clear();
    }

    /// Takes the bytes seen outside of frames since the last call.
    pub fn take_text(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.text)
    }

    fn step(&mut self, input: &mut &[u8]) -> Option<Result<Vec<u8>, SlipError>> {
        match self.state {
            State::Outside => {
                let (text, found) = take_until(input, END);
                self.keep_text(text);
                if found {
                    self.state = State::Inside;
                }
                None
            }
            State::Skipping => {
                // The delimiter that ends the damage may open the next frame; if it only closes
                // the damaged one, the next frame's own delimiter makes an empty frame: skipped.
                if take_until(input, END).1 {
                    self.state = State::Inside;
                }
                None
            }
            State::Inside => self.collect(input),
            State::Escaped => {
                let (&second, rest) = input.split_first()?;
                let byte = match second {
                    ESC_END => END,
                    ESC_ESC => ESC,
                    _ => return Some(Err(self.fail(SlipError::BadEscape { second }))),
                };
                *input = rest;
                self.state = State::Inside;
                self.append(&[byte]).err().map(Err)
            }
        }
    }

    fn collect(&mut self, input: &mut &[u8]) -> Option<Result<Vec<u8>, SlipError>> {
        let at = memchr2(END, ESC, input).unwrap_or(input.len());
        let (plain, tail) = input.split_at(at);
        *input = tail.get(1..).unwrap_or_default();
        if let Err(error) = self.append(plain) {
            if tail.first() == Some(&END) {
                self.state = State::Inside;
            }
            return Some(Err(error));
        }
        match tail.first() {
            Some(&END) if !self.frame.is_empty() => {
                self.state = State::Outside;
                Some(Ok(std::mem::take(&mut self.frame)))
            }
            Some(&ESC) => {
                self.state = State::Escaped;
                None
            }
            _ => None,
        }
    }

    fn append(&mut self, plain: &[u8]) -> Result<(), SlipError> {
        if self.frame.len() + plain.len() > self.frame_bytes_max {
            return Err(self.fail(SlipError::TooLong { max: self.frame_bytes_max }));
        }
        self.frame.extend_from_slice(plain);
        Ok(())
    }

    /// Enters the state after an error; a delimiter that caused it is left in the input.
    fn fail(&mut self, error: SlipError) -> SlipError {
        self.frame.clear();
        self.state = State::Skipping;
        error
    }

    fn keep_text(&mut self, text: &[u8]) {
        let tail = &text[text.len().saturating_sub(TEXT_BYTES_MAX)..];
        let excess = (self.text.len() + tail.len()).saturating_sub(TEXT_BYTES_MAX);
        self.text.drain(..excess);
        self.text.extend_from_slice(tail);
    }
}

/// Splits `input` at the first `byte`, which is consumed; says whether it was there.
fn take_until<'a>(input: &mut &'a [u8], byte: u8) -> (&'a [u8], bool) {
    match memchr::memchr(byte, input) {
        Some(at) => {
            let before = &input[..at];
            *input = &input[at + 1..];
            (before, true)
        }
        None => (std::mem::take(input), false),
    }
}

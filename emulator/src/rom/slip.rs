//! The ROM's SLIP receiver (ROM-FACTS section 2).
//!
//! The ROM's own quirks live here: a closing delimiter cannot open the next frame, unknown escapes
//! store the byte unchanged, an escaped delimiter is data, and the buffer is never cleared.

use esp_protocol::slip::{END, ESC, ESC_END, ESC_ESC};
use memchr::{memchr, memchr2};

/// Where the receiver is in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    /// Waiting for an opening delimiter.
    #[default]
    Outside,
    /// In a frame.
    Inside,
    /// Behind an escape byte.
    Escaped,
}

/// The receiver. Bytes go to a buffer that the caller owns.
#[derive(Debug, Clone, Default)]
pub(super) struct Receiver {
    state: State,
    len: usize,
}

impl Receiver {
    /// Takes bytes up to the end of a frame; gives how many it took and whether a frame is
    /// complete in `buffer`. Bytes that do not fit are dropped.
    pub(super) fn take(&mut self, bytes: &[u8], buffer: &mut [u8]) -> (usize, bool) {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            match self.state {
                State::Outside => {
                    at += memchr(END, &bytes[at..]).unwrap_or(bytes.len() - at);
                    if at < bytes.len() {
                        at += 1;
                        self.state = State::Inside;
                        self.len = 0;
                    }
                }
                State::Escaped => {
                    at += 1;
                    self.state = State::Inside;
                    self.store(buffer, &[unescape(byte)]);
                }
                State::Inside if byte == END => {
                    at += 1;
                    // Delimiters in a row are still one opening.
                    if self.len > 0 {
                        self.state = State::Outside;
                        return (at, true);
                    }
                }
                State::Inside if byte == ESC => {
                    at += 1;
                    self.state = State::Escaped;
                }
                State::Inside => {
                    let rest = &bytes[at..];
                    let run = &rest[..memchr2(END, ESC, rest).unwrap_or(rest.len())];
                    self.store(buffer, run);
                    at += run.len();
                }
            }
        }
        (at, false)
    }

    fn store(&mut self, buffer: &mut [u8], bytes: &[u8]) {
        let room = buffer.get_mut(self.len..).unwrap_or_default();
        let fits = bytes.len().min(room.len());
        room[..fits].copy_from_slice(&bytes[..fits]);
        self.len = self.len.saturating_add(bytes.len());
    }
}

fn unescape(byte: u8) -> u8 {
    match byte {
        ESC_END => END,
        ESC_ESC => ESC,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut receiver = Receiver::default();
        let mut buffer = [0; 16];
        let mut frames = Vec::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            let (taken, complete) = receiver.take(rest, &mut buffer);
            if complete {
                frames.push(buffer[..receiver.len.min(buffer.len())].to_vec());
            }
            rest = &rest[taken..];
        }
        frames
    }

    #[test]
    fn a_closing_delimiter_cannot_open() {
        assert_eq!(frames(b"\xC0A\xC0B\xC0C\xC0"), [b"A", b"C"]);
        assert_eq!(frames(b"\xC0\xC0\xC0A\xC0"), [b"A"]);
    }

    #[test]
    fn escapes() {
        assert_eq!(frames(b"\xC0\xDB\xDC\xDB\xDD\xC0"), [[0xC0, 0xDB]]);
        assert_eq!(frames(b"\xC0\xDB\x00\xDB\xDB\xC0"), [[0x00, 0xDB]]);
        assert_eq!(frames(b"\xC0A\xDB\xC0B\xC0"), [[b'A', 0xC0, b'B']]);
    }

    #[test]
    fn an_overlong_frame_is_cut_and_still_a_frame() {
        let mut bytes = vec![0xC0];
        bytes.extend([7; 1000]);
        bytes.push(0xC0);
        assert_eq!(frames(&bytes), [[7; 16]]);
    }
}

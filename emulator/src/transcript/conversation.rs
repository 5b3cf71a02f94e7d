//! A transcript as frames, and frames as requests with their answers.

use esp_protocol::{
    command::{Header as RequestHeader, Opcode, Request},
    response::Dialect,
    slip::Decoder,
};

use super::{Entry, Event, Transcript};
use crate::{
    board::ControlLines,
    soc::{
        address,
        spi::{cmd, offset},
    },
    time::Instant,
};

/// Longest frame either way: 64 KiB and a header.
const FRAME_BYTES_MAX: usize = 0x1_0000 + 64;
/// What a stub says when it runs.
const STUB_GREETING: &[u8] = b"OHAI";
/// Direction byte of an answer.
const ANSWER: u8 = 0x01;

/// One thing that a conversation is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A frame of the client.
    Request(Vec<u8>),
    /// A frame of the board, and who sent it.
    Answer(Vec<u8>, Dialect),
    /// Bytes of the board outside of frames: its boot log, mostly.
    Text(Vec<u8>),
    /// A frame that cannot be unpacked, from the board if so.
    Damaged {
        /// The board sent it.
        from_board: bool,
    },
    /// The client's modem lines.
    Lines(ControlLines),
    /// The client's rate, in baud.
    Baud(u32),
    /// The client threw away what it had not read.
    Flush,
    /// A BREAK of the client.
    Break,
}

/// Takes frames out of a stream of events.
#[derive(Debug, Clone)]
pub struct Frames {
    to_board: Decoder,
    from_board: Decoder,
    dialect: Dialect,
}

impl Default for Frames {
    fn default() -> Self {
        Self {
            to_board: Decoder::new(FRAME_BYTES_MAX),
            from_board: Decoder::new(FRAME_BYTES_MAX),
            dialect: Dialect::Rom,
        }
    }
}

impl Frames {
    /// Takes an event; what it completes goes to `out`.
    pub fn take(&mut self, event: &Event, out: &mut Vec<Item>) {
        match event {
            Event::ToBoard(bytes) => {
                let mut rest = bytes.as_slice();
                while let Some(frame) = self.to_board.next_frame(&mut rest) {
                    out.push(frame.map_or(Item::Damaged { from_board: false }, Item::Request));
                }
            }
            Event::FromBoard(bytes) => self.take_answers(bytes, out),
            Event::Lines(lines) => {
                // EN may go low: whatever runs afterwards begins with the ROM.
                if lines.rts && !lines.dtr {
                    self.dialect = Dialect::Rom;
                    self.from_board.reset();
                }
                out.push(Item::Lines(*lines));
            }
            Event::Baud(rate) => out.push(Item::Baud(*rate)),
            Event::Flush => {
                self.from_board.reset();
                out.push(Item::Flush);
            }
            Event::Break => out.push(Item::Break),
            Event::Lost(_) | Event::Note(_) => {}
        }
    }

    fn take_answers(&mut self, bytes: &[u8], out: &mut Vec<Item>) {
        let mut rest = bytes;
        loop {
            let frame = self.from_board.next_frame(&mut rest);
            let text = self.from_board.take_text();
            if !text.is_empty() {
                out.push(Item::Text(text));
            }
            match frame {
                Some(Ok(frame)) => {
                    self.hear(&frame);
                    out.push(Item::Answer(frame, self.dialect));
                }
                Some(Err(_)) => out.push(Item::Damaged { from_board: true }),
                None => break,
            }
        }
    }

    /// Who answers, by what it says.
    fn hear(&mut self, frame: &[u8]) {
        if frame == STUB_GREETING {
            self.dialect = Dialect::Stub;
        }
        let is_sync = frame.first() == Some(&ANSWER) && frame.get(1) == Some(&Opcode::Sync.into());
        match RequestHeader::parse(frame).map(|header| header.size) {
            Some(4) if is_sync => self.dialect = Dialect::Rom,
            Some(2) if is_sync => self.dialect = Dialect::Stub,
            _ => {}
        }
    }
}

/// Follows the flash instructions that a client sends through the SPI registers: opcode in USER2,
/// started in CMD.
#[derive(Debug, Clone, Copy, Default)]
pub struct Instructions {
    user2: u32,
    last: Option<u8>,
}

impl Instructions {
    /// Takes a request; the opcodes of the instructions that it starts.
    pub fn take(&mut self, request: &Request<'_>) -> Vec<u8> {
        let Request::WriteReg(writes) = request else { return Vec::new() };
        let mut started = Vec::new();
        for write in writes {
            if write.address == address::SPI1 + offset::USER2 {
                self.user2 = write.value;
            }
            if write.address == address::SPI1 + offset::CMD && write.value & cmd::USR != 0 {
                let [opcode, ..] = self.user2.to_le_bytes();
                started.push(opcode);
                self.last = Some(opcode);
            }
        }
        started
    }

    /// The opcode of the newest one.
    #[must_use]
    pub const fn last(&self) -> Option<u8> {
        self.last
    }
}

/// One request with what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// When the request was complete.
    pub at: Instant,
    /// The request, unpacked.
    pub request: Vec<u8>,
    /// The answers, unpacked.
    pub answers: Vec<(Vec<u8>, Dialect)>,
}

/// One step of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A request with its answers.
    Exchange(Exchange),
    /// The client changed its lines.
    Lines(ControlLines),
    /// The client changed its rate, in baud.
    Baud(u32),
}

/// The steps of `transcript`. Answers belong to the newest request that they can be an answer to.
#[must_use]
pub fn steps(transcript: &Transcript) -> Vec<Step> {
    let mut frames = Frames::default();
    let mut steps = Vec::new();
    let mut items = Vec::new();
    for Entry { at, event } in &transcript.entries {
        frames.take(event, &mut items);
        for item in items.drain(..) {
            match item {
                Item::Request(request) => {
                    steps.push(Step::Exchange(Exchange { at: *at, request, answers: Vec::new() }));
                }
                Item::Answer(frame, dialect) => add_answer(&mut steps, frame, dialect),
                Item::Lines(lines) => steps.push(Step::Lines(lines)),
                Item::Baud(rate) => steps.push(Step::Baud(rate)),
                Item::Text(_) | Item::Damaged { .. } | Item::Flush | Item::Break => {}
            }
        }
    }
    steps
}

/// Requests in flight at once, at most.
const IN_FLIGHT_MAX: usize = 64;

fn add_answer(steps: &mut [Step], frame: Vec<u8>, dialect: Dialect) {
    let opcode = frame.get(1).copied().filter(|_| frame.first() == Some(&ANSWER));
    // Several requests may be on their way; the oldest of the same kind without answer is meant.
    let recent = steps.len().saturating_sub(IN_FLIGHT_MAX);
    let unanswered = steps.iter().skip(recent).position(|step| match step {
        Step::Exchange(it) => {
            opcode.is_some() && it.answers.is_empty() && it.request.get(1).copied() == opcode
        }
        _ => false,
    });
    let newest = steps.iter().rposition(|step| matches!(step, Step::Exchange(_)));
    let index = unanswered.map(|index| recent + index).or(newest);
    if let Some(Step::Exchange(exchange)) = index.and_then(|index| steps.get_mut(index)) {
        exchange.answers.push((frame, dialect));
    }
}

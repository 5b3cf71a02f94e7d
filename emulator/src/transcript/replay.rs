//! Plays the client's side of a transcript to a board and grades the board's answers.
//!
//! The bytes of the client arrive at the times of the transcript, and not before the board has said
//! as much as the recorded one had by then. Answers are compared frame by frame. What a client
//! throws away cannot be compared: the number of answers to SYNC, and what a `flush` discards. A SYNC
//! that the recorded board answered and this one does not is sent again, as every client does: how
//! many of them the measurement of the rate uses up is a matter of microseconds. How long a flash is
//! busy differs from chip to chip: where the recorded one was ready and this one is not yet, time
//! passes until it is, and the poll counts as one of another moment, not as a difference.

mod report;

use std::collections::VecDeque;

use esp_protocol::{
    command::{Opcode, Request, field},
    response::{Dialect, Response},
};
pub use report::{Difference, Kind, Report};

use super::{
    Event, Transcript,
    conversation::{Frames, Instructions, Item},
    words::{self, Words, is_sync_answer},
};
use crate::{
    soc::{address, spi::offset},
    time::{Duration, Instant},
    transport::device::SerialDevice,
};

/// A board may take so long for an answer that the recorded one has given.
const PATIENCE: Duration = Duration::from_millis(300_000);
/// Longest pause between two entries that is played.
const PAUSE_MAX: Duration = Duration::from_millis(60_000);
/// Events of the board while one answer is awaited.
const EVENTS_MAX: usize = 200_000;
/// A recorded board that has not answered within this time has not answered.
const SILENCE: Duration = Duration::from_millis(100);
/// How far ahead an answer is looked for when the two sides are out of step.
const RESYNC_MAX: usize = 8;
/// The slowest operation of a flash is over then.
const BUSY_MAX: Duration = Duration::from_millis(400_000);
/// Read status register 1.
const READ_STATUS: u8 = 0x05;
/// WIP.
const BUSY: u32 = 0x01;
/// WIP and WEL.
const LATCHES: u32 = 0x03;
/// SYNCs sent again until one is answered.
const SYNCS_MAX: usize = 4;
/// Differences kept; more are counted.
const KEPT_MAX: usize = 10_000;
/// Text kept for the comparison.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// What counts as a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Leave out fields that mean nothing: the value field where the command has no value, and the
    /// ROM's two last bytes.
    pub allow_leftovers: bool,
    /// Compare what the board prints outside of frames, too.
    pub text: bool,
}

type Frame = (Vec<u8>, Dialect);

struct Player<'a> {
    device: &'a mut dyn SerialDevice,
    options: Options,
    base: Instant,
    now: Instant,
    last_at: Instant,
    recorded: Frames,
    heard: Frames,
    expected: VecDeque<Frame>,
    got: VecDeque<Frame>,
    texts: [Vec<u8>; 2],
    request: Option<(Instant, Words)>,
    instructions: Instructions,
    /// The newest request reads what a poll of status register 1 has answered.
    is_poll: bool,
    /// The newest SYNC as it was on the wire.
    sync: Option<Vec<u8>>,
    report: Report,
}

/// Plays `transcript` to `device`, from its present time on. `progress` gets the number of entries
/// done, and of all.
pub fn replay(
    transcript: &Transcript,
    device: &mut dyn SerialDevice,
    options: Options,
    progress: &mut dyn FnMut(usize, usize),
) -> Report {
    let base = device.now();
    let mut player = Player {
        device,
        options,
        base,
        now: base,
        last_at: Instant::ZERO,
        recorded: Frames::default(),
        heard: Frames::default(),
        expected: VecDeque::new(),
        got: VecDeque::new(),
        texts: [Vec::new(), Vec::new()],
        request: None,
        instructions: Instructions::default(),
        is_poll: false,
        sync: None,
        report: Report::default(),
    };
    let total = transcript.entries.len();
    for (index, entry) in transcript.entries.iter().enumerate() {
        progress(index, total);
        if let Event::Lost(bytes) = entry.event {
            player.report.lost = bytes;
            break;
        }
        player.pass(entry.at);
        player.play(entry.at, &entry.event);
    }
    player.finish();
    progress(total, total);
    player.report
}

impl Player<'_> {
    /// The time of the transcript goes on to `at`; a pause that is too long is shortened, and the
    /// rest of the transcript comes earlier by as much.
    fn pass(&mut self, at: Instant) {
        let pause = at.since(self.last_at).min(PAUSE_MAX);
        self.last_at = at;
        self.base += pause;
        self.now = self.now.max(self.base).max(self.device.now());
    }

    fn play(&mut self, at: Instant, event: &Event) {
        match event {
            Event::FromBoard(_) => self.expect(event),
            Event::ToBoard(bytes) => {
                self.await_expected();
                self.hear_silence(at);
                self.send(at, event, bytes);
            }
            Event::Lines(lines) => {
                self.settle();
                self.heard.take(event, &mut Vec::new());
                self.recorded.take(event, &mut Vec::new());
                self.device.set_lines(self.now, *lines);
            }
            Event::Baud(rate) => {
                self.await_expected();
                self.device.set_host_baud(self.now, Some(*rate));
            }
            Event::Flush => {
                self.settle();
                self.heard.take(event, &mut Vec::new());
                self.recorded.take(event, &mut Vec::new());
            }
            Event::Break => self.device.receive_break(self.now),
            Event::Lost(_) | Event::Note(_) => {}
        }
    }

    /// What this board has said by now and the recorded one has not, it says alone.
    fn hear_silence(&mut self, at: Instant) {
        self.listen();
        let sent = self.request.as_ref().map_or(Instant::ZERO, |(sent, _)| *sent);
        if self.expected.is_empty() && at.since(sent) > SILENCE {
            self.pair();
            for frame in std::mem::take(&mut self.got) {
                self.extra(frame);
            }
        }
    }

    fn send(&mut self, at: Instant, event: &Event, bytes: &[u8]) {
        self.sync = None;
        let mut items = Vec::new();
        self.recorded.take(event, &mut items);
        for item in items {
            if let Item::Request(frame) = item {
                self.report.requests += 1;
                let is_sync = frame.get(1) == Some(&u8::from(Opcode::Sync));
                self.sync = is_sync.then(|| bytes.to_vec());
                self.see(&frame);
                self.request = Some((at, words::request(&frame)));
            }
        }
        self.device.receive(self.now, bytes);
    }

    fn see(&mut self, frame: &[u8]) {
        let request = Request::parse(frame).ok();
        if let Some(request) = &request {
            self.instructions.take(request);
        }
        let answer = Request::ReadReg { address: address::SPI1 + offset::W0 };
        self.is_poll = request == Some(answer) && self.instructions.last() == Some(READ_STATUS);
    }

    /// Whether the two answers to a poll of status register 1 tell of another moment alone.
    fn is_other_moment(&mut self, expected: &Frame, got: &Frame) -> bool {
        let value = |frame: &Frame| Response::parse(&frame.0, frame.1).ok().map(|it| it.value);
        let (Some(recorded), Some(found)) = (value(expected), value(got)) else { return false };
        let differs = recorded ^ found;
        if !self.is_poll || differs & BUSY == 0 || differs & !LATCHES != 0 {
            return false;
        }
        if found & BUSY != 0 {
            self.base += BUSY_MAX;
            self.now = self.now.max(self.base);
            self.device.advance(self.now);
        }
        true
    }

    fn expect(&mut self, event: &Event) {
        let mut items = Vec::new();
        self.recorded.take(event, &mut items);
        for item in items {
            match item {
                Item::Answer(frame, dialect) => self.expected.push_back((frame, dialect)),
                Item::Text(text) => keep_text(&mut self.texts[0], &text),
                _ => {}
            }
        }
    }

    /// Lets the board talk until it has said all that is expected, or has nothing more to say;
    /// compares what it says.
    fn await_expected(&mut self) {
        self.await_answers();
        for _ in 0..SYNCS_MAX {
            let wanted = self.expected.front().is_some_and(|frame| is_sync_answer(&frame.0));
            let Some(sync) = self.sync.take().filter(|_| wanted && self.got.is_empty()) else {
                return;
            };
            self.device.receive(self.now, &sync);
            self.sync = Some(sync);
            self.await_answers();
        }
    }

    fn await_answers(&mut self) {
        let limit = self.now + PATIENCE;
        for _ in 0..EVENTS_MAX {
            self.listen();
            self.pair();
            if self.expected.is_empty() {
                return;
            }
            let Some(due) = self.device.next_event().filter(|due| *due <= limit) else { return };
            self.now = self.now.max(due).max(self.device.now());
            self.device.advance(self.now);
        }
    }

    fn listen(&mut self) {
        self.now = self.now.max(self.device.now());
        let mut bytes = Vec::new();
        self.device.transmit(self.now, &mut bytes);
        if bytes.is_empty() {
            return;
        }
        let mut items = Vec::new();
        self.heard.take(&Event::FromBoard(bytes), &mut items);
        for item in items {
            match item {
                Item::Answer(frame, dialect) => self.got.push_back((frame, dialect)),
                Item::Text(text) => keep_text(&mut self.texts[1], &text),
                _ => {}
            }
        }
    }

    /// Everything up to here is compared, and what the board said beyond that was not read.
    fn settle(&mut self) {
        self.await_expected();
        while let Some(frame) = self.expected.pop_front() {
            self.missing(frame);
        }
        self.report.not_compared += self.got.len() as u64;
        self.got.clear();
        self.compare_text();
    }

    fn finish(&mut self) {
        self.await_expected();
        while let Some(frame) = self.expected.pop_front() {
            self.missing(frame);
        }
        while let Some(frame) = self.got.pop_front() {
            self.extra(frame);
        }
        self.compare_text();
    }

    /// Compares what both sides have said.
    fn pair(&mut self) {
        while let (Some(expected), Some(got)) = (self.expected.front(), self.got.front()) {
            let (is_sync, got_sync) = (is_sync_answer(&expected.0), is_sync_answer(&got.0));
            if is_sync != got_sync {
                // How often a SYNC is answered depends on what the client throws away.
                self.report.not_compared += 1;
                if got_sync {
                    self.got.pop_front()
                } else {
                    self.expected.pop_front()
                };
                continue;
            }
            if expected.0.get(1) != got.0.get(1) && self.resynchronise() {
                continue;
            }
            if let (Some(expected), Some(got)) = (self.expected.pop_front(), self.got.pop_front()) {
                self.compare(expected, got);
            }
        }
    }

    /// Finds the place where both sides speak of the same command again; says whether it did.
    fn resynchronise(&mut self) -> bool {
        let opcode = |frame: &Frame| frame.0.get(1).copied();
        let (Some(expected), Some(got)) =
            (self.expected.front().map(opcode), self.got.front().map(opcode))
        else {
            return false;
        };
        let ahead = |queue: &VecDeque<Frame>, wanted| {
            queue.iter().take(RESYNC_MAX).position(|frame| opcode(frame) == wanted)
        };
        if let Some(count) = ahead(&self.got, expected) {
            for frame in self.got.drain(..count).collect::<Vec<_>>() {
                self.extra(frame);
            }
            return true;
        }
        if let Some(count) = ahead(&self.expected, got) {
            for frame in self.expected.drain(..count).collect::<Vec<_>>() {
                self.missing(frame);
            }
            return true;
        }
        false
    }

    fn compare(&mut self, expected: Frame, got: Frame) {
        self.report.compared += 1;
        if expected.0 == got.0 {
            return;
        }
        if self.is_other_moment(&expected, &got) {
            self.report.other_moment += 1;
            return;
        }
        let kind = if meaning(&expected) == meaning(&got) { Kind::Leftovers } else { Kind::Answer };
        self.differ(kind, Some(expected), Some(got));
    }

    fn missing(&mut self, frame: Frame) {
        if is_sync_answer(&frame.0) {
            self.report.not_compared += 1;
        } else {
            self.differ(Kind::Missing, Some(frame), None);
        }
    }

    fn extra(&mut self, frame: Frame) {
        if is_sync_answer(&frame.0) {
            self.report.not_compared += 1;
        } else {
            self.differ(Kind::Extra, None, Some(frame));
        }
    }

    fn compare_text(&mut self) {
        let [recorded, board] = std::mem::take(&mut self.texts);
        if self.options.text && recorded != board {
            self.differ(Kind::Text, Some((recorded, Dialect::Rom)), Some((board, Dialect::Rom)));
        }
    }

    fn differ(&mut self, kind: Kind, recorded: Option<Frame>, board: Option<Frame>) {
        if kind == Kind::Leftovers && self.options.allow_leftovers {
            return;
        }
        self.report.difference_count += 1;
        if self.report.differences.len() < KEPT_MAX {
            let (at, request) =
                self.request.clone().map_or((Instant::ZERO, None), |(at, words)| (at, Some(words)));
            let request_number = self.report.requests;
            self.report.differences.push(Difference {
                at,
                request_number,
                kind,
                request,
                recorded,
                board,
            });
        }
    }
}

fn keep_text(text: &mut Vec<u8>, more: &[u8]) {
    let room = TEXT_BYTES_MAX.saturating_sub(text.len());
    text.extend(more.iter().take(room));
}

/// An answer without what means nothing: the value field where the command has no value (ROM-FACTS
/// 4.2), and the ROM's two last bytes.
fn meaning((frame, dialect): &Frame) -> Vec<u8> {
    let mut frame = frame.clone();
    let is_answer =
        frame.first() == Some(&1) && frame.len() >= field::BODY + dialect.status_bytes();
    if !is_answer {
        return frame;
    }
    if frame[field::OPCODE] != u8::from(Opcode::ReadReg) {
        frame[field::CHECKSUM].fill(0);
    }
    if *dialect == Dialect::Rom {
        let end = frame.len();
        frame[end - 2..].fill(0);
    }
    frame
}

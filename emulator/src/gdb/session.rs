//! One debugger's conversation with a board.

use xtensa::Cpu;

use super::{
    packet::{Decoder, Input, PACKET_MAX, encode, from_hex, number, to_hex},
    registers,
    stops::{self, Reasons, breakpoint},
    target::{Scope, Target},
};
use crate::board::Probe;

/// Bytes of memory in one answer.
const MEMORY_MAX: usize = (PACKET_MAX - 16) / 2;
pub(super) const ERROR: &[u8] = b"E01";
pub(super) const OK: &[u8] = b"OK";
/// Where the ROM's own core counts as standing while no program runs: the call of a program's
/// entry (XTENSA 4.2).
const ROM_PLACE: u32 = 0x4000_7C15;

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The debugger lets the program go on alone.
    Detached,
    /// The debugger wants the program to end.
    Killed,
}

/// A conversation. It holds one packet in each direction at most, and knows no socket.
#[derive(Debug, Clone, Default)]
pub struct Session {
    decoder: Decoder,
    last_answer: Vec<u8>,
    no_acknowledgements: bool,
    /// The debugger waits for the program to pause.
    running: bool,
    outcome: Option<Outcome>,
    scope: Scope,
    /// Which reasons of a stop the debugger understands.
    reasons: Reasons,
    /// What is shown while the native ROM runs, whose registers nobody knows.
    rom: Box<Cpu>,
}

impl Session {
    /// A session on `board`, whose program is paused from now on.
    pub fn start(board: &mut dyn Target) -> Self {
        Self::begin(board, Scope::Program)
    }

    /// A session on the processor of a `board` that is served: it is halted from now on, whatever
    /// it does, and programs come and go without the session ending.
    pub fn attach(board: &mut dyn Target) -> Self {
        Self::begin(board, Scope::Processor)
    }

    /// A session on what `scope` says.
    pub fn begin(board: &mut dyn Target, scope: Scope) -> Self {
        if board.probe().is_none() {
            board.set_probe(Some(Probe::default()));
        }
        if let Some(probe) = board.probe_mut() {
            probe.holds_faults = true;
            probe.interrupt();
        }
        let mut session = Self { scope, ..Self::default() };
        session.rom.pc = ROM_PLACE;
        session
    }

    /// The core to show; `None` if the program has ended.
    fn core<'a>(&'a self, board: &'a dyn Target) -> Option<&'a Cpu> {
        let rom = (self.scope == Scope::Processor).then_some(&*self.rom);
        board.core().or(rom)
    }

    /// How it ended, if it did.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }

    /// Takes bytes of the debugger, appends answers to `out`.
    pub fn receive(&mut self, bytes: &[u8], board: &mut dyn Target, out: &mut Vec<u8>) {
        for &byte in bytes {
            match self.decoder.push(byte) {
                None => {}
                Some(Input::Interrupt) => {
                    if let Some(probe) = board.probe_mut() {
                        probe.interrupt();
                    }
                    self.poll(board, out);
                }
                Some(Input::Resend) => out.extend(&self.last_answer),
                Some(Input::Damaged) if self.no_acknowledgements => {}
                Some(Input::Damaged) => out.push(b'-'),
                Some(Input::Packet(data)) => {
                    if !self.no_acknowledgements {
                        out.push(b'+');
                    }
                    if let Some(answer) = self.packet(&data, board) {
                        self.answer(&answer, out);
                    }
                    self.poll(board, out);
                }
            }
        }
    }

    /// Tells the debugger if the program has paused or ended; call it after the board ran.
    pub fn poll(&mut self, board: &dyn Target, out: &mut Vec<u8>) {
        let ended = self.scope == Scope::Program && board.core().is_none();
        let paused = ended || board.probe().is_some_and(|p| p.pause().is_some());
        if self.running && paused {
            self.running = false;
            self.answer(&self.stop_reply(board), out);
        }
    }

    /// Lets the program go on without the debugger.
    pub fn end(&mut self, board: &mut dyn Target) {
        if let Some(probe) = board.probe_mut() {
            probe.breakpoints.clear();
            probe.hardware_breakpoints.clear();
            probe.watchpoints.clear();
            probe.holds_faults = false;
        }
        board.resume_program(false);
        self.outcome.get_or_insert(Outcome::Detached);
    }

    fn answer(&mut self, data: &[u8], out: &mut Vec<u8>) {
        self.last_answer.clear();
        encode(data, &mut self.last_answer);
        out.extend(&self.last_answer);
    }

    /// Answers one packet; `None` if the answer comes when the program pauses.
    fn packet(&mut self, data: &[u8], board: &mut dyn Target) -> Option<Vec<u8>> {
        let (&kind, rest) = data.split_first()?;
        if kind == b'X' {
            return Some(write_binary(rest, board));
        }
        let Ok(rest) = std::str::from_utf8(rest) else { return Some(Vec::new()) };
        let answer = match kind {
            b'?' => self.stop_reply(board),
            b'g' => self.general_registers(board),
            b'G' => set_general_registers(rest, board),
            b'p' => self.register(rest, board),
            b'P' => set_register(rest, board),
            b'm' => memory(rest, board),
            b'M' => set_memory(rest, board),
            b'Z' => breakpoint(rest, board, true),
            b'z' => breakpoint(rest, board, false),
            b'c' | b'C' => return self.resume(rest, kind == b'C', false, board),
            b's' | b'S' => return self.resume(rest, kind == b'S', true, board),
            b'v' => return self.named(rest, board),
            b'q' => self.query(rest),
            b'Q' if rest == "StartNoAckMode" => {
                self.no_acknowledgements = true;
                OK.to_vec()
            }
            b'H' | b'T' | b'!' => OK.to_vec(),
            b'D' => {
                self.end(board);
                OK.to_vec()
            }
            b'k' => {
                self.kill(board);
                return None;
            }
            _ => Vec::new(),
        };
        Some(answer)
    }

    /// `c`, `s` and their forms with a signal, which is not delivered; an address may follow.
    fn resume(
        &mut self,
        text: &str,
        signal: bool,
        step: bool,
        board: &mut dyn Target,
    ) -> Option<Vec<u8>> {
        let address = if signal { text.split_once(';').map_or("", |(_, at)| at) } else { text };
        match (address, number(address), board.core_mut()) {
            (_, _, None) if self.scope == Scope::Program => return Some(self.stop_reply(board)),
            ("", ..) => {}
            (_, Some(pc), Some(cpu)) => cpu.pc = pc,
            (_, None, _) | (_, _, None) => return Some(ERROR.to_vec()),
        }
        board.resume_program(step);
        self.running = true;
        None
    }

    /// Packets with a name.
    fn named(&mut self, text: &str, board: &mut dyn Target) -> Option<Vec<u8>> {
        if text == "Cont?" {
            return Some(b"vCont;c;C;s;S".to_vec());
        }
        if text.starts_with("Kill") {
            self.kill(board);
            return Some(OK.to_vec());
        }
        // There is one thread, so the first action is its own.
        match text.strip_prefix("Cont;").map(str::as_bytes) {
            Some([b'c' | b'C', ..]) => self.resume("", false, false, board),
            Some([b's' | b'S', ..]) => self.resume("", false, true, board),
            Some(_) => Some(ERROR.to_vec()),
            None => Some(Vec::new()),
        }
    }

    /// The debugger wants an end: of the program, or of its look at a board that others use.
    fn kill(&mut self, board: &mut dyn Target) {
        self.outcome = Some(Outcome::Killed);
        if self.scope == Scope::Processor {
            self.end(board);
        }
    }

    fn stop_reply(&self, board: &dyn Target) -> Vec<u8> {
        stops::stop_reply(board, self.scope, self.reasons)
    }

    fn general_registers(&self, board: &dyn Target) -> Vec<u8> {
        let Some(cpu) = self.core(board) else { return ERROR.to_vec() };
        let values = (0..registers::GENERAL).map(|number| shown(registers::read(cpu, number)));
        values.collect::<String>().into_bytes()
    }

    fn register(&self, text: &str, board: &dyn Target) -> Vec<u8> {
        match number(text).zip(self.core(board)) {
            Some((number, cpu)) if registers::name(number).is_some() => {
                shown(registers::read(cpu, number)).into_bytes()
            }
            _ => ERROR.to_vec(),
        }
    }

    fn query(&mut self, text: &str) -> Vec<u8> {
        const FEATURES: &str = "Xfer:features:read:target.xml:";
        let (name, _) = text.split_once([':', ',']).unwrap_or((text, ""));
        if let Some(range) = text.strip_prefix(FEATURES) {
            return part_of(&registers::target_xml(), range);
        }
        match name {
            "Supported" => {
                self.reasons = Reasons::of(text);
                format!(
                    "PacketSize={PACKET_MAX:x};qXfer:features:read+;QStartNoAckMode+;swbreak+;\
                     hwbreak+;vContSupported+"
                )
                .into_bytes()
            }
            "C" => b"QC1".to_vec(),
            "fThreadInfo" => b"m1".to_vec(),
            "sThreadInfo" => b"l".to_vec(),
            "Attached" => b"1".to_vec(),
            "Symbol" => OK.to_vec(),
            _ => Vec::new(),
        }
    }
}

/// `offset,length` of a document.
fn part_of(document: &str, range: &str) -> Vec<u8> {
    let numbers = range.split_once(',').and_then(|(at, len)| number(at).zip(number(len)));
    let Some((at, len)) = numbers else { return ERROR.to_vec() };
    let rest = document.as_bytes().get(at as usize..).unwrap_or_default();
    let len = (len as usize).min(PACKET_MAX / 2);
    let (mark, part) = match rest.get(..len) {
        Some(part) if part.len() < rest.len() => (b'm', part),
        _ => (b'l', rest),
    };
    [&[mark], part].concat()
}

fn shown(value: Option<u32>) -> String {
    value.map_or_else(|| "xxxxxxxx".to_owned(), |value| to_hex(&value.to_le_bytes()))
}

fn set_general_registers(text: &str, board: &mut dyn Target) -> Vec<u8> {
    let (Some(cpu), true) = (board.core_mut(), text.is_ascii()) else { return ERROR.to_vec() };
    for (number, digits) in (0..registers::GENERAL).zip(text.as_bytes().chunks_exact(8)) {
        let word = std::str::from_utf8(digits).ok().and_then(word);
        // What could not be read comes back as x.
        if let Some(value) = word {
            registers::write(cpu, number, value);
        }
    }
    OK.to_vec()
}

/// Eight digits, low byte first.
fn word(text: &str) -> Option<u32> {
    Some(u32::from_le_bytes(from_hex(text)?.try_into().ok()?))
}

fn set_register(text: &str, board: &mut dyn Target) -> Vec<u8> {
    let parts = text
        .split_once('=')
        .and_then(|(number_text, value)| Some((number(number_text)?, word(value)?)));
    let write = |cpu: &mut Cpu| parts.is_some_and(|(n, value)| registers::write(cpu, n, value));
    if board.core_mut().is_some_and(write) { OK.to_vec() } else { ERROR.to_vec() }
}

/// `address,length` and what is behind the colon.
fn place(text: &str) -> Option<(u32, usize, &str)> {
    let (place, content) = text.split_once(':').unwrap_or((text, ""));
    let (address, length) = place.split_once(',')?;
    Some((number(address)?, number(length)? as usize, content))
}

fn memory(text: &str, board: &mut dyn Target) -> Vec<u8> {
    let Some((address, length, _)) = place(text) else { return ERROR.to_vec() };
    let mut bytes = vec![0; length.min(MEMORY_MAX)];
    // Shorter is allowed: what can be read up to the end of memory.
    if board.peek(address, &mut bytes) { to_hex(&bytes).into_bytes() } else { ERROR.to_vec() }
}

fn set_memory(text: &str, board: &mut dyn Target) -> Vec<u8> {
    let found = place(text).and_then(|(address, length, content)| {
        let bytes = from_hex(content).filter(|bytes| bytes.len() == length)?;
        Some((address, bytes))
    });
    match found {
        Some((address, bytes)) if board.poke(address, &bytes) => OK.to_vec(),
        _ => ERROR.to_vec(),
    }
}

/// `X address,length:bytes`.
fn write_binary(data: &[u8], board: &mut dyn Target) -> Vec<u8> {
    let Some(colon) = data.iter().position(|byte| *byte == b':') else { return ERROR.to_vec() };
    let (head, bytes) = data.split_at(colon);
    let found = std::str::from_utf8(head).ok().and_then(place);
    match (found, bytes.get(1..)) {
        (Some((address, length, _)), Some(bytes))
            if bytes.len() == length && (length == 0 || board.poke(address, bytes)) =>
        {
            OK.to_vec()
        }
        _ => ERROR.to_vec(),
    }
}

//! serprog: the serial flasher protocol, version 1, by which flashrom reaches the board's flash.
//!
//! A bench programmer with a clip on the flash: same chip, same protection, no ESP32 in between.
//! Sans-io: a [`StreamSession`] that works on a [`SpiBus`]. Facts are those of the public protocol document (`serprog-protocol`,
//! version 1). Memory is bounded: a command holds at most 64 KiB, and nothing more is taken
//! while 512 KiB of answers wait.

use super::tcp::{Outbox, StreamSession};
use crate::time::Duration;

const ACK: u8 = 0x06;
const NAK: u8 = 0x15;
/// Bus type flag "SPI".
const BUS_SPI: u8 = 0x08;
/// Largest number of bytes shifted out in one operation.
const WRITE_MAX: usize = 0x1_0000;
/// Largest number of bytes shifted in by one operation.
const READ_MAX: usize = 0x4_0000;
/// Answers that may wait before the server takes no more input.
const PENDING_MAX: usize = 2 * READ_MAX;
/// Bytes of the operation buffer; a delay takes five.
const OPERATION_BUFFER_LEN: u16 = 1024;
const DELAY_LEN: u16 = 5;
/// Clock before the client asks for another, and the fastest that it gets.
const CLOCK_DEFAULT_HZ: u32 = 20_000_000;
const CLOCK_MAX_HZ: u32 = 80_000_000;
/// The slowest clock: nobody may stop the board's time by a transfer that takes days.
const CLOCK_MIN_HZ: u32 = 400_000;
/// Longest pause that the operation buffer may hold, for the same reason.
const DELAY_MAX: Duration = Duration::from_millis(10_000);
/// Sixteen bytes, padded with zeros.
const NAME: [u8; 16] = *b"esp32-emulator\0\0";

/// The commands that this server knows, with the length of their fixed parameters in bytes.
const COMMANDS: [(Command, usize); 17] = [
    (Command::Nop, 0),
    (Command::Interface, 0),
    (Command::Supported, 0),
    (Command::Name, 0),
    (Command::SerialBuffer, 0),
    (Command::BusTypes, 0),
    (Command::OperationBuffer, 0),
    (Command::WriteMax, 0),
    (Command::BufferInit, 0),
    (Command::BufferDelay, 4),
    (Command::BufferExecute, 0),
    (Command::SyncNop, 0),
    (Command::ReadMax, 0),
    (Command::SetBus, 1),
    (Command::SpiOperation, 6),
    (Command::SetClock, 4),
    (Command::PinState, 1),
];

/// Opcodes of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Command {
    Nop = 0x00,
    Interface = 0x01,
    Supported = 0x02,
    Name = 0x03,
    SerialBuffer = 0x04,
    BusTypes = 0x05,
    OperationBuffer = 0x07,
    WriteMax = 0x08,
    BufferInit = 0x0B,
    BufferDelay = 0x0E,
    BufferExecute = 0x0F,
    SyncNop = 0x10,
    ReadMax = 0x11,
    SetBus = 0x12,
    SpiOperation = 0x13,
    SetClock = 0x14,
    PinState = 0x15,
}

/// The flash's bus, as a programmer clipped to it sees it.
pub trait SpiBus {
    /// Runs one chip select and lets the time pass that its bits take at `clock_hz`.
    fn transfer(&mut self, clock_hz: u32, mosi: &[u8], miso: &mut [u8]);

    /// Lets time pass with the bus idle.
    fn wait(&mut self, span: Duration);

    /// The programmer begins (`true`) or ceases (`false`) to drive the bus.
    fn drive(&mut self, on: bool);
}

/// How long `bytes_count` bytes take on one line at `clock_hz`.
#[must_use]
pub fn transfer_time(bytes_count: usize, clock_hz: u32) -> Duration {
    let bits_count = (bytes_count as u64).saturating_mul(8);
    Duration::from_nanos(bits_count.saturating_mul(1_000_000_000) / u64::from(clock_hz.max(1)))
}

/// What the next byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Opcode,
    /// The fixed parameters of a command.
    Parameters(Command, usize),
    /// The bytes to shift out.
    Outgoing {
        write_len: usize,
        read_len: usize,
    },
    /// An operation that is too long: its bytes are dropped, then it is refused.
    Refuse {
        left: usize,
    },
}

/// One client's session.
#[derive(Debug, Clone)]
pub struct Server {
    state: State,
    taken: Vec<u8>,
    answers: Vec<u8>,
    clock_hz: u32,
    delays: Duration,
    delays_len: u16,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            state: State::Opcode,
            taken: Vec::new(),
            answers: Vec::new(),
            clock_hz: CLOCK_DEFAULT_HZ,
            delays: Duration::ZERO,
            delays_len: 0,
        }
    }
}

impl Server {
    /// Bytes until the next decision.
    fn wanted(&self) -> usize {
        match self.state {
            State::Opcode => 1,
            State::Parameters(_, len) | State::Outgoing { write_len: len, .. } => {
                len - self.taken.len()
            }
            State::Refuse { left } => left,
        }
    }

    fn step(&mut self, chunk: &[u8], bus: &mut (impl SpiBus + ?Sized)) {
        match self.state {
            State::Opcode => {
                let Some(opcode) = chunk.first() else { return };
                let known = COMMANDS.iter().find(|(command, _)| *command as u8 == *opcode);
                match known {
                    Some((command, 0)) => self.query(*command, bus),
                    Some((command, len)) => self.state = State::Parameters(*command, *len),
                    None => self.answers.push(NAK),
                }
            }
            State::Parameters(command, len) => {
                self.taken.extend_from_slice(chunk);
                if self.taken.len() == len {
                    let parameters = std::mem::take(&mut self.taken);
                    self.state = State::Opcode;
                    self.command(command, &parameters, bus);
                }
            }
            State::Outgoing { write_len, read_len } => {
                self.taken.extend_from_slice(chunk);
                if self.taken.len() == write_len {
                    self.operate(read_len, bus);
                }
            }
            State::Refuse { left } => self.refuse(left - chunk.len()),
        }
    }

    /// Commands without parameters.
    fn query(&mut self, command: Command, bus: &mut (impl SpiBus + ?Sized)) {
        if command == Command::SyncNop {
            self.answers.push(NAK);
        }
        self.answers.push(ACK);
        match command {
            Command::Interface => self.answers.extend(1_u16.to_le_bytes()),
            Command::Supported => self.answers.extend(command_map()),
            Command::Name => self.answers.extend(NAME),
            // TCP has flow control; the document asks for a "big bogus value" then.
            Command::SerialBuffer => self.answers.extend(u16::MAX.to_le_bytes()),
            Command::BusTypes => self.answers.push(BUS_SPI),
            Command::OperationBuffer => self.answers.extend(OPERATION_BUFFER_LEN.to_le_bytes()),
            Command::WriteMax => self.answers.extend(three_bytes(WRITE_MAX)),
            Command::ReadMax => self.answers.extend(three_bytes(READ_MAX)),
            Command::BufferInit => self.clear_delays(),
            Command::BufferExecute => {
                bus.wait(self.delays);
                self.clear_delays();
            }
            _ => {}
        }
    }

    /// Commands with fixed parameters.
    fn command(&mut self, command: Command, parameters: &[u8], bus: &mut (impl SpiBus + ?Sized)) {
        match (command, parameters) {
            (Command::BufferDelay, [a, b, c, d]) => {
                let us = u32::from_le_bytes([*a, *b, *c, *d]);
                let delays = self.delays + Duration::from_micros(u64::from(us));
                if self.delays_len + DELAY_LEN > OPERATION_BUFFER_LEN || delays > DELAY_MAX {
                    self.answers.push(NAK);
                    return;
                }
                self.delays_len += DELAY_LEN;
                self.delays = delays;
                self.answers.push(ACK);
            }
            (Command::SetBus, [flags]) => {
                self.answers.push(if flags & BUS_SPI == 0 { NAK } else { ACK });
            }
            (Command::SpiOperation, lengths) => {
                let (write_len, read_len) = lengths.split_at(lengths.len() / 2);
                let (write_len, read_len) = (little_endian(write_len), little_endian(read_len));
                if write_len > WRITE_MAX || read_len > READ_MAX {
                    self.refuse(write_len);
                } else if write_len == 0 {
                    self.operate(read_len, bus);
                } else {
                    self.state = State::Outgoing { write_len, read_len };
                }
            }
            (Command::SetClock, [a, b, c, d]) => {
                let hz = u32::from_le_bytes([*a, *b, *c, *d]);
                if hz < CLOCK_MIN_HZ {
                    self.answers.push(NAK);
                    return;
                }
                self.clock_hz = hz.min(CLOCK_MAX_HZ);
                self.answers.push(ACK);
                self.answers.extend(self.clock_hz.to_le_bytes());
            }
            (Command::PinState, [on]) => {
                bus.drive(*on != 0);
                self.answers.push(ACK);
            }
            _ => self.answers.push(NAK),
        }
    }

    /// Runs the operation whose outgoing bytes are complete.
    fn operate(&mut self, read_len: usize, bus: &mut (impl SpiBus + ?Sized)) {
        self.state = State::Opcode;
        let outgoing = std::mem::take(&mut self.taken);
        self.answers.push(ACK);
        let begin = self.answers.len();
        self.answers.resize(begin + read_len, 0);
        if let Some(incoming) = self.answers.get_mut(begin..) {
            bus.transfer(self.clock_hz, &outgoing, incoming);
        }
    }

    fn refuse(&mut self, left: usize) {
        if left == 0 {
            self.state = State::Opcode;
            self.answers.push(NAK);
        } else {
            self.state = State::Refuse { left };
        }
    }

    fn clear_delays(&mut self) {
        self.delays = Duration::ZERO;
        self.delays_len = 0;
    }
}

impl Outbox for Server {
    fn pending(&mut self) -> &[u8] {
        &self.answers
    }

    fn sent(&mut self, count: usize) {
        self.answers.drain(..count.min(self.answers.len()));
    }
}

impl<Bus: SpiBus + ?Sized> StreamSession<Bus> for Server {
    fn receive(&mut self, bytes: &[u8], bus: &mut Bus) -> usize {
        let mut rest = bytes;
        while !rest.is_empty() && self.answers.len() < PENDING_MAX {
            let (chunk, tail) = rest.split_at(self.wanted().min(rest.len()));
            rest = tail;
            self.step(chunk, bus);
        }
        bytes.len() - rest.len()
    }

    fn close(&mut self, bus: &mut Bus) {
        bus.drive(false);
    }
}

/// One bit for each opcode, bit 0 of byte 0 first.
fn command_map() -> [u8; 32] {
    let mut map = [0_u8; 32];
    for (command, _) in COMMANDS {
        let opcode = command as u8;
        if let Some(byte) = map.get_mut(usize::from(opcode / 8)) {
            *byte |= 1 << (opcode % 8);
        }
    }
    map
}

fn little_endian(bytes: &[u8]) -> usize {
    bytes.iter().rev().fold(0, |value, byte| (value << 8) | usize::from(*byte))
}

/// The low 24 bits, little-endian.
fn three_bytes(value: usize) -> impl Iterator<Item = u8> {
    value.to_le_bytes().into_iter().take(3)
}

#[cfg(test)]
mod tests;

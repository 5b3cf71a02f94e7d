//! The serial loader: pre-SYNC filter, command loop, replies with their stale fields
//! (ROM-FACTS 3, 4 and 5).

use super::{
    commands,
    deflate::Inflation,
    flash_driver::{FlashChip, FlashError},
    slip,
};
use crate::{
    soc::Machine,
    spi::SpiDevice,
    trace::{Event, Hang},
};

/// Largest payload of a reply, plus status, error and two more bytes.
const REPLY_BYTES: usize = 64 + 4;
/// How often a reply whose op field is SYNC is sent.
const SYNC_REPLIES: usize = 8;
pub(super) const OP_SYNC: u8 = 0x08;

/// How the command loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoaderExit {
    /// It was left without user code.
    Left,
    /// The ROM resets the chip.
    SoftwareReset,
    /// The ROM calls uploaded code.
    Call {
        /// Address.
        entry: u32,
    },
    /// It waits for ever.
    Hang(Hang),
}

impl From<crate::soc::BusError> for LoaderExit {
    fn from(error: crate::soc::BusError) -> Self {
        Self::Hang(Hang::Exception { address: error.address })
    }
}

/// Where data blocks go. MEM and FLASH commands share one (ROM-FACTS 5.2), DEFL has its own.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Transfer {
    pub(super) total_bytes: u32,
    pub(super) blocks: u32,
    pub(super) block_bytes: u32,
    pub(super) address: u32,
    pub(super) seq: u32,
    pub(super) received_bytes: u32,
}

/// The loader's state.
#[derive(Debug, Clone)]
pub struct Loader {
    receiver: slip::Receiver,
    synced: bool,
    pub(super) value: u32,
    op: u8,
    error: u8,
    reply: [u8; REPLY_BYTES],
    pub(super) transfer: Transfer,
    pub(super) deflate_transfer: Transfer,
    pub(super) inflation: Box<Inflation>,
}

/// What a command did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Status 0; the error byte of the previous reply stays (ROM-FACTS 4.2).
    Done,
    /// Status 0 and error 0.
    DoneClear,
    /// Status 1.
    Failed(Failure),
}

/// Error codes (ROM-FACTS 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    Refused = 0x05,
    Operation = 0x06,
    Checksum = 0x07,
    ReadBack = 0x08,
    Read = 0x09,
    ReadLength = 0x0A,
    Inflate = 0x0B,
    Adler = 0x0C,
    DeflateParameter = 0x0D,
}

impl Loader {
    /// The loader at its start. With `wait_for_sync` it drops everything before the first SYNC.
    pub fn start<F: SpiDevice>(machine: &mut Machine<F>, wait_for_sync: bool) -> Self {
        FlashChip::DEFAULT.store(machine);
        Self {
            receiver: slip::Receiver::default(),
            synced: !wait_for_sync,
            value: 0,
            op: 0,
            error: 0,
            reply: [0; REPLY_BYTES],
            transfer: Transfer::default(),
            deflate_transfer: Transfer::default(),
            inflation: Box::default(),
        }
    }

    /// Whether commands are answered.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.synced
    }

    /// Takes received bytes up to the end of a frame; gives how many, and whether a frame waits in
    /// the buffer for [`Self::execute`].
    pub fn receive<F>(&mut self, machine: &mut Machine<F>, bytes: &[u8]) -> (usize, bool) {
        self.receiver.take(bytes, machine.soc.memory.receive_buffer_mut())
    }

    /// Runs the frame in the buffer.
    ///
    /// # Errors
    ///
    /// The loop ends here.
    pub fn execute<F: SpiDevice>(&mut self, machine: &mut Machine<F>) -> Result<(), LoaderExit> {
        let request = Request::parse(machine.soc.memory.receive_buffer());
        if !self.synced {
            // Direction and op are all that the wait loop looks at.
            if request.direction != 0 || request.op != OP_SYNC {
                return Ok(());
            }
            self.synced = true;
        }
        let begun_at = machine.now;
        let run = commands::run(self, machine, &request);
        let reply = match &run {
            Ok(done) => Some(done.status()),
            Err(_) => None,
        };
        machine.trace.push(begun_at, Event::Command { opcode: request.op, reply });
        let done = run?;
        self.answer(machine, &done);
        match done.after {
            Some(after) => follow(machine, after),
            None => Ok(()),
        }
    }

    /// Notes that a known command came: its op appears in this and in later replies.
    pub(super) fn set_op(&mut self, op: u8) {
        self.op = op;
    }

    /// The reply buffer, for payloads; error replies show what is in it.
    pub(super) fn payload_mut(&mut self) -> &mut [u8] {
        &mut self.reply[..64]
    }

    fn answer<F: SpiDevice>(&mut self, machine: &mut Machine<F>, done: &Done) {
        let (status, error) = match done.outcome {
            Outcome::Done => (0, self.error),
            Outcome::DoneClear => (0, 0),
            Outcome::Failed(failure) => (1, failure as u8),
        };
        self.error = error;
        let len = done.payload_bytes;
        self.reply[len] = status;
        self.reply[len + 1] = error;
        let size = u16::try_from(len + 4).unwrap_or(u16::MAX).to_le_bytes();
        let value = self.value.to_le_bytes();
        let mut payload = vec![0x01, self.op, size[0], size[1]];
        payload.extend(value);
        payload.extend(&self.reply[..len + 4]);
        let mut wire = Vec::with_capacity(2 * payload.len() + 2);
        esp_protocol::slip::encode(&payload, &mut wire);
        let count = if self.op == OP_SYNC { SYNC_REPLIES } else { 1 };
        for _ in 0..count {
            machine.send(&wire);
        }
    }
}

/// Does what the ROM does behind a reply.
fn follow<F: SpiDevice>(machine: &mut Machine<F>, after: After) -> Result<(), LoaderExit> {
    match after {
        After::ChangeBaud { clkdiv } => {
            send_stray_delimiters(machine);
            machine.soc.uart.set_clkdiv(clkdiv);
            let rate = machine.soc.uart.baud();
            machine.trace.push(machine.now, Event::Baud { rate });
            Ok(())
        }
        After::Reset => {
            send_stray_delimiters(machine);
            Err(LoaderExit::SoftwareReset)
        }
        After::Left => Err(LoaderExit::Left),
        After::Call { entry } => Err(LoaderExit::Call { entry }),
    }
}

/// Two more delimiters, sent before the ROM changes the rate or resets (ROM-FACTS 5.4, 5.8).
fn send_stray_delimiters<F: SpiDevice>(machine: &mut Machine<F>) {
    machine.send(&[0xC0, 0xC0]);
    machine.flush();
}

/// A command's result.
#[derive(Debug, Clone, Copy)]
pub(super) struct Done {
    pub(super) outcome: Outcome,
    pub(super) payload_bytes: usize,
    pub(super) after: Option<After>,
}

/// What the ROM does behind a reply.
#[derive(Debug, Clone, Copy)]
pub(super) enum After {
    ChangeBaud { clkdiv: u32 },
    Reset,
    Left,
    Call { entry: u32 },
}

impl Done {
    fn status(&self) -> (u8, u8) {
        match self.outcome {
            Outcome::Done | Outcome::DoneClear => (0, 0),
            Outcome::Failed(failure) => (1, failure as u8),
        }
    }
}

impl From<Outcome> for Done {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, payload_bytes: 0, after: None }
    }
}

/// A frame as the ROM looks at it: fixed places in the receive buffer, whatever was received.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    pub(super) direction: u8,
    pub(super) op: u8,
    pub(super) size: u16,
    pub(super) checksum: u8,
    pub(super) words: [u32; 6],
}

impl Request {
    fn parse(buffer: &[u8]) -> Self {
        let byte = |index: usize| buffer.get(index).copied().unwrap_or(0);
        let word = |index: usize| u32::from_le_bytes(std::array::from_fn(|i| byte(index + i)));
        Self {
            direction: byte(0),
            op: byte(1),
            size: u16::from_le_bytes([byte(2), byte(3)]),
            checksum: byte(4),
            words: std::array::from_fn(|index| word(8 + 4 * index)),
        }
    }
}

impl From<FlashError> for Failing {
    fn from(error: FlashError) -> Self {
        match error {
            FlashError::Range => Self::Failure(Failure::Operation),
            FlashError::Hang(why) => Self::Exit(LoaderExit::Hang(why)),
        }
    }
}

/// How a command fails: with a reply, or for good.
#[derive(Debug, Clone, Copy)]
pub(super) enum Failing {
    Failure(Failure),
    Exit(LoaderExit),
}

impl From<Failure> for Failing {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<crate::soc::BusError> for Failing {
    fn from(error: crate::soc::BusError) -> Self {
        Self::Exit(error.into())
    }
}

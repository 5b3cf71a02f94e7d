//! A session with a loader: framing, synchronisation, commands, and who answers.

mod error;
#[cfg(test)]
pub(crate) mod fake;
mod recover;
mod registers;
#[cfg(test)]
mod tests;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use esp_protocol::{
    command::{Opcode, Request},
    response::{Dialect, Response},
    slip::{self, Decoder},
};

pub use error::{Cause, SessionError, Step};
pub use recover::LineTrouble;

use crate::{
    port::{Port, PortError},
    reset::ResetStrategy,
    stub::Stub,
};

/// Longest frame that a loader sends: a stub's read packet.
const FRAME_BYTES_MAX: usize = 0x4000 + 64;
/// The loader listens at any usual rate; this is where the boot log is readable too.
pub const CONNECT_BAUD: u32 = 115_200;
/// Usual wait for a response.
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(3);
/// Wait for the first response to a SYNC.
const SYNC_TIMEOUT: Duration = Duration::from_millis(100);
/// SYNCs after each reset.
const SYNC_TRIES: u32 = 5;
/// The ROM answers a SYNC by so many frames (ROM-FACTS 3.1).
const SYNC_RESPONSES: usize = 8;
/// A pending interrupt is noticed within this time.
const READ_SLICE: Duration = Duration::from_millis(100);
/// Start, eight data bits, stop.
const BITS_PER_BYTE: u64 = 10;
/// A line that was so many times faster than its rate cannot be a UART.
const OUTRUN_FACTOR: u32 = 8;
/// Pause after a change of the rate, until both sides have settled.
const BAUD_SETTLE: Duration = Duration::from_millis(50);

/// What is worth telling but no failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Warning {
    /// The port has no modem lines: the chip was not reset.
    NoModemLines,
    /// The chip was already running a stub.
    StubWasRunning,
}

/// A session over one port.
pub struct Session {
    port: Box<dyn Port>,
    decoder: Decoder,
    /// Received bytes that the decoder has not taken.
    input: Vec<u8>,
    dialect: Dialect,
    warnings: Vec<Warning>,
    interrupt: Arc<AtomicBool>,
    damaged_count: u32,
    recovery_count: u32,
    /// Data blocks are no longer than this: short ones have a chance on a bad line.
    pub(crate) block_bytes_max: u32,
    /// Present rate in baud.
    baud: u32,
    /// How it was connected, to do so again after a reset.
    strategies: Vec<ResetStrategy>,
    /// No wait lasts beyond this point of the port's clock.
    deadline: Option<Duration>,
    /// The stub that was started, to do so again after a reset.
    pub(crate) stub: Option<Arc<Stub>>,
    line_outruns_rate: bool,
    pub(crate) spi_idle: Option<crate::spi::IdleRegisters>,
    pub(crate) flash_bytes: Option<u32>,
}

impl Session {
    /// A session over `port`; nothing is sent yet.
    #[must_use]
    pub fn new(port: Box<dyn Port>) -> Self {
        Self {
            port,
            decoder: Decoder::new(FRAME_BYTES_MAX),
            input: Vec::new(),
            dialect: Dialect::Rom,
            warnings: Vec::new(),
            interrupt: Arc::default(),
            damaged_count: 0,
            recovery_count: 0,
            block_bytes_max: u32::MAX,
            baud: CONNECT_BAUD,
            strategies: Vec::new(),
            deadline: None,
            stub: None,
            line_outruns_rate: false,
            spi_idle: None,
            flash_bytes: None,
        }
    }

    /// A flag that ends whatever the session does with [`Cause::Interrupted`], soon after it is
    /// set.
    #[must_use]
    pub fn interrupt_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.interrupt)
    }

    /// Takes `flag` as the interrupt flag.
    pub fn set_interrupt_flag(&mut self, flag: Arc<AtomicBool>) {
        self.interrupt = flag;
    }

    /// Who answers.
    #[must_use]
    pub const fn dialect(&self) -> Dialect {
        self.dialect
    }

    pub(crate) fn set_dialect(&mut self, dialect: Dialect) {
        self.dialect = dialect;
    }

    /// Warnings so far, each once.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Frames that arrived damaged and were dropped.
    #[must_use]
    pub const fn damaged_count(&self) -> u32 {
        self.damaged_count
    }

    /// Present rate in baud.
    #[must_use]
    pub const fn baud(&self) -> u32 {
        self.baud
    }

    /// Lets everything fail with [`Cause::DeadlinePassed`] from `deadline` of the port's clock on.
    pub fn set_deadline(&mut self, deadline: Option<Duration>) {
        self.deadline = deadline;
    }

    /// Runs `work` with at least `time`, even if the deadline is nearer: for what has to be put back.
    pub(crate) fn with_time<T>(&mut self, time: Duration, work: impl FnOnce(&mut Self) -> T) -> T {
        let deadline = self.deadline;
        let least = self.port.now() + time;
        self.deadline = deadline.map(|deadline| deadline.max(least));
        let result = work(self);
        self.deadline = deadline;
        result
    }

    /// The port.
    pub fn port(&mut self) -> &mut dyn Port {
        &mut *self.port
    }

    /// Gives the port back.
    #[must_use]
    pub fn into_port(self) -> Box<dyn Port> {
        self.port
    }

    /// Resets the chip by each of `strategies` in turn, up to `attempts` times in all, until it
    /// answers a SYNC.
    ///
    /// A port without modem lines gives [`Warning::NoModemLines`] and one round of SYNCs an
    /// attempt: somebody may press the buttons.
    ///
    /// # Errors
    ///
    /// [`Cause::NoAnswer`] or, if a boot message was seen, [`Cause::WrongBootMode`];
    /// [`Cause::Port`] if the port fails.
    pub fn connect(
        &mut self,
        strategies: &[ResetStrategy],
        attempts: u32,
    ) -> Result<(), SessionError> {
        strategies.clone_into(&mut self.strategies);
        let mut boot_text = Vec::new();
        for strategy in strategies.iter().cycle().take(attempts.max(1) as usize) {
            self.discard_input()?;
            self.reset(strategy)?;
            if self.sync(SYNC_TRIES)? {
                return Ok(());
            }
            boot_text = self.decoder.take_text();
        }
        Err(SessionError { step: Step::Connect, cause: Cause::from_boot_text(&boot_text) })
    }

    /// Plays a reset. The session has to be connected anew afterwards.
    ///
    /// # Errors
    ///
    /// [`Cause::Port`] if the port fails; missing modem lines are a warning.
    pub fn reset(&mut self, strategy: &ResetStrategy) -> Result<(), SessionError> {
        match strategy.play(&mut *self.port) {
            Err(PortError::LinesUnsupported) => self.warn(Warning::NoModemLines),
            other => other.map_err(SessionError::at(Step::Reset))?,
        }
        self.dialect = Dialect::Rom;
        self.spi_idle = None;
        self.flash_bytes = None;
        Ok(())
    }

    /// Sends SYNC up to `tries` times; true if the loader answered.
    ///
    /// # Errors
    ///
    /// [`Cause::Port`] or [`Cause::Interrupted`].
    pub fn sync(&mut self, tries: u32) -> Result<bool, SessionError> {
        let step = Step::Command(Opcode::Sync);
        for attempt in 0..tries {
            self.send(&Wire::of(&Request::Sync), step)?;
            let deadline = self.port.now() + SYNC_TIMEOUT;
            while let Some(frame) = self.receive(deadline, step)? {
                if let Some(dialect) = sync_answer(&frame) {
                    self.dialect = dialect;
                    if dialect == Dialect::Stub {
                        self.warn(Warning::StubWasRunning);
                    }
                    self.drain_sync(attempt == 0)?;
                    // A boot log from here on is that of a restart.
                    self.decoder.take_text();
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Takes the rest of the eight answers, and of those to earlier tries, until the line is quiet;
    /// after a first try there are no more than eight.
    fn drain_sync(&mut self, is_first: bool) -> Result<(), SessionError> {
        let step = Step::Command(Opcode::Sync);
        let tries = if is_first { 1 } else { SYNC_TRIES as usize };
        for _ in 1..SYNC_RESPONSES * tries {
            let deadline = self.port.now() + SYNC_TIMEOUT / 4;
            if self.receive(deadline, step)?.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Sends a request and waits for its response.
    ///
    /// Frames that are damaged or that answer something else are dropped.
    ///
    /// # Errors
    ///
    /// [`Cause::Refused`] if the loader reports a failure, [`Cause::NoAnswer`] after `timeout`,
    /// [`Cause::Port`], [`Cause::Interrupted`].
    pub fn command(
        &mut self,
        request: &Request<'_>,
        timeout: Duration,
    ) -> Result<Response, SessionError> {
        self.command_while(request, timeout, || {})
    }

    /// The same, with `meanwhile` done while the loader is at work.
    pub(crate) fn command_while(
        &mut self,
        request: &Request<'_>,
        timeout: Duration,
        meanwhile: impl FnOnce(),
    ) -> Result<Response, SessionError> {
        self.exchange(&Wire::of(request), timeout, meanwhile)
    }

    /// The same for a request that was prepared before.
    pub(crate) fn exchange(
        &mut self,
        request: &Wire,
        timeout: Duration,
        meanwhile: impl FnOnce(),
    ) -> Result<Response, SessionError> {
        let start = self.port.now();
        self.send(request, Step::Command(request.opcode))?;
        meanwhile();
        let (response, received_bytes) = self.answer(request.opcode, timeout)?;
        self.note_exchange(request.bytes.len() + received_bytes, start);
        match response.failure(self.dialect) {
            None => Ok(response),
            Some(code) => {
                let step = Step::Command(request.opcode);
                Err(SessionError { step, cause: Cause::Refused { code } })
            }
        }
    }

    /// Waits for the answer to `opcode`, good or bad, and gives its length in bytes.
    fn answer(
        &mut self,
        opcode: Opcode,
        timeout: Duration,
    ) -> Result<(Response, usize), SessionError> {
        let step = Step::Command(opcode);
        let deadline = self.port.now() + timeout;
        let damaged_before = self.damaged_count;
        while let Some(frame) = self.receive(deadline, step)? {
            let Ok(response) = Response::parse(&frame, self.dialect) else {
                self.damaged_count += 1;
                continue;
            };
            if response.opcode == u8::from(opcode) {
                return Ok((response, frame.len()));
            }
        }
        let damaged = self.damaged_count - damaged_before;
        let text = self.decoder.take_text();
        Err(SessionError { step, cause: Cause::no_answer(timeout, damaged, &text) })
    }

    /// Changes the rate on both sides, `old` and `new` in baud.
    ///
    /// # Errors
    ///
    /// As [`Self::command`], and [`Cause::Port`] if the port does not do the rate.
    pub fn change_baud(&mut self, old: u32, new: u32) -> Result<(), SessionError> {
        let step = Step::Command(Opcode::ChangeBaudrate);
        if !self.port.has_rate() {
            // Before the chip is told: it would be out of reach.
            return self.set_host_baud(new, step);
        }
        let old = if self.dialect == Dialect::Stub { old } else { 0 };
        self.command(&Request::ChangeBaudrate { new, old }, COMMAND_TIMEOUT)?;
        self.set_host_baud(new, step)?;
        self.port.wait(BAUD_SETTLE);
        self.discard_input()
    }

    /// Frames that arrive before `deadline`, one by one.
    pub(crate) fn receive(
        &mut self,
        deadline: Duration,
        step: Step,
    ) -> Result<Option<Vec<u8>>, SessionError> {
        loop {
            if let Some(frame) = self.decode() {
                return Ok(Some(frame));
            }
            self.check_interrupt(step)?;
            let now = self.port.now();
            if now >= deadline {
                return Ok(None);
            }
            let slice = deadline.min(now + READ_SLICE);
            self.port.read(&mut self.input, slice).map_err(SessionError::at(step))?;
        }
    }

    fn decode(&mut self) -> Option<Vec<u8>> {
        let mut rest = self.input.as_slice();
        let frame = loop {
            match self.decoder.next_frame(&mut rest) {
                Some(Ok(frame)) => break Some(frame),
                Some(Err(_)) => self.damaged_count += 1,
                None => break None,
            }
        };
        let taken = self.input.len() - rest.len();
        self.input.drain(..taken);
        frame
    }

    /// Whether the line moves bytes much faster than its rate says: a PTY, a socket, native USB.
    /// Compressing then costs more time than it saves.
    #[must_use]
    pub const fn line_outruns_rate(&self) -> bool {
        self.line_outruns_rate
    }

    /// Notes that `bytes` have crossed the line, both ways together, since `start`.
    fn note_exchange(&mut self, bytes: usize, start: Duration) {
        let nanoseconds =
            bytes as u64 * BITS_PER_BYTE * 1_000_000_000 / u64::from(self.baud.max(1));
        let took = self.port.now().saturating_sub(start);
        self.line_outruns_rate |= took * OUTRUN_FACTOR < Duration::from_nanos(nanoseconds);
    }

    fn send(&mut self, request: &Wire, step: Step) -> Result<(), SessionError> {
        self.check_interrupt(step)?;
        self.port.write(&request.bytes).map_err(SessionError::at(step))
    }

    /// Sends one frame as it is.
    pub(crate) fn send_payload(&mut self, payload: &[u8], step: Step) -> Result<(), SessionError> {
        let mut wire = Vec::new();
        slip::encode(payload, &mut wire);
        self.port.write(&wire).map_err(SessionError::at(step))
    }

    pub(crate) fn discard_input(&mut self) -> Result<(), SessionError> {
        self.port.flush_input().map_err(SessionError::at(Step::Connect))?;
        self.input.clear();
        self.decoder.reset();
        Ok(())
    }

    fn set_host_baud(&mut self, baud: u32, step: Step) -> Result<(), SessionError> {
        self.port.set_baud(baud).map_err(SessionError::at(step))?;
        self.baud = baud;
        Ok(())
    }

    fn check_interrupt(&self, step: Step) -> Result<(), SessionError> {
        if self.interrupt.load(Ordering::Relaxed) {
            return Err(SessionError { step, cause: Cause::Interrupted });
        }
        if self.deadline.is_some_and(|deadline| self.port.now() >= deadline) {
            return Err(SessionError { step, cause: Cause::DeadlinePassed });
        }
        Ok(())
    }

    fn warn(&mut self, warning: Warning) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }
}

/// A request as it goes over the line.
pub(crate) struct Wire {
    opcode: Opcode,
    bytes: Vec<u8>,
}

impl Wire {
    pub(crate) fn of(request: &Request<'_>) -> Self {
        let mut bytes = Vec::new();
        slip::encode(&request.emit(), &mut bytes);
        Self { opcode: request.opcode(), bytes }
    }
}

/// Who answered a SYNC: the number of status bytes tells. The value field does not, because in the
/// ROM it is whatever the last command left there (ROM-FACTS 4.2).
fn sync_answer(frame: &[u8]) -> Option<Dialect> {
    [Dialect::Rom, Dialect::Stub].into_iter().find_map(|dialect| {
        let response = Response::parse(frame, dialect).ok()?;
        let is_sync = response.known_opcode() == Some(Opcode::Sync) && response.payload.is_empty();
        (is_sync && response.status == 0).then_some(dialect)
    })
}

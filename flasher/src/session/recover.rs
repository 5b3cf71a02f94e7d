//! Getting a loader back after noise, a reset, or a rate that the line does not carry.

use std::{sync::Arc, time::Duration};

use esp_protocol::{
    command::{Opcode, Request, SpiParameters},
    response::{Dialect, ErrorCode},
};

use crate::stub::Stub;

use super::{BAUD_SETTLE, COMMAND_TIMEOUT, CONNECT_BAUD, Cause, Session, SessionError, Step};

/// Rates that serial adapters do, from fast to slow, in baud.
const LADDER: [u32; 7] = [921_600, 460_800, 230_400, 115_200, 57_600, 38_400, 19_200];
/// SYNCs before the loader counts as gone.
const RESYNC_TRIES: u32 = 5;
const RECONNECT_ATTEMPTS: u32 = 5;
/// Repetitions of a request that is safe to repeat.
const REPEATS: u32 = 6;
/// The line may damage what brings the loader back, too.
const RECOVERIES_MAX: u32 = 3;
const LOOKS_MAX: u32 = 8;
/// A loader that still waits for the rest of a damaged frame, or works on a command, needs so long.
const QUIET: Duration = Duration::from_millis(20);

impl Session {
    /// Times that the loader had to be brought back.
    #[must_use]
    pub const fn recovery_count(&self) -> u32 {
        self.recovery_count
    }

    /// What `look` finds twice in a row: values in responses carry no checksum. At most eight
    /// looks; the last one counts then.
    ///
    /// # Errors
    ///
    /// As [`Self::repeat`].
    pub fn look_twice<T, E>(
        &mut self,
        mut look: impl FnMut(&mut Self) -> Result<T, E>,
    ) -> Result<T, E>
    where
        T: PartialEq,
        E: From<SessionError> + LineTrouble,
    {
        let mut last = self.repeat(&mut look)?;
        for _ in 1..LOOKS_MAX {
            let next = self.repeat(&mut look)?;
            if next == last {
                break;
            }
            last = next;
        }
        Ok(last)
    }

    /// One look on a line that was good so far; what two looks agree on if it was not
    /// ([`Self::look_twice`]).
    ///
    /// # Errors
    ///
    /// As [`Self::repeat`].
    pub fn look<T, E>(&mut self, mut look: impl FnMut(&mut Self) -> Result<T, E>) -> Result<T, E>
    where
        T: PartialEq,
        E: From<SessionError> + LineTrouble,
    {
        let found = self.repeat(&mut look)?;
        if self.line_was_bad() { self.look_twice(look) } else { Ok(found) }
    }

    /// Something arrived damaged, or the loader had to be brought back.
    #[must_use]
    pub const fn line_was_bad(&self) -> bool {
        self.damaged_count > 0 || self.recovery_count > 0
    }

    /// Runs `work`, which must be safe to repeat, up to seven times as long as the line is the
    /// trouble; brings the loader back in between.
    ///
    /// # Errors
    ///
    /// The last error of `work`, or that of [`Self::recover`].
    pub fn repeat<T, E>(&mut self, mut work: impl FnMut(&mut Self) -> Result<T, E>) -> Result<T, E>
    where
        E: From<SessionError> + LineTrouble,
    {
        let mut failures = 0;
        loop {
            match work(self) {
                Err(error) if error.is_line_trouble() && failures < REPEATS => {
                    failures += 1;
                    self.recover(failures > 2)?;
                }
                other => return other,
            }
        }
    }

    /// Brings the loader back: by SYNC, or by a reset and all that it undoes. `slower`: at the next
    /// lower rate, if there is one.
    ///
    /// # Errors
    ///
    /// As [`Self::connect`]; [`Cause::StubLost`] if the reset ended a stub that this session did not
    /// start. One that it did start is uploaded again.
    pub fn recover(&mut self, slower: bool) -> Result<(), SessionError> {
        // A reset forgets both, also one that nobody answers after.
        let (dialect, flash_bytes) = (self.dialect, self.flash_bytes);
        for _ in 1..RECOVERIES_MAX {
            match self.recover_once(slower, dialect) {
                Err(error) if error.is_line_trouble() => self.flash_bytes = flash_bytes,
                other => return other,
            }
        }
        self.recover_once(slower, dialect)
    }

    fn recover_once(&mut self, slower: bool, dialect: Dialect) -> Result<(), SessionError> {
        self.recovery_count = self.recovery_count.saturating_add(1);
        self.port.wait(QUIET);
        self.discard_input()?;
        let lower = LADDER
            .into_iter()
            .find(|rate| *rate < self.baud)
            .filter(|_| slower && self.port.has_rate());
        if self.sync(RESYNC_TRIES)? && self.dialect == dialect {
            if let Some(rate) = lower {
                self.try_baud(rate)?;
            }
            return self.restore_flash();
        }
        self.reconnect(lower.unwrap_or(self.baud), dialect)
    }

    /// Goes to another rate, in baud, over a line that may lose the request or its answer, or may not
    /// carry the rate: then the old one stays, or that of the connection after a reset.
    ///
    /// # Errors
    ///
    /// As [`Self::recover`].
    pub fn try_baud(&mut self, rate: u32) -> Result<(), SessionError> {
        let old = self.baud;
        match self.change_baud(old, rate) {
            Err(error) if !error.cause.is_line_trouble() => return Err(error),
            _ => {}
        }
        let step = Step::Command(Opcode::ChangeBaudrate);
        // Which side changed is not known if the answer was lost: both rates are tried.
        for candidate in [rate, old] {
            self.set_host_baud(candidate, step)?;
            self.port.wait(BAUD_SETTLE);
            self.discard_input()?;
            if self.sync(RESYNC_TRIES)? {
                return Ok(());
            }
        }
        // Not beyond the rate of the connection: that ends this for certain.
        self.reconnect(rate.min(CONNECT_BAUD), self.dialect)
    }

    /// It was connected before, so that it can be reset in the same way.
    pub(crate) fn can_reconnect(&self) -> bool {
        !self.strategies.is_empty()
    }

    /// Resets the chip and connects at the rate of the beginning.
    pub(crate) fn connect_again(&mut self) -> Result<(), SessionError> {
        let strategies = self.strategies.clone();
        self.set_host_baud(self.baud.min(CONNECT_BAUD), Step::Connect)?;
        self.connect(&strategies, RECONNECT_ATTEMPTS)
    }

    /// Resets the chip and restores rate, flash connection and flash size.
    fn reconnect(&mut self, rate: u32, dialect: Dialect) -> Result<(), SessionError> {
        let flash_bytes = self.flash_bytes;
        let strategies = self.strategies.clone();
        // The ROM measures the rate of the first SYNC, so a slower one is simply used.
        self.set_host_baud(rate.min(CONNECT_BAUD), Step::Connect)?;
        self.connect(&strategies, RECONNECT_ATTEMPTS)?;
        if self.dialect != dialect {
            let stub = self.stub.clone().filter(|_| dialect == Dialect::Stub);
            let lost = SessionError { step: Step::Connect, cause: Cause::StubLost };
            let stub: Arc<Stub> = stub.ok_or(lost)?;
            self.start_stub(&stub, &mut |_| {})?;
        }
        self.flash_bytes = flash_bytes;
        if rate > CONNECT_BAUD {
            self.try_baud(rate)?;
        }
        self.restore_flash()
    }

    /// Connects the flash and tells its size once more: a reset has undone it, or a damaged request
    /// has told another size.
    fn restore_flash(&mut self) -> Result<(), SessionError> {
        let Some(bytes) = self.flash_bytes else { return Ok(()) };
        let legacy = (self.dialect == Dialect::Rom).then_some(0);
        self.once_more(&Request::SpiAttach { pins: 0, legacy })?;
        self.spi_idle = None;
        self.once_more(&Request::SpiSetParams(SpiParameters::of_size(bytes)))
    }

    /// A request that is sent again over and over while the line is the trouble.
    fn once_more(&mut self, request: &Request<'_>) -> Result<(), SessionError> {
        let mut failures = 0;
        loop {
            match self.command(request, COMMAND_TIMEOUT) {
                Err(error) if error.is_line_trouble() && failures < REPEATS => {
                    failures += 1;
                    self.discard_input()?;
                    self.sync(RESYNC_TRIES)?;
                }
                other => return other.map(drop),
            }
        }
    }
}

/// Errors that tell whether the line is the trouble.
pub trait LineTrouble {
    /// Doing it again may help.
    fn is_line_trouble(&self) -> bool;
}

impl LineTrouble for SessionError {
    /// Also what a loader refuses because a parameter arrived damaged.
    fn is_line_trouble(&self) -> bool {
        self.cause.is_line_trouble()
            || matches!(
                self.cause,
                Cause::Refused {
                    code: ErrorCode::FailedToAct
                        | ErrorCode::FlashReadFailed
                        | ErrorCode::ReadLength
                        | ErrorCode::DeflateParameter
                }
            )
    }
}

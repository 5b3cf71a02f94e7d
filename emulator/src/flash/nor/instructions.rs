//! Which instruction does what: latches, modes, refusals, running operations.

use std::ops::Range;

use spi_nor::{
    Meaning,
    part::{AfterRefusal, ChipEraseRule},
};

use super::{
    Armed, NorFlash, UltraPowerDown,
    in_flight::{Kind, Operation},
};
use crate::{
    flash::{
        Denial,
        permit::{Request, Situation, Suspended, permit},
        registers::{Bytes, index},
    },
    spi::{CommandLines, Transaction},
    time::{Duration, Instant},
    trace::{Event, Trace},
};

/// What ends the ultra-deep power-down, whatever else it means on the part, and how long the part
/// then takes until it hears the release (QUIRKS Q33).
const LEAVE_ULTRA_POWER_DOWN: u8 = 0xFF;
const ULTRA_WAKE_UP: Duration = Duration::from_millis(2);

impl NorFlash {
    /// Ends the running operation if its time is over.
    #[inline]
    pub(super) fn settle(&mut self, now: Instant) {
        if self.running.as_ref().is_some_and(|running| running.until <= now) {
            self.finish();
        }
    }

    pub(super) fn finish(&mut self) {
        self.running = None;
        self.wel = false;
        self.before.clear(&mut self.spare);
    }

    /// Asks [`permit`] with everything that the part knows.
    #[expect(clippy::inline_always, reason = "a status read needs four of the inputs")]
    #[inline(always)]
    pub(super) fn permitted(&self, lines: CommandLines, request: &Request) -> Result<(), Denial> {
        let armed = self.armed != Armed::No && matches!(request, Request::StatusWrite { .. });
        let situation = Situation {
            lines,
            four_line_mode: self.four_line_mode,
            unpowered: self.unpowered,
            held: self.derived.held,
            powered_down: self.powered_down,
            busy: self.running.is_some(),
            suspended: self.suspended.as_ref().map(|operation| match operation.kind {
                Kind::Erase => Suspended::Erase(&operation.range),
                Kind::Program | Kind::Status => Suspended::Program,
            }),
            write_enabled: self.wel || armed,
            supply_mv: self.supply_mv,
            write_inhibit_mv: self.part.write_inhibit_mv,
            protected: &self.derived.protected,
            hidden: self.state.damaged_row.as_ref(),
            locks: self.counting_locks(),
            block_protect_forbids_chip_erase: self.derived.any_block_protect
                && self.part.chip_erase.rule == ChipEraseRule::BpAllZero,
            status_lock: self.derived.status_lock,
        };
        permit(request, &situation)
    }

    /// Carries out one instruction. `Err` says that it wanted a change and was refused.
    #[inline]
    pub(super) fn execute(
        &mut self,
        now: Instant,
        transaction: &mut Transaction<'_>,
        trace: &mut Trace,
    ) -> Result<(), Denial> {
        let Some(&opcode) = transaction.mosi.first() else {
            drive(transaction.miso, self.pull);
            return Ok(());
        };
        let meaning = self.table.meaning(opcode);
        let reset_enabled = std::mem::take(&mut self.reset_enabled);
        if let Meaning::ReadRegister(register) = meaning {
            // Most of all chip selects are status reads.
            let request = Request::Other { while_busy: true, wakes: false };
            if self.permitted(transaction.command_lines, &request).is_ok() {
                drive(transaction.miso, self.register_value(index(register)));
                return Ok(());
            }
        }
        drive(transaction.miso, self.pull);
        self.act(now, meaning, reset_enabled, transaction, trace)
    }

    /// All instructions but status reads; apart from these, so that they stay short.
    #[inline(never)]
    fn act(
        &mut self,
        now: Instant,
        meaning: Meaning,
        reset_enabled: bool,
        transaction: &mut Transaction<'_>,
        trace: &mut Trace,
    ) -> Result<(), Denial> {
        match meaning {
            Meaning::PageProgram | Meaning::QuadPageProgram => {
                self.page_program(now, transaction, trace)
            }
            Meaning::Erase(number) => self.erase(now, number, transaction, trace),
            Meaning::ChipErase => self.chip_erase(now, transaction, trace),
            Meaning::WriteRegister => self.write_registers(now, transaction, trace),
            Meaning::SecurityErase | Meaning::SecurityProgram => {
                self.security(now, meaning, transaction, trace)
            }
            Meaning::LockUnit
            | Meaning::UnlockUnit
            | Meaning::GlobalLock
            | Meaning::GlobalUnlock
            | Meaning::SelectIndividualLocks
            | Meaning::WriteBlockProtection
            | Meaning::LockDownBlockProtection
            | Meaning::LockBlockProtectionForEver => {
                self.write_locks(now, meaning, transaction, trace)
            }
            _ => {
                self.simple(now, meaning, reset_enabled, transaction, trace);
                Ok(())
            }
        }
    }

    /// Instructions that change no cell and no register: latches, modes, reads.
    fn simple(
        &mut self,
        now: Instant,
        meaning: Meaning,
        reset_enabled: bool,
        transaction: &mut Transaction<'_>,
        trace: &mut Trace,
    ) {
        let request = Request::Other {
            while_busy: matches!(
                meaning,
                Meaning::ReadRegister(_) | Meaning::Suspend | Meaning::ResetEnable | Meaning::Reset
            ),
            wakes: self.wakes(now, meaning),
        };
        let &[opcode, ref rest @ ..] = transaction.mosi else { return };
        if opcode == LEAVE_ULTRA_POWER_DOWN && self.ultra_power_down == UltraPowerDown::Asleep {
            self.ultra_power_down = UltraPowerDown::WakesAt(now + ULTRA_WAKE_UP);
            return;
        }
        if let Err(why) = self.permitted(transaction.command_lines, &request) {
            trace.push(now, Event::Denied { opcode, range: 0..0, why, count: 1 });
            return;
        }
        match meaning {
            Meaning::Reset if rest.is_empty() && reset_enabled => {
                self.soft_reset();
                trace.push(now, Event::FlashReset);
            }
            Meaning::ReleasePowerDown => {
                self.powered_down = false;
                self.ultra_power_down = UltraPowerDown::No;
                self.answer(meaning, transaction);
            }
            _ if rest.is_empty() && self.set_latch_or_mode(now, meaning) => {}
            _ => self.answer(meaning, transaction),
        }
    }

    /// Whether a part in deep power-down takes the instruction.
    fn wakes(&self, now: Instant, meaning: Meaning) -> bool {
        match self.ultra_power_down {
            UltraPowerDown::No => {
                matches!(meaning, Meaning::ReleasePowerDown | Meaning::UltraPowerDown)
            }
            UltraPowerDown::Asleep => false,
            UltraPowerDown::WakesAt(heard_from) => {
                meaning == Meaning::ReleasePowerDown && heard_from <= now
            }
        }
    }

    /// Instructions of one byte that set a latch or a mode; says whether `meaning` is one.
    ///
    /// WREN sets its latch below the write-inhibit voltage too: what the latch would allow is
    /// then refused (QUIRKS Q25).
    fn set_latch_or_mode(&mut self, now: Instant, meaning: Meaning) -> bool {
        match meaning {
            Meaning::WriteEnable => {
                self.wel = true;
                self.armed = Armed::No;
            }
            Meaning::WriteEnableVolatile => self.armed = Armed::Volatile,
            Meaning::EnableStatusWrite => self.armed = Armed::Status,
            Meaning::WriteDisable => {
                self.wel = false;
                self.armed = Armed::No;
                self.set_otp_mode(false);
            }
            Meaning::ResetEnable => self.reset_enabled = true,
            Meaning::PowerDown => self.powered_down = true,
            Meaning::UltraPowerDown => {
                if self.powered_down {
                    self.ultra_power_down = UltraPowerDown::Asleep;
                }
            }
            Meaning::Suspend => self.suspend(now),
            Meaning::Resume => self.resume(now),
            Meaning::EnterQpi => {
                let free = !self.part.instructions.enter_qpi_needs_quad_enable;
                self.four_line_mode = free || self.quad_enabled();
            }
            Meaning::ExitQpi => self.four_line_mode = false,
            Meaning::EnterOtp => self.set_otp_mode(true),
            Meaning::ClearFlags => self.clear_flags(),
            Meaning::Enter4Byte => self.four_byte = true,
            Meaning::Exit4Byte => self.four_byte = false,
            _ => return false,
        }
        true
    }

    /// 05h and 01h act on the OTP lock register in this mode (QUIRKS Q32).
    fn set_otp_mode(&mut self, on: bool) {
        if self.otp_mode != on {
            self.otp_mode = on;
            self.show();
        }
    }

    /// Puts the fail flags back to 0 (QUIRKS Q30).
    pub(super) fn clear_flags(&mut self) {
        let before = self.live;
        for (register, value) in self.live.iter_mut().enumerate() {
            *value &= !(self.program_flags[register] | self.erase_flags[register]);
        }
        if self.live != before {
            self.show();
        }
    }

    fn suspend(&mut self, now: Instant) {
        if self.suspended.is_some() {
            return;
        }
        match self.running.take() {
            Some(mut operation) if operation.kind != Kind::Status => {
                operation.left = operation.until.since(now);
                self.wel = false;
                self.suspended = Some(operation);
                std::mem::swap(&mut self.before, &mut self.suspended_before);
                self.show();
            }
            other => self.running = other,
        }
    }

    fn resume(&mut self, now: Instant) {
        if let Some(mut operation) = self.suspended.take() {
            operation.until = now + operation.left;
            self.running = Some(operation);
            std::mem::swap(&mut self.before, &mut self.suspended_before);
            self.show();
        }
    }

    /// Notes a refusal: event, latch, fail flags (QUIRKS Q10, Q30).
    pub(super) fn refuse(
        &mut self,
        now: Instant,
        opcode: u8,
        request: &Request,
        why: Denial,
        trace: &mut Trace,
    ) -> Denial {
        let range = match request {
            Request::Program(range) | Request::Erase(range) | Request::ChipErase(range) => {
                range.clone()
            }
            _ => 0..0,
        };
        let refused = &self.part.refused;
        let latch = match why {
            Denial::BlockProtect { .. } | Denial::IndividualLock { .. } | Denial::ChipErase => {
                refused.write_enable_latch
            }
            Denial::StatusWriteProtectPin
            | Denial::StatusPowerLock
            | Denial::StatusOneTimeProgram => refused.status_write_enable_latch,
            // The operation ends as soon as it begins, so its latch falls (status reads 0 there).
            Denial::WriteInhibit { .. } => AfterRefusal::Clear,
            _ => AfterRefusal::Keep,
        };
        if latch == AfterRefusal::Clear {
            self.wel = false;
            self.armed = Armed::No;
        }
        if matches!(
            why,
            Denial::BlockProtect { .. } | Denial::IndividualLock { .. } | Denial::ChipErase
        ) {
            self.set_fail_flags(request);
        }
        trace.push(now, Event::Denied { opcode, range, why: why.clone(), count: 1 });
        why
    }

    fn set_fail_flags(&mut self, request: &Request) {
        let flags = match request {
            Request::Program(_) => self.program_flags,
            Request::Erase(_) | Request::ChipErase(_) => self.erase_flags,
            _ => Bytes::default(),
        };
        for (value, flag) in self.live.iter_mut().zip(flags) {
            *value |= flag;
        }
        self.show();
    }

    /// Starts an operation; one that takes no time is over at once.
    #[inline]
    pub(super) fn start(&mut self, now: Instant, kind: Kind, range: Range<u32>, busy: Duration) {
        if busy == Duration::ZERO {
            self.finish();
            return;
        }
        let until = now + busy;
        self.running = Some(Operation { kind, range, until, left: Duration::ZERO, whole: busy });
    }
}

/// Answers every byte with `value`. The short cases are apart because a `memset` of nothing can
/// cost more than the rest of the chip select.
#[inline]
fn drive(miso: &mut [u8], value: u8) {
    match miso {
        [] => {}
        [only] => *only = value,
        more => more.fill(value),
    }
}

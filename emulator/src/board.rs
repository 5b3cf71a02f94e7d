//! The board: chip, flash, control lines and time as one deterministic state machine.
//!
//! Time is an argument. Commands run to completion in virtual time while their last byte is
//! received; what they send has a due time and comes out of [`Board::transmit`] from then on. The
//! result does not depend on how the received bytes are cut into calls.

pub(crate) mod framing;
mod line;
mod program;
mod setup;
mod snapshot;
mod start;
mod wiring;

pub use crate::guest::{
    FunctionCount, GuestEnd as ProgramEnd, InstructionSink, Pause, Probe, Profile, RomImage,
    RomImageError, Watch, Watchpoint,
};
pub use setup::{BoardSetup, STRAP_DOWNLOAD, STRAP_FLASH_BOOT, STRAP_GPIO0};
pub use snapshot::BoardSnapshot;
pub use wiring::{ControlLines, UnknownWiring, Wiring};

use std::sync::Arc;

use esp_protocol::rfc2217::Format;

use crate::{
    guest::{Guest, GuestEnd},
    rom::{Loader, LoaderExit, banner::ResetCause},
    soc::{Efuse, EfuseCells, Machine, Soc},
    spi::{SpiConnection, SpiDevice, Transaction},
    time::{Duration, Instant},
    trace::{Event, Hang, Trace},
};
use framing::{AutoBaud, ends_agree, resample};
use wiring::Edge;

/// From reset to the first byte.
const RESET_TO_BANNER: Duration = Duration::from_millis(1);
/// One round of 1000 failed header reads, roughly.
const HEADER_RETRY: Duration = Duration::from_millis(50);
/// Instructions of uploaded code in one call, however far time is moved.
const INSTRUCTIONS_MAX: u64 = 400_000_000;
/// Time that uploaded code loses beyond the call's when it used those up.
const TIMESLIP: Duration = Duration::from_nanos(1);
/// Lines of a failing flash boot before the RTC watchdog bites (ROM-FACTS 1.3).
const LINES_BEFORE_WATCHDOG: u32 = 6;

/// What the chip is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Held in reset by EN.
    Held,
    /// Download mode, waiting for the first SYNC.
    WaitingForSync,
    /// The command loop.
    Loader,
    /// Flash boot finds no image and retries.
    BootRetry,
    /// An application runs.
    Application,
    /// Code that the client uploaded runs.
    Guest,
    /// The BASIC interpreter, which echoes.
    Basic,
    /// Nothing is heard until a reset.
    Deaf,
}

/// The same with its data.
#[derive(Debug, Clone)]
enum Activity {
    Held,
    Loader(Loader),
    BootRetry { line: String, print: bool, next: Instant, line_count: u32 },
    Application { step: usize, next: Option<Instant> },
    Guest(Box<Guest>),
    Basic,
    Deaf,
}

/// A board.
#[derive(Debug)]
pub struct Board<F> {
    setup: BoardSetup,
    strap: u8,
    host_now: Instant,
    host_baud: Option<u32>,
    host_format: Format,
    /// The ROM still measures the host's rate.
    auto_baud: Option<AutoBaud>,
    lines: ControlLines,
    /// EN is on its way up, and chip reset ends then.
    rise: Option<Instant>,
    machine: Machine<F>,
    activity: Activity,
    reset_cause: ResetCause,
    probe: Option<Probe>,
    program_end: Option<GuestEnd>,
    ended_instructions: u64,
    receives_one_by_one: bool,
    rom: Option<Arc<RomImage>>,
}

impl<F: SpiDevice> Board<F> {
    /// Powers a board on at [`Instant::ZERO`]; the banner is on its way.
    pub fn power_on(setup: BoardSetup, flash: F) -> Self {
        let efuse = Efuse::with_cells(setup.identity.cells().burned_with(&setup.efuses));
        let soc = Soc::power_on(&setup.identity, efuse, setup.strap);
        let mut board = Self {
            strap: setup.strap,
            setup,
            host_now: Instant::ZERO,
            host_baud: None,
            host_format: Format::EIGHT_N_ONE,
            auto_baud: None,
            lines: ControlLines::default(),
            rise: None,
            machine: Machine {
                now: Instant::ZERO,
                soc,
                flash,
                connection: SpiConnection::Nothing,
                trace: Trace::default(),
            },
            activity: Activity::Held,
            reset_cause: ResetCause::PowerOn,
            probe: None,
            program_end: None,
            ended_instructions: 0,
            receives_one_by_one: false,
            rom: None,
        };
        board.machine.trace.push(Instant::ZERO, Event::PowerOn);
        board.boot(ResetCause::PowerOn);
        board
    }

    /// Virtual time: the later of what the host passed last and how far the chip has run.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.host_now.max(self.machine.now)
    }

    /// Receives bytes that start to arrive at `now`, or when the line is free; each takes ten bits
    /// at the present rate. Where the host's rate is known and is not the board's, they arrive as
    /// what the receiver samples; the first ones after a reset go into the ROM's measurement.
    pub fn receive(&mut self, now: Instant, bytes: &[u8]) {
        self.advance(now);
        let line_rate = self.host_baud.unwrap_or(self.baud());
        self.machine.soc.uart.measure(line_rate, bytes);
        let Some(rate) = self.host_baud else { return self.hear(now, bytes) };
        let mut rest = bytes;
        if self.mode() == Mode::WaitingForSync
            && let Some(measuring) = &mut self.auto_baud
        {
            let (taken, done) = measuring.listen(&mut self.machine.soc.uart, rate, bytes);
            self.machine.soc.uart.book_receive(now, taken);
            rest = bytes.get(taken..).unwrap_or_default();
            if done {
                self.auto_baud = None;
                let rate = self.baud();
                self.machine.trace.push(now, Event::Baud { rate });
            }
        }
        // One by one where the ends differ: a command in between may change the board's.
        let host = self.host_end(rate);
        while !rest.is_empty() && !ends_agree(host, self.chip_end(self.baud())) {
            let mut heard = Vec::new();
            resample(rest[0], host, self.chip_end(self.baud()), &mut heard);
            let uart = &mut self.machine.soc.uart;
            let keeps_wrong = uart.stores_wrong_bytes();
            let stored: Vec<u8> =
                heard.iter().filter(|it| keeps_wrong || !it.is_wrong).map(|it| it.byte).collect();
            uart.book_receive(now, heard.len() - stored.len());
            self.hear(now, &stored);
            rest = &rest[1..];
        }
        self.hear(now, rest);
    }

    /// The host sends a BREAK: one zero byte without its stop bit to the receiver.
    pub fn receive_break(&mut self, now: Instant) {
        self.advance(now);
        self.hear(now, &[0]);
    }

    /// Takes bytes as the receiver has sampled them.
    fn hear(&mut self, now: Instant, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = match &self.activity {
                Activity::Loader(_) => self.receive_in_loader(now, rest),
                Activity::Basic => self.receive_in_basic(now, rest),
                Activity::Guest(_) => self.receive_in_guest(now, rest),
                Activity::Held
                | Activity::BootRetry { .. }
                | Activity::Application { .. }
                | Activity::Deaf => {
                    self.machine.soc.uart.book_receive(now, rest.len());
                    rest.len()
                }
            };
            rest = rest.get(taken..).unwrap_or_default();
        }
    }

    /// Appends every byte that is due by `now` to `out`, as a host at its rate samples it.
    pub fn transmit(&mut self, now: Instant, out: &mut Vec<u8>) {
        self.advance(now);
        let Some(host) = self.host_baud else {
            return self.machine.soc.uart.take_sent(now, out);
        };
        while let Some((byte, rate)) = self.machine.soc.uart.take_sent_byte(now) {
            let (chip, host) = (self.chip_end(rate), self.host_end(host));
            if ends_agree(chip, host) {
                out.push(byte);
            } else {
                let mut sampled = Vec::new();
                resample(byte, chip, host, &mut sampled);
                // Adapters hand wrong bytes on as well; drivers count them.
                out.extend(sampled.iter().map(|it| it.byte));
            }
        }
    }

    /// When something happens next without input: a byte becomes due, or the chip acts by itself.
    #[must_use]
    pub fn next_event(&self) -> Option<Instant> {
        let own = self.next_own_event();
        let sent = self.machine.soc.uart.next_sent();
        own.into_iter().chain(sent).min()
    }

    /// Runs what the chip does by itself up to `now`.
    pub fn advance(&mut self, now: Instant) {
        self.host_now = self.host_now.max(now);
        let begun = self.guest_instructions();
        while self.next_own_event().is_some_and(|due| due <= now) {
            self.act();
            if self.guest_instructions().saturating_sub(begun) > INSTRUCTIONS_MAX {
                // The host's time outran the interpreter: the program missed the rest of it.
                self.machine.now = self.machine.now.max(now + TIMESLIP);
            }
        }
    }

    /// Sets the control lines.
    pub fn set_lines(&mut self, now: Instant, lines: ControlLines) {
        self.advance(now);
        self.lines = lines;
        let held = matches!(self.activity, Activity::Held);
        match self.setup.wiring.edge(held, lines) {
            Edge::Nothing => {}
            Edge::Hold => {
                self.rise = None;
                if !held {
                    self.stop(now);
                    self.activity = Activity::Held;
                }
            }
            Edge::Release => {
                let rise = self.rise.unwrap_or(now + self.setup.wiring.rise());
                self.rise = Some(rise);
                self.advance(now);
            }
        }
    }

    /// EN has risen: the straps are sampled.
    fn rise(&mut self) {
        let Some(now) = self.rise.take() else { return };
        let gpio0 = if self.setup.wiring.gpio0(self.lines) { STRAP_GPIO0 } else { 0 };
        self.strap = self.strap & !STRAP_GPIO0 | gpio0;
        self.restart(now, ResetCause::PowerOn);
    }

    /// A pulse on EN. The flash keeps its state (QUIRKS Q35).
    pub fn host_reset(&mut self, now: Instant) {
        self.advance(now);
        self.restart(now, ResetCause::PowerOn);
    }

    /// The RTC watchdog resets the chip, whatever it does (ROM-FACTS 1.3). The flash keeps its state.
    pub fn watchdog_reset(&mut self, now: Instant) {
        self.advance(now);
        self.stop(now);
        self.restart(now, ResetCause::RtcWatchdog);
    }

    /// Takes the supply away and brings it back: RAM and the flash's volatile state are lost.
    pub fn power_cycle(&mut self, now: Instant) {
        self.advance(now);
        self.stop(now);
        self.machine.flash.power_cycle(now);
        let uart = self.machine.soc.uart.clone();
        let efuse = self.machine.soc.efuse.clone();
        self.machine.soc = Soc::power_on(&self.setup.identity, efuse, self.strap);
        self.machine.soc.uart = uart;
        self.machine.trace.push(now, Event::PowerOn);
        self.restart(now, ResetCause::PowerOn);
    }

    /// Sets the strap pins; the next reset samples them.
    pub fn set_strap(&mut self, strap: u8) {
        self.strap = strap;
    }

    /// What happened.
    #[must_use]
    pub fn trace(&self) -> &Trace {
        &self.machine.trace
    }

    /// What happened, to configure or drain.
    pub fn trace_mut(&mut self) -> &mut Trace {
        &mut self.machine.trace
    }

    /// The flash.
    #[must_use]
    pub fn flash(&self) -> &F {
        &self.machine.flash
    }

    /// The flash, from outside of the board's time.
    pub fn flash_mut(&mut self) -> &mut F {
        &mut self.machine.flash
    }

    /// The chip's eFuses.
    #[must_use]
    pub fn efuses(&self) -> &EfuseCells {
        self.machine.soc.efuse.cells()
    }

    /// Puts a chip with other eFuses on the board, as if it had been there from the last reset on.
    pub fn set_efuses(&mut self, cells: EfuseCells) {
        self.machine.soc.efuse = Efuse::with_cells(cells);
    }

    /// Whether eFuses were burned since the last call.
    pub fn take_unsaved_efuses(&mut self) -> bool {
        self.machine.soc.efuse.take_unsaved()
    }

    /// One chip select of a programmer clipped to the flash, beside the chip's own controller.
    /// Returns the end of the operation that the part was busy with when it began.
    pub fn spi_transfer(
        &mut self,
        now: Instant,
        transaction: &mut Transaction<'_>,
    ) -> Option<Instant> {
        self.advance(now);
        let Machine { flash, trace, connection, .. } = &mut self.machine;
        flash.connect(SpiConnection::Default);
        let busy = flash.busy_until().filter(|end| *end > now);
        flash.transfer(now, transaction, trace);
        flash.connect(*connection);
        busy
    }

    /// What the chip is doing.
    #[must_use]
    pub fn mode(&self) -> Mode {
        match &self.activity {
            Activity::Held => Mode::Held,
            Activity::Loader(loader) if loader.is_synced() => Mode::Loader,
            Activity::Loader(_) => Mode::WaitingForSync,
            Activity::BootRetry { .. } => Mode::BootRetry,
            Activity::Application { .. } => Mode::Application,
            Activity::Guest(_) => Mode::Guest,
            Activity::Basic => Mode::Basic,
            Activity::Deaf => Mode::Deaf,
        }
    }

    fn receive_in_loader(&mut self, now: Instant, bytes: &[u8]) -> usize {
        let Self { activity: Activity::Loader(loader), machine, .. } = self else {
            return bytes.len();
        };
        let (taken, complete) = loader.receive(machine, bytes);
        machine.soc.uart.book_receive(now, taken);
        if complete {
            machine.now = machine.now.max(machine.soc.uart.received_at());
            if let Err(exit) = loader.execute(machine) {
                self.leave_loader(exit);
            }
        }
        taken
    }

    fn receive_in_basic(&mut self, now: Instant, bytes: &[u8]) -> usize {
        let uart = &mut self.machine.soc.uart;
        uart.book_receive(now, 1);
        self.machine.now = self.machine.now.max(self.machine.soc.uart.received_at());
        self.machine.send(&bytes[..1]);
        1
    }

    fn leave_loader(&mut self, exit: LoaderExit) {
        match exit {
            LoaderExit::Hang(why) => self.hang(why),
            LoaderExit::SoftwareReset => self.restart(self.machine.now, ResetCause::Software),
            LoaderExit::Left => self.leave_without_code(),
            LoaderExit::Call { entry } => self.call(entry),
        }
    }

    fn hang(&mut self, why: Hang) {
        self.machine.trace.push(self.machine.now, Event::Hang { why });
        self.activity = Activity::Deaf;
    }

    /// The loop was left and there is nothing to run (ROM-FACTS 1.4).
    fn leave_without_code(&mut self) {
        if self.machine.soc.efuse.console_debug_disabled() {
            self.machine.send(b"ets_main.c 397 \r\n");
            self.hang(Hang::LoaderLeft);
        } else {
            self.machine.send(b"Falling back to built-in command interpreter.\r\nOK\r\n>");
            self.activity = Activity::Basic;
        }
    }

    /// The chip stops at `now`: what has not left the line by then never does.
    fn stop(&mut self, now: Instant) {
        self.release_guest();
        self.activity = Activity::Held;
        self.machine.soc.uart.cut_transmit(now);
        self.machine.now = now;
    }

    fn restart(&mut self, now: Instant, cause: ResetCause) {
        if cause == ResetCause::PowerOn {
            self.stop(now);
        }
        self.machine.soc.reset(&self.setup.identity, self.strap);
        let reset = Event::HostReset { cause: cause as u8, strap: self.strap };
        self.machine.trace.push(now, reset);
        self.boot(cause);
    }

    fn next_own_event(&self) -> Option<Instant> {
        match self.activity {
            Activity::BootRetry { next, .. } => Some(next),
            Activity::Application { next, .. } => next,
            Activity::Held => self.rise,
            Activity::Guest(ref guest) => guest.next_event(&self.machine, self.probe.as_ref()),
            Activity::Loader(_) | Activity::Basic | Activity::Deaf => None,
        }
    }

    /// Does the next thing that the chip does by itself.
    fn act(&mut self) {
        match &mut self.activity {
            Activity::BootRetry { line, print, next, line_count } => {
                self.machine.now = self.machine.now.max(*next);
                if *print {
                    self.machine.send(line.as_bytes());
                }
                *next = self.machine.now + HEADER_RETRY;
                *line_count = line_count.saturating_add(1);
                if self.setup.rtc_watchdog && *line_count == LINES_BEFORE_WATCHDOG {
                    self.restart(self.machine.now, ResetCause::RtcWatchdog);
                }
            }
            Activity::Application { .. } => self.act_as_application(),
            Activity::Held => self.rise(),
            Activity::Guest(guest) => {
                if let Some(end) = guest.turn(&mut self.machine, self.probe.as_mut()) {
                    self.leave_guest(end);
                }
            }
            Activity::Loader(_) | Activity::Basic | Activity::Deaf => {}
        }
    }
}

#[cfg(test)]
mod tests;

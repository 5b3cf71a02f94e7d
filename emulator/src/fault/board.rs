//! A board whose line is bad, whose chip is reset, and whose supply goes away, as a plan says.

use std::ops::{Deref, DerefMut};

use esp_protocol::rfc2217::Format;

use super::{
    bus::{Outage, OutageKind},
    counts::{FaultCounts, FaultKind},
    link::{LinkCounters, NoisyLink},
    plan::{FaultPlan, PlanError},
    seat::FaultSeat,
};
use crate::{
    board::{Board, BoardSnapshot, ControlLines},
    case::BoardFlash,
    flash::FlashState,
    gdb::Target,
    spi::Transaction,
    time::{Duration, Instant},
    transport::device::SerialDevice,
};

/// The board that the front ends serve.
pub type ServedBoard = FaultyBoard<BoardFlash>;

/// Both directions of a bad line.
#[derive(Debug, Clone)]
struct Line {
    to_chip: NoisyLink,
    from_chip: NoisyLink,
}

/// A board with a place for faults. Without a plan it is the board itself.
#[derive(Debug)]
pub struct FaultyBoard<F> {
    board: Board<F>,
    line: Option<Line>,
}

impl<F: FaultSeat> FaultyBoard<F> {
    /// A board without faults.
    pub const fn new(board: Board<F>) -> Self {
        Self { board, line: None }
    }

    /// Lets go wrong on the line what `plan` says; its bus side is the flash's own.
    #[must_use]
    pub fn with_line(mut self, plan: &FaultPlan) -> Self {
        self.set_line(plan);
        self
    }

    /// The same for a board that runs. What was under way on a bad line is lost.
    pub fn set_line(&mut self, plan: &FaultPlan) {
        self.line = plan.disturbs_link().then(|| Line {
            to_chip: NoisyLink::new(plan.link.to_chip, plan.seed),
            from_chip: NoisyLink::new(plan.link.from_chip, !plan.seed),
        });
    }

    /// What the faults did so far, all seams together.
    pub fn counts(&mut self) -> FaultCounts {
        let mut counts =
            self.board.flash_mut().injector().map(|it| it.counts()).unwrap_or_default();
        for link in self.line.iter().flat_map(|line| [&line.to_chip, &line.from_chip]) {
            add_link(&mut counts, link.counters());
        }
        counts
    }

    /// What happened on the way to the chip alone.
    #[must_use]
    pub fn to_chip_counters(&self) -> LinkCounters {
        self.line.as_ref().map(|line| line.to_chip.counters()).unwrap_or_default()
    }

    /// The outage that the chip runs into.
    fn outage(&mut self) -> Option<Outage> {
        self.board.flash_mut().injector().and_then(|injector| injector.outage())
    }

    /// Lets happen what is due by `now`, in the order of time.
    fn pump(&mut self, now: Instant) {
        loop {
            let outage = self.outage().map(|outage| outage.at);
            let byte = self.line.as_ref().and_then(|line| line.to_chip.next_event());
            match (outage, byte) {
                (Some(at), byte) if at <= now && byte.is_none_or(|byte| at <= byte) => {
                    self.go_down();
                }
                (_, Some(due)) if due <= now => self.deliver(due),
                _ => break,
            }
        }
        let trace = &mut std::mem::take(self.board.trace_mut());
        self.board.flash_mut().settle_faults(now, trace);
        std::mem::swap(trace, self.board.trace_mut());
        if self.outage().is_some_and(|outage| outage.at <= now) {
            self.go_down();
        }
    }

    /// Gives the chip the bytes that are there at `due`, up to a cut between them.
    fn deliver(&mut self, due: Instant) {
        let mut bytes = Vec::new();
        if let Some(line) = &mut self.line {
            line.to_chip.receive(due, &mut bytes);
        }
        self.hear(due, &bytes);
    }

    /// What arrives while the chip is about to go down is lost with its FIFO.
    fn hear(&mut self, now: Instant, bytes: &[u8]) {
        if self.outage().is_none() {
            self.board.receive(now, bytes);
        }
    }

    fn go_down(&mut self) {
        let Some(outage) = self.outage() else { return };
        if let Some(strap) = outage.strap {
            self.board.set_strap(strap);
        }
        if let Some(injector) = self.board.flash_mut().injector() {
            injector.end_outage();
        }
        match outage.kind {
            OutageKind::Power => self.board.power_cycle(outage.at),
            OutageKind::Reset => self.board.host_reset(outage.at),
            OutageKind::Watchdog => self.board.watchdog_reset(outage.at),
        }
    }

    /// The board alone, with everything that is due by `now` done.
    fn board_at(&mut self, now: Instant) -> &mut Board<F> {
        self.pump(now);
        &mut self.board
    }
}

/// A served board at one instant, with what is under way on a bad line and what its faults have
/// counted.
#[derive(Debug)]
pub struct ServedSnapshot {
    board: BoardSnapshot<BoardFlash>,
    line: Option<Line>,
}

impl ServedSnapshot {
    /// What the flash keeps without power.
    #[must_use]
    pub fn flash_state(&self) -> FlashState {
        self.board.flash().nor().snapshot()
    }
}

impl ServedBoard {
    /// A copy of everything that decides what happens next.
    #[must_use]
    pub fn snapshot(&self) -> ServedSnapshot {
        ServedSnapshot { board: self.board.snapshot(), line: self.line.clone() }
    }

    /// Puts the board back to the instant of `snapshot`, its time included. What it holds on a disk
    /// counts as changed where it differs.
    pub fn restore(&mut self, snapshot: &ServedSnapshot) {
        let before = self.board.restore(&snapshot.board);
        self.board.flash_mut().replaces(&before);
        self.line.clone_from(&snapshot.line);
    }

    /// Lets go wrong what `plan` says, from now on and in the place of an earlier plan.
    ///
    /// # Errors
    ///
    /// [`PlanError::Part`] if the plan names what the part lacks; nothing has changed then.
    pub fn set_plan(&mut self, plan: &FaultPlan) -> Result<(), PlanError> {
        self.board.flash_mut().set_plan(Some(plan))?;
        self.set_line(plan);
        Ok(())
    }
}

impl<F> Deref for FaultyBoard<F> {
    type Target = Board<F>;

    fn deref(&self) -> &Board<F> {
        &self.board
    }
}

impl<F> DerefMut for FaultyBoard<F> {
    fn deref_mut(&mut self) -> &mut Board<F> {
        &mut self.board
    }
}

impl<F: FaultSeat> SerialDevice for FaultyBoard<F> {
    fn now(&self) -> Instant {
        self.board.now()
    }

    fn receive(&mut self, now: Instant, bytes: &[u8]) {
        self.pump(now);
        match &mut self.line {
            Some(line) => line.to_chip.send(now, bytes),
            None => self.hear(now, bytes),
        }
        self.pump(now);
    }

    fn transmit(&mut self, now: Instant, out: &mut Vec<u8>) {
        self.pump(now);
        if self.line.is_none() {
            return self.board.transmit(now, out);
        }
        // Byte by byte at its own time, so that how often the host looks decides nothing.
        while let Some(due) = self.board.next_event().filter(|due| *due <= now) {
            self.pump(due);
            let mut bytes = Vec::new();
            self.board.transmit(due, &mut bytes);
            if let Some(line) = &mut self.line {
                line.from_chip.send(due, &bytes);
            }
        }
        if let Some(line) = &mut self.line {
            line.from_chip.receive(now, out);
        }
    }

    fn next_event(&self) -> Option<Instant> {
        let line = self.line.iter().flat_map(|line| [&line.to_chip, &line.from_chip]);
        let line = line.filter_map(NoisyLink::next_event);
        line.chain(self.board.next_event()).chain(self.board.flash().next_fault()).min()
    }

    fn sent_at(&self) -> Instant {
        // A bad line gives byte after byte.
        if self.line.is_some() { Instant::ZERO } else { self.board.sent_at() }
    }

    fn jump_max(&self) -> Duration {
        self.board.jump_max()
    }

    fn receive_one_by_one(&mut self) {
        self.board.receive_one_by_one();
    }

    fn line_free_at(&self) -> Instant {
        // A bad line has room for everything.
        if self.line.is_some() { Instant::ZERO } else { self.board.received_at() }
    }

    fn advance(&mut self, now: Instant) {
        self.board_at(now).advance(now);
    }

    fn set_host_baud(&mut self, now: Instant, baud: Option<u32>) {
        self.board_at(now).set_host_baud(now, baud);
    }

    fn set_host_format(&mut self, now: Instant, format: Format) {
        self.board_at(now).set_host_format(now, format);
    }

    fn receive_break(&mut self, now: Instant) {
        self.board_at(now).receive_break(now);
    }

    fn is_halted(&self) -> bool {
        self.board.is_halted()
    }

    fn debug_target(&mut self) -> Option<&mut dyn Target> {
        Some(&mut self.board)
    }

    fn set_lines(&mut self, now: Instant, lines: ControlLines) {
        self.board_at(now).set_lines(now, lines);
    }

    fn spi_transfer(&mut self, now: Instant, transaction: &mut Transaction<'_>) -> Option<Instant> {
        self.board_at(now).spi_transfer(now, transaction)
    }
}

fn add_link(counts: &mut FaultCounts, link: LinkCounters) {
    for (kind, count) in [
        (FaultKind::LinkFlip, link.flips),
        (FaultKind::LinkDrop, link.drops),
        (FaultKind::LinkDuplicate, link.doubles),
        (FaultKind::LinkDelay, link.delays),
        (FaultKind::LinkSplit, link.splits),
        (FaultKind::LinkDisconnect, link.disconnects),
        (FaultKind::LinkWrongRate, link.wrong_rates),
    ] {
        counts.add(kind, count);
    }
}

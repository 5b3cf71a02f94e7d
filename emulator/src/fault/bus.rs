//! Faults between a chip and its flash, in the flash's cells, and of the supply.
//!
//! [`BusInjector`] is a decorator without what it decorates: each chip select passes through it on
//! the way to the flash, so that it can sit in [`FaultyBus`](super::seat::FaultyBus) or in another decorator.

use fastrand::Rng;
use spi_nor::{InstructionTable, Meaning, part::Part};

use super::{
    class::{changes, concerns, is_on, kind_of, window_of},
    counts::{FaultCounts, FaultKind},
    plan::{
        BoardFault, BusFault, FaultPlan, Moment, Operation, PlanError, Scope, SupplyFault, Window,
    },
    seat::FaultTarget,
    weak::WeakCells,
};
use crate::{
    spi::Transaction,
    time::{Duration, Instant},
    trace::{Event, Trace},
};

/// What the chip reads while the flash does not drive the line.
const PULL: u8 = 0xFF;
/// What a chip that is already gone would read: nothing waits for it, so its loops end soonest.
const GONE: u8 = 0x00;

/// What happens to the chip because of a fault that the bus has seen begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    /// When.
    pub at: Instant,
    /// What.
    pub kind: OutageKind,
    /// Straps that the reset samples; what they were, if `None`.
    pub strap: Option<u8>,
}

/// How the chip goes down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutageKind {
    /// Its supply goes and comes back.
    Power,
    /// A pulse on EN.
    Reset,
    /// The watchdog.
    Watchdog,
}

/// A counted window of chip selects.
#[derive(Debug, Clone)]
struct Counted<T> {
    what: T,
    seen: u64,
}

impl<T> Counted<T> {
    fn new(what: T) -> Self {
        Self { what, seen: 0 }
    }

    /// Counts one chip select that matches; says whether the window holds it.
    fn hits(&mut self, window: Window) -> bool {
        let after = self.seen.checked_sub(window.skip);
        self.seen = self.seen.saturating_add(1);
        after.is_some_and(|after| window.count.is_none_or(|count| after < count))
    }
}

/// A fault that happens once.
#[derive(Debug, Clone)]
struct Once {
    what: OnceKind,
    seen: u64,
    done: bool,
}

#[derive(Debug, Clone, Copy)]
enum OnceKind {
    CutAfter { transactions: u64, scope: Scope },
    CutIn { operation: Operation, skip: u64, percent: u8, scope: Scope },
    Reset { after: Moment, kind: OutageKind, strap: Option<u8> },
}

/// A cut that comes when an operation has got so far.
#[derive(Debug, Clone, Copy)]
struct Armed {
    at: Instant,
    operation: Operation,
    scope: Scope,
}

/// The faults of a plan at work on the bus.
#[derive(Debug, Clone)]
pub struct BusInjector {
    table: InstructionTable,
    write_disable: Option<u8>,
    bus: Vec<Counted<BusFault>>,
    brown_outs: Vec<Counted<(u16, Window)>>,
    once: Vec<Once>,
    cells: WeakCells,
    random: Rng,
    counts: FaultCounts,
    transactions: u64,
    armed: Option<Armed>,
    outage: Option<Outage>,
}

impl BusInjector {
    /// The bus side of `plan` for `part`.
    ///
    /// # Errors
    ///
    /// [`PlanError::Part`] if the plan names what the part lacks.
    pub fn new(plan: &FaultPlan, part: &Part) -> Result<Self, PlanError> {
        plan.check_part(part)?;
        let once = |what| Once { what, seen: 0, done: false };
        let mut all = Vec::new();
        let mut brown_outs = Vec::new();
        for fault in &plan.supply {
            match *fault {
                SupplyFault::CutAfter { transactions, scope } => {
                    all.push(once(OnceKind::CutAfter { transactions, scope }));
                }
                SupplyFault::CutIn { operation, skip, percent, scope } => {
                    all.push(once(OnceKind::CutIn { operation, skip, percent, scope }));
                }
                SupplyFault::BrownOut { mv, at } => brown_outs.push(Counted::new((mv, at))),
            }
        }
        for fault in &plan.board {
            let (after, kind, strap) = match *fault {
                BoardFault::Reset { after, strap } => (after, OutageKind::Reset, strap),
                BoardFault::Watchdog { after, strap } => (after, OutageKind::Watchdog, strap),
            };
            all.push(once(OnceKind::Reset { after, kind, strap }));
        }
        Ok(Self {
            table: part.instruction_table(),
            write_disable: part.instructions.write_disable.first().copied(),
            bus: plan.bus.iter().copied().map(Counted::new).collect(),
            brown_outs,
            once: all,
            cells: WeakCells::new(&plan.cells, part),
            random: Rng::with_seed(plan.seed),
            counts: FaultCounts::default(),
            transactions: 0,
            armed: None,
            outage: None,
        })
    }

    /// What the faults did so far.
    #[must_use]
    pub const fn counts(&self) -> FaultCounts {
        self.counts
    }

    /// Chip selects so far.
    #[must_use]
    pub const fn transactions(&self) -> u64 {
        self.transactions
    }

    /// The chip is to go down then. Until that is done the flash does not hear it.
    #[must_use]
    pub const fn outage(&self) -> Option<Outage> {
        self.outage
    }

    /// The outage is over.
    pub fn end_outage(&mut self) {
        self.outage = None;
    }

    /// When something happens next without a chip select.
    #[must_use]
    pub fn next_event(&self) -> Option<Instant> {
        let timed = self.once.iter().filter(|once| !once.done).filter_map(|once| match once.what {
            OnceKind::Reset { after: Moment::Micros(us), .. } => Some(moment(us)),
            _ => None,
        });
        let own = timed.chain(self.armed.map(|armed| armed.at)).min();
        self.outage.map_or(own, |outage| Some(outage.at))
    }

    /// Lets happen what is due by `now` without a chip select.
    pub fn settle<F: FaultTarget>(&mut self, inner: &mut F, now: Instant, trace: &mut Trace) {
        if self.outage.is_some() {
            return;
        }
        if let Some(armed) = self.armed.filter(|armed| armed.at <= now) {
            self.armed = None;
            self.cut(inner, armed.at, armed.scope, trace);
            self.counts.add(cut_kind(armed.operation), 1);
        }
        self.reset_if_due(now, trace);
    }

    /// One chip select on its way to `inner`.
    pub fn transfer<F: FaultTarget>(
        &mut self,
        inner: &mut F,
        now: Instant,
        transaction: &mut Transaction<'_>,
        trace: &mut Trace,
    ) {
        self.settle(inner, now, trace);
        self.cut_if_counted(inner, now, trace);
        if self.outage.is_some() {
            transaction.miso.fill(GONE);
            return;
        }
        self.transactions += 1;
        let Some(&opcode) = transaction.mosi.first() else {
            return inner.transfer(now, transaction, trace);
        };
        let meaning = self.table.meaning(opcode);
        let nominal = self.brown_out(inner, meaning);
        let cells = self.cells.before(inner.nor(), meaning, transaction.mosi);
        self.pass(inner, now, meaning, transaction, trace);
        if let Some(cells) = cells {
            self.cells.after(inner.nor_mut(), cells, &mut self.random, &mut self.counts);
        }
        if let Some(mv) = nominal {
            inner.nor_mut().set_supply_mv(mv);
        }
        self.arm(inner, now, meaning);
    }

    /// The end of the running operation, or of its supply.
    #[must_use]
    pub fn busy_until(&self, inner: Option<Instant>) -> Option<Instant> {
        if self.outage.is_some() {
            return None;
        }
        inner.map(|until| self.armed.map_or(until, |armed| until.min(armed.at)))
    }

    /// The supply of all of it went away and came back.
    pub fn power_cycle(&mut self) {
        self.armed = None;
    }

    /// Lowers the supply for this chip select; gives what it was.
    fn brown_out<F: FaultTarget>(&mut self, inner: &mut F, meaning: Meaning) -> Option<u16> {
        let mut low = None;
        for fault in &mut self.brown_outs {
            let (mv, window) = fault.what;
            if is_on(window.on, meaning) && fault.hits(window) {
                low = Some(mv);
            }
        }
        let nominal = inner.nor().supply_mv();
        let mv = low?;
        let nor = inner.nor_mut();
        nor.set_supply_mv(mv);
        if changes(meaning) && mv < nor.part().write_inhibit_mv {
            self.counts.add(FaultKind::BrownOut, 1);
        }
        Some(nominal)
    }

    /// The chip select with what the bus does to it.
    fn pass<F: FaultTarget>(
        &mut self,
        inner: &mut F,
        now: Instant,
        meaning: Meaning,
        transaction: &mut Transaction<'_>,
        trace: &mut Trace,
    ) {
        let mut hit = None;
        for fault in &mut self.bus {
            let window = window_of(&fault.what);
            if concerns(&fault.what, window, meaning) && fault.hits(window) {
                hit = Some(fault.what);
            }
        }
        let Some(fault) = hit else { return inner.transfer(now, transaction, trace) };
        self.counts.add(kind_of(&fault), 1);
        match fault {
            BusFault::MisoStuck { level, .. } => {
                inner.transfer(now, transaction, trace);
                transaction.miso.fill(level.byte());
            }
            BusFault::RegisterGlitch { flip, .. } => {
                inner.transfer(now, transaction, trace);
                transaction.miso.iter_mut().for_each(|byte| *byte ^= flip);
            }
            BusFault::ChipSelectLost { .. } => {
                transaction.miso.fill(PULL);
                trace.spi(transaction, false);
            }
            BusFault::MosiStuck { level, from_byte, .. } => {
                let mut arrives = transaction.mosi.to_vec();
                arrives.iter_mut().skip(from_byte).for_each(|byte| *byte = level.byte());
                self.pass_instead(inner, now, &arrives, transaction, trace);
            }
            // The latch falls as it does at the end of a write.
            BusFault::LyingWrite { .. } => match self.write_disable {
                Some(opcode) => self.pass_instead(inner, now, &[opcode], transaction, trace),
                None => trace.spi(transaction, false),
            },
        }
    }

    /// The part hears `arrives`; the host and the record of the bus see what was sent.
    #[expect(clippy::unused_self, reason = "reads as a step of the injector")]
    fn pass_instead<F: FaultTarget>(
        &self,
        inner: &mut F,
        now: Instant,
        arrives: &[u8],
        transaction: &mut Transaction<'_>,
        trace: &mut Trace,
    ) {
        let command_lines = transaction.command_lines;
        let mut instead = Transaction { mosi: arrives, miso: transaction.miso, command_lines };
        inner.transfer(now, &mut instead, trace);
        trace.amend_spi(transaction.mosi);
    }

    /// Arms the cuts that wait for the operation that has just begun.
    fn arm<F: FaultTarget>(&mut self, inner: &F, now: Instant, meaning: Meaning) {
        let Some(until) = inner.busy_until().filter(|until| *until > now) else { return };
        for once in self.once.iter_mut().filter(|once| !once.done) {
            let OnceKind::CutIn { operation, skip, percent, scope } = once.what else { continue };
            if !is_on(operation.class(), meaning) {
                continue;
            }
            once.seen += 1;
            if once.seen > skip && self.armed.is_none() {
                once.done = true;
                let left = until.since(now).as_nanos() / 100 * u64::from(percent.min(99));
                self.armed = Some(Armed { at: now + Duration::from_nanos(left), operation, scope });
            }
        }
    }

    /// Cuts and resets that come after a number of chip selects.
    fn cut_if_counted<F: FaultTarget>(&mut self, inner: &mut F, now: Instant, trace: &mut Trace) {
        let count = self.transactions;
        let due = self.once.iter_mut().find_map(|once| match once.what {
            OnceKind::CutAfter { transactions, scope } if !once.done && transactions <= count => {
                once.done = true;
                Some(scope)
            }
            _ => None,
        });
        if let Some(scope) = due.filter(|_| self.outage.is_none()) {
            self.cut(inner, now, scope, trace);
            self.counts.add(FaultKind::PowerCut, 1);
        }
    }

    fn cut<F: FaultTarget>(&mut self, inner: &mut F, at: Instant, scope: Scope, trace: &mut Trace) {
        trace.push(at, Event::Note { what: format!("the supply is cut ({scope:?})") });
        inner.power_cut(at, self.random.u64(..));
        self.armed = None;
        if scope == Scope::Board {
            self.outage = Some(Outage { at, kind: OutageKind::Power, strap: None });
        }
    }

    fn reset_if_due(&mut self, now: Instant, trace: &mut Trace) {
        let count = self.transactions;
        if self.outage.is_some() {
            return;
        }
        for once in self.once.iter_mut().filter(|once| !once.done) {
            let OnceKind::Reset { after, kind, strap } = once.what else { continue };
            let at = match after {
                Moment::Transactions(after) if after <= count => now,
                Moment::Micros(us) if moment(us) <= now => moment(us),
                _ => continue,
            };
            once.done = true;
            trace.push(at, Event::Note { what: format!("the chip goes down ({kind:?})") });
            self.outage = Some(Outage { at, kind, strap });
            let counted =
                if kind == OutageKind::Reset { FaultKind::Reset } else { FaultKind::Watchdog };
            self.counts.add(counted, 1);
            return;
        }
    }
}

const fn moment(us: u64) -> Instant {
    Instant::from_nanos(us.saturating_mul(1_000))
}

const fn cut_kind(operation: Operation) -> FaultKind {
    match operation {
        Operation::Erase => FaultKind::PowerCutErase,
        Operation::Program => FaultKind::PowerCutProgram,
        Operation::StatusWrite => FaultKind::PowerCutStatusWrite,
    }
}

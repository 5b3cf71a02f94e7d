//! The flash of a board with the board's faults around it.
//!
//! A decorator: the part itself knows nothing of faults. Everything here is deterministic.

use spi_nor::part::Part;

use crate::{
    fault::{
        bus::BusInjector,
        plan::{FaultPlan, PlanError},
        seat::{FaultSeat, FaultTarget},
    },
    flash::NorFlash,
    spi::{SpiConnection, SpiDevice, Transaction},
    time::Instant,
    trace::{Event, Trace},
};

use super::{
    DeadCells, Faults, SupplyMillivolts, WriteForm,
    second_flash::{Route, Routing},
};

/// Opcodes of array reads that noise disturbs.
const ARRAY_READS: [u8; 2] = [0x03, 0x0b];

/// A part with faults around it.
#[derive(Debug, Clone)]
pub struct BoardFlash {
    nor: NorFlash,
    faults: Faults,
    /// Answers of each faulty register read so far.
    read_counts: Vec<u32>,
    noise: fastrand::Rng,
    causes: Causes,
    /// The register writes of the firmware's start-up run.
    booting: bool,
    /// Opcodes that anything here looks at; every other one goes straight to the part.
    watched: Box<[bool; 256]>,
    /// There is one.
    watches_any: bool,
    routing: Routing,
    /// A fault plan at work.
    plan: Option<Box<BusInjector>>,
}

/// What register writes cause besides.
#[derive(Debug, Clone, Default)]
pub(super) struct Causes {
    pub(super) boot: BootFaults,
    pub(super) side_effect: Option<SideEffect>,
    /// Opcodes that repair a damaged status row; any if `None`.
    pub(super) row_repair: Option<Vec<u8>>,
}

/// What the first register write of a boot that changes a stored value does besides (the boot's
/// brown-out, the boot's supply).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct BootFaults {
    pub(super) damages_row: bool,
    pub(super) supply: Option<SupplyMillivolts>,
}

/// A bit that other register writes clear.
#[derive(Debug, Clone)]
pub(super) struct SideEffect {
    pub(super) register: spi_nor::part::RegisterName,
    pub(super) mask: u8,
    pub(super) cleared_by: Vec<WriteForm>,
}

/// What a register write may change.
struct Before {
    stored: Vec<u8>,
    damaged_row: bool,
    write_enable_latch: bool,
}

impl BoardFlash {
    pub(super) fn new(nor: NorFlash, routing: Routing, faults: Faults, causes: Causes) -> Self {
        let read_counts = vec![0; faults.register_reads.len()];
        let seed = faults.read_noise.map_or(0, |noise| noise.seed);
        let noise = fastrand::Rng::with_seed(seed);
        let watched = watched(nor.part(), &faults, &causes);
        Self {
            nor,
            faults,
            read_counts,
            noise,
            causes,
            booting: false,
            watches_any: watched.contains(&true),
            watched,
            routing,
            plan: None,
        }
    }

    /// The part.
    #[must_use]
    pub fn nor(&self) -> &NorFlash {
        &self.nor
    }

    /// The part, from outside of the board's time.
    pub fn nor_mut(&mut self) -> &mut NorFlash {
        &mut self.nor
    }

    /// It takes the place of `before`, as [`NorFlash::replaces`] has it.
    pub fn replaces(&mut self, before: &Self) {
        self.nor.replaces(&before.nor);
        if let (Some(second), Some(before)) = (&mut self.routing.second, &before.routing.second) {
            second.nor.replaces(&before.nor);
        }
    }

    /// The part on the second set of pins, from outside of the board's time.
    pub fn second_part_mut(&mut self) -> Option<&mut NorFlash> {
        self.routing.second.as_mut().map(|second| &mut second.nor)
    }

    /// The part on the second set of pins, if the board has one.
    #[must_use]
    pub fn second(&self) -> Option<&NorFlash> {
        self.routing.second.as_ref().map(|second| &second.nor)
    }

    /// The main flash is reached from reset on, without `SPI_ATTACH`: for look-alikes of emulators
    /// that know no pads.
    pub fn attach_always(&mut self) {
        self.routing.always_attached = true;
        if self.routing.route == Route::Open {
            self.routing.route = Route::Main;
        }
    }

    /// Replaces the faults; what they count starts anew.
    pub fn set_faults(&mut self, faults: Faults) {
        self.read_counts = vec![0; faults.register_reads.len()];
        self.noise = fastrand::Rng::with_seed(faults.read_noise.map_or(0, |noise| noise.seed));
        self.watched = watched(self.nor.part(), &faults, &self.causes);
        self.watches_any = self.watched.contains(&true);
        self.faults = faults;
    }

    /// Lets go wrong on the bus, in the cells and in the supply what `plan` says from now on;
    /// `None` ends it.
    ///
    /// # Errors
    ///
    /// [`PlanError::Part`] if the plan names what the part lacks.
    pub fn set_plan(&mut self, plan: Option<&FaultPlan>) -> Result<(), PlanError> {
        let part = self.nor.part();
        let injector = plan.map(|plan| BusInjector::new(plan, part)).transpose()?;
        self.plan = injector.map(Box::new);
        Ok(())
    }

    /// Changes what the part is told.
    fn disturb_input(&self, mosi: &[u8]) -> Option<Vec<u8>> {
        let (opcode, data) = mosi.split_first()?;
        let part = self.nor.part();
        if self.faults.register_write_stuck_high
            && part.status_write.iter().any(|form| form.opcode == *opcode)
        {
            return Some([*opcode].into_iter().chain(data.iter().map(|_| 0xff)).collect());
        }
        if self.faults.program_lost && part.instructions.page_program.contains(opcode) {
            let (address, data) = data.split_at(data.len().min(3));
            let blank = data.iter().map(|_| 0xff);
            return Some(
                [*opcode].into_iter().chain(address.iter().copied()).chain(blank).collect(),
            );
        }
        if let Some(dead) = self.faults.dead_cells
            && part.instructions.page_program.contains(opcode)
        {
            return dead.disturb(mosi);
        }
        None
    }

    /// Changes what the part answers.
    fn disturb_output(&mut self, opcode: u8, miso: &mut [u8]) {
        for (fault, count) in self.faults.register_reads.iter().zip(&mut self.read_counts) {
            if fault.opcode == opcode && !miso.is_empty() {
                *count = count.saturating_add(1);
                let past = fault.count.map_or(u32::MAX, |count| fault.from.saturating_add(count));
                if *count >= fault.from && *count < past {
                    miso.fill(fault.value);
                }
            }
        }
        if let Some(noise) = self.faults.read_noise
            && ARRAY_READS.contains(&opcode)
            && self.noise.u8(0..100) < noise.reads.get()
            && !miso.is_empty()
        {
            let at = self.noise.usize(0..miso.len());
            if let Some(byte) = miso.get_mut(at) {
                *byte ^= 1 << self.noise.u8(0..8);
            }
        }
    }

    /// What a register write causes besides.
    fn after_register_write(
        &mut self,
        now: Instant,
        mosi: &[u8],
        before: &Before,
        trace: &mut Trace,
    ) {
        let Some((&opcode, data)) = mosi.split_first() else { return };
        let changed = before.stored != self.stored();
        let repairs = self.causes.row_repair.as_ref().is_none_or(|by| by.contains(&opcode));
        if before.damaged_row && !repairs {
            self.nor.set_damaged_row(true);
        }
        if let Some(effect) = &self.causes.side_effect
            && before.write_enable_latch
            && effect
                .cleared_by
                .iter()
                .any(|form| form.opcode == opcode && usize::from(form.bytes) == data.len())
        {
            let (register, mask) = (effect.register, effect.mask);
            self.nor.clear_bits(register, mask);
        }
        if !changed || !self.booting {
            return;
        }
        let faults = std::mem::take(&mut self.causes.boot);
        if faults.damages_row {
            self.nor.set_damaged_row(true);
            trace.push(now, Event::Note { what: "brown-out damages the status row".to_owned() });
        }
        if let Some(supply) = faults.supply {
            self.nor.set_supply_mv(supply.get());
            trace.push(now, Event::Note { what: format!("flash supply is {} mV", supply.get()) });
        }
    }

    fn before(&self) -> Before {
        Before {
            stored: self.stored(),
            damaged_row: self.nor.state().damaged_row.is_some(),
            write_enable_latch: self.nor.write_enable_latch(),
        }
    }

    fn stored(&self) -> Vec<u8> {
        let state = self.nor.state();
        self.nor.part().registers.keys().map(|name| state.register(*name)).collect()
    }
}

/// Opcodes that a fault or a cause is about.
fn watched(part: &Part, faults: &Faults, causes: &Causes) -> Box<[bool; 256]> {
    let mut watched = Box::new([false; 256]);
    let mut watch = |opcode: u8| watched[usize::from(opcode)] = true;
    let at_writes = faults.register_write_stuck_high
        || causes.boot.damages_row
        || causes.boot.supply.is_some()
        || causes.side_effect.is_some()
        || causes.row_repair.is_some();
    if at_writes {
        part.status_write.iter().for_each(|form| watch(form.opcode));
    }
    if faults.program_lost || faults.dead_cells.is_some() {
        part.instructions.page_program.iter().copied().for_each(&mut watch);
    }
    if faults.read_noise.is_some() {
        ARRAY_READS.into_iter().for_each(&mut watch);
    }
    faults.register_reads.iter().for_each(|fault| watch(fault.opcode));
    watched
}

impl BoardFlash {
    /// A transaction on pins that do not lead to the main flash.
    fn transfer_elsewhere(
        &mut self,
        now: Instant,
        transaction: &mut Transaction<'_>,
        trace: &mut Trace,
    ) {
        if let Some(second) = self.routing.second_mut() {
            return second.transfer(now, transaction, trace);
        }
        transaction.miso.fill(self.routing.pull);
        trace.spi(transaction, false);
    }

    /// A transaction that a fault or a cause may be about.
    fn transfer_watched(
        &mut self,
        now: Instant,
        opcode: u8,
        transaction: &mut Transaction<'_>,
        trace: &mut Trace,
    ) {
        let writes = self.nor.part().status_write.iter().any(|form| form.opcode == opcode);
        let before = writes.then(|| self.before());
        if let Some(mosi) = self.disturb_input(transaction.mosi) {
            let mut disturbed = Transaction {
                mosi: &mosi,
                miso: transaction.miso,
                command_lines: transaction.command_lines,
            };
            self.nor.transfer(now, &mut disturbed, trace);
        } else {
            self.nor.transfer(now, transaction, trace);
        }
        self.disturb_output(opcode, transaction.miso);
        if let Some(before) = before {
            self.after_register_write(now, transaction.mosi, &before, trace);
        }
    }
}

impl DeadCells {
    /// A page program as its cells take it.
    fn disturb(self, mosi: &[u8]) -> Option<Vec<u8>> {
        let [_, high, middle, low, ..] = *mosi else { return None };
        let at = u32::from_be_bytes([0, high, middle, low]);
        let dead = self.at..self.at.saturating_add(self.bytes);
        let mut mosi = mosi.to_vec();
        for (cell, byte) in (at..).zip(mosi.iter_mut().skip(4)) {
            if dead.contains(&cell) {
                *byte |= self.stuck_bits;
            }
        }
        Some(mosi)
    }
}

impl BoardFlash {
    /// A transaction through the plan. While that is at work, the flash that it decorates is this
    /// one without it.
    #[cold]
    fn transfer_planned(
        &mut self,
        now: Instant,
        transaction: &mut Transaction<'_>,
        trace: &mut Trace,
    ) {
        let Some(mut plan) = self.plan.take() else { return };
        plan.transfer(self, now, transaction, trace);
        self.plan = Some(plan);
    }
}

impl FaultTarget for BoardFlash {
    fn nor(&self) -> &NorFlash {
        &self.nor
    }

    fn nor_mut(&mut self) -> &mut NorFlash {
        &mut self.nor
    }
}

impl FaultSeat for BoardFlash {
    fn injector(&mut self) -> Option<&mut BusInjector> {
        self.plan.as_deref_mut()
    }

    fn next_fault(&self) -> Option<Instant> {
        self.plan.as_ref().and_then(|plan| plan.next_event())
    }

    fn settle_faults(&mut self, now: Instant, trace: &mut Trace) {
        if let Some(mut plan) = self.plan.take() {
            plan.settle(self, now, trace);
            self.plan = Some(plan);
        }
    }
}

impl SpiDevice for BoardFlash {
    fn transfer(&mut self, now: Instant, transaction: &mut Transaction<'_>, trace: &mut Trace) {
        if self.plan.is_some() {
            return self.transfer_planned(now, transaction, trace);
        }
        if self.routing.route != Route::Main {
            return self.transfer_elsewhere(now, transaction, trace);
        }
        match transaction.mosi.first() {
            Some(&opcode) if self.watched[usize::from(opcode)] => {
                self.transfer_watched(now, opcode, transaction, trace);
            }
            _ => self.nor.transfer(now, transaction, trace),
        }
    }

    fn undisturbed(&mut self) -> Option<&mut NorFlash> {
        let is_straight =
            self.plan.is_none() && self.routing.route == Route::Main && !self.watches_any;
        is_straight.then_some(&mut self.nor)
    }

    fn busy_until(&self) -> Option<Instant> {
        let own = match self.routing.route {
            Route::Main => self.nor.busy_until(),
            Route::Second => self.second().and_then(SpiDevice::busy_until),
            Route::Open => None,
        };
        self.plan.as_ref().map_or(own, |plan| plan.busy_until(own))
    }

    fn power_cycle(&mut self, now: Instant) {
        if let Some(plan) = &mut self.plan {
            plan.power_cycle();
        }
        self.nor.power_cycle(now);
        if let Some(second) = &mut self.routing.second {
            second.nor.power_cycle(now);
        }
    }

    fn connect(&mut self, connection: SpiConnection) {
        self.routing.connect(connection);
    }

    fn set_boot_writes(&mut self, running: bool) {
        self.booting = running;
    }

    fn power_cut(&mut self, now: Instant, seed: u64) {
        if let Some(plan) = &mut self.plan {
            plan.power_cycle();
        }
        self.nor.power_cut(now, seed);
        if let Some(second) = &mut self.routing.second {
            second.nor.power_cut(now, seed);
        }
    }
}

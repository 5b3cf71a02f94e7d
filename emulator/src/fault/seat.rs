//! Where an injector sits: before a flash.

use super::{
    bus::BusInjector,
    plan::{FaultPlan, PlanError},
};
use crate::{
    flash::NorFlash,
    spi::{SpiDevice, Transaction},
    time::Instant,
    trace::Trace,
};

/// A flash that faults can get at: its cells and its supply, besides its bus.
pub trait FaultTarget: SpiDevice {
    /// The part.
    fn nor(&self) -> &NorFlash;

    /// The part, from outside of the board's time.
    fn nor_mut(&mut self) -> &mut NorFlash;
}

impl FaultTarget for NorFlash {
    fn nor(&self) -> &NorFlash {
        self
    }

    fn nor_mut(&mut self) -> &mut NorFlash {
        self
    }
}

/// A flash behind the faults of a plan.
#[derive(Debug, Clone)]
pub struct FaultyBus<F> {
    inner: F,
    injector: BusInjector,
}

impl<F: FaultTarget> FaultyBus<F> {
    /// Puts the faults of `plan` before `inner`.
    ///
    /// # Errors
    ///
    /// [`PlanError::Part`] if the plan names what the part lacks.
    pub fn new(inner: F, plan: &FaultPlan) -> Result<Self, PlanError> {
        let injector = BusInjector::new(plan, inner.nor().part())?;
        Ok(Self { inner, injector })
    }

    /// The flash behind the faults.
    pub fn inner(&self) -> &F {
        &self.inner
    }

    /// The flash behind the faults.
    pub fn inner_mut(&mut self) -> &mut F {
        &mut self.inner
    }
}

/// A flash with a place for an injector.
pub trait FaultSeat: SpiDevice {
    /// The injector, if there is one.
    fn injector(&mut self) -> Option<&mut BusInjector>;

    /// When a fault happens next without a chip select.
    fn next_fault(&self) -> Option<Instant>;

    /// Lets happen what is due by `now` without a chip select.
    fn settle_faults(&mut self, now: Instant, trace: &mut Trace);
}

impl<F: FaultTarget> FaultSeat for FaultyBus<F> {
    fn injector(&mut self) -> Option<&mut BusInjector> {
        Some(&mut self.injector)
    }

    fn next_fault(&self) -> Option<Instant> {
        self.injector.next_event()
    }

    fn settle_faults(&mut self, now: Instant, trace: &mut Trace) {
        self.injector.settle(&mut self.inner, now, trace);
    }
}

impl<F: FaultTarget> SpiDevice for FaultyBus<F> {
    fn transfer(&mut self, now: Instant, transaction: &mut Transaction<'_>, trace: &mut Trace) {
        self.injector.transfer(&mut self.inner, now, transaction, trace);
    }

    fn busy_until(&self) -> Option<Instant> {
        self.injector.busy_until(self.inner.busy_until())
    }

    fn power_cycle(&mut self, now: Instant) {
        self.injector.power_cycle();
        self.inner.power_cycle(now);
    }

    fn set_boot_writes(&mut self, running: bool) {
        self.inner.set_boot_writes(running);
    }

    fn power_cut(&mut self, now: Instant, seed: u64) {
        self.injector.power_cycle();
        self.inner.power_cut(now, seed);
    }
}

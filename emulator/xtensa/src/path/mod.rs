//! Paths that the code takes again and again, compiled.
//!
//! A place that is reached often enough is the start of a path: the instructions from there on are
//! noted while they are executed, across calls and branches, until they are back at the start or go
//! where a path cannot. What they do is compiled into micro-operations with physical registers,
//! known regions of memory, and copies and constants that are written only where the path is left.
//! A branch that goes the other way, an access elsewhere, an exception, or the end of the budget
//! leaves the path at an exit, which restores everything that the core shows. So the state at each
//! end of a run and the count of instructions are those of single steps, and nothing depends on what
//! the code is: a path is good as long as its code bytes are the same.

mod alu;
mod compile;
mod condition;
mod execute;
mod fuse;
mod record;
mod step;
mod translate;
mod values;
mod watched;

pub(crate) use record::{Place, what_it_touches};
pub(crate) use watched::Watched;

use compile::{Path, compile};
use execute::{Leave, execute};
use record::{LENGTH_MAX, Recorded};
use step::{Exit, Value};
use values::{SLOT_MASK, SLOTS};

use crate::{
    access::Side,
    bus::Bus,
    cpu::{Cpu, HISTORY, low, ps},
    run::Stop,
};

/// Arrivals after which a path is recorded.
const HOT: u32 = 24;
/// No path begins here.
const NEVER: u32 = u32::MAX;
/// Shorter ones are not worth their exits.
const LENGTH_MIN: usize = 3;
/// Paths from one address, for different windows.
const VARIANTS_MAX: usize = 8;
/// Most paths that are kept.
const PATHS_MAX: usize = 4096;
/// A core that changes its code more often has no paths.
const CLEARINGS_MAX: u32 = 256;

/// The compiled paths of a core.
#[derive(Debug, Clone, Default)]
pub(crate) struct Paths {
    /// For each code byte how often it was arrived at, [`HOT`] to record a path, `HOT + 1` and the
    /// index of a path, or [`NEVER`].
    heads: Vec<u32>,
    compiled: Vec<Path>,
    clearings: u32,
}

/// What became of an attempt to go along a path.
pub(crate) enum Followed {
    /// There is none here.
    No,
    /// Instructions were executed.
    Along,
    /// The same, and interrupts are to be looked at.
    Attention,
    /// The run ends.
    Stop(Stop),
}

impl Paths {
    /// The core comes to the code byte with this number: whether a path may begin.
    #[inline]
    pub(crate) fn arrive(&mut self, slot: u32) -> bool {
        match self.heads.get_mut(slot as usize) {
            Some(count) if *count < HOT => {
                *count += 1;
                *count == HOT
            }
            Some(count) => *count != NEVER,
            None => false,
        }
    }

    fn clear(&mut self, code_bytes: usize) {
        self.clearings += u32::from(!self.compiled.is_empty());
        self.compiled.clear();
        self.heads.clear();
        if self.clearings < CLEARINGS_MAX {
            self.heads.resize(code_bytes, 0);
        }
    }
}

impl Cpu {
    /// Runs along the path that begins here, if there is one; records one if it is time.
    pub(crate) fn follow<B: Bus>(&mut self, bus: &mut B, end: u64) -> Followed {
        if self.mem.watched.is_stale() {
            self.mem.watched.reset(self.mem.code.len());
            self.paths.clear(self.mem.code.len());
        }
        let slot = self.pc.wrapping_sub(self.mem.code_base) as usize;
        match self.paths.heads.get(slot) {
            Some(&head) if head >= HOT && head != NEVER && self.loop_end == u32::MAX => {
                self.follow_from(bus, slot, head - HOT, end)
            }
            _ => Followed::No,
        }
    }

    /// `number`: of the first path here plus one, 0 if there is none yet.
    fn follow_from<B: Bus>(&mut self, bus: &mut B, slot: usize, number: u32, end: u64) -> Followed {
        let mut next = number.checked_sub(1);
        let mut variants = 0;
        while let Some(index) = next {
            let Some(path) = self.paths.compiled.get_mut(index as usize) else { break };
            if path.key.fits(self.base, self.window_start, self.ps) {
                return self.run_along(bus, index as usize, end);
            }
            variants += 1;
            next = path.variant;
            if next.is_none() {
                path.misses += 1;
                if path.misses % HOT != 0 {
                    return Followed::No;
                }
            }
        }
        if variants < VARIANTS_MAX && self.paths.compiled.len() < PATHS_MAX {
            self.record(bus, slot, number, end)
        } else {
            Followed::No
        }
    }

    /// Executes instructions one at a time and notes them; compiles what was noted.
    fn record<B: Bus>(&mut self, bus: &mut B, slot: usize, number: u32, end: u64) -> Followed {
        let mut recorded = Recorded::new(self);
        let mut result = Followed::No;
        loop {
            if recorded.is_back(self) {
                recorded.is_circle = true;
                break;
            }
            if recorded.steps.len() == LENGTH_MAX || self.starts_circle(&recorded) {
                break;
            }
            if self.executed == end {
                // Cut off by the budget: it is tried again when the place is as hot once more.
                if number == 0
                    && let Some(head) = self.paths.heads.get_mut(slot)
                {
                    *head = 0;
                }
                return result;
            }
            let Some(mut step) = recorded.next_step(self) else { break };
            let (end_of_run, _) = self.interpret_until(bus, &mut (), self.executed + 1);
            if let Some(stop) = end_of_run {
                return Followed::Stop(stop);
            }
            result = Followed::Along;
            if !step.leads_to(self.pc) {
                break;
            }
            step.next = self.pc;
            recorded.steps.push(step);
            if self.attention {
                result = Followed::Attention;
                break;
            }
            if self.mem.is_stale() {
                break;
            }
        }
        if self.mem.is_stale() {
            return result;
        }
        self.keep(slot, number, recorded);
        result
    }

    /// Whether a circle begins here that has been compiled: a path that leads to it ends.
    fn starts_circle(&self, recorded: &Recorded) -> bool {
        let slot = self.pc.wrapping_sub(self.mem.code_base) as usize;
        let number = self.paths.heads.get(slot).filter(|head| **head != NEVER);
        let index = number.and_then(|head| head.checked_sub(HOT + 1));
        let path = index.and_then(|index| self.paths.compiled.get(index as usize));
        !recorded.steps.is_empty() && path.is_some_and(|path| path.again.is_some())
    }

    fn keep(&mut self, slot: usize, number: u32, recorded: Recorded) {
        let Some(head) = self.paths.heads.get_mut(slot) else { return };
        if recorded.steps.len() < LENGTH_MIN {
            if number == 0 {
                *head = NEVER;
            }
            return;
        }
        // The recorded code may have changed what was recorded before.
        if !recorded.steps.iter().all(|step| step.is_unchanged(&mut self.mem)) {
            return;
        }
        let code_base = self.mem.code_base;
        for step in &recorded.steps {
            self.mem.watched.add(step.pc.wrapping_sub(code_base), step.insn.len());
            if matches!(step.place, Place::Constant(_)) {
                self.mem.watched.add(step.address.wrapping_sub(code_base), 4);
            }
        }
        let mut path = compile(recorded);
        path.variant = number.checked_sub(1);
        self.paths.compiled.push(path);
        let index = u32::try_from(self.paths.compiled.len()).unwrap_or(NEVER);
        *head = HOT.saturating_add(index);
    }

    fn run_along<B: Bus>(&mut self, bus: &mut B, index: usize, end: u64) -> Followed {
        let Some(path) = self.paths.compiled.get(index) else { return Followed::No };
        let left = u32::try_from(end - self.executed).unwrap_or(u32::MAX);
        if path.steps.len() > left as usize {
            return Followed::No;
        }
        let mut side = Side { effects: &mut self.effects, attention: &mut self.attention };
        let mut slots = [0; SLOTS];
        slots[..64].copy_from_slice(&self.ar);
        let (times, leave) =
            execute(path, &mut slots, &mut self.sar, &mut self.mem, &mut side, bus, left);
        let (number, behind, trap) = match leave {
            Leave::At(number) => (number, false, None),
            Leave::Attention(number) => (number, true, None),
            Leave::Trap(number, trap) => (number, false, Some(trap)),
        };
        let Some(exit) = path.exits.get(number as usize) else { return Followed::No };
        let length = u64::try_from(path.steps.len()).unwrap_or(u64::MAX);
        let done = u64::from(times) * length + u64::from(exit.done);
        note_history(&mut self.history, low(self.executed), path, done);
        self.executed += done;
        write_back(exit, &mut slots);
        self.ar.copy_from_slice(&slots[..64]);
        self.pc = if behind { exit.next } else { exit.pc };
        self.base = exit.base;
        self.window_start = exit.window_start;
        if let Some(increment) = exit.increment {
            self.call_increment = increment;
        }
        if let Some(callinc) = exit.callinc {
            self.ps = self.ps & !ps::CALLINC | u32::from(callinc) << 16;
        }
        if let Some(trap) = trap {
            return match self.raise(self.pc, trap) {
                Ok(vector) => {
                    self.pc = vector;
                    Followed::Along
                }
                Err(exception) => Followed::Stop(Stop::Exception(exception)),
            };
        }
        if behind && self.attention {
            return Followed::Attention;
        }
        let slot = self.pc.wrapping_sub(self.mem.code_base);
        if self.paths.arrive(slot) && done > 0 { Followed::Along } else { Followed::No }
    }
}

/// The registers that the path has not written yet.
fn write_back(exit: &Exit, slots: &mut [u32; SLOTS]) {
    for &(register, value) in &exit.writes {
        slots[usize::from(register & 63)] = match value {
            Value::Const(number) => number,
            Value::Sum(source, number) => {
                slots[usize::from(source & SLOT_MASK)].wrapping_add(number)
            }
            Value::Unknown => continue,
        };
    }
}

/// Notes the last of the `done` instructions of `path`, the first of which was number `start`.
fn note_history(history: &mut [u32; HISTORY], start: u32, path: &Path, done: u64) {
    let length = path.steps.len().max(1) as u64;
    let noted = usize::try_from(done).unwrap_or(usize::MAX).min(HISTORY);
    // Where the last one is, counted from the circle's second time round at the earliest.
    let end = HISTORY + usize::try_from(done.wrapping_sub(1) % length).unwrap_or(0) + 1;
    let Some(last) = path.addresses.get(end - noted..end).filter(|last| !last.is_empty()) else {
        return;
    };
    let first = (start.wrapping_add(low(done)) as usize).wrapping_sub(noted) % HISTORY;
    let (now, wrapped) = last.split_at(noted.min(HISTORY - first));
    history[first..first + now.len()].copy_from_slice(now);
    history[..wrapped.len()].copy_from_slice(wrapped);
}

//! Exact idle detection. XTENSA 3.6.
//!
//! From time to time, if nothing had an effect for a while, the core's state is noted and a few
//! hundred instructions are executed one at a time. If the same state comes back and nothing had
//! an effect in between, the code can only go round the same circle until an interrupt, input or
//! time changes something. Native functions may run in between; the embedder tells of their
//! effects with [`Cpu::note_effect`].
//!
//! What the circle is made of and looks at is kept: as long as that is the same, a core that comes
//! back to the same state, as behind an interrupt handler, is idle without another attempt.

use crate::bus::Bus;
use crate::cpu::Cpu;
use crate::path::{Place, what_it_touches};

/// Instructions between two attempts.
const INTERVAL: u64 = 8192;
/// Longest circle that is recognised, in instructions.
const CIRCLE: u32 = 400;
/// A loop that computes comes back to a place in another state. An attempt ends when it has done so
/// this often; one in thirty-two does not, since a waiting circle may hold such a loop.
const OTHER_STATES_MAX: u32 = 2;
const PATIENT_ATTEMPTS: u32 = 32;

/// Words that a circle may be made of and look at to be recognised again.
const WORDS_MAX: usize = 64;

/// The state that must come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Watch {
    state: State,
    effects: u64,
    left: u32,
    /// How often the place may come back in another state.
    others: u32,
    /// Addresses of the words of memory that matter; `None` if something else does as well.
    words: Option<Vec<u32>>,
}

/// A circle that was found to have no effect.
#[derive(Debug, Clone)]
pub(crate) struct Rest {
    state: State,
    /// Words of memory that it is made of and looks at, and what they hold.
    words: Vec<(u32, u32)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    pc: u32,
    ar: [u32; 64],
    base: u8,
    window_start: u16,
    ps: u32,
    sar: u32,
    loops: [u32; 3],
    fr: [u32; 16],
    special: crate::cpu::Special,
}

impl Cpu {
    fn state(&self) -> State {
        State {
            pc: self.pc,
            ar: self.ar,
            base: self.base,
            window_start: self.window_start,
            ps: self.ps,
            sar: self.sar,
            loops: [self.lbeg, self.lend, self.lcount],
            fr: self.fr,
            special: self.sr.clone(),
        }
    }

    fn all_effects<B: Bus>(&self, bus: &B) -> u64 {
        self.effects.wrapping_add(self.mem.changes).wrapping_add(bus.effects())
    }

    /// Starts an attempt with the next instruction: the embedder thinks that the code may be back
    /// in its waiting loop, for instance behind an interrupt handler.
    pub fn expect_idle(&mut self) {
        self.watch_soon = true;
    }

    /// Whether an attempt is under way; starts one if it is time.
    pub(crate) fn watching<B: Bus>(&mut self, bus: &B) -> bool {
        if self.watch.is_some() {
            return true;
        }
        let soon = std::mem::take(&mut self.watch_soon);
        if self.executed < self.watch_next && !soon {
            return false;
        }
        self.watch_next = self.executed + INTERVAL;
        let effects = self.all_effects(bus);
        let quiet = soon || effects == self.watch_effects;
        self.watch_effects = effects;
        if quiet {
            let state = self.state();
            let words = Some(Vec::new());
            self.watch_attempts = self.watch_attempts.wrapping_add(1);
            let is_patient = self.watch_attempts.is_multiple_of(PATIENT_ATTEMPTS);
            let others = if is_patient { CIRCLE } else { OTHER_STATES_MAX };
            self.watch = Some(Box::new(Watch { state, effects, left: CIRCLE, others, words }));
        }
        quiet
    }

    /// Before each instruction of an attempt: whether the noted state is back. Ends the attempt on
    /// an effect, after too many instructions, and on success.
    pub(crate) fn watch_recurs<B: Bus>(&mut self, bus: &B) -> bool {
        let effects = self.all_effects(bus);
        let Some(watch) = &mut self.watch else { return false };
        let started = watch.left < CIRCLE;
        watch.left = watch.left.saturating_sub(1);
        let maybe = started && watch.effects == effects && watch.state.pc == self.pc;
        let mut over = watch.effects != effects || watch.left == 0;
        let recurs = maybe && self.watch.as_ref().is_some_and(|watch| watch.state == self.state());
        if let (true, false, Some(watch)) = (maybe, recurs, &mut self.watch) {
            watch.others = watch.others.saturating_sub(1);
            over |= watch.others == 0;
        }
        if !recurs && !over {
            self.note_words();
            return false;
        }
        let words = self.watch.take().and_then(|watch| watch.words);
        if recurs {
            let mem = &self.mem;
            let held = words.and_then(|words| {
                words.into_iter().map(|addr| Some((addr, mem.word(addr)?))).collect()
            });
            self.rest = held.map(|words| Box::new(Rest { state: self.state(), words }));
            // Still idle unless the embedder changes something: look again at once.
            self.watch_next = self.executed;
        }
        recurs
    }

    /// Whether the core is in the state in which it was found idle last, with everything in memory
    /// that matters as it was. False also where it was found so by time or by a register.
    #[must_use]
    pub fn rests(&self) -> bool {
        self.rest.as_ref().is_some_and(|rest| {
            let same = rest.words.iter().all(|&(addr, held)| self.mem.word(addr) == Some(held));
            same && rest.state.pc == self.pc && rest.state == self.state()
        })
    }

    /// Notes the words that the next instruction consists of and looks at.
    fn note_words(&mut self) {
        let touched = what_it_touches(self).filter(|(_, place)| *place != Place::Bus);
        let Some(words) = self.watch.as_mut().and_then(|watch| watch.words.as_mut()) else {
            return;
        };
        let Some((address, place)) = touched.filter(|_| words.len() < WORDS_MAX) else {
            if let Some(watch) = &mut self.watch {
                watch.words = None;
            }
            return;
        };
        let code = [self.pc & !3, self.pc.wrapping_add(2) & !3];
        let data = (place != Place::None).then_some(address & !3);
        for addr in code.into_iter().chain(data) {
            if !words.contains(&addr) {
                words.push(addr);
            }
        }
    }
}

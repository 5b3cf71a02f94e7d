//! Looking into a running program: breakpoints, steps, traces, profiles, limits.

use std::collections::BTreeSet;

use xtensa::{Cpu, Insn, Observer};

use super::profile::Profile;

/// Takes each instruction before it is executed: core, address, instruction.
pub type InstructionSink = Box<dyn FnMut(&Cpu, u32, Insn) + Send>;

/// Why a program is paused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pause {
    /// One instruction was executed.
    Step,
    /// A breakpoint is reached; the instruction at it is next.
    Breakpoint,
    /// The code has a `BREAK` of its own.
    Break,
    /// Somebody asked for it.
    Interrupted,
    /// The limit of instructions is reached.
    Limit,
    /// It cannot go on; resumed, it stops as it does without anybody looking.
    Fault {
        /// EXCCAUSE.
        cause: u8,
        /// What happened.
        what: String,
    },
}

/// What looks over a program's shoulder. Without one a program runs at full speed.
#[derive(Default)]
pub struct Probe {
    /// The program pauses in front of these addresses.
    pub breakpoints: BTreeSet<u32>,
    /// The program pauses after this many instructions from now on.
    pub limit: Option<u64>,
    /// Faults pause the program and do not stop it, so that its state can be looked at.
    pub holds_faults: bool,
    /// Sees every instruction.
    pub sink: Option<InstructionSink>,
    /// Counts.
    pub profile: Option<Profile>,
    pause: Option<Pause>,
    step: bool,
    /// The instruction here is executed although there is a breakpoint.
    resumed_at: Option<u32>,
    passes_fault: bool,
}

impl std::fmt::Debug for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Probe")
            .field("breakpoints", &self.breakpoints)
            .field("limit", &self.limit)
            .field("pause", &self.pause)
            .finish_non_exhaustive()
    }
}

impl Probe {
    /// Why the program is paused, if it is.
    #[must_use]
    pub fn pause(&self) -> Option<&Pause> {
        self.pause.as_ref()
    }

    /// Pauses the program where it is.
    pub fn interrupt(&mut self) {
        if self.pause.is_none() {
            self.pause = Some(Pause::Interrupted);
        }
    }

    /// Lets a paused program at `pc` go on, for one instruction or until the next pause.
    pub(crate) fn resume(&mut self, pc: u32, step: bool) {
        self.passes_fault = matches!(self.pause, Some(Pause::Fault { .. }));
        self.pause = None;
        self.step = step;
        self.resumed_at = Some(pc);
    }

    /// Whether a fault pauses the program here.
    pub(crate) fn hold(&mut self, pause: Pause) -> bool {
        let held = self.holds_faults && !self.passes_fault;
        if held {
            self.pause = Some(pause);
        }
        held
    }

    /// The program waits: for a debugger that is the end of its step.
    pub(crate) fn waits(&mut self) {
        if std::mem::take(&mut self.step) {
            self.pause = Some(Pause::Step);
        }
    }
}

impl Observer for Probe {
    fn before(&mut self, cpu: &Cpu, pc: u32, insn: Insn) -> bool {
        let resumed = self.resumed_at.take() == Some(pc);
        let pause = if self.limit == Some(0) {
            Some(Pause::Limit)
        } else if resumed {
            None
        } else if self.step {
            Some(Pause::Step)
        } else if self.breakpoints.contains(&pc) {
            Some(Pause::Breakpoint)
        } else {
            None
        };
        if pause.is_some() {
            self.step = false;
            self.pause = pause;
            return false;
        }
        self.limit = self.limit.map(|left| left - 1);
        if let Some(sink) = &mut self.sink {
            sink(cpu, pc, insn);
        }
        if let Some(profile) = &mut self.profile {
            profile.count(pc);
        }
        true
    }

    fn enter(&mut self, _: u32, target: u32) {
        if let Some(profile) = &mut self.profile {
            profile.call(target);
        }
    }
}

//! Looking into a running program: breakpoints, steps, traces, profiles, limits.

use std::collections::BTreeSet;

use xtensa::{Cpu, DataAccess, Insn, Observer};

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
    /// Watched memory was accessed; the instruction that did it is behind.
    Watchpoint {
        /// What the watchpoint waits for.
        kind: Watch,
        /// First address of the access.
        address: u32,
    },
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

/// What a watchpoint waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Watch {
    /// A store.
    Write,
    /// A load.
    Read,
    /// Either.
    Access,
}

/// Memory or registers whose accesses pause the program behind the instruction.
///
/// What a native function of the ROM stores in memory is seen by its changes, when it has returned;
/// what it loads is not seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Watchpoint {
    /// First address.
    pub address: u32,
    /// How many bytes.
    pub length: u32,
    /// What it waits for.
    pub kind: Watch,
}

impl Watchpoint {
    fn sees(&self, access: DataAccess) -> bool {
        let wanted = match self.kind {
            Watch::Write => access.stores,
            Watch::Read => access.loads,
            Watch::Access => true,
        };
        let behind = access.address.wrapping_sub(self.address) < self.length;
        wanted && (behind || self.address.wrapping_sub(access.address) < access.width.bytes())
    }
}

/// What looks over a program's shoulder. Without one a program runs at full speed.
#[derive(Default)]
pub struct Probe {
    /// The program pauses in front of these addresses.
    pub breakpoints: BTreeSet<u32>,
    /// The same for those that a debugger calls hardware breakpoints.
    pub hardware_breakpoints: BTreeSet<u32>,
    /// The program pauses behind accesses to these.
    pub watchpoints: BTreeSet<Watchpoint>,
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
    /// The instruction under way touches what is watched.
    touched: Option<Pause>,
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
    pub(crate) fn resume(&mut self, pc: Option<u32>, step: bool) {
        self.passes_fault = matches!(self.pause, Some(Pause::Fault { .. }));
        self.pause = None;
        self.step = step;
        self.resumed_at = pc;
        self.touched = None;
    }

    /// Whether it must see every instruction.
    pub(crate) fn is_active(&self) -> bool {
        let stops = [&self.breakpoints, &self.hardware_breakpoints];
        self.step
            || self.touched.is_some()
            || self.limit.is_some()
            || self.sink.is_some()
            || self.profile.is_some()
            || !self.watchpoints.is_empty()
            || stops.iter().any(|stops| !stops.is_empty())
    }

    fn breaks_at(&self, pc: u32) -> bool {
        self.breakpoints.contains(&pc) || self.hardware_breakpoints.contains(&pc)
    }

    /// Whether the program pauses in front of the native function at `pc`.
    pub(crate) fn pauses_at_native(&mut self, pc: u32) -> bool {
        if self.resumed_at.take() == Some(pc) {
            return false;
        }
        let pause = self.touched.take().or(self.breaks_at(pc).then_some(Pause::Breakpoint));
        if pause.is_some() {
            self.step = false;
            self.pause = pause;
        }
        self.pause.is_some()
    }

    /// What stands in the memory whose changes are watched, to compare with behind a native
    /// function.
    pub(crate) fn watched(&self, cpu: &Cpu) -> Vec<(Watchpoint, Vec<u8>)> {
        let watched = self.watchpoints.iter().filter(|watch| watch.kind != Watch::Read);
        let content = |watch: &Watchpoint| cpu.mem.slice(watch.address, watch.length as usize);
        watched.filter_map(|watch| Some((*watch, content(watch)?.to_vec()))).collect()
    }

    /// A native function has returned: pauses the program if it changed watched memory.
    pub(crate) fn native_returned(&mut self, cpu: &Cpu, before: &[(Watchpoint, Vec<u8>)]) {
        let changed = before.iter().find(|(watch, content)| {
            cpu.mem.slice(watch.address, content.len()) != Some(content.as_slice())
        });
        if let Some((watch, _)) = changed {
            let (kind, address) = (watch.kind, watch.address);
            self.touched = Some(Pause::Watchpoint { kind, address });
        }
    }

    /// What the instruction that is about to be executed touches.
    fn note_access(&mut self, cpu: &Cpu, insn: Insn) {
        let Some(access) = cpu.data_access(insn) else { return };
        let seen = self.watchpoints.iter().find(|watch| watch.sees(access));
        self.touched = seen.map(|watch| {
            let (kind, address) = (watch.kind, access.address);
            Pause::Watchpoint { kind, address }
        });
    }

    /// Whether a fault pauses the program here.
    pub(crate) fn hold(&mut self, pause: Pause) -> bool {
        self.touched = None;
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
        let touched = self.touched.take();
        let pause = if self.limit == Some(0) {
            Some(Pause::Limit)
        } else if touched.is_some() {
            touched
        } else if resumed {
            None
        } else if self.step {
            Some(Pause::Step)
        } else if self.breaks_at(pc) {
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
        if !self.watchpoints.is_empty() {
            self.note_access(cpu, insn);
        }
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

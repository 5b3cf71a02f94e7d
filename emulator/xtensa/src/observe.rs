//! Looking over the core's shoulder: traces, profiles, breakpoints.

use crate::cpu::Cpu;
use crate::insn::Insn;

/// Sees every instruction of [`Cpu::run_observed`]. All methods have empty bodies, and a run
/// without an observer is compiled without them.
pub trait Observer {
    /// False for an observer that wants nothing; its calls are then compiled out.
    const ACTIVE: bool = true;

    /// Called before each instruction. `false` stops the run at it with `Stop::Observer`.
    fn before(&mut self, cpu: &Cpu, pc: u32, insn: Insn) -> bool {
        let _ = (cpu, pc, insn);
        true
    }

    /// Called when the call instruction at `pc` calls `target`, which may be outside memory.
    fn enter(&mut self, pc: u32, target: u32) {
        let _ = (pc, target);
    }

    /// Called when the return instruction at `pc` goes back to `target`.
    fn leave(&mut self, pc: u32, target: u32) {
        let _ = (pc, target);
    }
}

/// No observer.
impl Observer for () {
    const ACTIVE: bool = false;
}

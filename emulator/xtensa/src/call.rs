//! The calling convention, for embedders that run functions natively. XTENSA 3.3 and 3.5.

use crate::bus::{Bus, Width};
use crate::cpu::{Cpu, ps};

impl Cpu {
    /// Starts a fresh call chain: one live frame whose stack pointer is `stack`, windows on,
    /// interrupts open. With an address under which memory may be written, so that the frame can
    /// be spilled later.
    pub fn reset_frame(&mut self, stack: u32) {
        self.base = 0;
        self.window_start = 1;
        self.lcount = 0;
        self.set_ps(ps::WOE | ps::UM);
        self.set_a(0, 0);
        self.set_a(1, stack);
    }

    /// The window increment of the call that led here: 0 for `CALL0`, 1 to 3 for `CALL4` to
    /// `CALL12`.
    fn increment(&self) -> u8 {
        self.call_increment
    }

    /// The increment, to be kept with a native function that is interrupted.
    #[must_use]
    pub fn call_increment(&self) -> u8 {
        self.call_increment
    }

    /// Puts back what [`Self::call_increment`] gave, when an interrupted native function goes on.
    pub fn set_call_increment(&mut self, increment: u8) {
        self.call_increment = increment & 3;
    }

    /// Arguments 1 to 6 of the windowed call that the core stopped in: what the callee would
    /// find in a2 to a7. Valid at `Stop::OutsideRam` after `CALL4`, `CALL8` or `CALL12`; of a
    /// `CALL12` only the first two are in registers, and of a `CALL8` all six.
    #[must_use]
    pub fn call_args(&self) -> [u32; 6] {
        let first = self.increment() * 4 + 2;
        [0, 1, 2, 3, 4, 5].map(|n| self.a((first + n) & 63))
    }

    /// Argument `n` (0 is the first) of that call: registers first, then the stack of the caller.
    /// `None` if its stack slot has no memory.
    #[must_use]
    pub fn argument<B: Bus>(&mut self, bus: &mut B, n: u8) -> Option<u32> {
        if n < 6 {
            return Some(self.call_args()[usize::from(n)]);
        }
        let slot = self.a(1).wrapping_add(u32::from(n - 6) * 4);
        self.load(bus, slot, Width::Word).ok()
    }

    /// The address that the called function returns to.
    #[must_use]
    pub fn return_address(&self) -> u32 {
        let increment = self.increment();
        let link = self.a(increment * 4);
        if increment == 0 { link } else { self.pc & 0xc000_0000 | link & 0x3fff_ffff }
    }

    /// Returns `value` from a function that ran natively: into the register that becomes the
    /// caller's result, and back to the call's return address. Does not count as an effect.
    pub fn return_from_native(&mut self, value: u32) {
        let result = self.increment() * 4 + 2;
        let address = self.return_address();
        self.set_a(result, value);
        self.pc = address;
    }

    /// The result of a call made with [`Self::begin_call`] that has returned.
    #[must_use]
    pub fn call_result(&self) -> u32 {
        self.a(10)
    }

    /// Calls `entry` as `CALL8` from the current frame would: up to six arguments in the callee's
    /// a2 to a7, `return_magic` (same 1 GiB region as `entry`, not in memory) as the address where
    /// the run then stops with `OutsideRam`.
    pub fn begin_call(&mut self, entry: u32, args: &[u32], return_magic: u32) {
        self.link(2, return_magic);
        for (n, value) in (10_u8..16).zip(args) {
            self.set_a(n, *value);
        }
        self.pc = entry;
    }
}

//! Register windows: calls, `ENTRY`, `RETW`, spills and reloads. XTENSA 3.3.

use crate::bus::{Bus, Width};
use crate::cpu::{Cpu, ps};
use crate::exception::{Cause, Trap};

impl Cpu {
    /// Physical index of register `n` of the frame at window position `pane`.
    fn slot(pane: u8, n: u8) -> usize {
        usize::from((pane << 2).wrapping_add(n) & 63)
    }

    /// Whether a frame starts at window position `pane`, modulo 16.
    pub(crate) fn is_live(&self, pane: u8) -> bool {
        self.window_start >> (pane & 15) & 1 != 0
    }

    fn set_live(&mut self, pane: u8, live: bool) {
        let bit = 1 << (pane & 15);
        self.window_start = if live { self.window_start | bit } else { self.window_start & !bit };
    }

    pub(crate) fn windows_on(&self) -> bool {
        self.ps & (ps::WOE | ps::EXCM) == ps::WOE
    }

    /// Puts the return address of a windowed call into the callee's a0 and sets PS.CALLINC.
    #[inline]
    pub(crate) fn link(&mut self, increment: u8, next: u32) {
        self.set_a(increment << 2, u32::from(increment) << 30 | (next & 0x3fff_ffff));
        self.call_increment = increment;
        self.ps = self.ps & !ps::CALLINC | u32::from(increment) << 16;
    }

    /// `ENTRY as, bytes`: rotates by PS.CALLINC, makes the stack frame, and spills the older
    /// frames that share registers with the new one.
    #[inline]
    pub(crate) fn entry<B: Bus>(&mut self, bus: &mut B, s: u8, bytes: u32) -> Result<(), Trap> {
        if !self.windows_on() {
            return Err(Trap::new(Cause::IllegalInstruction));
        }
        let increment = (self.ps >> 16 & 3) as u8;
        let pane = (self.base >> 2).wrapping_add(increment) & 15;
        self.spill_under(bus, pane)?;
        let stack = self.a(s).wrapping_sub(bytes);
        self.base = pane << 2;
        self.set_live(pane, true);
        self.set_a(s, stack);
        Ok(())
    }

    /// Spills the live frames in the 16 registers from `pane` on, oldest first. The current frame
    /// itself is never among them.
    #[inline]
    pub(crate) fn spill_under<B: Bus>(&mut self, bus: &mut B, pane: u8) -> Result<(), Trap> {
        let shared = self.window_start.rotate_right(u32::from(pane)) & 0xf;
        if shared == 0 {
            return Ok(());
        }
        self.spill_shared(bus, pane)
    }

    #[cold]
    fn spill_shared<B: Bus>(&mut self, bus: &mut B, pane: u8) -> Result<(), Trap> {
        for frame in (pane..pane + 4).map(|pane| pane & 15) {
            if self.is_live(frame) && frame != self.base >> 2 {
                self.spill(bus, frame)?;
            }
        }
        Ok(())
    }

    /// Stores one frame as hardware's overflow handlers do, and clears its `WindowStart` bit.
    fn spill<B: Bus>(&mut self, bus: &mut B, frame: u8) -> Result<(), Trap> {
        let size = (1..3).find(|size| self.is_live(frame + size)).unwrap_or(3);
        let callee_stack = self.ar[Self::slot(frame + size, 1)];
        for n in 0..4_u8 {
            let addr = callee_stack.wrapping_sub(16 - u32::from(n) * 4);
            self.store(bus, addr, Width::Word, self.ar[Self::slot(frame, n)])?;
        }
        if size > 1 {
            let stack = self.ar[Self::slot(frame, 1)];
            let upper = self.load(bus, stack.wrapping_sub(12), Width::Word)?;
            let extra = extra_area(upper, size);
            for n in 4..size * 4 {
                let addr = extra.wrapping_add(u32::from(n - 4) * 4);
                self.store(bus, addr, Width::Word, self.ar[Self::slot(frame, n)])?;
            }
        }
        self.set_live(frame, false);
        Ok(())
    }

    /// `RETW`: the address to go on at; the caller's frame is reloaded if it was spilled.
    #[inline]
    pub(crate) fn return_windowed<B: Bus>(&mut self, bus: &mut B, pc: u32) -> Result<u32, Trap> {
        let link = self.a(0);
        let increment = (link >> 30) as u8;
        if !self.windows_on() || increment == 0 {
            return Err(Trap::new(Cause::IllegalInstruction));
        }
        let pane = self.base >> 2;
        let caller = pane.wrapping_sub(increment) & 15;
        if !self.is_live(caller) {
            self.reload(bus, caller, increment)?;
        }
        self.set_live(pane, false);
        self.set_live(caller, true);
        self.base = caller << 2;
        Ok(pc & 0xc000_0000 | link & 0x3fff_ffff)
    }

    /// Loads the spilled frame `size` positions under the current one, as hardware's underflow
    /// handlers do.
    #[cold]
    fn reload<B: Bus>(&mut self, bus: &mut B, frame: u8, size: u8) -> Result<(), Trap> {
        let stack = self.a(1);
        let mut registers = [0_u32; 12];
        for (value, back) in registers[..4].iter_mut().zip([16_u32, 12, 8, 4]) {
            *value = self.load(bus, stack.wrapping_sub(back), Width::Word)?;
        }
        if size > 1 {
            let caller_stack = self.load(bus, registers[1].wrapping_sub(12), Width::Word)?;
            let extra = extra_area(caller_stack, size);
            let count = usize::from(size) * 4;
            for (value, place) in registers[4..count].iter_mut().zip(0_u32..) {
                *value = self.load(bus, extra.wrapping_add(place * 4), Width::Word)?;
            }
        }
        for (n, value) in (0..size * 4).zip(registers) {
            self.ar[Self::slot(frame, n)] = value;
        }
        Ok(())
    }

    /// `MOVSP at, as`: moves the stack pointer, and the caller's save area under it with it if the
    /// caller is not in the register file.
    #[cold]
    pub(crate) fn move_stack<B: Bus>(&mut self, bus: &mut B, t: u8, s: u8) -> Result<(), Trap> {
        let (old, new) = (self.a(t), self.a(s));
        let pane = self.base >> 2;
        let callers_live = (1..4).any(|back| self.is_live(pane.wrapping_sub(back)));
        if !callers_live && old != new {
            let mut area = [0_u32; 4];
            for (value, back) in area.iter_mut().zip([16_u32, 12, 8, 4]) {
                *value = self.load(bus, old.wrapping_sub(back), Width::Word)?;
            }
            for (value, back) in area.iter().zip([16_u32, 12, 8, 4]) {
                self.store(bus, new.wrapping_sub(back), Width::Word, *value)?;
            }
        }
        self.set_a(t, new);
        Ok(())
    }

    /// `ROTW`: moves `WindowBase` by `by` (two's complement). Outside exception mode a rotation
    /// forwards spills the frames that the new window reaches, which hardware does at their first
    /// use; that is how context switches empty the register file.
    pub(crate) fn rotate<B: Bus>(&mut self, bus: &mut B, by: u32) -> Result<(), Trap> {
        let pane = (self.base >> 2).wrapping_add((by & 15) as u8) & 15;
        self.base = pane << 2;
        if self.windows_on() && by <= 7 { self.spill_shared(bus, pane) } else { Ok(()) }
    }

    /// Spills every live frame but the current one, oldest first, as an operating system does
    /// before it switches stacks.
    ///
    /// # Errors
    ///
    /// The exception that a store of the spill took.
    pub(crate) fn spill_all<B: Bus>(&mut self, bus: &mut B) -> Result<(), Trap> {
        let pane = self.base >> 2;
        for frame in (pane + 1..pane + 16).map(|frame| frame & 15) {
            if self.is_live(frame) {
                self.spill(bus, frame)?;
            }
        }
        Ok(())
    }
}

/// Where registers 4 and up of a spilled frame are: 32 (48) bytes under the caller's stack pointer.
fn extra_area(caller_stack: u32, size: u8) -> u32 {
    caller_stack.wrapping_sub(16 + (u32::from(size) - 1) * 16)
}

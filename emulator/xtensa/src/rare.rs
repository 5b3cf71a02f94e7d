//! Instructions that compilers emit rarely: atomics, booleans, special registers, returns from
//! exceptions, TLB and the like.

use crate::bus::{Bus, Width};
use crate::cpu::{Cpu, ps};
use crate::exception::{Cause, Trap};
use crate::exec::Flow;
use crate::insn::{Insn, Op};
use crate::run::Stop;

impl Cpu {
    /// Executes one instruction that the fast path does not know.
    #[inline(never)]
    pub(crate) fn rare<B: Bus>(&mut self, bus: &mut B, pc: u32, insn: Insn) -> Result<Flow, Trap> {
        match insn.op {
            Op::S32c1i => self.compare_and_swap(bus, insn)?,
            Op::L32e => {
                let addr = self.a(insn.s).wrapping_add(insn.imm);
                let value = self.load(bus, addr, Width::Word)?;
                self.set_a(insn.t, value);
            }
            Op::S32e => {
                let addr = self.a(insn.s).wrapping_add(insn.imm);
                self.store(bus, addr, Width::Word, self.a(insn.t))?;
            }
            Op::Movsp => self.move_stack(bus, insn.t, insn.s)?,
            Op::Rotw => self.rotate(bus, insn.imm)?,
            Op::Andb
            | Op::Andbc
            | Op::Orb
            | Op::Orbc
            | Op::Xorb
            | Op::Any4
            | Op::All4
            | Op::Any8
            | Op::All8 => self.boolean(insn),
            Op::Movf | Op::Movt => {
                if self.bit(insn.t) == (insn.op == Op::Movt) {
                    self.set_a(insn.r(), self.a(insn.s));
                }
            }
            Op::Bf | Op::Bt => {
                if self.bit(insn.s) == (insn.op == Op::Bt) {
                    return Ok(Flow::Jump(insn.imm));
                }
            }
            Op::Rsr | Op::Wsr | Op::Xsr | Op::Rur | Op::Wur => self.special(insn)?,
            Op::Rsil => {
                self.set_a(insn.t, self.ps);
                self.set_ps(self.ps & !ps::INTLEVEL | insn.imm);
            }
            Op::Waiti => {
                self.set_ps(self.ps & !ps::INTLEVEL | insn.imm);
                self.waiting = true;
            }
            Op::Rfe | Op::Rfde | Op::Rfi | Op::Rfwo | Op::Rfwu => {
                return Ok(Flow::Jump(self.return_from_exception(insn)));
            }
            Op::Syscall => return Err(Trap::new(Cause::Syscall)),
            Op::Break => {
                return Ok(match self.debug_break(pc, insn.s, insn.t) {
                    Ok(vector) => Flow::Jump(vector),
                    Err(stop) => Flow::Break(stop),
                });
            }
            Op::Simcall => return Ok(Flow::Stop(Stop::Simcall { pc })),
            Op::Rer => self.set_a(insn.t, 0),
            Op::Wer | Op::Iitlb | Op::Idtlb => {}
            Op::Ritlb0
            | Op::Ritlb1
            | Op::Rdtlb0
            | Op::Rdtlb1
            | Op::Pitlb
            | Op::Pdtlb
            | Op::Witlb
            | Op::Wdtlb => self.tlb(insn),
            Op::Lsi | Op::Lsiu | Op::Lsx | Op::Lsxu | Op::Ssi | Op::Ssiu | Op::Ssx | Op::Ssxu => {
                self.float_memory(bus, insn)?;
            }
            op if op.is_mac16() => self.mac16(bus, insn)?,
            op if op >= Op::AddS => self.float(insn)?,
            _ => return Err(Trap::new(Cause::IllegalInstruction)),
        }
        Ok(Flow::Next)
    }

    /// `S32C1I`: stores if memory holds SCOMPARE1; the register gets what memory held.
    fn compare_and_swap<B: Bus>(&mut self, bus: &mut B, insn: Insn) -> Result<(), Trap> {
        let addr = self.a(insn.s).wrapping_add(insn.imm);
        if addr & 3 != 0 {
            return Err(Trap::at(Cause::LoadStoreAlignment, addr));
        }
        let old = self.load(bus, addr, Width::Word)?;
        if old == self.sr.scompare1 {
            self.store(bus, addr, Width::Word, self.a(insn.t))?;
        }
        self.set_a(insn.t, old);
        Ok(())
    }

    /// A boolean register, b0..b15.
    pub(crate) fn bit(&self, n: u8) -> bool {
        self.sr.br >> (n & 15) & 1 != 0
    }

    /// Writes a boolean register.
    pub(crate) fn set_bit(&mut self, n: u8, value: bool) {
        let mask = 1 << (n & 15);
        self.sr.br = if value { self.sr.br | mask } else { self.sr.br & !mask };
    }

    fn boolean(&mut self, insn: Insn) {
        let (s, t) = (self.bit(insn.s), self.bit(insn.t));
        let all = |count: u32| {
            let mask = (1_u32 << count) - 1;
            (self.sr.br >> insn.s & mask, mask)
        };
        match insn.op {
            Op::Andb => self.set_bit(insn.r(), s && t),
            Op::Andbc => self.set_bit(insn.r(), s && !t),
            Op::Orb => self.set_bit(insn.r(), s || t),
            Op::Orbc => self.set_bit(insn.r(), s || !t),
            Op::Xorb => self.set_bit(insn.r(), s ^ t),
            Op::Any4 | Op::Any8 => {
                let (bits, _) = all(if insn.op == Op::Any4 { 4 } else { 8 });
                self.set_bit(insn.t, bits != 0);
            }
            _ => {
                let (bits, mask) = all(if insn.op == Op::All4 { 4 } else { 8 });
                self.set_bit(insn.t, bits == mask);
            }
        }
    }

    /// RFE, RFDE, RFI, RFWO and RFWU: the address to go on at.
    fn return_from_exception(&mut self, insn: Insn) -> u32 {
        let (restored, pc) = match insn.op {
            Op::Rfi => {
                let level = usize::from(insn.s & 7);
                (self.sr.eps[level], self.sr.epc[level])
            }
            Op::Rfde => (self.ps, self.sr.epc[0]),
            _ => (self.ps & !ps::EXCM, self.sr.epc[1]),
        };
        if matches!(insn.op, Op::Rfwo | Op::Rfwu) {
            let bit = 1_u16 << (self.base >> 2);
            self.window_start = if insn.op == Op::Rfwo {
                self.window_start & !bit
            } else {
                self.window_start | bit
            };
            self.base = ((restored & ps::OWB) >> 6) as u8 & 0x3c;
        }
        self.set_ps(restored);
        pc
    }

    /// Region protection: one attribute a 512 MiB region, kept but not enforced.
    fn tlb(&mut self, insn: Insn) {
        let addr = self.a(insn.s);
        let region = (addr >> 29) as usize;
        let data = matches!(insn.op, Op::Rdtlb0 | Op::Rdtlb1 | Op::Pdtlb | Op::Wdtlb);
        let attribute = &mut self.sr.attributes[usize::from(data)][region];
        let value = match insn.op {
            Op::Witlb | Op::Wdtlb => {
                let value = self.ar[usize::from(self.base.wrapping_add(insn.t) & 63)];
                *attribute = value & 15;
                return;
            }
            Op::Ritlb1 | Op::Rdtlb1 => *attribute,
            // The hit bit of a probe is bit 3 (instruction) or 4 (data).
            Op::Pitlb => addr & 0xe000_0000 | 8,
            Op::Pdtlb => addr & 0xe000_0000 | 16,
            _ => addr & 0xe000_0000,
        };
        self.set_a(insn.t, value);
    }
}

//! Which way the code goes, noted while it is executed one instruction at a time.

use super::alu;
use crate::{
    bus::Width,
    cpu::{Cpu, ps},
    insn::{Insn, Op},
    memory::Memory,
};

/// The longest path, in instructions.
pub(super) const LENGTH_MAX: usize = 256;

/// Under which state of the windows a path is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) pc: u32,
    pub(super) base: u8,
    pub(super) window_start: u16,
    pub(super) ps: u32,
    /// The bits of PS that count.
    pub(super) ps_mask: u32,
}

/// Where the data of a load or store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// No memory access.
    None,
    /// Code memory that nobody has changed holds this number.
    Constant(u32),
    /// A region that takes the access at once; a store only where no code can be. `delta` leads
    /// from addresses to the backing bytes, `pages` has the first one there times 65536 and their
    /// count.
    Region { delta: u32, pages: u32 },
    /// No memory.
    Bus,
    /// Memory that does not take the access just so.
    Any,
}

/// One instruction as it was executed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) pc: u32,
    pub(super) insn: Insn,
    /// Where the core went on.
    pub(super) next: u32,
    /// The address of a load or store, or the link of a `RETW`.
    pub(super) address: u32,
    pub(super) place: Place,
}

/// A path that was taken once.
#[derive(Debug, Clone)]
pub(super) struct Recorded {
    pub(super) key: Key,
    pub(super) steps: Vec<Step>,
    /// It ends where it began.
    pub(super) is_circle: bool,
}

impl Key {
    pub(super) fn now(cpu: &Cpu) -> Self {
        Self {
            pc: cpu.pc,
            base: cpu.base,
            window_start: cpu.window_start,
            ps: cpu.ps,
            ps_mask: ps::WOE | ps::EXCM,
        }
    }

    /// Whether the path is good in this state.
    pub(super) fn fits(&self, base: u8, window_start: u16, ps: u32) -> bool {
        self.base == base && self.window_start == window_start && (self.ps ^ ps) & self.ps_mask == 0
    }
}

impl Step {
    /// Whether the instruction, and the literal that it loads, are still the same.
    pub(super) fn is_unchanged(&self, mem: &mut Memory) -> bool {
        let literal = match self.place {
            Place::Constant(number) => mem.word(self.address) == Some(number),
            _ => true,
        };
        literal && mem.fetch(self.pc) == Some(self.insn)
    }

    /// Whether the core can be at `pc` behind the instruction, but for an exception.
    pub(super) fn leads_to(&self, pc: u32) -> bool {
        let (op, behind) = (self.insn.op, self.pc.wrapping_add(self.insn.len()));
        let branches = (Op::Beqz..=Op::J).contains(&op);
        let goes_anywhere = op.is_call() || op.is_return() || op == Op::Jx;
        goes_anywhere || (branches && pc == self.insn.imm) || (op != Op::J && pc == behind)
    }
}

impl Recorded {
    pub(super) fn new(cpu: &Cpu) -> Self {
        Self { key: Key::now(cpu), steps: Vec::new(), is_circle: false }
    }

    /// Whether the core is back at the start.
    pub(super) fn is_back(&self, cpu: &Cpu) -> bool {
        let key = &self.key;
        let is_here = key.pc == cpu.pc && key.fits(cpu.base, cpu.window_start, cpu.ps);
        is_here && !self.steps.is_empty()
    }

    /// The step that the core is about to make, if a path can have it.
    pub(super) fn next_step(&mut self, cpu: &mut Cpu) -> Option<Step> {
        let pc = cpu.pc;
        let insn = cpu.mem.fetch(pc)?;
        let mut step = Step { pc, insn, next: 0, address: 0, place: Place::None };
        match insn.op {
            Op::Entry => {
                let increment = (cpu.ps >> 16 & 3) as u8;
                let pane = (cpu.base >> 2).wrapping_add(increment) & 15;
                let shared = cpu.window_start.rotate_right(u32::from(pane)) & 0xf;
                if !cpu.windows_on() || shared != 0 {
                    return None;
                }
                if !self.steps.iter().any(|step| step.insn.op.is_call()) {
                    self.key.ps_mask |= ps::CALLINC;
                }
            }
            Op::Retw => {
                let link = cpu.a(0);
                let increment = (link >> 30) as u8;
                let caller = (cpu.base >> 2).wrapping_sub(increment) & 15;
                if !cpu.windows_on() || increment == 0 || !cpu.is_live(caller) {
                    return None;
                }
                step.address = link;
            }
            Op::L32r => {
                step.address = insn.imm;
                step.place = match cpu.mem.word(insn.imm) {
                    Some(number) if cpu.mem.is_code(insn.imm) => Place::Constant(number),
                    _ => cpu.mem.place(insn.imm, Width::Word, false),
                };
            }
            op => {
                if let Some((width, is_store)) = access(op) {
                    step.address = cpu.a(insn.s).wrapping_add(insn.imm);
                    step.place = cpu.mem.place(step.address, width, is_store);
                } else if !is_plain(op) {
                    return None;
                }
            }
        }
        Some(step)
    }
}

/// Address and place of the data that the next instruction loads or stores, [`Place::None`] if it does
/// neither; `None` if a path cannot have it.
pub(crate) fn what_it_touches(cpu: &mut Cpu) -> Option<(u32, Place)> {
    let step = Recorded::new(cpu).next_step(cpu)?;
    Some((step.address, step.place))
}

/// Width of a load's or store's access, and whether it is a store.
pub(super) fn access(op: Op) -> Option<(Width, bool)> {
    Some(match op {
        Op::L8ui => (Width::Byte, false),
        Op::L16ui | Op::L16si => (Width::Half, false),
        Op::L32i | Op::L32ai => (Width::Word, false),
        Op::S8i => (Width::Byte, true),
        Op::S16i => (Width::Half, true),
        Op::S32i | Op::S32ri => (Width::Word, true),
        _ => return None,
    })
}

/// Instructions of registers alone, branches and jumps.
fn is_plain(op: Op) -> bool {
    let direct = op.does_nothing()
        || matches!(
            op,
            Op::J
                | Op::Jx
                | Op::Ret
                | Op::Movi
                | Op::Mov
                | Op::Addi
                | Op::Addmi
                | Op::Add
                | Op::And
                | Op::Or
                | Op::Xor
                | Op::Sub
                | Op::Addx2
                | Op::Addx4
                | Op::Addx8
                | Op::Slli
                | Op::Srli
                | Op::Srai
                | Op::Extui
                | Op::Sext
                | Op::Moveqz
                | Op::Movnez
                | Op::Movltz
                | Op::Movgez
                | Op::Ssr
                | Op::Ssl
                | Op::Ssa8l
                | Op::Ssa8b
                | Op::Ssai
        );
    direct || op.is_call() || (Op::Beqz..=Op::Bbsi).contains(&op) || alu::is_known(op)
}

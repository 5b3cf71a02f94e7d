//! What each instruction becomes on a path.

use super::{
    alu::{alu, shift_amount},
    compile::{Builder, Operand},
    condition::Condition,
    record::{Place, Step},
    step::{Do, Outside, Span},
};
use crate::{
    insn::{Insn, Op},
    memory::PAGE_BITS,
};

impl Builder {
    pub(super) fn step(&mut self, step: &Step, done: u32, outside: &mut Outside) {
        let insn = step.insn;
        let (r, s, t) = (self.physical(insn.r()), self.physical(insn.s), self.physical(insn.t));
        match insn.op {
            Op::J => {}
            op if op.does_nothing() => {}
            Op::Movi => self.set_number(t, insn.imm),
            Op::Mov => self.set_copy(r, s),
            Op::Addi | Op::Addmi => self.set_sum(t, s, insn.imm),
            Op::Add | Op::And | Op::Or | Op::Xor => self.commutative(insn.op, [r, s, t]),
            Op::Sub => self.difference([r, s, t]),
            Op::Addx2 | Op::Addx4 | Op::Addx8 => self.scaled_sum([r, s, t], insn),
            Op::Slli => self.shift(Do::Slli, [r, s], insn.imm),
            Op::Srli => self.shift(Do::Srli, [r, t], insn.imm & 31),
            Op::Srai => self.shift(Do::Srai, [r, t], insn.imm & 31),
            Op::Extui => self.extract([r, t], u32::from(insn.s & 31), insn.imm),
            Op::Sext => self.extend([r, s], 31 - (insn.imm & 31)),
            Op::Moveqz | Op::Movnez | Op::Movltz | Op::Movgez => {
                self.conditional(insn.op, [r, s, t]);
            }
            Op::Ssr | Op::Ssl | Op::Ssa8l | Op::Ssa8b | Op::Ssai => {
                self.shift_amount(insn, s, done);
            }
            Op::L8ui | Op::L16ui | Op::L16si | Op::L32i | Op::L32ai | Op::L32r => {
                self.load(step, [t, s], done, outside);
            }
            Op::S8i | Op::S16i | Op::S32i | Op::S32ri => self.store(step, [t, s], done, outside),
            op if op.is_call() => self.call(step, s, done, outside),
            Op::Entry => self.entry(insn),
            Op::Jx | Op::Ret | Op::Retw => self.leave(step, s, done, outside),
            op if (Op::Beqz..=Op::Bbsi).contains(&op) => self.branch(step, [s, t], done, outside),
            _ => self.alu([r, s, t], insn, done),
        }
    }

    fn commutative(&mut self, op: Op, [dest, left, right]: [u8; 3]) {
        match (op, self.values.number(left), self.values.number(right)) {
            (Op::Add, _, Some(number)) => return self.set_sum(dest, left, number),
            (Op::Add, Some(number), _) => return self.set_sum(dest, right, number),
            _ => {}
        }
        let (direct, immediate) = match op {
            Op::Add => (Do::Add, Do::AddI),
            Op::And => (Do::And, Do::AndI),
            Op::Or => (Do::Or, Do::OrI),
            _ => (Do::Xor, Do::XorI),
        };
        let (a_bits, b_bits) = (self.values.bits(left), self.values.bits(right));
        let bits = match op {
            Op::And => a_bits & b_bits,
            Op::Or | Op::Xor => a_bits | b_bits,
            _ => u32::MAX,
        };
        match (self.operand(left), self.operand(right)) {
            (Operand::Number(a), Operand::Number(b)) => {
                let number = match op {
                    Op::And => a & b,
                    Op::Or => a | b,
                    _ => a ^ b,
                };
                self.set_number(dest, number);
            }
            (Operand::Number(0), Operand::Place(a)) | (Operand::Place(a), Operand::Number(0))
                if op != Op::And =>
            {
                self.set_copy(dest, a);
            }
            (Operand::Number(n), Operand::Place(a)) | (Operand::Place(a), Operand::Number(n)) => {
                self.set(immediate, [dest, a, 0], n, bits);
            }
            (Operand::Place(a), Operand::Place(b)) if a == b && matches!(op, Op::And | Op::Or) => {
                self.set_copy(dest, a);
            }
            (Operand::Place(a), Operand::Place(b)) => self.set(direct, [dest, a, b], 0, bits),
        }
    }

    fn difference(&mut self, [dest, left, right]: [u8; 3]) {
        match (self.values.number(left), self.values.number(right)) {
            (Some(a), Some(b)) => self.set_number(dest, a.wrapping_sub(b)),
            (None, Some(b)) => self.set_sum(dest, left, b.wrapping_neg()),
            _ => {
                let (a, b) = (self.place(left), self.place(right));
                self.set(Do::Sub, [dest, a, b], 0, u32::MAX);
            }
        }
    }

    fn scaled_sum(&mut self, [dest, left, right]: [u8; 3], insn: Insn) {
        let (op, shift) = match insn.op {
            Op::Addx2 => (Do::Addx2, 1),
            Op::Addx4 => (Do::Addx4, 2),
            _ => (Do::Addx8, 3),
        };
        match (self.operand(left), self.operand(right)) {
            (Operand::Number(a), _) => self.set_sum(dest, right, a << shift),
            (Operand::Place(a), Operand::Number(imm)) => {
                self.set(Do::ShiftAddI, [dest, a, shift], imm, u32::MAX);
            }
            (Operand::Place(a), Operand::Place(b)) => self.set(op, [dest, a, b], 0, u32::MAX),
        }
    }

    fn shift(&mut self, op: Do, [d, s]: [u8; 2], by: u32) {
        let bits = self.values.bits(s);
        let move_bits = |bits: u32| match op {
            Do::Slli => bits.checked_shl(by).unwrap_or(0),
            Do::Srli => bits >> by,
            _ => (bits.cast_signed() >> by).cast_unsigned(),
        };
        match self.operand(s) {
            Operand::Number(number) => self.set_number(d, move_bits(number)),
            Operand::Place(a) => self.set(op, [d, a, 0], by, move_bits(bits)),
        }
    }

    fn extract(&mut self, [d, t]: [u8; 2], by: u32, mask: u32) {
        let bits = self.values.bits(t);
        match self.operand(t) {
            Operand::Number(number) => self.set_number(d, number >> by & mask),
            Operand::Place(a) if by == 0 && bits & !mask == 0 => self.set_copy(d, a),
            Operand::Place(a) => {
                let shift = u8::try_from(by).unwrap_or(0);
                self.set(Do::Extui, [d, a, shift], mask, bits >> by & mask);
            }
        }
    }

    /// Sign extension from `32 - by` bits.
    fn extend(&mut self, [d, s]: [u8; 2], by: u32) {
        let bits = self.values.bits(s);
        match self.operand(s) {
            Operand::Number(number) => {
                self.set_number(d, ((number << by).cast_signed() >> by).cast_unsigned());
            }
            Operand::Place(a) if bits <= i32::MAX.cast_unsigned() >> by => self.set_copy(d, a),
            Operand::Place(a) => self.set(Do::Sext, [d, a, 0], by, u32::MAX),
        }
    }

    fn conditional(&mut self, op: Op, [dest, source, test]: [u8; 3]) {
        let (cond, holds): (_, fn(i32) -> bool) = match op {
            Op::Moveqz => (Do::MovIfZero, |t| t == 0),
            Op::Movnez => (Do::MovIfNot, |t| t != 0),
            Op::Movltz => (Do::MovIfNegative, |t| t < 0),
            _ => (Do::MovIfPositive, |t| t >= 0),
        };
        match self.values.number(test) {
            Some(number) if holds(number.cast_signed()) => self.set_copy(dest, source),
            Some(_) => {}
            None => {
                let bits = self.values.bits(source) | self.values.bits(dest);
                let (a, b) = (self.place(source), self.place(test));
                // What stays must be there.
                self.values.write(dest, &mut self.ops);
                self.set(cond, [dest, a, b], 0, bits);
            }
        }
    }

    fn shift_amount(&mut self, insn: Insn, s: u8, done: u32) {
        let number = self.values.number(s);
        let amount = match insn.op {
            Op::Ssai => Some(insn.imm),
            op => number.map(|number| shift_amount(op, number)),
        };
        match amount {
            Some(amount) if self.values.sar == Some(amount) => {}
            Some(amount) => self.push(Do::Sar, [0; 3], amount, [0; 2]),
            None => {
                let a = self.place(s);
                self.push(Do::SarOf, [0, a, 0], 0, [done, 0]);
            }
        }
        self.values.sar = amount;
    }

    /// Any other instruction of registers alone.
    fn alu(&mut self, [to, first, second]: [u8; 3], insn: Insn, done: u32) {
        let dest = if matches!(insn.op, Op::Nsa | Op::Nsau) { second } else { to };
        let sar = self.values.sar;
        match (insn.op, sar) {
            (Op::Srl, Some(by @ 0..32)) => return self.shift(Do::Srli, [dest, second], by),
            (Op::Sra, Some(by @ 0..32)) => return self.shift(Do::Srai, [dest, second], by),
            (Op::Sll, Some(by @ 1..=32)) => return self.shift(Do::Slli, [dest, first], 32 - by),
            _ => {}
        }
        let needs_sar = matches!(insn.op, Op::Src | Op::Srl | Op::Sll | Op::Sra);
        let (a, b) = (self.values.number(first), self.values.number(second));
        let reads_s = !matches!(insn.op, Op::Neg | Op::Abs | Op::Srl | Op::Sra);
        let reads_t = !matches!(insn.op, Op::Nsa | Op::Nsau | Op::Clamps | Op::Sll);
        if (a.is_some() || !reads_s) && (b.is_some() || !reads_t) && (sar.is_some() || !needs_sar) {
            let number = alu(insn, a.unwrap_or(0), b.unwrap_or(0), sar.unwrap_or(0));
            return self.set_number(dest, number);
        }
        let a = if reads_s { self.place(first) } else { 0 };
        let b = if reads_t { self.place(second) } else { 0 };
        if insn.op == Op::Mull {
            return self.set(Do::Mull, [dest, a, b], 0, u32::MAX);
        }
        self.values.define(dest, u32::MAX, &mut self.ops);
        self.push(Do::Alu, [dest, a, b], 0, [done, 0]);
    }

    fn load(&mut self, step: &Step, [d, s]: [u8; 2], done: u32, outside: &mut Outside) {
        let insn = step.insn;
        if let Place::Constant(number) = step.place {
            return self.set_number(d, number);
        }
        let (plain, at, bits, any) = match insn.op {
            Op::L8ui => (Do::Load8, Do::Load8At, 0xff, 0),
            Op::L16ui => (Do::Load16, Do::Load16At, 0xffff, 1),
            Op::L16si => (Do::Load16Signed, Do::Load16SignedAt, u32::MAX, 3),
            _ => (Do::Load32, Do::Load32At, u32::MAX, 2),
        };
        let base = if insn.op == Op::L32r { Some(0) } else { self.values.number(s) };
        let known = base.is_some_and(|base| base.wrapping_add(insn.imm) == step.address);
        match step.place {
            Place::Region { delta, .. } if known => {
                self.load_at(at, d, step.address.wrapping_add(delta), bits);
            }
            Place::Bus if known => {
                let exit = self.exit_behind(step, done, outside);
                self.values.define(d, u32::MAX, &mut self.ops);
                self.push(Do::LoadBus, [d, 0, 0], step.address, [any, exit]);
            }
            place => {
                let (a, more) = self.address(s);
                let number = insn.imm.wrapping_add(more);
                let exit = self.exit_behind(step, done, outside);
                self.values.define(d, bits, &mut self.ops);
                if let Place::Region { delta, pages } = place {
                    let number = number.wrapping_add(delta);
                    self.push(plain, [d, a, 0], number, [pages, exit]);
                } else {
                    self.push(Do::LoadAny, [d, a, 0], number, [any, exit]);
                }
            }
        }
    }

    /// A load from a place that is known, which is made once and remembered.
    fn load_at(&mut self, load: Do, d: u8, at: u32, bits: u32) {
        if let Some(slot) = self.values.cell(load, at) {
            return self.set_copy(d, slot);
        }
        let Some(slot) = self.values.add_cell(load, at) else {
            return self.set(load, [d, 0, 0], at, bits);
        };
        self.set(load, [slot, 0, 0], at, bits);
        self.set_copy(d, slot);
    }

    /// A register and a number that add up to an address.
    fn address(&mut self, register: u8) -> (u8, u32) {
        if self.values.number(register).is_some() {
            return (self.place(register), 0);
        }
        self.values.sum(register)
    }

    /// The exit of a load or store that traps, or of a store behind which interrupts are looked at.
    fn exit_behind(&self, step: &Step, done: u32, outside: &mut Outside) -> u32 {
        self.exit(done + 1, step.pc, step.pc.wrapping_add(step.insn.len()), outside)
    }

    fn store(&mut self, step: &Step, [t, s]: [u8; 2], done: u32, outside: &mut Outside) {
        let insn = step.insn;
        let (plain, at, any) = match insn.op {
            Op::S8i => (Do::Store8, Do::Store8At, 0),
            Op::S16i => (Do::Store16, Do::Store16At, 1),
            _ => (Do::Store32, Do::Store32At, 2),
        };
        let base = self.values.number(s);
        let known = base.is_some_and(|base| base.wrapping_add(insn.imm) == step.address);
        let d = self.place(t);
        if let (Place::Region { delta, .. }, true) = (step.place, known) {
            return self.store_at(at, d, step.address.wrapping_add(delta));
        }
        let (a, more) = self.address(s);
        let number = insn.imm.wrapping_add(more);
        let Place::Region { delta, pages } = step.place else {
            let exit = self.exit_behind(step, done, outside);
            self.values.retain_cells(|_| false);
            return self.push(Do::StoreAny, [d, a, 0], number, [any, exit]);
        };
        let at = step.address.wrapping_add(delta);
        self.values.drop_cells(at, 4, None);
        let region = [pages >> 16 << PAGE_BITS, ((pages >> 16) + (pages & 0xffff)) << PAGE_BITS];
        let [first, end] = self.values.span(at, region);
        outside.spans.push(Span { first, bytes: end.saturating_sub(first), pages });
        let span = u32::try_from(outside.spans.len() - 1).unwrap_or(u32::MAX);
        let exit = self.exit_behind(step, done, outside);
        self.push(plain, [d, a, 0], number.wrapping_add(delta), [span, exit]);
    }

    /// A store to a place that is known: what is remembered of it changes as well.
    fn store_at(&mut self, store: Do, d: u8, at: u32) {
        self.push(store, [d, 0, 0], at, [0; 2]);
        let (load, bytes, bits) = match store {
            Do::Store8At => (Do::Load8At, 1, 0xff),
            Do::Store16At => (Do::Load16At, 2, 0xffff),
            _ => (Do::Load32At, 4, u32::MAX),
        };
        let fits = self.values.bits(d) & !bits == 0;
        self.values.drop_cells(at, bytes, fits.then_some(load));
        if let Some(slot) = self.values.cell(load, at) {
            self.set_copy(slot, d);
        }
    }

    /// The path ends in front of the instruction unless `register` holds `number`.
    fn expect(&mut self, register: u8, number: u32, step: &Step, done: u32, outside: &mut Outside) {
        let (op, a) = match self.operand(register) {
            Operand::Place(a) => (Do::IfEqI, a),
            Operand::Number(known) if known == number => return,
            Operand::Number(_) => (Do::Leave, 0),
        };
        let exit = self.exit(done, step.pc, step.pc, outside);
        self.push(op, [0, a, 0], number, [exit, 0]);
        if op == Do::IfEqI {
            self.values.learn(a, number);
        }
    }

    fn call(&mut self, step: &Step, s: u8, done: u32, outside: &mut Outside) {
        let op = step.insn.op;
        if matches!(op, Op::Callx0 | Op::Callx4 | Op::Callx8 | Op::Callx12) {
            self.expect(s, step.next, step, done, outside);
        }
        let back = step.pc.wrapping_add(step.insn.len());
        let increment = match op {
            Op::Call0 | Op::Callx0 => 0,
            Op::Call4 | Op::Callx4 => 1,
            Op::Call8 | Op::Callx8 => 2,
            _ => 3,
        };
        self.increment = Some(increment);
        let link = self.physical(increment << 2);
        if increment == 0 {
            return self.set_number(link, back);
        }
        self.callinc = Some(increment);
        self.set_number(link, u32::from(increment) << 30 | back & 0x3fff_ffff);
    }

    /// The recorder has made sure that windows are on and that nothing is spilled.
    fn entry(&mut self, insn: Insn) {
        // Without a call on the path the key says which increment it was.
        let increment = self.callinc.unwrap_or(self.key_callinc);
        let pane = (self.base >> 2).wrapping_add(increment) & 15;
        let from = self.physical(insn.s);
        self.base = pane << 2;
        self.window_start |= 1 << pane;
        let to = self.physical(insn.s);
        self.set_sum(to, from, insn.imm.wrapping_neg());
    }

    /// `JX`, `RET` or `RETW`; the recorder has made sure that the caller's frame is there.
    fn leave(&mut self, step: &Step, s: u8, done: u32, outside: &mut Outside) {
        match step.insn.op {
            Op::Jx => self.expect(s, step.next, step, done, outside),
            Op::Ret => self.expect(self.physical(0), step.next, step, done, outside),
            _ => {
                let link = step.address;
                self.expect(self.physical(0), link, step, done, outside);
                let pane = self.base >> 2;
                let caller = pane.wrapping_sub((link >> 30) as u8) & 15;
                self.window_start = self.window_start & !(1 << pane) | 1 << caller;
                self.base = caller << 2;
            }
        }
    }

    fn branch(&mut self, step: &Step, [s, t]: [u8; 2], done: u32, outside: &mut Outside) {
        let insn = step.insn;
        let Some((condition, second)) = Condition::of(insn) else { return };
        let behind = step.pc.wrapping_add(insn.len());
        // A branch to the next instruction decides nothing.
        if insn.imm == behind {
            return;
        }
        let is_taken = step.next == insn.imm;
        let condition = if is_taken { condition } else { condition.inverse() };
        let other = if is_taken { behind } else { insn.imm };
        let second = match second {
            Some(number) => Operand::Number(number),
            None => self.operand(t),
        };
        let bits = self.values.bits(s);
        match (self.operand(s), second) {
            (Operand::Number(a), Operand::Number(b)) if condition.holds(a, b) => {}
            // The first time round it was so, and never again.
            (Operand::Number(_), Operand::Number(_)) => {
                let exit = self.exit(done + 1, other, other, outside);
                self.push(Do::Leave, [0; 3], 0, [exit, 0]);
            }
            (Operand::Place(_), Operand::Number(number)) if condition.always(bits, number) => {}
            (Operand::Place(a), Operand::Number(number)) if condition.immediate().is_some() => {
                let exit = self.exit(done + 1, other, other, outside);
                let op = condition.immediate().unwrap_or(Do::Leave);
                self.push(op, [0, a, 0], number, [exit, 0]);
                if op == Do::IfEqI {
                    self.values.learn(a, number);
                }
            }
            (Operand::Number(number), Operand::Place(a)) if condition.is_symmetric() => {
                let exit = self.exit(done + 1, other, other, outside);
                let op = condition.immediate().unwrap_or(Do::Leave);
                self.push(op, [0, a, 0], number, [exit, 0]);
                if op == Do::IfEqI {
                    self.values.learn(a, number);
                }
            }
            _ => {
                let (a, b) = (self.place(s), self.place(t));
                let exit = self.exit(done + 1, other, other, outside);
                self.push(condition.direct(), [0, a, b], 0, [exit, 0]);
            }
        }
    }
}

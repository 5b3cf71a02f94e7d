//! From recorded instructions to micro-operations.

use super::{
    fuse,
    record::{Key, Recorded, Step},
    step::{Do, Exit, Micro},
    values::Values,
};
use crate::cpu::HISTORY;

/// A compiled path.
#[derive(Debug, Clone)]
pub(super) struct Path {
    pub(super) key: Key,
    /// Operations of the first time round.
    pub(super) first: Box<[Micro]>,
    /// Of the times that follow, if the path is a circle.
    pub(super) again: Option<Box<[Micro]>>,
    pub(super) exits: Box<[Exit]>,
    /// The exits at the end of both.
    pub(super) ends: [u32; 2],
    /// What was executed.
    pub(super) steps: Box<[Step]>,
    /// Their addresses, and before them those of the ends of earlier times round.
    pub(super) addresses: Box<[u32]>,
    /// Another path from the same address.
    pub(super) variant: Option<u32>,
    /// Times that the key did not fit.
    pub(super) misses: u32,
}

/// Rounds in which the knowledge at the start of a circle is narrowed to what its end leaves.
const ROUNDS: usize = 4;

/// Compiles `recorded`.
pub(super) fn compile(recorded: Recorded) -> Path {
    let Recorded { key, steps, is_circle } = recorded;
    let mut exits = Vec::new();
    if !is_circle {
        let mut builder = Builder::new(&key, Values::unknown());
        let end = builder.pass(&steps, 0, &mut exits);
        let first = builder.ops.into();
        return Path::new(key, first, None, exits, [end; 2], steps);
    }
    let mut forgotten = 0;
    for round in 0..=ROUNDS {
        exits.clear();
        let mut first = Builder::new(&key, Values::unknown());
        let first_end = first.pass(&steps, forgotten, &mut exits);
        let start = first.values.clone();
        let mut again = Builder::new(&key, start.clone());
        (again.increment, again.callinc) = (first.increment, first.callinc);
        let again_end = again.pass(&steps, forgotten, &mut exits);
        let sar_fits = start.sar.is_none() || start.sar == again.values.sar;
        let beyond = again.values.beyond(&start);
        if beyond == 0 && sar_fits {
            let (first, again) = (first.ops.into(), again.ops.into());
            return Path::new(key, first, Some(again), exits, [first_end, again_end], steps);
        }
        forgotten |= beyond;
        if round + 1 >= ROUNDS || !sar_fits {
            forgotten = u64::MAX;
        }
    }
    exits.clear();
    let mut builder = Builder::new(&key, Values::unknown());
    let end = builder.pass(&steps, u64::MAX, &mut exits);
    let first = builder.ops.into();
    Path::new(key, first, None, exits, [end; 2], steps)
}

impl Path {
    fn new(
        key: Key,
        first: Box<[Micro]>,
        again: Option<Box<[Micro]>>,
        exits: Vec<Exit>,
        ends: [u32; 2],
        steps: Vec<Step>,
    ) -> Self {
        let before = (0..HISTORY).map(|back| {
            let place = (steps.len() - HISTORY % steps.len().max(1) + back) % steps.len().max(1);
            steps.get(place).map_or(0, |step| step.pc)
        });
        let addresses = before.chain(steps.iter().map(|step| step.pc)).collect();
        let (exits, steps) = (exits.into(), steps.into());
        Self { key, first, again, exits, ends, steps, addresses, variant: None, misses: 0 }
    }
}

pub(super) struct Builder {
    pub(super) ops: Vec<Micro>,
    pub(super) values: Values,
    pub(super) base: u8,
    pub(super) window_start: u16,
    pub(super) increment: Option<u8>,
    pub(super) callinc: Option<u8>,
    /// PS.CALLINC at the start.
    pub(super) key_callinc: u8,
}

/// The second operand of an operation.
pub(super) enum Operand {
    Place(u8),
    Number(u32),
}

impl Builder {
    fn new(key: &Key, values: Values) -> Self {
        Self {
            ops: Vec::new(),
            values,
            base: key.base,
            window_start: key.window_start,
            increment: None,
            callinc: None,
            key_callinc: (key.ps >> 16 & 3) as u8,
        }
    }

    /// One time round; gives the exit at its end, where the registers of `forgotten` are written.
    fn pass(&mut self, steps: &[Step], forgotten: u64, exits: &mut Vec<Exit>) -> u32 {
        for (done, step) in (0_u32..).zip(steps) {
            self.step(step, done, exits);
        }
        if forgotten == u64::MAX {
            self.values.sar = None;
        }
        self.values.forget(forgotten, &mut self.ops);
        let pc = steps.last().map_or(0, |step| step.next);
        let done = u32::try_from(steps.len()).unwrap_or(u32::MAX);
        self.exit(done, pc, pc, exits)
    }

    pub(super) fn exit(&self, done: u32, pc: u32, next: u32, exits: &mut Vec<Exit>) -> u32 {
        exits.push(Exit {
            done,
            pc,
            next,
            base: self.base,
            window_start: self.window_start,
            increment: self.increment,
            callinc: self.callinc,
            writes: self.values.writes(),
        });
        u32::try_from(exits.len() - 1).unwrap_or(u32::MAX)
    }

    /// The physical register of register `n` of the window.
    pub(super) fn physical(&self, n: u8) -> u8 {
        self.base.wrapping_add(n) & 63
    }

    pub(super) fn place(&mut self, register: u8) -> u8 {
        self.values.place(register, &mut self.ops)
    }

    pub(super) fn operand(&mut self, register: u8) -> Operand {
        match self.values.number(register) {
            Some(number) => Operand::Number(number),
            None => Operand::Place(self.place(register)),
        }
    }

    /// Appends an operation: d, a and b; imm; x and y.
    pub(super) fn push(&mut self, op: Do, registers: [u8; 3], imm: u32, more: [u32; 2]) {
        let micro = Micro {
            op,
            d: registers[0],
            a: registers[1],
            b: registers[2],
            imm,
            x: more[0],
            y: more[1],
        };
        fuse::push(&mut self.ops, micro);
    }

    /// An operation that writes `d`, with nothing but `bits` set.
    pub(super) fn set(&mut self, op: Do, registers: [u8; 3], imm: u32, bits: u32) {
        self.values.define(registers[0], bits, &mut self.ops);
        self.push(op, registers, imm, [0; 2]);
    }

    pub(super) fn set_number(&mut self, d: u8, number: u32) {
        self.values.define_number(d, number, &mut self.ops);
    }

    pub(super) fn set_copy(&mut self, d: u8, a: u8) {
        self.values.define_sum(d, a, 0, &mut self.ops);
    }

    /// d = a + number
    pub(super) fn set_sum(&mut self, d: u8, a: u8, number: u32) {
        self.values.define_sum(d, a, number, &mut self.ops);
    }
}

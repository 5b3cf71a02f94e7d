//! From recorded instructions to micro-operations.

use super::{
    fuse,
    record::{Key, Recorded, Step},
    step::{Do, Exit, Micro, Outside, Span},
    values::{Cell, Values},
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
    pub(super) spans: Box<[Span]>,
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
const ROUNDS: usize = 8;

/// What the two ends of a circle do not agree on.
#[derive(Debug, Default)]
struct Forgotten {
    slots: u128,
    cells: Vec<Cell>,
}

impl Forgotten {
    fn everything() -> Self {
        Self { slots: u128::MAX, cells: Vec::new() }
    }
}

/// Compiles `recorded`.
pub(super) fn compile(recorded: Recorded) -> Path {
    let Recorded { key, steps, is_circle } = recorded;
    let mut forgotten = Forgotten::default();
    for round in 0..=if is_circle { ROUNDS } else { 0 } {
        let mut outside = Outside::default();
        let mut first = Builder::new(&key, Values::unknown());
        let first_end = first.pass(&steps, &forgotten, &mut outside);
        let start = first.values.clone();
        if !is_circle {
            return Path::new(key, first.ops, None, outside, [first_end; 2], steps);
        }
        let mut again = Builder::new(&key, start.clone());
        (again.increment, again.callinc) = (first.increment, first.callinc);
        let again_end = again.pass(&steps, &forgotten, &mut outside);
        let sar_fits = start.sar.is_none() || start.sar == again.values.sar;
        let lost = start.cells_beyond(&again.values);
        let beyond = again.values.beyond(&start);
        if beyond == 0 && sar_fits && lost.is_empty() {
            let ends = [first_end, again_end];
            return Path::new(key, first.ops, Some(again.ops), outside, ends, steps);
        }
        forgotten.slots |= beyond;
        forgotten.cells.extend(lost);
        if round + 1 >= ROUNDS || !sar_fits {
            forgotten = Forgotten::everything();
        }
    }
    let mut outside = Outside::default();
    let mut builder = Builder::new(&key, Values::unknown());
    let end = builder.pass(&steps, &Forgotten::everything(), &mut outside);
    Path::new(key, builder.ops, None, outside, [end; 2], steps)
}

impl Path {
    pub(super) fn new(
        key: Key,
        first: Vec<Micro>,
        again: Option<Vec<Micro>>,
        outside: Outside,
        ends: [u32; 2],
        steps: Vec<Step>,
    ) -> Self {
        let before = (0..HISTORY).map(|back| {
            let place = (steps.len() - HISTORY % steps.len().max(1) + back) % steps.len().max(1);
            steps.get(place).map_or(0, |step| step.pc)
        });
        let addresses = before.chain(steps.iter().map(|step| step.pc)).collect();
        Self {
            key,
            first: fuse::pairs(first),
            again: again.map(fuse::pairs),
            exits: outside.exits.into(),
            spans: outside.spans.into(),
            ends,
            steps: steps.into(),
            addresses,
            variant: None,
            misses: 0,
        }
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

    /// One time round; gives the exit at its end, where what is `forgotten` is written.
    fn pass(&mut self, steps: &[Step], forgotten: &Forgotten, outside: &mut Outside) -> u32 {
        for (done, step) in (0_u32..).zip(steps) {
            self.step(step, done, outside);
        }
        let is_all = forgotten.slots == u128::MAX;
        if is_all {
            self.values.sar = None;
        }
        self.values.retain_cells(|cell| !is_all && !forgotten.cells.contains(cell));
        self.values.forget(forgotten.slots, &mut self.ops);
        self.values.tidy();
        let pc = steps.last().map_or(0, |step| step.next);
        let done = u32::try_from(steps.len()).unwrap_or(u32::MAX);
        self.exit(done, pc, pc, outside)
    }

    pub(super) fn exit(&self, done: u32, pc: u32, next: u32, outside: &mut Outside) -> u32 {
        outside.exits.push(Exit {
            done,
            pc,
            next,
            base: self.base,
            window_start: self.window_start,
            increment: self.increment,
            callinc: self.callinc,
            writes: self.values.writes(),
        });
        u32::try_from(outside.exits.len() - 1).unwrap_or(u32::MAX)
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

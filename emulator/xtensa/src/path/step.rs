//! The micro-operations that a path is made of, and where it can be left.

/// What a micro-operation does. `d`, `a` and `b` are physical registers, `imm` a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Do {
    /// d = imm
    Const,
    /// d = a
    Mov,
    And,
    AndI,
    Or,
    OrI,
    Xor,
    XorI,
    Add,
    AddI,
    Addx2,
    Addx4,
    Addx8,
    Sub,
    /// d = (a << b) + imm
    ShiftAddI,
    Slli,
    Srli,
    Srai,
    /// d = a >> b & imm
    Extui,
    /// d = a, sign-extended from 32 - imm bits
    Sext,
    Mull,
    /// d = a if b is 0
    MovIfZero,
    /// d = a if b is not 0
    MovIfNot,
    /// d = a if b < 0
    MovIfNegative,
    /// d = a if b >= 0
    MovIfPositive,
    /// d = what the instruction number x of the path makes of a and b
    Alu,
    /// SAR = imm
    Sar,
    /// SAR = what the instruction number x of the path makes of a
    SarOf,
    /// d = byte at a + imm of the backing bytes, in the pages x; exit y
    Load8,
    Load16,
    Load16Signed,
    Load32,
    /// d = byte at imm of the backing bytes
    Load8At,
    Load16At,
    Load16SignedAt,
    Load32At,
    /// d = what is at a + imm, wherever that is; width and sign in x; exit y
    LoadAny,
    /// d = the low b bits, or all if that is 0, of what the bus has at imm; width and sign in x; exit y
    LoadBus,
    /// Byte at a + imm of the backing bytes, in the span number x, = d; exit y
    Store8,
    Store16,
    Store32,
    /// Byte at imm of the backing bytes = d
    Store8At,
    Store16At,
    Store32At,
    /// What is at a + imm = d, wherever that is; width in x; exit y
    StoreAny,
    /// d = (a + imm) & y
    AddMask,
    /// d = a + imm; the path ends with exit x if that is y
    AddIfNe,
    /// The same if it is not.
    AddIfEq,
    /// d = byte at imm of the backing bytes; the path ends with exit x if that is y
    Load8IfNe,
    Load16IfNe,
    Load32IfNe,
    /// The same if it is not.
    Load8IfEq,
    Load16IfEq,
    Load32IfEq,
    /// d = a + imm; the path ends with exit x unless that is less than b, which is not d
    AddIfLt,
    /// d = byte at a + b + imm of the backing bytes, in the pages x; exit y, with a + b in d
    Load8Sum,
    /// The path ends with the exit in the low half of x if a == imm, in the high half if a == y.
    IfNeither,
    /// `Mov` of d to a, then `LoadBus` of d.
    KeepLoadBus,
    /// `Mov` of b to d, then `IfNeither`.
    MovIfNeither,
    /// `Mov` of a to b, then `AddMask` of a to d, then `Store16At` of d at x.
    KeepAddMaskStore16,
    /// `Add` of a to b, then `Store8` of d at b.
    AddStore8,
    /// `IfNeI` with the exit in the low half of x, then `AddIfNe` of d with y as both numbers and the exit in
    /// the high half.
    IfNeICount,
    /// `Xor` of the registers in the bytes of y, the first of which it writes, then `AddIfLt`.
    XorAddIfLt,
    /// The path goes on if a == b, and ends with exit x otherwise.
    IfEq,
    IfNe,
    IfLt,
    IfGe,
    IfLtu,
    IfGeu,
    IfAny,
    IfNone,
    IfAll,
    IfNotAll,
    IfBitSet,
    IfBitClear,
    /// The path ends with exit x.
    Leave,
    /// The same with imm in place of b.
    IfEqI,
    IfNeI,
    IfLtI,
    IfGeI,
    IfLtuI,
    IfGeuI,
    IfAnyI,
    IfNoneI,
}

/// One micro-operation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Micro {
    pub(super) op: Do,
    pub(super) d: u8,
    pub(super) a: u8,
    pub(super) b: u8,
    pub(super) imm: u32,
    pub(super) x: u32,
    pub(super) y: u32,
}

/// Backing bytes that a store may change without a look at anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) first: u32,
    pub(super) bytes: u32,
    /// Those of the region: the first one times 65536, and their count.
    pub(super) pages: u32,
}

impl Span {
    /// Whether an aligned access of `bytes` bytes at `at` stays in it.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the fast path of compiled paths")]
    pub(super) fn has(self, at: u32, bytes: usize) -> bool {
        let last = (self.bytes as usize).wrapping_sub(bytes);
        let aligned = at as usize & (bytes - 1) == 0;
        aligned && last < self.bytes as usize && at.wrapping_sub(self.first) as usize <= last
    }
}

/// Where a path can be left, and where its stores go.
#[derive(Debug, Clone, Default)]
pub(super) struct Outside {
    pub(super) exits: Vec<Exit>,
    pub(super) spans: Vec<Span>,
}

/// What a register holds that was not written while the path ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    /// Whatever its storage says.
    Unknown,
    /// This number.
    Const(u32),
    /// What another register's storage says, plus a number.
    Sum(u8, u32),
}

/// The core's state where a path is left, as far as it is known beforehand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exit {
    /// Instructions of the path that have been executed.
    pub(super) done: u32,
    /// Where the core goes on.
    pub(super) pc: u32,
    /// Where it goes on behind a store after which interrupts are looked at.
    pub(super) next: u32,
    pub(super) base: u8,
    pub(super) window_start: u16,
    /// Increment of the last windowed call or `CALL0`, if the path made any.
    pub(super) increment: Option<u8>,
    /// PS.CALLINC as the last windowed call left it, if the path made any.
    pub(super) callinc: Option<u8>,
    /// Registers to write.
    pub(super) writes: Box<[(u8, Value)]>,
}

//! One decoded instruction, and the table of operations.

/// How an operation's operands are written, and so which fields of [`Insn`] it uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// No operand.
    Plain,
    /// `ar, as, at`
    Rst,
    /// `ar, at`
    Rt,
    /// `ar, as`
    Rs,
    /// `as`
    S,
    /// `imm`
    Imm,
    /// `s, t` as numbers (`BREAK`)
    Numbers,
    /// `at, as`
    Ts,
    /// `ar, as, imm`
    RsImm,
    /// `ar, at, imm`
    RtImm,
    /// `ar, at, shift, bits`; the mask is in `imm`
    Extui,
    /// `at, special register`; its number is in `imm`
    Special,
    /// `at, user register`; its number is in `imm`
    UserRead,
    /// `at, as, offset`
    Mem,
    /// `at, as, imm`
    TsImm,
    /// `at, imm`
    TImm,
    /// `at, address`
    TLabel,
    /// `address`
    Label,
    /// `as, address`
    SLabel,
    /// `as, B4CONST[r], address`
    SConstLabel,
    /// `as, B4CONSTU[r], address`
    SConstuLabel,
    /// `as, at, address`
    STLabel,
    /// `as, bit, address`; the bit is in `t`
    SBitLabel,
    /// `br, bs, bt`
    Bool3,
    /// `bt, bs` (`ANY4` ...)
    Bool2,
    /// `bs, address`
    BoolLabel,
    /// `ar, as, bt`
    BoolMove,
    /// `fr, fs, ft`
    Float3,
    /// `fr, fs`
    Float2,
    /// `br, fs, ft`
    FloatCompare,
    /// `fr, as`
    FloatFrom,
    /// `ar, fs`
    FloatTo,
    /// `fr, as, scale`
    FloatFromScaled,
    /// `ar, fs, scale`
    FloatToScaled,
    /// `ft, as, offset`
    FloatMem,
    /// `fr, as, at`
    FloatIndexed,
    /// `fr, fs, at`
    FloatMove,
    /// `fr, fs, bt`
    FloatMoveBool,
    /// As [`crate::mac16`] writes them; the halves are in `imm`
    Mac16,
}

macro_rules! operations {
    ($($variant:ident $name:literal $shape:ident;)*) => {
        /// What an instruction does. Narrow (16-bit) encodings share the operation of their wide
        /// twin; [`Insn::len`] tells them apart. XTENSA ISA reference manual, chapter 6.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        #[expect(missing_docs, reason = "each variant is the manual's mnemonic")]
        pub enum Op { $($variant,)* }

        impl Op {
            /// Every operation.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The mnemonic, lower case, without the `.n` of narrow encodings.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// How its operands are written.
            pub(crate) fn shape(self) -> Shape {
                match self { $(Self::$variant => Shape::$shape,)* }
            }
        }
    };
}

operations! {
    Undecoded "(undecoded)" Plain;
    Unknown "(unknown)" Plain;
    Ill "ill" Plain;
    And "and" Rst; Or "or" Rst; Xor "xor" Rst; Add "add" Rst; Addx2 "addx2" Rst;
    Addx4 "addx4" Rst; Addx8 "addx8" Rst; Sub "sub" Rst; Subx2 "subx2" Rst; Subx4 "subx4" Rst;
    Subx8 "subx8" Rst; Neg "neg" Rt; Abs "abs" Rt; Mov "mov" Rs;
    Ssr "ssr" S; Ssl "ssl" S; Ssa8l "ssa8l" S; Ssa8b "ssa8b" S; Ssai "ssai" Imm;
    Nsa "nsa" Ts; Nsau "nsau" Ts;
    Slli "slli" RsImm; Srai "srai" RtImm; Srli "srli" RtImm; Src "src" Rst; Srl "srl" Rt;
    Sll "sll" Rs; Sra "sra" Rt; Extui "extui" Extui;
    Mul16u "mul16u" Rst; Mul16s "mul16s" Rst; Mull "mull" Rst; Muluh "muluh" Rst;
    Mulsh "mulsh" Rst; Quou "quou" Rst; Quos "quos" Rst; Remu "remu" Rst; Rems "rems" Rst;
    Sext "sext" RsImm; Clamps "clamps" RsImm; Min "min" Rst; Max "max" Rst; Minu "minu" Rst;
    Maxu "maxu" Rst; Moveqz "moveqz" Rst; Movnez "movnez" Rst; Movltz "movltz" Rst;
    Movgez "movgez" Rst; Movf "movf" BoolMove; Movt "movt" BoolMove;
    Andb "andb" Bool3; Andbc "andbc" Bool3; Orb "orb" Bool3; Orbc "orbc" Bool3; Xorb "xorb" Bool3;
    Any4 "any4" Bool2; All4 "all4" Bool2; Any8 "any8" Bool2; All8 "all8" Bool2;
    Bf "bf" BoolLabel; Bt "bt" BoolLabel;
    L8ui "l8ui" Mem; L16ui "l16ui" Mem; L16si "l16si" Mem; L32i "l32i" Mem; L32ai "l32ai" Mem;
    S8i "s8i" Mem; S16i "s16i" Mem; S32i "s32i" Mem; S32ri "s32ri" Mem; S32c1i "s32c1i" Mem;
    L32e "l32e" Mem; S32e "s32e" Mem; L32r "l32r" TLabel;
    Movi "movi" TImm; Addi "addi" TsImm; Addmi "addmi" TsImm;
    Beqz "beqz" SLabel; Bnez "bnez" SLabel; Bltz "bltz" SLabel; Bgez "bgez" SLabel;
    Beqi "beqi" SConstLabel; Bnei "bnei" SConstLabel; Blti "blti" SConstLabel;
    Bgei "bgei" SConstLabel; Bltui "bltui" SConstuLabel; Bgeui "bgeui" SConstuLabel;
    Bnone "bnone" STLabel; Beq "beq" STLabel; Blt "blt" STLabel; Bltu "bltu" STLabel;
    Ball "ball" STLabel; Bbc "bbc" STLabel; Bany "bany" STLabel; Bne "bne" STLabel;
    Bge "bge" STLabel; Bgeu "bgeu" STLabel; Bnall "bnall" STLabel; Bbs "bbs" STLabel;
    Bbci "bbci" SBitLabel; Bbsi "bbsi" SBitLabel;
    J "j" Label; Jx "jx" S; Call0 "call0" Label; Call4 "call4" Label; Call8 "call8" Label;
    Call12 "call12" Label; Callx0 "callx0" S; Callx4 "callx4" S; Callx8 "callx8" S;
    Callx12 "callx12" S; Ret "ret" Plain; Retw "retw" Plain; Entry "entry" SLabel;
    Movsp "movsp" Ts; Rotw "rotw" Imm;
    Loop "loop" SLabel; Loopnez "loopnez" SLabel; Loopgtz "loopgtz" SLabel;
    Nop "nop" Plain; Memw "memw" Plain; Extw "extw" Plain; Isync "isync" Plain;
    Rsync "rsync" Plain; Esync "esync" Plain; Dsync "dsync" Plain; Excw "excw" Plain;
    Rsr "rsr" Special; Wsr "wsr" Special; Xsr "xsr" Special; Rur "rur" UserRead;
    Wur "wur" UserRead; Rsil "rsil" TImm; Waiti "waiti" Imm;
    Rfe "rfe" Plain; Rfde "rfde" Plain; Rfi "rfi" Imm; Rfwo "rfwo" Plain; Rfwu "rfwu" Plain;
    Break "break" Numbers; Syscall "syscall" Plain; Simcall "simcall" Plain;
    Rer "rer" Ts; Wer "wer" Ts;
    Iitlb "iitlb" S; Idtlb "idtlb" S; Ritlb0 "ritlb0" Ts; Ritlb1 "ritlb1" Ts; Rdtlb0 "rdtlb0" Ts;
    Rdtlb1 "rdtlb1" Ts; Pitlb "pitlb" Ts; Pdtlb "pdtlb" Ts; Witlb "witlb" Ts; Wdtlb "wdtlb" Ts;
    UmulAa "umul.aa" Mac16; MulAa "mul.aa" Mac16; MulAd "mul.ad" Mac16; MulDa "mul.da" Mac16;
    MulDd "mul.dd" Mac16; MulaAa "mula.aa" Mac16; MulaAd "mula.ad" Mac16; MulaDa "mula.da" Mac16;
    MulaDd "mula.dd" Mac16; MulsAa "muls.aa" Mac16; MulsAd "muls.ad" Mac16;
    MulsDa "muls.da" Mac16; MulsDd "muls.dd" Mac16; MulaDaLdinc "mula.da.ldinc" Mac16;
    MulaDaLddec "mula.da.lddec" Mac16; MulaDdLdinc "mula.dd.ldinc" Mac16;
    MulaDdLddec "mula.dd.lddec" Mac16; Ldinc "ldinc" Mac16; Lddec "lddec" Mac16;
    AddS "add.s" Float3; SubS "sub.s" Float3; MulS "mul.s" Float3; MaddS "madd.s" Float3;
    MsubS "msub.s" Float3; MovS "mov.s" Float2; AbsS "abs.s" Float2; NegS "neg.s" Float2;
    RoundS "round.s" FloatToScaled; TruncS "trunc.s" FloatToScaled;
    FloorS "floor.s" FloatToScaled; CeilS "ceil.s" FloatToScaled;
    UtruncS "utrunc.s" FloatToScaled; FloatS "float.s" FloatFromScaled;
    UfloatS "ufloat.s" FloatFromScaled; Rfr "rfr" FloatTo; Wfr "wfr" FloatFrom;
    UnS "un.s" FloatCompare; OeqS "oeq.s" FloatCompare; UeqS "ueq.s" FloatCompare;
    OltS "olt.s" FloatCompare; UltS "ult.s" FloatCompare; OleS "ole.s" FloatCompare;
    UleS "ule.s" FloatCompare;
    MoveqzS "moveqz.s" FloatMove; MovnezS "movnez.s" FloatMove; MovltzS "movltz.s" FloatMove;
    MovgezS "movgez.s" FloatMove; MovfS "movf.s" FloatMoveBool; MovtS "movt.s" FloatMoveBool;
    Lsi "lsi" FloatMem; Ssi "ssi" FloatMem; Lsiu "lsiu" FloatMem; Ssiu "ssiu" FloatMem;
    Lsx "lsx" FloatIndexed; Ssx "ssx" FloatIndexed; Lsxu "lsxu" FloatIndexed;
    Ssxu "ssxu" FloatIndexed;
}

impl Op {
    /// Whether it calls a function (`CALL0` to `CALLX12`).
    #[must_use]
    pub fn is_call(self) -> bool {
        (Self::Call0..=Self::Callx12).contains(&self)
    }

    /// Whether it only waits for what this core has done already (`MEMW`, the `SYNC` group), or is
    /// `NOP`.
    pub(crate) fn does_nothing(self) -> bool {
        matches!(
            self,
            Self::Nop
                | Self::Memw
                | Self::Extw
                | Self::Isync
                | Self::Rsync
                | Self::Esync
                | Self::Dsync
                | Self::Excw
        )
    }

    /// Whether it is of the MAC16 option.
    pub(crate) fn is_mac16(self) -> bool {
        (Self::UmulAa..=Self::Lddec).contains(&self)
    }

    /// Whether it returns from one (`RET`, `RETW`).
    #[must_use]
    pub fn is_return(self) -> bool {
        matches!(self, Self::Ret | Self::Retw)
    }
}

/// The constants that `BEQI`, `BNEI`, `BLTI` and `BGEI` can compare with.
pub(crate) const B4CONST: [i32; 16] = [-1, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 32, 64, 128, 256];
/// The constants that `BLTUI` and `BGEUI` can compare with.
pub(crate) const B4CONSTU: [u32; 16] =
    [0x8000, 0x1_0000, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 32, 64, 128, 256];

/// One decoded instruction, eight bytes. Branch targets, literal addresses and masks are already
/// computed, so an instruction is only good for the address it was decoded at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Insn {
    /// What it does.
    pub op: Op,
    /// Register field r in bits 5:0 and the length in bytes in bits 7:6; the register file masks
    /// its index, so the length needs no field of its own.
    pub(crate) len_r: u8,
    /// Register field s, or a small number.
    pub(crate) s: u8,
    /// Register field t, or a small number.
    pub(crate) t: u8,
    /// The immediate: offset, value, mask or absolute address.
    pub(crate) imm: u32,
}

impl Insn {
    /// The cache's empty slot.
    pub(crate) const UNDECODED: Self = Self { op: Op::Undecoded, len_r: 0, s: 0, t: 0, imm: 0 };

    /// Length in bytes: 2 or 3.
    #[must_use]
    pub fn len(self) -> u32 {
        u32::from(self.len_r >> 6)
    }

    /// Never: an instruction has 2 or 3 bytes. (Only the cache's empty slot has none.)
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len_r >> 6 == 0
    }

    /// Register field r, 0..=15.
    #[must_use]
    pub fn r(self) -> u8 {
        self.len_r & 15
    }

    /// Register field s, or the small number in its place.
    #[must_use]
    pub fn s(self) -> u8 {
        self.s
    }

    /// Register field t, or the small number in its place.
    #[must_use]
    pub fn t(self) -> u8 {
        self.t
    }

    /// The immediate: offset, value, mask, register number or absolute address.
    #[must_use]
    pub fn imm(self) -> u32 {
        self.imm
    }
}

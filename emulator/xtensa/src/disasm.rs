//! Instructions as text.

use crate::decode::decode;
use crate::insn::{B4CONST, B4CONSTU, Insn, Op, Shape};
use crate::mac16;
use crate::special::sr_name;

/// The instruction that starts with `bytes` at `pc`, in the notation of the Xtensa assembler:
/// decimal small numbers, hexadecimal addresses, `.n` on narrow encodings. [`crate::asm`] reads
/// it back. What is no instruction gives `.byte` and its bytes.
#[must_use]
pub fn disasm(pc: u32, bytes: [u8; 3]) -> String {
    let insn = decode(pc, bytes);
    match insn.op {
        Op::Unknown if insn.len() == 2 => format!(".byte {:#04x}, {:#04x}", bytes[0], bytes[1]),
        Op::Unknown | Op::Undecoded => {
            format!(".byte {:#04x}, {:#04x}, {:#04x}", bytes[0], bytes[1], bytes[2])
        }
        op if op.is_mac16() => mac16::disasm(insn).unwrap_or_default(),
        _ => {
            let suffix = if insn.len() == 2 { ".n" } else { "" };
            let operands = operands(insn);
            let gap = if operands.is_empty() { "" } else { " " };
            format!("{}{suffix}{gap}{operands}", insn.op.name())
        }
    }
}

fn operands(insn: Insn) -> String {
    let (r, s, t) = (insn.r(), insn.s(), insn.t());
    let imm = insn.imm().cast_signed();
    let label = insn.imm();
    let place = usize::from(r);
    match insn.op.shape() {
        Shape::Plain => String::new(),
        Shape::Rst => format!("a{r}, a{s}, a{t}"),
        Shape::Rt => format!("a{r}, a{t}"),
        Shape::Rs => format!("a{r}, a{s}"),
        Shape::S => format!("a{s}"),
        Shape::Imm => format!("{imm}"),
        Shape::Numbers if insn.len() == 2 => format!("{s}"),
        Shape::Numbers => format!("{s}, {t}"),
        Shape::Ts => format!("a{t}, a{s}"),
        Shape::RsImm => format!("a{r}, a{s}, {imm}"),
        Shape::RtImm => format!("a{r}, a{t}, {imm}"),
        Shape::Extui => format!("a{r}, a{t}, {s}, {}", insn.imm().count_ones()),
        Shape::Special => match sr_name(label) {
            Some(name) => format!("a{t}, {name}"),
            None => format!("a{t}, {label}"),
        },
        Shape::UserRead => match label {
            231 => format!("a{t}, threadptr"),
            232 => format!("a{t}, fcr"),
            233 => format!("a{t}, fsr"),
            _ => format!("a{t}, {label}"),
        },
        Shape::Mem | Shape::TsImm => format!("a{t}, a{s}, {imm}"),
        Shape::TImm => format!("a{t}, {imm}"),
        Shape::TLabel => format!("a{t}, {label:#010x}"),
        Shape::Label => format!("{label:#010x}"),
        Shape::SLabel if insn.op == Op::Entry => format!("a{s}, {imm}"),
        Shape::SLabel => format!("a{s}, {label:#010x}"),
        Shape::SConstLabel => format!("a{s}, {}, {label:#010x}", B4CONST[place]),
        Shape::SConstuLabel => format!("a{s}, {}, {label:#010x}", B4CONSTU[place]),
        Shape::STLabel => format!("a{s}, a{t}, {label:#010x}"),
        Shape::SBitLabel => format!("a{s}, {t}, {label:#010x}"),
        _ => coprocessor_operands(insn),
    }
}

/// Operands with boolean or floating-point registers.
fn coprocessor_operands(insn: Insn) -> String {
    let (r, s, t) = (insn.r(), insn.s(), insn.t());
    let imm = insn.imm();
    match insn.op.shape() {
        Shape::Bool3 => format!("b{r}, b{s}, b{t}"),
        Shape::Bool2 => format!("b{t}, b{s}"),
        Shape::BoolLabel => format!("b{s}, {imm:#010x}"),
        Shape::BoolMove => format!("a{r}, a{s}, b{t}"),
        Shape::Float3 => format!("f{r}, f{s}, f{t}"),
        Shape::Float2 => format!("f{r}, f{s}"),
        Shape::FloatCompare => format!("b{r}, f{s}, f{t}"),
        Shape::FloatFrom => format!("f{r}, a{s}"),
        Shape::FloatTo => format!("a{r}, f{s}"),
        Shape::FloatFromScaled => format!("f{r}, a{s}, {imm}"),
        Shape::FloatToScaled => format!("a{r}, f{s}, {imm}"),
        Shape::FloatMem => format!("f{t}, a{s}, {imm}"),
        Shape::FloatIndexed => format!("f{r}, a{s}, a{t}"),
        Shape::FloatMove => format!("f{r}, f{s}, a{t}"),
        _ => format!("f{r}, f{s}, b{t}"),
    }
}

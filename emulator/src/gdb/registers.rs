//! Register numbers of GDB's configuration for the ESP32.
//!
//! pc, the 64 physical registers, 40 registers of the application's state, then the privileged
//! special registers, and a0 to a15 of the current window, which GDB computes itself. The order is
//! that of Espressif's public configuration overlay (`xtensa-config.c`).

use std::fmt::Write as _;

use xtensa::Cpu;

/// Registers of the `g` packet.
pub const GENERAL: u32 = 105;
/// Number of a0.
const WINDOW: u32 = 157;
/// Registers 65 to 155: name, and where it is.
const NAMED: &[(&str, Place)] = &[
    ("lbeg", Special(0)),
    ("lend", Special(1)),
    ("lcount", Special(2)),
    ("sar", Special(3)),
    ("windowbase", Special(72)),
    ("windowstart", Special(73)),
    ("configid0", Special(176)),
    ("configid1", Special(208)),
    ("ps", Special(230)),
    ("threadptr", User(231)),
    ("br", Special(4)),
    ("scompare1", Special(12)),
    ("acclo", Special(16)),
    ("acchi", Special(17)),
    ("m0", Special(32)),
    ("m1", Special(33)),
    ("m2", Special(34)),
    ("m3", Special(35)),
    ("expstate", User(230)),
    ("f64r_lo", User(234)),
    ("f64r_hi", User(235)),
    ("f64s", User(236)),
    ("f0", Float(0)),
    ("f1", Float(1)),
    ("f2", Float(2)),
    ("f3", Float(3)),
    ("f4", Float(4)),
    ("f5", Float(5)),
    ("f6", Float(6)),
    ("f7", Float(7)),
    ("f8", Float(8)),
    ("f9", Float(9)),
    ("f10", Float(10)),
    ("f11", Float(11)),
    ("f12", Float(12)),
    ("f13", Float(13)),
    ("f14", Float(14)),
    ("f15", Float(15)),
    ("fcr", User(232)),
    ("fsr", User(233)),
    ("mmid", Special(89)),
    ("ibreakenable", Special(96)),
    ("memctl", Special(97)),
    ("atomctl", Special(99)),
    ("ddr", Special(104)),
    ("ibreaka0", Special(128)),
    ("ibreaka1", Special(129)),
    ("dbreaka0", Special(144)),
    ("dbreaka1", Special(145)),
    ("dbreakc0", Special(160)),
    ("dbreakc1", Special(161)),
    ("epc1", Special(177)),
    ("epc2", Special(178)),
    ("epc3", Special(179)),
    ("epc4", Special(180)),
    ("epc5", Special(181)),
    ("epc6", Special(182)),
    ("epc7", Special(183)),
    ("depc", Special(192)),
    ("eps2", Special(194)),
    ("eps3", Special(195)),
    ("eps4", Special(196)),
    ("eps5", Special(197)),
    ("eps6", Special(198)),
    ("eps7", Special(199)),
    ("excsave1", Special(209)),
    ("excsave2", Special(210)),
    ("excsave3", Special(211)),
    ("excsave4", Special(212)),
    ("excsave5", Special(213)),
    ("excsave6", Special(214)),
    ("excsave7", Special(215)),
    ("cpenable", Special(224)),
    ("interrupt", Special(226)),
    ("intset", Special(226)),
    ("intclear", Special(227)),
    ("intenable", Special(228)),
    ("vecbase", Special(231)),
    ("exccause", Special(232)),
    ("debugcause", Special(233)),
    ("ccount", Special(234)),
    ("prid", Special(235)),
    ("icount", Special(236)),
    ("icountlevel", Special(237)),
    ("excvaddr", Special(238)),
    ("ccompare0", Special(240)),
    ("ccompare1", Special(241)),
    ("ccompare2", Special(242)),
    ("misc0", Special(244)),
    ("misc1", Special(245)),
    ("misc2", Special(246)),
    ("misc3", Special(247)),
];
const FIRST_NAMED: u32 = 65;

use Place::{Float, Pc, Physical, Special, User, Window};

/// Where a register is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Pc,
    Physical(u8),
    Special(u32),
    User(u32),
    Float(u8),
    Window(u8),
}

fn place(number: u32) -> Option<Place> {
    let byte = |number: u32| u8::try_from(number).unwrap_or(0);
    Some(match number {
        0 => Pc,
        1..FIRST_NAMED => Physical(byte(number - 1)),
        WINDOW..173 => Window(byte(number - WINDOW)),
        _ => NAMED.get((number - FIRST_NAMED) as usize)?.1,
    })
}

/// Name of a register.
#[must_use]
pub fn name(number: u32) -> Option<String> {
    Some(match place(number)? {
        Pc => "pc".to_owned(),
        Physical(index) => format!("ar{index}"),
        Window(index) => format!("a{index}"),
        _ => NAMED.get((number - FIRST_NAMED) as usize)?.0.to_owned(),
    })
}

/// Reads a register; `None` if there is no such one.
#[must_use]
pub fn read(cpu: &Cpu, number: u32) -> Option<u32> {
    match place(number)? {
        Pc => Some(cpu.pc),
        Physical(index) => cpu.physical().get(usize::from(index)).copied(),
        Special(number) => cpu.special_register(number),
        User(number) => cpu.user_register(number),
        Float(index) => Some(cpu.f(index)),
        Window(index) => Some(cpu.a(index)),
    }
}

/// Writes a register; false if there is no such one, or it cannot be written.
pub fn write(cpu: &mut Cpu, number: u32, value: u32) -> bool {
    match place(number) {
        None => return false,
        Some(Pc) => cpu.pc = value,
        Some(Physical(index)) => cpu.set_physical(index, value),
        Some(Special(number)) => return cpu.set_special_register(number, value),
        Some(User(number)) => return cpu.set_user_register(number, value),
        Some(Float(index)) => cpu.set_f(index, value),
        Some(Window(index)) => cpu.set_a(index, value),
    }
    true
}

/// The target description.
#[must_use]
pub fn target_xml() -> String {
    let mut text = "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target>\
        <architecture>xtensa</architecture><feature name=\"org.gnu.gdb.xtensa.core\">"
        .to_owned();
    for number in 0..WINDOW + 16 {
        if let Some(name) = name(number) {
            let kind = if number == 0 { "code_ptr" } else { "uint32" };
            let _ = write!(
                text,
                "<reg name=\"{name}\" bitsize=\"32\" regnum=\"{number}\" type=\"{kind}\"/>"
            );
        }
    }
    text.push_str("</feature></target>");
    text
}

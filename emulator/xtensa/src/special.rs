//! Special and user registers: names, and `RSR`, `WSR`, `XSR`, `RUR`, `WUR`.

use crate::cpu::Cpu;
use crate::exception::{Cause, Trap};
use crate::insn::{Insn, Op};

/// Number and name of every special register of the ESP32's core.
const NAMES: &[(u32, &str)] = &[
    (0, "lbeg"),
    (1, "lend"),
    (2, "lcount"),
    (3, "sar"),
    (4, "br"),
    (5, "litbase"),
    (12, "scompare1"),
    (16, "acclo"),
    (17, "acchi"),
    (32, "m0"),
    (33, "m1"),
    (34, "m2"),
    (35, "m3"),
    (72, "windowbase"),
    (73, "windowstart"),
    (89, "mmid"),
    (96, "ibreakenable"),
    (97, "memctl"),
    (99, "atomctl"),
    (104, "ddr"),
    (128, "ibreaka0"),
    (129, "ibreaka1"),
    (144, "dbreaka0"),
    (145, "dbreaka1"),
    (160, "dbreakc0"),
    (161, "dbreakc1"),
    (176, "configid0"),
    (177, "epc1"),
    (178, "epc2"),
    (179, "epc3"),
    (180, "epc4"),
    (181, "epc5"),
    (182, "epc6"),
    (183, "epc7"),
    (192, "depc"),
    (194, "eps2"),
    (195, "eps3"),
    (196, "eps4"),
    (197, "eps5"),
    (198, "eps6"),
    (199, "eps7"),
    (208, "configid1"),
    (209, "excsave1"),
    (210, "excsave2"),
    (211, "excsave3"),
    (212, "excsave4"),
    (213, "excsave5"),
    (214, "excsave6"),
    (215, "excsave7"),
    (224, "cpenable"),
    (226, "interrupt"),
    (227, "intclear"),
    (228, "intenable"),
    (230, "ps"),
    (231, "vecbase"),
    (232, "exccause"),
    (233, "debugcause"),
    (234, "ccount"),
    (235, "prid"),
    (236, "icount"),
    (237, "icountlevel"),
    (238, "excvaddr"),
    (240, "ccompare0"),
    (241, "ccompare1"),
    (242, "ccompare2"),
    (244, "misc0"),
    (245, "misc1"),
    (246, "misc2"),
    (247, "misc3"),
];

/// The name of special register `number`, lower case. Writing 226 sets interrupts (`intset`).
#[must_use]
pub fn sr_name(number: u32) -> Option<&'static str> {
    NAMES.iter().find(|(known, _)| *known == number).map(|(_, name)| *name)
}

/// The number of the special register with this name.
pub(crate) fn sr_number(name: &str) -> Option<u32> {
    let name = if name == "intset" { "interrupt" } else { name };
    NAMES.iter().find(|(_, known)| *known == name).map(|(number, _)| *number)
}

impl Cpu {
    /// Reads a special register as `RSR` does, but without counting a clock read as an effect.
    /// `None` if there is no such register.
    #[must_use]
    pub fn special_register(&self, number: u32) -> Option<u32> {
        Some(match number {
            0 => self.lbeg,
            1 => self.lend,
            2 => self.lcount,
            3 => self.sar,
            72 => u32::from(self.window_base()),
            73 => u32::from(self.window_start),
            226 => self.pending(),
            230 => self.ps,
            234 => self.ccount(),
            // The configuration's identity; software only compares it.
            176 => 0xc2bc_fffe,
            208 => 0x1cc5_fe96,
            _ => return self.clone_slot(number),
        })
    }

    fn clone_slot(&self, number: u32) -> Option<u32> {
        let index = (number & 15) as usize;
        let sr = &self.sr;
        Some(match number {
            4 => sr.br,
            5 => sr.litbase,
            12 => sr.scompare1,
            16 | 17 => sr.acc[index],
            32..=35 => sr.mr[index],
            96 => sr.ibreakenable,
            97 => sr.memctl,
            99 => sr.atomctl,
            104 => sr.ddr,
            128 | 129 => sr.ibreaka[index],
            144 | 145 => sr.dbreaka[index],
            160 | 161 => sr.dbreakc[index],
            177..=183 => sr.epc[index],
            192 => sr.epc[0],
            194..=199 => sr.eps[index],
            209..=215 => sr.excsave[index],
            224 => sr.cpenable,
            228 => sr.intenable,
            231 => sr.vecbase,
            232 => sr.exccause,
            233 => sr.debugcause,
            235 => sr.prid,
            236 => sr.icount,
            237 => sr.icountlevel,
            238 => sr.excvaddr,
            240..=242 => sr.ccompare[index],
            244..=247 => sr.misc[index - 4],
            _ => return None,
        })
    }

    /// Writes a special register as `WSR` does. False if there is no such register or it is
    /// read-only.
    pub fn set_special_register(&mut self, number: u32, value: u32) -> bool {
        match number {
            0 => self.lbeg = value,
            1 => {
                self.lend = value;
                self.update_loop();
            }
            2 => {
                self.lcount = value;
                self.update_loop();
            }
            3 => self.sar = value & 63,
            72 => self.set_window((value & 15) as u8, self.window_start),
            73 => self.window_start = (value & 0xffff) as u16,
            226 => self.set_software(value),
            227 => self.clear_latched(value),
            228 => self.set_interrupts_enabled(value),
            230 => self.set_ps(value),
            231 => self.sr.vecbase = value & !0x3ff,
            234 => self.set_ccount(value),
            240..=242 => self.set_compare((number & 15) as usize, value),
            _ => return self.set_slot(number, value),
        }
        true
    }

    fn set_slot(&mut self, number: u32, value: u32) -> bool {
        let index = (number & 15) as usize;
        let sr = &mut self.sr;
        let slot = match number {
            4 => &mut sr.br,
            5 => &mut sr.litbase,
            12 => &mut sr.scompare1,
            16 | 17 => &mut sr.acc[index],
            32..=35 => &mut sr.mr[index],
            // MMID only feeds the trace port.
            89 => return true,
            96 => &mut sr.ibreakenable,
            97 => &mut sr.memctl,
            99 => &mut sr.atomctl,
            104 => &mut sr.ddr,
            128 | 129 => &mut sr.ibreaka[index],
            144 | 145 => &mut sr.dbreaka[index],
            160 | 161 => &mut sr.dbreakc[index],
            177..=183 => &mut sr.epc[index],
            192 => &mut sr.epc[0],
            194..=199 => &mut sr.eps[index],
            209..=215 => &mut sr.excsave[index],
            224 => &mut sr.cpenable,
            232 => &mut sr.exccause,
            236 => &mut sr.icount,
            237 => &mut sr.icountlevel,
            238 => &mut sr.excvaddr,
            244..=247 => &mut sr.misc[index - 4],
            _ => return false,
        };
        *slot = match number {
            4 => value & 0xffff,
            17 => crate::mac16::acchi(value),
            224 => value & 0xff,
            232 => value & 0x3f,
            _ => value,
        };
        true
    }

    /// Reads a user register as `RUR` does: THREADPTR 231, FCR 232, FSR 233, F64R 234..=236.
    #[must_use]
    pub fn user_register(&self, number: u32) -> Option<u32> {
        match number {
            231 => Some(self.sr.threadptr),
            232 => Some(self.sr.fcr),
            233 => Some(self.sr.fsr),
            _ => self.sr.f64.get(usize::try_from(number.checked_sub(234)?).ok()?).copied(),
        }
    }

    /// Writes a user register as `WUR` does. False if there is no such register.
    pub fn set_user_register(&mut self, number: u32, value: u32) -> bool {
        self.user_slot(number).map(|slot| *slot = value).is_some()
    }

    /// A user register (THREADPTR 231, FCR 232, FSR 233, F64R 234..=236).
    pub(crate) fn user_slot(&mut self, number: u32) -> Option<&mut u32> {
        match number {
            231 => Some(&mut self.sr.threadptr),
            232 => Some(&mut self.sr.fcr),
            233 => Some(&mut self.sr.fsr),
            234..=236 => self.sr.f64.get_mut((number - 234) as usize),
            _ => None,
        }
    }

    /// `RSR`, `WSR`, `XSR`, `RUR`, `WUR`.
    pub(crate) fn special(&mut self, insn: Insn) -> Result<(), Trap> {
        let illegal = Trap::new(Cause::IllegalInstruction);
        if matches!(insn.op, Op::Rur | Op::Wur) {
            let given = self.a(insn.t);
            let slot = self.user_slot(insn.imm).ok_or(illegal)?;
            if insn.op == Op::Wur {
                *slot = given;
            } else {
                let value = *slot;
                self.set_a(insn.t, value);
            }
            return Ok(());
        }
        let given = self.a(insn.t);
        if insn.op != Op::Wsr {
            let value = self.special_register(insn.imm).ok_or(illegal)?;
            if insn.imm == 234 {
                // What depends on the clock is never idle.
                self.note_effect();
            }
            self.set_a(insn.t, value);
        }
        if insn.op != Op::Rsr && !self.set_special_register(insn.imm, given) {
            return Err(illegal);
        }
        Ok(())
    }
}

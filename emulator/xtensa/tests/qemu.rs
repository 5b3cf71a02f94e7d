//! The independent witness: random straight-line programs on Debian's `qemu-xtensa` (core dc233c)
//! and here must leave the same registers, SAR and memory.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output, Stdio};

use xtensa::{Access, Cause, Cpu, NoBus, Stop, asm, disasm};

const BASE: u32 = 0x0001_0000;
const OUT: u32 = 0x0010_0000;
/// Bytes that each program leaves: 15 registers and SAR, 64 bytes of scratch memory, then the
/// accumulator and the MAC16 registers.
const RECORD: u32 = 160;
const PROGRAMS: u32 = 400;
const OUT_BYTES: u32 = RECORD * PROGRAMS;

struct Random(u32);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }

    fn below(&mut self, limit: u32) -> u32 {
        (self.next() >> 7) % limit
    }

    fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(u32::try_from(list.len()).unwrap()) as usize]
    }

    /// A register other than a1, which points at the record.
    fn register(&mut self) -> u32 {
        let n = self.below(15);
        if n == 0 { 0 } else { n + 1 }
    }

    /// Values near the corners more often than chance.
    fn value(&mut self) -> u32 {
        match self.below(4) {
            0 => [0, 1, 0xffff_ffff, 0x8000_0000, 0x7fff_ffff, 0x8000, 32][self.below(7) as usize],
            1 => self.next() & 0x3f,
            _ => self.next(),
        }
    }
}

const THREE: &[&str] = &[
    "and", "or", "xor", "add", "addx2", "addx4", "addx8", "sub", "subx2", "subx4", "subx8",
    "mul16u", "mul16s", "mull", "min", "max", "minu", "maxu", "moveqz", "movnez", "movltz",
    "movgez", "add.n",
];
const DIVISIONS: &[&str] = &["quou", "quos", "remu", "rems"];
const TWO: &[&str] = &["neg", "abs", "nsa", "nsau", "mov", "mov.n"];
const BRANCHES: &[&str] =
    &["bnone", "beq", "blt", "bltu", "ball", "bbc", "bany", "bne", "bge", "bgeu", "bnall", "bbs"];
const MAC16_REGISTERS: &[&str] = &["acclo", "acchi", "m0", "m1", "m2", "m3"];
const ZERO_BRANCHES: &[&str] = &["beqz", "bnez", "bltz", "bgez", "beqz.n", "bnez.n"];

fn memory_access(random: &mut Random, t: u32) -> String {
    let (name, unit) = [
        ("l8ui", 1),
        ("l16ui", 2),
        ("l16si", 2),
        ("l32i", 4),
        ("s8i", 1),
        ("s16i", 2),
        ("s32i", 4),
        ("l32ai", 4),
        ("s32ri", 4),
    ][random.below(9) as usize];
    let offset = 64 + random.below(64 / unit) * unit;
    format!("{name} a{t}, a1, {offset}")
}

/// One of the MAC16 option, or an access to its registers.
fn mac16(random: &mut Random, label: &mut u32) -> String {
    *label += 1;
    // The emulator holds m0..m3 under two names, which agree from the next translation block on.
    let block = format!("j block{label}\nblock{label}:");
    let (s, t) = (random.register(), random.register());
    let [target, first, second] = [random.below(4), random.below(2), 2 + random.below(2)];
    let halves = random.pick(&["ll", "hl", "lh", "hh"]);
    let kind = random.pick(&["mul", "mula", "muls"]);
    let step = random.pick(&["ldinc", "lddec"]);
    // An address whose neighbours on both sides are scratch memory.
    let point = format!("addi a{s}, a1, {}\n", 68 + random.below(14) * 4);
    let register = random.pick(&["acclo", "acchi", "m0", "m1", "m2", "m3"]);
    match random.below(9) {
        0 => format!("umul.aa.{halves} a{s}, a{t}"),
        1 => format!("{kind}.aa.{halves} a{s}, a{t}"),
        2 => format!("{kind}.ad.{halves} a{s}, m{second}"),
        3 => format!("{kind}.da.{halves} m{first}, a{t}"),
        4 => format!("{kind}.dd.{halves} m{first}, m{second}"),
        5 => format!("{point}mula.da.{halves}.{step} m{target}, a{s}, m{first}, a{t}\n{block}"),
        6 => {
            format!("{point}mula.dd.{halves}.{step} m{target}, a{s}, m{first}, m{second}\n{block}")
        }
        7 => format!("{point}{step} m{target}, a{s}\n{block}"),
        _ => format!("{} a{t}, {register}\n{block}", random.pick(&["rsr", "wsr", "xsr"])),
    }
}

fn instruction(random: &mut Random, label: &mut u32) -> String {
    let (r, s, t) = (random.register(), random.register(), random.register());
    let small = random.below(16);
    match random.below(17) {
        14.. => mac16(random, label),
        0..4 => format!("{} a{r}, a{s}, a{t}", random.pick(THREE)),
        4 => format!("{} a{r}, a{s}", random.pick(TWO)),
        // In the pairs that compilers emit: with SAR 32 the emulator's SRL leaves its operand as it
        // is, where the manual's formula gives 0.
        5 => match random.below(4) {
            0 => format!(
                "{} a{t}
srl a{r}, a{s}",
                random.pick(&["ssr", "ssa8l"])
            ),
            1 => format!(
                "{} a{t}
sra a{r}, a{s}",
                random.pick(&["ssr", "ssa8l"])
            ),
            2 => format!(
                "{} a{t}
sll a{r}, a{s}",
                random.pick(&["ssl", "ssa8b"])
            ),
            _ => format!(
                "{} a{t}
src a{r}, a{s}, a{t}",
                random.pick(&["ssr", "ssa8l"])
            ),
        },
        6 => match random.below(4) {
            0 => format!("slli a{r}, a{s}, {}", 1 + random.below(31)),
            1 => format!("srai a{r}, a{s}, {}", random.below(32)),
            2 => format!("srli a{r}, a{s}, {small}"),
            _ => format!("ssai {}", random.below(32)),
        },
        7 => format!("extui a{r}, a{s}, {}, {}", random.below(32), 1 + small),
        8 => format!("{} a{r}, a{s}, {}", random.pick(&["sext", "clamps"]), 7 + small),
        9 => match random.below(4) {
            0 => format!("movi a{r}, {}", i64::from(random.below(4096)) - 2048),
            1 => format!("addi a{r}, a{s}, {}", i64::from(random.below(256)) - 128),
            2 => format!("addmi a{r}, a{s}, {}", (i64::from(random.below(256)) - 128) * 256),
            _ => format!("movi.n a{r}, {}", i64::from(random.below(128)) - 32),
        },
        10 => {
            let divisor = 1 + random.below(2000);
            format!("movi a{t}, {divisor}\n{} a{r}, a{s}, a{t}", random.pick(DIVISIONS))
        }
        11 => {
            *label += 1;
            let inner = format!("{} a{r}, a{s}, a{t}", random.pick(THREE));
            let branch = match random.below(3) {
                0 => format!("{} a{s}, a{t}, skip{label}", random.pick(BRANCHES)),
                1 => format!("{} a{s}, skip{label}", random.pick(ZERO_BRANCHES)),
                _ => format!("{} a{s}, {small}, skip{label}", random.pick(&["bbci", "bbsi"])),
            };
            format!("{branch}\n nop\n {inner}\nskip{label}:")
        }
        12 => {
            *label += 1;
            let name = random.pick(&["loop", "loopnez", "loopgtz"]);
            let body = format!("{} a{r}, a{s}, a{r}", random.pick(&["add", "xor", "sub"]));
            format!("movi a{t}, {}\n{name} a{t}, end{label}\n{body}\nend{label}: nop", 1 + small)
        }
        _ => memory_access(random, t),
    }
}

/// All programs in one image, ended by `write(1, OUT, OUT_BYTES)` and `exit(0)` of Linux.
fn source(seed: u32) -> String {
    let mut random = Random(seed);
    let mut label = 0;
    let mut text = String::from("j begin\n.align 4\nout: .word 0x100000\nbegin: l32r a1, out\n");
    for number in 0..PROGRAMS {
        writeln!(text, "j run{number}\n.align 4").unwrap();
        let registers: Vec<u32> = (0..16).filter(|n| *n != 1).collect();
        for n in &registers {
            writeln!(text, "v{number}_{n}: .word {}", random.value()).unwrap();
        }
        writeln!(text, "run{number}:").unwrap();
        for n in &registers {
            writeln!(text, "l32r a{n}, v{number}_{n}").unwrap();
        }
        for _ in 0..40 {
            writeln!(text, "{}", instruction(&mut random, &mut label)).unwrap();
        }
        for (place, n) in registers.iter().enumerate() {
            writeln!(text, "s32i a{n}, a1, {}", place * 4).unwrap();
        }
        writeln!(text, "rsr a0, sar\n s32i a0, a1, 60").unwrap();
        for (place, name) in MAC16_REGISTERS.iter().enumerate() {
            writeln!(text, "rsr a0, {name}\n s32i a0, a1, {}", 128 + place * 4).unwrap();
        }
        writeln!(text, "addmi a1, a1, 256\n addi a1, a1, -96").unwrap();
    }
    writeln!(
        text,
        "j last\n.align 4\nsize: .word {OUT_BYTES}\nbuffer: .word {OUT}
         last: movi a2, 13\n movi a6, 1\n l32r a3, buffer\n l32r a4, size\n syscall
         movi a2, 118\n movi a6, 0\n syscall"
    )
    .unwrap();
    text
}

/// A minimal static ELF: one segment with the code, and zeros for the records behind it.
fn elf(code: &[u8]) -> Vec<u8> {
    let size = u32::try_from(code.len()).unwrap();
    let mut file = vec![0x7f, b'E', b'L', b'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let half = |file: &mut Vec<u8>, value: u16| file.extend(value.to_le_bytes());
    let words = |file: &mut Vec<u8>, values: &[u32]| {
        for value in values {
            file.extend(value.to_le_bytes());
        }
    };
    half(&mut file, 2);
    half(&mut file, 94);
    words(&mut file, &[1, BASE, 52, 0, 0]);
    for value in [52, 32, 1, 40, 0, 0] {
        half(&mut file, value);
    }
    words(&mut file, &[1, 0x1000, BASE, BASE, size, OUT + OUT_BYTES - BASE, 7, 0x1000]);
    file.resize(0x1000, 0);
    file.extend(code);
    file
}

fn here(code: &[u8]) -> Vec<u8> {
    let mut cpu = Cpu::new();
    cpu.mem.map(BASE, 0xe_0000, Access::CODE).unwrap();
    cpu.mem.map(OUT, 0x2_0000, Access::DATA).unwrap();
    cpu.mem.write(BASE, code).unwrap();
    cpu.pc = BASE;
    let outcome = cpu.run(&mut NoBus, 10_000_000);
    let Stop::Exception(exception) = outcome.stop else { panic!("{outcome:?}") };
    assert_eq!(exception.cause, Cause::Syscall, "{:?}", cpu.history_text());
    cpu.mem.slice(OUT, OUT_BYTES as usize).unwrap().to_vec()
}

/// Says so past the capture of the test's output: nobody shall take this for a check.
fn skipped(test: &str) {
    let why = "no qemu-xtensa (package qemu-user)";
    let _ = writeln!(std::io::stderr(), "\n*** SKIPPED: {test}: {why}\n");
}

/// Whether the witness is there; tries to install it once.
fn qemu() -> bool {
    let works = || {
        let mut command = Command::new("qemu-xtensa");
        command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if works() {
        return true;
    }
    let mut install = Command::new("apt-get");
    install.args(["install", "-y", "-q", "qemu-user"]).stdout(Stdio::null()).stderr(Stdio::null());
    install.status().is_ok_and(|status| status.success()) && works()
}

/// Mnemonic and operands, numbers as values and addresses as the emulator prints them.
fn parts(text: &str) -> Vec<String> {
    let value = |part: &str| {
        let (minus, digits) = part.strip_prefix('-').map_or((false, part), |rest| (true, rest));
        let value = match digits.strip_prefix("0x") {
            Some(hex) => i64::from_str_radix(hex, 16).ok()?,
            None => digits.parse().ok()?,
        };
        Some(if minus { -value } else { value }.to_string())
    };
    let parts = text.split([' ', '\t', ',']).filter(|part| !part.is_empty());
    let mut parts: Vec<_> =
        parts.map(|part| value(part).unwrap_or_else(|| part.to_owned())).collect();
    // The emulator writes the special register into the mnemonic.
    for name in ["rsr", "wsr", "xsr"] {
        let register = parts[0].strip_prefix(name).and_then(|rest| rest.strip_prefix('.'));
        if let Some(register) = register.map(str::to_owned) {
            name.clone_into(&mut parts[0]);
            parts.push(register);
        }
    }
    parts
}

/// The emulator's own disassembler names every instruction as ours does.
#[test]
fn names_agree_with_qemu() {
    if !qemu() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "qemu-xtensa is required in CI");
        skipped("names_agree_with_qemu");
        return;
    }
    let code = asm::assemble(BASE, &source(0x00dd_ba11)).unwrap();
    let output = run_qemu("dc233c", "names", &code, &["-d", "in_asm"]);
    let text = String::from_utf8(output.stderr).unwrap();
    let mut compared = 0;
    for line in text.lines() {
        let Some((address, theirs)) = line.split_once(": ") else { continue };
        let Some(address) = address.strip_prefix("0x") else { continue };
        let address = u32::from_str_radix(address, 16).unwrap();
        let bytes = code.get((address - BASE) as usize..).and_then(|rest| rest.first_chunk());
        let ours = disasm(address, *bytes.unwrap());
        assert_eq!(parts(&ours), parts(theirs), "{address:#x}: {ours} / {theirs}");
        compared += 1;
    }
    assert!(compared > 10_000, "{compared} in {text:.400}");
}

/// Runs `code` on the witness.
fn run_qemu(cpu: &str, name: &str, code: &[u8], options: &[&str]) -> Output {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.elf"));
    std::fs::write(&path, elf(code)).unwrap();
    // The emulator only loads what is executable.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new("qemu-xtensa");
    command.args(["-cpu", cpu]).args(options).arg(&path).output().unwrap()
}

#[test]
fn random_programs_agree_with_qemu() {
    if !qemu() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "qemu-xtensa is required in CI");
        skipped("random_programs_agree_with_qemu");
        return;
    }
    for seed in [0x1234_5678, 0x0bad_cafe, 0x5eed_0003] {
        let text = source(seed);
        let code = asm::assemble(BASE, &text).unwrap();
        let output = run_qemu("dc233c", &format!("{seed:x}"), &code, &[]);
        assert_eq!(output.stdout.len(), OUT_BYTES as usize, "qemu: {output:?}");
        let ours = here(&code);
        let records = output.stdout.chunks(RECORD as usize).zip(ours.chunks(RECORD as usize));
        for (number, (theirs, ours)) in records.enumerate() {
            if theirs != ours {
                let start = text.find(&format!("run{number}:")).unwrap();
                let end = text[start..].find("rsr a0").unwrap();
                panic!(
                    "seed {seed:#x}, program {number}\n{}\nqemu {theirs:02x?}\nhere {ours:02x?}",
                    &text[start..start + end]
                );
            }
        }
    }
}

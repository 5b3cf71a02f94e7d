//! The independent witness: Debian's `gdb-multiarch` at a served board.
//!
//! No package of Debian's knows Xtensa, so GDB is told that the registers are those of a PowerPC
//! (the one architecture that steps by the target, takes any byte as an instruction and has its
//! stack pointer in register 1). What it disassembles is nonsense; connecting, registers, memory,
//! steps, breakpoints and watchpoints are real.

use std::{
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use super::{Client, DATA, START, address_of, serve};
use esp32_emulator::gdb::registers;

/// How long the witness may take.
const PATIENCE: Duration = Duration::from_secs(50);
/// Number of a0.
const WINDOW: u32 = 157;
/// PowerPC's other registers, and what stands in for them.
const OTHERS: [(&str, &str); 5] =
    [("msr", "ps"), ("cr", "br"), ("lr", "lbeg"), ("ctr", "lcount"), ("xer", "sar")];

/// The witness's description of the target: r0 to r15 are the window, and all others have their own
/// names, so that the `g` packet's layout is as GDB computes it.
fn description() -> String {
    let mut text = "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target>\
        <architecture>powerpc:common</architecture><feature name=\"org.gnu.gdb.power.core\">"
        .to_owned();
    let mut rest = String::from("</feature><feature name=\"xtensa\">");
    for number in 0..WINDOW + 16 {
        let Some(name) = registers::name(number) else { continue };
        let other = OTHERS.iter().find(|(_, ours)| *ours == name).map(|(theirs, _)| *theirs);
        let core = match number {
            0 => Some("pc".to_owned()),
            WINDOW.. => Some(format!("r{}", number - WINDOW)),
            49..65 => Some(format!("r{}", number - 49 + 16)),
            _ => other.map(str::to_owned),
        };
        let (target, name) = match core {
            Some(name) => (&mut text, name),
            None => (&mut rest, format!("xt_{name}")),
        };
        let kind = if number == 0 { "code_ptr" } else { "uint32" };
        write!(target, "<reg name=\"{name}\" bitsize=\"32\" regnum=\"{number}\" type=\"{kind}\"/>")
            .expect("text");
    }
    text + &rest + "</feature></target>"
}

/// Whether the witness is there; tries to install it once.
fn installed() -> bool {
    let works = || {
        let mut command = Command::new("gdb-multiarch");
        command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if works() {
        return true;
    }
    let mut install = Command::new("apt-get");
    let arguments = ["install", "-y", "-q", "gdb-multiarch"];
    install.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    install.status().is_ok_and(|status| status.success()) && works()
}

#[test]
fn a_real_gdb_works_on_the_served_board() {
    if !installed() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "gdb-multiarch is required in CI");
        // Past the capture of the test's output: nobody shall take this for a check.
        let line = "*** SKIPPED: a_real_gdb_works_on_the_served_board: no gdb-multiarch";
        let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("\n{line}\n").as_bytes());
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("target.xml");
    fs::write(&file, description()).expect("written");
    let process = serve(&[]);
    let mut client = Client::open(&process.port);
    let before_store = address_of("s32i.n a10, a3, 0");
    let script = [
        "set endian little".to_owned(),
        format!("set tdesc filename {}", file.display()),
        format!("target remote {}", process.gdb),
        "printf \"rom %x\\n\", $pc".to_owned(),
        format!("hbreak *{START:#x}"),
        "continue".to_owned(),
        "printf \"entry %x %x\\n\", $pc, $msr".to_owned(),
        format!("x/3xb {START:#x}"),
        "stepi".to_owned(),
        "printf \"step %x\\n\", $pc".to_owned(),
        format!("tbreak *{before_store:#x}"),
        "continue".to_owned(),
        "printf \"break %x %x\\n\", $pc, $r10".to_owned(),
        format!("watch *(unsigned int *){DATA:#x}"),
        "continue".to_owned(),
        format!("printf \"watch %x %x\\n\", $pc, *(unsigned int *){DATA:#x}"),
        "set var $r10 = 0x78".to_owned(),
        "delete".to_owned(),
        "detach".to_owned(),
    ];
    // Without an end of its own it would wait for a breakpoint that never comes.
    let mut gdb = Command::new("timeout");
    gdb.args(["60", "gdb-multiarch", "-nx", "-batch"])
        .args(script.iter().flat_map(|line| ["-ex", line.as_str()]));
    let gdb = gdb.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut gdb = gdb.expect("starts");
    // The client starts when GDB has attached.
    let mut lines = BufReader::new(gdb.stdout.take().expect("piped")).lines().map_while(Result::ok);
    let mut text: Vec<String> = Vec::new();
    while text.last().is_none_or(|line| !line.starts_with("rom")) {
        text.push(lines.next().expect("GDB attaches"));
    }
    let session = thread::spawn(move || {
        client.upload();
        client.send(b"A");
        client.byte(PATIENCE)
    });
    text.extend(lines);
    let output = gdb.wait_with_output().expect("ends");
    // PowerPC stops in front of a watched access, so GDB takes one step more from behind it.
    let behind_store = before_store + 2 + 3;
    for line in [
        "rom 40007c15".to_owned(),
        format!("entry {START:x} 60320"),
        format!("{START:#x}:\t0x36\t0x41\t0x00"),
        format!("step {:x}", START + 3),
        format!("break {before_store:x} 42"),
        "Old value = 0".to_owned(),
        "New value = 66".to_owned(),
        format!("watch {behind_store:x} 42"),
    ] {
        assert!(text.iter().any(|found| found.starts_with(&line)), "{line}: {text:?} {output:?}");
    }
    assert_eq!(session.join().expect("talks"), Some(0x78), "{output:?}");
}

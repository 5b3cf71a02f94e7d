//! The `emulator run` process: programs, traces, profiles, exit statuses, GDB's port.

#![expect(clippy::expect_used, reason = "helpers of tests")]
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Command, Output, Stdio},
};

const CODE: u32 = 0x4008_0000;

/// An image for RAM with one segment.
fn image(source: &str) -> Vec<u8> {
    let mut code = xtensa::asm::assemble(CODE, source).expect("a sound program");
    code.resize(code.len().next_multiple_of(4), 0);
    let mut bytes = vec![0xe9, 1, 2, 0x20];
    bytes.extend(CODE.to_le_bytes());
    bytes.extend([0xee, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend(CODE.to_le_bytes());
    bytes.extend(u32::try_from(code.len()).expect("small").to_le_bytes());
    bytes.extend(&code);
    bytes.resize(bytes.len() / 16 * 16 + 15, 0);
    bytes.push(code.iter().fold(0xef, |sum, byte| sum ^ byte));
    bytes
}

/// Sends what it receives, in capitals, and returns after a full stop.
const ECHO: &str = "j start
        .align 4
read:   .word 0x400092a4
write:  .word 0x40009200
start:  entry a1, 32
again:  l32r a8, read
        callx8 a8
        mov.n a2, a10
        call8 send
        movi a3, 46
        bne a2, a3, again
        retw.n
        .align 4
send:   entry a1, 32
        movi a3, 32
        mov.n a10, a2
        blt a2, a3, plain
        xor a10, a2, a3
plain:  l32r a8, write
        callx8 a8
        retw.n";

fn emulator(folder: &Path, source: &str, arguments: &[&str], input: &[u8]) -> Output {
    let path = folder.join("program.bin");
    fs::write(&path, image(source)).expect("written");
    let mut child = Command::new(env!("CARGO_BIN_EXE_emulator"))
        .arg("run")
        .arg(path)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    child.stdin.take().expect("piped").write_all(input).expect("written");
    child.wait_with_output().expect("ends")
}

#[test]
fn the_uart_is_the_standard_streams_and_the_report_counts() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("names"), "40080024 T send\n4008000c T main\n").expect("written");
    let options = ["--profile", "--json", "--symbols", "names", "--trace", "trace"];
    let output = emulator(folder.path(), ECHO, &options, b"abc.");
    assert_eq!(output.stdout, b"ABC\x0euser code done\r\n", "{output:?}");
    assert_eq!(output.status.code(), Some(0));
    let report: serde_json::Value = serde_json::from_slice(&output.stderr).expect("JSON");
    assert_eq!(report["end"], "returned");
    assert_eq!(report["received-bytes"], 4);
    // Twenty bytes of 87 us, and little more: the line goes both ways at once.
    assert!(report["board-us"].as_u64().is_some_and(|us| (1730..4000).contains(&us)), "{report}");
    let profile = report["profile"].as_array().expect("rows");
    let sum: u64 = profile.iter().filter_map(|row| row["instructions"].as_u64()).sum();
    assert_eq!(report["instructions"], sum);
    let calls = |name: &str| {
        let row = profile.iter().find(|row| row["function"] == name);
        row.and_then(|row| row["calls"].as_u64())
    };
    assert_eq!((calls("send"), calls("uart_tx_one_char")), (Some(4), Some(4)));
    let trace = fs::read_to_string(folder.path().join("trace")).expect("a trace");
    assert!(trace.contains("<send> entry a1, 32"), "{trace}");
}

#[test]
fn exit_statuses() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |source: &str, arguments: &[&str]| {
        let output = emulator(folder.path(), source, arguments, b"");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, text) = run("entry a1, 32\nmovi a3, 0\nl32i a2, a3, 16\nretw.n", &[]);
    assert_eq!(code, Some(4));
    assert!(text.contains("LoadProhibited") && text.contains("l32i a2, a3, 16"), "{text}");
    let (code, text) = run("entry a1, 32\nloop: addi a2, a2, 1\nj loop", &["--limit", "1000"]);
    assert_eq!(code, Some(5));
    assert!(text.starts_with("limit: 1000 instructions"), "{text}");
    assert_eq!(run(ECHO, &[]).0, Some(6), "its input has ended");
    assert_eq!(run(ECHO, &["--tcp", "0"]).0, Some(2));
    assert_eq!(run(ECHO, &["--rom", "missing"]).0, Some(1));
    assert_eq!(run(ECHO, &["--rom", "program.bin"]).0, Some(3));
    // The same program at another entry.
    let second = "entry a1, 32\nbreak 0, 0\n.align 16\nentry a1, 32\nretw.n";
    assert_eq!(run(second, &["--entry", "0x40080010"]).0, Some(0));
}

#[test]
fn gdb_connects_before_the_first_instruction() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("program.bin");
    fs::write(&path, image("entry a1, 32\nmovi a2, 7\nretw.n")).expect("written");
    let mut child = Command::new(env!("CARGO_BIN_EXE_emulator"))
        .arg("run")
        .arg(path)
        .args(["--gdb", "0"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut errors = BufReader::new(child.stderr.take().expect("piped"));
    let mut line = String::new();
    errors.read_line(&mut line).expect("a line");
    let port = line.trim().rsplit(' ').next().expect("an address");
    let mut gdb = TcpStream::connect(port).expect("connects");
    gdb.write_all(b"$p0#a0").expect("written");
    let mut answer = [0; 13];
    gdb.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer[..10], b"+$00000840");
    gdb.write_all(b"+$c#63").expect("written");
    let mut answer = [0; 8];
    gdb.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"+$W00#b7");
    assert_eq!(child.wait().expect("ends").code(), Some(0));
}

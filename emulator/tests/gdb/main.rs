//! GDB at a board that a client uses: `emulator serve --gdb` and `exec --gdb`.

#![expect(clippy::expect_used, reason = "helpers of tests")]

#[path = "../process/mod.rs"]
mod process;
mod remote;
mod witness;

use std::{
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Read, Write},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use esp_protocol::{
    command::{Begin, Data, Request},
    slip,
};
use esp32_emulator::gdb::registers;
use process::Process;
use remote::Remote;

const CODE: u32 = 0x4008_0000;
const DATA: u32 = 0x3ffb_0000;
/// How long nothing may come before it counts as nothing. A board at full pace answers in
/// microseconds.
const SILENCE: Duration = Duration::from_millis(300);

/// Answers each byte with its successor, which it keeps in memory too.
const PROGRAM: &str = "j start
        .align 4
read:   .word 0x400092a4
write:  .word 0x40009200
data:   .word 0x3ffb0000
start:  entry a1, 32
        movi.n a7, 0
again:  l32r a8, read
        callx8 a8
        addi.n a10, a10, 1
        l32r a3, data
        s32i.n a10, a3, 0
        l32r a8, write
        callx8 a8
        j again";
/// `start` of the program.
const START: u32 = CODE + 0x10;

fn program() -> Vec<u8> {
    let mut code = xtensa::asm::assemble(CODE, PROGRAM).expect("a sound program");
    code.resize(code.len().next_multiple_of(4), 0);
    code
}

/// Where an instruction of the program stands.
fn address_of(instruction: &str) -> u32 {
    let image = program();
    let mut pc = START;
    loop {
        let at = (pc - CODE) as usize;
        let mut bytes = [0; 3];
        let len = bytes.len().min(image.len() - at);
        bytes[..len].copy_from_slice(&image[at..at + len]);
        if xtensa::disasm(pc, bytes) == instruction {
            return pc;
        }
        pc += xtensa::decode(pc, bytes).len();
    }
}

struct Served {
    _process: Process,
    port: String,
    gdb: String,
}

fn serve(arguments: &[&str]) -> Served {
    let process = process::serve(&[&["--json", "--gdb", "0"], arguments].concat());
    let ready: serde_json::Value = serde_json::from_str(&process.ready).expect("JSON");
    let text = |name: &str| ready[name].as_str().expect("told").to_owned();
    Served { port: text("port"), gdb: text("gdb"), _process: process }
}

/// A client on the board's port, whose bytes a thread collects.
struct Client {
    port: File,
    heard: mpsc::Receiver<u8>,
}

impl Client {
    fn open(path: &str) -> Self {
        let port = OpenOptions::new().read(true).write(true).open(path).expect("the port opens");
        let mut reader = port.try_clone().expect("a second one");
        let (sender, heard) = mpsc::channel();
        thread::spawn(move || {
            let mut byte = [0];
            while reader.read_exact(&mut byte).is_ok() && sender.send(byte[0]).is_ok() {}
        });
        Self { port, heard }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.port.write_all(bytes).expect("written");
    }

    /// The next byte, or `None` if the board is silent.
    fn byte(&self, patience: Duration) -> Option<u8> {
        self.heard.recv_timeout(patience).ok()
    }

    /// Nothing comes.
    fn is_quiet(&self) -> bool {
        self.byte(SILENCE).is_none()
    }

    fn request(&mut self, request: &Request<'_>) {
        let mut wire = Vec::new();
        slip::encode(&request.emit(), &mut wire);
        self.send(&wire);
    }

    /// The status bytes of the next answer.
    fn answer(&self) -> Vec<u8> {
        let mut frame = Vec::new();
        loop {
            match self.byte(Duration::from_secs(20)).expect("an answer") {
                0xc0 if frame.is_empty() => {}
                0xc0 => return frame.split_off(frame.len() - 4),
                byte => frame.push(byte),
            }
        }
    }

    /// Talks to the ROM until the program is loaded, and asks it to call the program.
    fn upload(&mut self) {
        self.send(&[0x55; 16]);
        self.request(&Request::Sync);
        for _ in 0..8 {
            self.answer();
        }
        let code = program();
        let size = u32::try_from(code.len()).expect("small");
        let begin = Begin { size, blocks: 1, block_size: size, offset: CODE, encrypted: None };
        self.request(&Request::MemBegin(begin));
        assert_eq!(self.answer(), [0; 4]);
        self.request(&Request::MemData(Data { sequence: 0, bytes: code.as_slice().into() }));
        assert_eq!(self.answer(), [0; 4]);
        self.request(&Request::MemEnd { stay: 0, entry: START });
        assert_eq!(self.answer(), [0; 4]);
    }
}

#[expect(clippy::disallowed_methods, reason = "the processes live in wall time")]
fn halt_for_a_while() {
    thread::sleep(SILENCE);
}

#[test]
fn a_halted_board_is_silent_and_its_time_stands_still() {
    let process = serve(&[]);
    let mut client = Client::open(&process.port);
    let mut gdb = Remote::connect(&process.gdb);
    assert_eq!(gdb.ask("?"), "T02thread:1;");
    assert_eq!(gdb.register(0), 0x4000_7c15, "in the ROM");
    client.send(&[0x55; 16]);
    client.request(&Request::Sync);
    assert!(client.is_quiet());
    gdb.send("c");
    for _ in 0..8 {
        client.answer();
    }
    gdb.interrupt();
    assert_eq!(gdb.answer(), "T02thread:1;");
    client.request(&Request::Sync);
    assert!(client.is_quiet());
    // Whoever leaves lets the board go.
    drop(gdb);
    client.answer();
}

#[test]
fn a_stub_author_looks_while_the_client_talks() {
    let process = serve(&[]);
    let mut client = Client::open(&process.port);
    let mut gdb = Remote::connect(&process.gdb);
    gdb.ask("qSupported:swbreak+;hwbreak+");
    assert_eq!(gdb.ask(&format!("Z1,{START:x},3")), "OK");
    gdb.send("c");
    client.upload();
    // The program's first instruction.
    assert_eq!(gdb.answer(), "T05hwbreak:;thread:1;");
    assert_eq!(gdb.register(0), START);
    assert_eq!(gdb.ask("s"), "T05thread:1;");
    assert_eq!(gdb.ask(&format!("Z2,{DATA:x},4")), "OK");
    gdb.send("c");
    client.send(b"A");
    assert_eq!(gdb.answer(), format!("T05watch:{DATA:x};thread:1;"));
    assert_eq!(gdb.register(0), address_of("l32r a8, 0x40080008"));
    assert_eq!(gdb.window(10), u32::from(b'B'));
    assert!(client.is_quiet(), "it is not sent yet");
    // Another answer than the program would give.
    gdb.ask(&format!("P{:x}=78000000", 157 + 10));
    assert_eq!(gdb.ask(&format!("z2,{DATA:x},4")), "OK");
    gdb.send("c");
    assert_eq!(client.byte(Duration::from_secs(20)), Some(b'x'));
    client.send(b"p");
    assert_eq!(client.byte(Duration::from_secs(20)), Some(b'q'));
    // A function of the ROM.
    gdb.interrupt();
    assert_eq!(gdb.answer(), "T02thread:1;");
    assert_eq!(gdb.ask("Z0,40009200,3"), "OK");
    gdb.send("c");
    client.send(b"0");
    assert_eq!(gdb.answer(), "T05swbreak:;thread:1;");
    assert_eq!((gdb.register(0), gdb.window(10)), (0x4000_9200, u32::from(b'1')));
    assert_eq!(gdb.ask("D"), "OK");
    assert_eq!(client.byte(Duration::from_secs(20)), Some(b'1'));
    client.send(b"2");
    assert_eq!(client.byte(Duration::from_secs(20)), Some(b'3'), "no breakpoint is left");
}

#[test]
fn wall_time_under_a_debugger_is_no_time_of_the_board() {
    let process = serve(&["--pace", "real"]);
    let mut client = Client::open(&process.port);
    let mut gdb = Remote::connect(&process.gdb);
    assert_eq!(gdb.ask(&format!("Z1,{START:x},3")), "OK");
    gdb.send("c");
    client.upload();
    gdb.answer();
    let numbers = 0..registers::GENERAL + 100;
    let ccount = numbers.into_iter().find(|n| registers::name(*n).as_deref() == Some("ccount"));
    let ccount = ccount.expect("there is one");
    let clock = |gdb: &mut Remote| gdb.register(ccount);
    let before = clock(&mut gdb);
    halt_for_a_while();
    assert_eq!(clock(&mut gdb), before);
    assert_eq!(gdb.ask("s"), "T05thread:1;");
    // One instruction took one cycle, however long the halt was.
    assert_eq!(clock(&mut gdb).wrapping_sub(before), 1);
    let second = Remote::connect(&process.gdb).refusal();
    assert!(second.contains("in use by another client"), "{second}");
}

#[test]
fn exec_starts_its_client_when_the_debugger_continues() {
    let folder = tempfile::tempdir().expect("a folder");
    let mark = folder.path().join("mark");
    let mut child = Command::new(env!("CARGO_BIN_EXE_emulator"))
        .args(["exec", "--no-lines", "--gdb", "0", "--", "touch"])
        .arg(&mark)
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut line = String::new();
    BufReader::new(child.stderr.take().expect("piped")).read_line(&mut line).expect("a line");
    let address = line.split([' ', ';']).find(|word| word.starts_with("127.")).expect("told");
    let mut gdb = Remote::connect(address);
    assert_eq!(gdb.ask("?"), "T02thread:1;");
    halt_for_a_while();
    assert!(!mark.exists());
    gdb.send("c");
    assert_eq!(child.wait().expect("ends").code(), Some(0));
    assert!(mark.exists());
}

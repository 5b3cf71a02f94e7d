//! A scripted client on a small program.

mod watch;

use proptest::prelude::*;

use super::{packet, *};
use crate::{
    board::{Board, BoardSetup},
    spi::{SpiDevice, Transaction},
    time::{Duration, Instant},
    trace::Trace,
};

struct NoFlash;

impl SpiDevice for NoFlash {
    fn transfer(&mut self, _: Instant, transaction: &mut Transaction<'_>, _: &mut Trace) {
        transaction.miso.fill(0);
    }

    fn busy_until(&self) -> Option<Instant> {
        None
    }
}

const CODE: u32 = 0x4008_0000;
/// Calls a function three times, then loads from nowhere.
const PROGRAM: &str = "entry a1, 32
        movi a3, 0
again:  addi.n a3, a3, 1
        mov.n a10, a3
        call8 double
        bnei a3, 3, again
        movi.n a4, 0
        l32i.n a5, a4, 0
        retw.n
        .align 4
double: entry a1, 32
        add.n a2, a2, a2
        retw.n";

struct Client {
    board: Board<NoFlash>,
    session: Session,
}

impl Client {
    fn new(source: &str) -> Self {
        let image = xtensa::asm::assemble(CODE, source).unwrap();
        let mut board = Board::power_on(BoardSetup::default(), NoFlash);
        let now = board.now();
        board.run_program(now, [(CODE, image.as_slice())], CODE).unwrap();
        let session = Session::start(&mut board);
        Self { board, session }
    }

    fn send(&mut self, wire: &[u8]) -> String {
        let mut out = Vec::new();
        self.session.receive(wire, &mut self.board, &mut out);
        for _ in 0..50 {
            let now = self.board.now() + Duration::from_millis(1);
            self.board.advance(now);
            self.session.poll(&self.board, &mut out);
        }
        String::from_utf8(out).unwrap()
    }

    /// Sends a packet; gives the data of the answer.
    fn ask(&mut self, data: &str) -> String {
        let mut wire = Vec::new();
        packet::encode(data.as_bytes(), &mut wire);
        let answer = self.send(&wire);
        let answer = answer.strip_prefix("+").unwrap();
        match answer.split_once('#') {
            Some((data, _)) => data.strip_prefix('$').unwrap().to_owned(),
            None => answer.to_owned(),
        }
    }

    fn register(&mut self, name: &str) -> u32 {
        let number = (0..173).find(|n| registers::name(*n).as_deref() == Some(name)).unwrap();
        let digits = self.ask(&format!("p{number:x}"));
        u32::from_str_radix(&digits, 16).unwrap().swap_bytes()
    }
}

#[test]
fn break_step_look_and_change() {
    let mut client = Client::new(PROGRAM);
    assert!(client.ask("qSupported:xmlRegisters=i386").contains("qXfer:features:read+"));
    assert_eq!(client.ask("?"), "T02thread:1;");
    assert_eq!(client.register("pc"), CODE);
    assert_eq!(client.ask("s"), "T05thread:1;");
    assert_eq!(client.register("pc"), CODE + 3);
    // The function, once as software and once as hardware breakpoint.
    let double = CODE + 0x18;
    assert_eq!(client.ask(&format!("Z0,{double:x},3")), "OK");
    for round in 1..=2 {
        assert_eq!(client.ask("vCont;c:1"), "T05thread:1;");
        assert_eq!(client.register("pc"), double);
        assert_eq!(client.register("a10"), round, "before ENTRY the caller's window is current");
    }
    // Into the function and over its addition.
    client.ask("s");
    assert_eq!((client.register("a2"), client.register("windowbase")), (2, 5));
    client.ask("vCont;s:1;c");
    assert_eq!(client.register("a2"), 4);
    assert_eq!(client.ask(&format!("z0,{double:x},3")), "OK");
    // Round three is the last; behind it is the bad load.
    assert_eq!(client.ask("c"), "T0bthread:1;");
    assert_eq!(client.register("a3"), 3);
    assert_eq!(client.register("excvaddr"), 0);
    // Past it by hand.
    let pc = client.register("pc");
    assert_eq!(client.ask(&format!("P0={:08x}", (pc + 2).swap_bytes())), "OK");
    assert_eq!(client.ask("c"), "W00");
    assert_eq!(client.ask("g"), "E01");
}

#[test]
fn memory_and_general_registers() {
    let mut client = Client::new(PROGRAM);
    assert_eq!(client.ask("m40080000,3"), "364100");
    assert_eq!(client.ask("M3ffb0000,4:01020304"), "OK");
    assert_eq!(client.ask("m3ffb0002,2"), "0304");
    assert_eq!(client.ask("X3ffb0000,1:#"), "OK", "escaped on the wire");
    assert_eq!(client.ask("m3ffb0000,1"), "23");
    assert_eq!(client.ask("m20000000,4"), "E01");
    assert_eq!(client.ask("m3ff40000,4"), "E01", "a look would take a byte from the FIFO");
    let all = client.ask("g");
    assert_eq!(all.len(), 105 * 8);
    assert_eq!(all[..8], *"00000840");
    // a1 of window 1 is physical register 5.
    assert_eq!(all[8 * 6..8 * 7], *"b03efe3f");
    let changed = format!("{}78563412{}", &all[..8 * 7], &all[8 * 8..]);
    assert_eq!(client.ask(&format!("G{changed}")), "OK");
    assert_eq!(client.register("a2"), 0x1234_5678);
    let xml = client.ask("qXfer:features:read:target.xml:0,40");
    assert!(xml.starts_with("m<?xml"), "{xml}");
}

#[test]
fn control_c_stops_an_endless_loop_and_detaching_lets_it_go() {
    let mut client = Client::new("entry a1, 32\nloop: addi a2, a2, 1\nj loop");
    assert_eq!(client.ask("c"), "");
    let stopped = client.send(&[3]);
    assert!(stopped.starts_with("$T02"), "{stopped}");
    let before = client.register("a2");
    assert_eq!(client.ask("D"), "OK");
    assert_eq!(client.session.outcome(), Some(Outcome::Detached));
    assert_ne!(registers::read(client.board.core().unwrap(), 0), None);
    assert!(client.board.core().unwrap().a(2) > before);
}

#[test]
fn breaks_in_the_code_and_returns_are_told() {
    let mut client = Client::new("entry a1, 32\nbreak 1, 1\nmovi a2, 7\nretw.n");
    assert_eq!(client.ask("c"), "T05thread:1;");
    assert_eq!(client.register("pc"), CODE + 3);
    assert_eq!(client.ask("c"), "W00");
    client.ask("k");
    assert_eq!(client.session.outcome(), Some(Outcome::Killed));
}

#[test]
fn damaged_packets_are_asked_for_again_and_answers_repeated() {
    let mut client = Client::new(PROGRAM);
    assert_eq!(client.send(b"$?#00"), "-");
    assert_eq!(client.send(b"$?#3f"), "+$T02thread:1;#d4");
    assert_eq!(client.send(b"-"), "$T02thread:1;#d4");
    assert_eq!(client.ask("QStartNoAckMode"), "OK");
    assert_eq!(client.send(b"$qC#b4"), "$QC1#c5");
}

proptest! {
    #[test]
    fn nothing_that_a_client_sends_panics(
        packets in prop::collection::vec(("[gGpPmMXzZcsvqQDkHT?][ -~]{0,40}", any::<bool>()), 0..20),
        noise in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut client = Client::new(PROGRAM);
        let mut wire = noise;
        for (text, sound) in packets {
            if sound {
                packet::encode(text.as_bytes(), &mut wire);
            } else {
                wire.extend(text.bytes());
            }
        }
        let mut out = Vec::new();
        client.session.receive(&wire, &mut client.board, &mut out);
        let now = client.board.now() + Duration::from_millis(1);
        client.board.advance(now);
        client.session.poll(&client.board, &mut out);
    }
}

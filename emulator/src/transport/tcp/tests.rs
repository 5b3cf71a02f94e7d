//! Over loopback, one service call at a time; nothing here depends on how long it takes.

use std::io::{Read, Write};

use super::*;
use crate::transport::line::{RawSession, SerialLine};

/// Sends back what it gets, and takes no more while `full`.
#[derive(Debug, Default)]
struct Echo {
    received: Vec<u8>,
    full: bool,
}

impl SerialLine for Echo {
    fn receive(&mut self, bytes: &[u8]) {
        self.received.extend_from_slice(bytes);
    }

    fn has_room(&self) -> bool {
        !self.full
    }

    fn set_lines(&mut self, _dtr: bool, _rts: bool) {}

    fn set_baud(&mut self, _rate: u32) {}
}

struct Bench {
    server: TcpServer<RawSession>,
    board: Echo,
}

impl Bench {
    fn new() -> Self {
        let address = listen_address("0").unwrap();
        Self { server: TcpServer::bind(address).unwrap(), board: Echo::default() }
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(self.server.local_addr().unwrap()).unwrap()
    }

    fn turn(&mut self) -> Activity {
        let activity = self.server.service(&mut self.board, |_| RawSession::default());
        if let Some(session) = self.server.session() {
            session.transmit(&std::mem::take(&mut self.board.received));
        }
        self.server.flush();
        activity
    }

    /// Turns until `done`, waiting in poll(2) as a loop would.
    fn until(&mut self, mut done: impl FnMut(&Self, Activity) -> bool) {
        for _ in 0..1000 {
            let activity = self.turn();
            if done(self, activity) {
                return;
            }
            let mut fds = Vec::new();
            self.server.poll_fds(&mut fds);
            let wait = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };
            poll(&mut fds, Some(&wait)).unwrap();
        }
        panic!("not done in 1000 turns");
    }
}

#[test]
fn bytes_go_both_ways() {
    let mut bench = Bench::new();
    let mut client = bench.connect();
    client.write_all(b"hello").unwrap();
    bench.until(|_, activity| activity.received_count > 0);
    let mut answer = [0; 5];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"hello");
}

#[test]
fn a_second_client_is_told_and_the_first_stays() {
    let mut bench = Bench::new();
    let mut first = bench.connect();
    bench.until(|_, activity| activity.connected);
    let mut second = bench.connect();
    bench.until(|_, activity| activity.refused_count == 1);
    let mut told = Vec::new();
    second.read_to_end(&mut told).unwrap();
    assert_eq!(told, BUSY_LINE);
    first.write_all(b"still here").unwrap();
    bench.until(|_, activity| activity.received_count > 0);
    let mut answer = [0; 10];
    first.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"still here");
}

#[test]
fn clients_come_and_go() {
    let mut bench = Bench::new();
    for _ in 0..100 {
        let mut client = bench.connect();
        client.write_all(b"ping").unwrap();
        bench.until(|_, activity| activity.received_count > 0);
        let mut answer = [0; 4];
        client.read_exact(&mut answer).unwrap();
        drop(client);
    }
    bench.until(|bench, _| bench.server.client.is_none());
}

#[test]
fn who_comes_after_a_long_goodbye_is_served() {
    let mut bench = Bench::new();
    bench.board.full = true;
    let mut first = bench.connect();
    bench.until(|_, activity| activity.connected);
    // More than one read, less than a socket holds.
    first.write_all(&vec![0; 0x8000]).unwrap();
    bench.turn();
    drop(first);
    let mut second = bench.connect();
    second.write_all(b"x").unwrap();
    for _ in 0..10 {
        assert_eq!(bench.turn().refused_count, 0, "it waits");
    }
    bench.board.full = false;
    bench.until(|_, activity| activity.connected);
}

#[test]
fn a_flood_both_ways_arrives_whole() {
    const LEN: usize = 4 << 20;
    let mut bench = Bench::new();
    let client = bench.connect();
    let mut writer = client.try_clone().unwrap();
    let data: Vec<u8> = (0..LEN).map(|i| u8::try_from(i * 7 % 251).unwrap()).collect();
    let expected = data.clone();
    let write = std::thread::spawn(move || writer.write_all(&data).unwrap());
    let mut reader = client;
    let read = std::thread::spawn(move || {
        let mut got = vec![0; LEN];
        reader.read_exact(&mut got).unwrap();
        got
    });
    let mut received_count = 0;
    for _ in 0..1_000_000 {
        // A board gives no more output than its session takes.
        bench.board.full = bench.server.session().is_some_and(|session| session.room() < LEN / 8);
        received_count += bench.turn().received_count;
        if received_count == LEN && bench.server.session().is_none_or(|s| s.pending().is_empty()) {
            break;
        }
    }
    write.join().unwrap();
    assert!(read.join().unwrap() == expected);
}

#[test]
fn a_client_that_never_reads_does_not_grow_the_server() {
    let mut bench = Bench::new();
    let mut client = bench.connect();
    client.set_nonblocking(true).unwrap();
    let chunk = [0x55; 0x4000];
    for _ in 0..2000 {
        let _ = client.write(&chunk);
        bench.turn();
        let room = bench.server.session().map(|session| session.room());
        bench.board.full = room == Some(0);
    }
    let client = bench.server.client.as_ref().unwrap();
    assert!(client.backlog.len() <= CHUNK_LEN);
    assert_eq!(client.session.room(), 0);
}

#[test]
fn addresses() {
    assert_eq!(listen_address("4000").unwrap().to_string(), "127.0.0.1:4000");
    assert_eq!(listen_address("0.0.0.0:4000").unwrap().to_string(), "0.0.0.0:4000");
    assert_eq!(listen_address("[::1]:1").unwrap().to_string(), "[::1]:1");
    assert!(listen_address("70000").is_err());
    assert!(listen_address("localhost").unwrap_err().to_string().contains("127.0.0.1"));
}

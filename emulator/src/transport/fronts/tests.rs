//! A whole board behind every front at once, over loopback; no test depends on how long it takes.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    os::unix::net::UnixDatagram,
    time::Duration,
};

use super::*;
use crate::{
    case::{CaseBoard, LoadedBoard},
    trace::Event,
    transport::{
        server::{Handle, Options, Server},
        tcp::listen_address,
    },
};

/// SYNC as it is on the wire (ROM-FACTS 3.1).
fn sync() -> Vec<u8> {
    let mut frame = vec![0xC0, 0, 8, 36, 0, 0, 0, 0, 0, 7, 7, 0x12, 0x20];
    frame.extend([0x55; 32]);
    frame.push(0xC0);
    frame
}

struct Bench {
    board: Handle<CaseBoard>,
    rfc2217: SocketAddr,
    raw: SocketAddr,
    serprog: SocketAddr,
    modem: PathBuf,
    _folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let board = LoadedBoard::with_part("W25Q32JV").into_board().unwrap();
        let mut server = Server::open(board, &Options::default()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let any = listen_address("0").unwrap();
        let fronts = server.fronts();
        let rfc2217 = fronts.listen_rfc2217(any).unwrap();
        let raw = fronts.listen_raw(any).unwrap();
        let serprog = fronts.listen_serprog(any).unwrap();
        let modem = fronts.listen_modem(&folder.path().join("modem")).unwrap();
        let board = server.into_thread().unwrap();
        Self { board, rfc2217, raw, serprog, modem, _folder: folder }
    }

    fn resets_count(&self) -> usize {
        let count = |board: &mut CaseBoard| {
            let entries = board.trace().entries();
            entries.filter(|entry| matches!(entry.event, Event::HostReset { .. })).count()
        };
        self.board.with(count).unwrap()
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// Reads until `wanted` has come.
fn read_until(stream: &mut TcpStream, wanted: &[u8]) {
    let mut got = Vec::new();
    let mut chunk = [0; 4096];
    while !got.windows(wanted.len()).any(|window| window == wanted) {
        let count = stream.read(&mut chunk).unwrap();
        assert!(count > 0, "the connection ended after {got:02x?}");
        got.extend_from_slice(&chunk[..count]);
    }
}

/// Writes garbage and reads whatever comes back, so that neither side waits for the other.
fn pour_garbage(address: SocketAddr, seed: u64) {
    let mut stream = connect(address);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut chunk = [0; 4096];
    for _ in 0..100 {
        let garbage: Vec<u8> = (0..2000)
            .map(|_| if random.bool() { random.u8(..) } else { random.u8(0xF0..) })
            .collect();
        stream.set_nonblocking(true).unwrap();
        let mut rest = &garbage[..];
        while !rest.is_empty() {
            match stream.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
                Err(error) => panic!("the connection ended: {error}"),
            }
            while matches!(stream.read(&mut chunk), Ok(1..)) {}
        }
    }
}

#[test]
fn the_rom_answers_over_bare_tcp() {
    let bench = Bench::new();
    let mut stream = connect(bench.raw);
    stream.write_all(&sync()).unwrap();
    read_until(&mut stream, &[0xC0, 1, 8]);
}

#[test]
fn the_rom_answers_over_rfc2217_after_a_reset_by_lines() {
    let bench = Bench::new();
    let before = bench.resets_count();
    let mut stream = connect(bench.rfc2217);
    // DTR off, RTS on: EN low. DTR on, RTS off: EN rises with GPIO0 low.
    for control in [9, 11, 8, 12] {
        stream.write_all(&[255, 250, 44, 5, control, 255, 240]).unwrap();
    }
    read_until(&mut stream, b"waiting for download\r\n");
    stream.write_all(&sync()).unwrap();
    read_until(&mut stream, &[0xC0, 1, 8]);
    assert_eq!(bench.resets_count(), before + 1);
}

#[test]
fn frames_of_the_rfc2217_client_count_and_end_with_it() {
    let bench = Bench::new();
    let mut stream = connect(bench.rfc2217);
    // SET-BAUDRATE 115200, SET-DATASIZE 7, SET-PARITY even; then a reset into the loader.
    stream.write_all(&[255, 250, 44, 1, 0, 1, 0xC2, 0, 255, 240]).unwrap();
    stream.write_all(&[255, 250, 44, 2, 7, 255, 240, 255, 250, 44, 3, 3, 255, 240]).unwrap();
    stream.write_all(&[sync(), sync()].concat()).unwrap();
    // Each change is answered behind what it stood behind; there is no SYNC answer before.
    stream.write_all(&[255, 250, 44, 12, 2, 255, 240]).unwrap();
    let mut got = Vec::new();
    let mut chunk = [0; 4096];
    while !got.windows(5).any(|window| window == [255, 250, 44, 112, 2]) {
        let count = stream.read(&mut chunk).unwrap();
        assert!(count > 0, "the connection ended after {got:02x?}");
        got.extend_from_slice(&chunk[..count]);
    }
    assert!(got.windows(5).any(|window| window == [255, 250, 44, 102, 7]));
    assert!(!got.windows(3).any(|window| window == [0xC0, 1, 8]), "{got:02x?}");
    drop(stream);
    // The next client has the usual frames until it says otherwise.
    let mut stream = connect(bench.raw);
    stream.write_all(&[&[0xC0][..], &sync(), &sync()].concat()).unwrap();
    read_until(&mut stream, &[0xC0, 1, 8]);
}

#[test]
fn lines_of_the_preload_library_reset_the_board() {
    let bench = Bench::new();
    let before = bench.resets_count();
    let client = UnixDatagram::bind(bench.modem.with_extension("client")).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut answer = [0; 2];
    for (request, lines) in [([1, 2, 1], 2), ([1, 1, 2], 1), ([1, 0, 0], 1)] {
        client.send_to(&request, &bench.modem).unwrap();
        client.recv(&mut answer).unwrap();
        assert_eq!(answer, [1, lines]);
    }
    assert_eq!(bench.resets_count(), before + 1);
}

#[test]
fn serprog_reads_the_parts_identity() {
    let bench = Bench::new();
    let mut stream = connect(bench.serprog);
    stream.write_all(&[0x13, 1, 0, 0, 3, 0, 0, 0x9F]).unwrap();
    read_until(&mut stream, &[0x06, 0xEF, 0x40, 0x16]);
}

#[test]
fn garbage_on_every_front_leaves_a_board_that_works() {
    let bench = Bench::new();
    for seed in 0..3 {
        pour_garbage(bench.raw, seed);
        pour_garbage(bench.rfc2217, seed);
        pour_garbage(bench.serprog, seed);
    }
    let client = UnixDatagram::bind(bench.modem.with_extension("client")).unwrap();
    for length in 0..8 {
        client.send_to(&vec![0xFF; length], &bench.modem).unwrap();
    }
    // A client that has gone makes room at the next turn of the loop.
    bench.board.with(|board| board.power_cycle(board.now())).unwrap();
    let mut stream = connect(bench.serprog);
    stream.write_all(&[0x13, 1, 0, 0, 3, 0, 0, 0x9F]).unwrap();
    read_until(&mut stream, &[0x06, 0xEF, 0x40, 0x16]);
    let mut stream = connect(bench.raw);
    bench.board.with(|board| board.host_reset(board.now())).unwrap();
    stream.write_all(&[0xC0]).unwrap();
    stream.write_all(&sync()).unwrap();
    read_until(&mut stream, &[0xC0, 1, 8]);
    bench.board.shutdown().unwrap();
}

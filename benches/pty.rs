//! A 1,611,488-byte image written over a PTY, against pushing as many bytes through a bare PTY pair:
//! in this process on a connected board, and as whole processes.

#![expect(clippy::expect_used, reason = "a bench stops where something is wrong")]

#[path = "../tests/hosted/emulator.rs"]
#[allow(dead_code, reason = "the hosted tests use all of it")]
mod emulator;
#[path = "support/process.rs"]
mod process;
mod support;

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::AsFd,
    path::Path,
    time::Duration,
};

use criterion::{Criterion, criterion_group};
use esp32_emulator::transport::server::{Options, Server};
use esp32_flasher::{
    port::serial::SerialPort,
    session::Session,
    write::{Compression, Image, WriteOptions},
};
use pty_process::blocking::Pty;
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

/// What writing may take, in times of the bare PTY.
const RATIO_MAX: f64 = 3.0;
/// Pairs of one write and one bare push.
const PAIRS: usize = 15;
/// The image of the public thread (esptool issue 915).
const IMAGE_BYTES: usize = 1_611_488;
const BAUD: u32 = 115_200;
/// Block of the ROM loader, and the bytes of its answer.
const BLOCK_BYTES: usize = 0x1800;
const ANSWER_BYTES: usize = 14;

/// What `flasher write` does, from the connected board on: write and verify.
fn write(session: &mut Session, image: &Image, compression: Compression) {
    let options = WriteOptions { compression, ..WriteOptions::default() };
    session.write_image(image, options, &mut |_| {}).expect("the flash holds the image");
}

fn connect(path: &Path) -> Session {
    let path = path.to_str().expect("PTY paths are ASCII");
    support::connect(Box::new(SerialPort::open(path, BAUD).expect("the PTY opens")))
}

/// A raw PTY pair: master, and a writer on the slave's side.
fn pair() -> (Pty, File) {
    let (master, slave) = pty_process::blocking::open().expect("a PTY");
    let mut termios = tcgetattr(&master).expect("it is a terminal");
    termios.make_raw();
    tcsetattr(&master, OptionalActions::Now, &termios).expect("it is ours");
    (master, File::from(slave.as_fd().try_clone_to_owned().expect("a descriptor")))
}

/// Reads `count` bytes.
fn take(from: &mut impl Read, count: usize, buffer: &mut [u8]) {
    let mut left = count;
    while left > 0 {
        left -= from.read(buffer).expect("the other side is there");
    }
}

/// Pushes `data` from the slave to the master of a raw PTY pair; ends when all has arrived.
fn push(data: &[u8]) {
    let (mut master, mut slave) = pair();
    std::thread::scope(|scope| {
        scope.spawn(move || slave.write_all(data).expect("the PTY takes the bytes"));
        take(&mut master, data.len(), &mut [0; 8 << 10]);
    });
}

/// The same in blocks that are answered one by one, which is the protocol's shape.
fn push_and_answer(data: &[u8]) {
    let (mut master, mut slave) = pair();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for block in data.chunks(BLOCK_BYTES) {
                slave.write_all(block).expect("the PTY takes the bytes");
                take(&mut slave, ANSWER_BYTES, &mut [0; ANSWER_BYTES]);
            }
        });
        let mut buffer = [0; 8 << 10];
        for block in data.chunks(BLOCK_BYTES) {
            take(&mut master, block.len(), &mut buffer);
            master.write_all(&[0; ANSWER_BYTES]).expect("the PTY takes the answer");
        }
    });
}

fn pty(criterion: &mut Criterion) {
    let image = support::image(0x1000, IMAGE_BYTES);
    let server = Server::spawn(support::board(), &Options::default()).expect("a PTY");
    let mut session = connect(server.path());

    let bare = support::best(20, || push(&image.data));
    let steps = support::best(20, || push_and_answer(&image.data));
    let what = "1,611,488 bytes over a bare PTY, answered blocks";
    support::report_ratio(what, steps, "bare PTY", bare, None);
    let took = support::best(20, || write(&mut session, &image, Compression::WhereItPays));
    support::report_ratio(
        "1,611,488 bytes written over a PTY",
        took,
        "bare PTY",
        bare,
        Some(RATIO_MAX),
    );
    let what = "1,611,488 bytes written over a PTY / bare PTY";
    let written = || write(&mut session, &image, Compression::WhereItPays);
    support::report_pairs(what, PAIRS, RATIO_MAX, written, || push(&image.data));
    process::compare(&image.data, RATIO_MAX);
    let took = support::best(10, || write(&mut session, &image, Compression::Always));
    support::report_ratio("1,611,488 bytes the same, deflated", took, "bare PTY", bare, None);

    let mut group = criterion.benchmark_group("pty");
    group.sample_size(10);
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2));
    group.bench_function("write 1,611,488 bytes", |b| {
        b.iter(|| write(&mut session, &image, Compression::WhereItPays));
    });
    group.bench_function("bare PTY", |b| b.iter(|| push(&image.data)));
    group.finish();
    server.shutdown().expect("the server ends");
}

criterion_group!(benches, pty);

fn main() {
    if process::push_if_asked() {
        return;
    }
    benches();
    Criterion::default().configure_from_args().final_summary();
}

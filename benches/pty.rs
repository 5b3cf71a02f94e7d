//! A 1,611,488-byte image written over a PTY, against pushing as many bytes through a bare PTY pair.

#![expect(clippy::expect_used, reason = "a bench stops where something is wrong")]

mod support;

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::AsFd,
    path::Path,
    time::Duration,
};

use criterion::{Criterion, criterion_group, criterion_main};
use esp32_emulator::transport::server::{Options, Server};
use esp32_flasher::{
    port::serial::SerialPort,
    session::Session,
    write::{Image, Prepared},
};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

/// The image of the public thread (esptool issue 915).
const IMAGE_BYTES: usize = 1_611_488;
const BAUD: u32 = 115_200;

/// What `flasher write` does, from the connected board on: prepare, write, verify.
fn write(session: &mut Session, image: &Image, compress: bool) {
    let prepared = Prepared::new(image, session.dialect(), compress);
    session.write(&prepared, &mut |_| {}).expect("the board takes the image");
    session.verify(&prepared).expect("the flash holds the image");
}

fn connect(path: &Path) -> Session {
    let path = path.to_str().expect("PTY paths are ASCII");
    support::connect(Box::new(SerialPort::open(path, BAUD).expect("the PTY opens")))
}

/// Pushes `data` from the slave to the master of a raw PTY pair; ends when all has arrived.
fn push(data: &[u8]) {
    let (mut master, slave) = pty_process::blocking::open().expect("a PTY");
    let mut termios = tcgetattr(&master).expect("it is a terminal");
    termios.make_raw();
    tcsetattr(&master, OptionalActions::Now, &termios).expect("it is ours");
    let mut writer = File::from(slave.as_fd().try_clone_to_owned().expect("a descriptor"));
    std::thread::scope(|scope| {
        scope.spawn(move || writer.write_all(data).expect("the PTY takes the bytes"));
        let mut buffer = vec![0; 64 << 10];
        let mut left = data.len();
        while left > 0 {
            left -= master.read(&mut buffer).expect("the writer is there");
        }
    });
}

fn pty(criterion: &mut Criterion) {
    let image = support::image(0x1000, IMAGE_BYTES);
    let server = Server::spawn(support::board(), &Options::default()).expect("a PTY");
    let mut session = connect(server.path());

    let bare = support::best(7, || push(&image.data));
    for (kind, compress) in [("deflated", true), ("raw", false)] {
        let took = support::best(7, || write(&mut session, &image, compress));
        let what = format!("1,611,488 bytes over a PTY, {kind}");
        support::report_ratio(&what, took, "bare PTY", bare, Some(3.0));
    }

    let mut group = criterion.benchmark_group("pty");
    group.sample_size(10);
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2));
    group.bench_function("write 1,611,488 bytes", |b| b.iter(|| write(&mut session, &image, true)));
    group.bench_function("bare PTY", |b| b.iter(|| push(&image.data)));
    group.finish();
    server.shutdown().expect("the server ends");
}

criterion_group!(benches, pty);
criterion_main!(benches);

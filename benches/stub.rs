//! Flashing 1 MiB of incompressible data through the stubs that esptool carries, in process: the
//! real stub code on the interpreter, the flasher as the client, virtual time.

#![expect(clippy::expect_used, clippy::print_stderr, reason = "a bench says what is missing")]

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use criterion::{Criterion, criterion_group, criterion_main};
use esp32_flasher::{
    port::virtual_board::{VirtualPort, factory_board},
    reset::ResetStrategy,
    session::Session,
    stub::Stub,
    write::{Image, Prepared},
};

/// What is flashed.
const BYTES: usize = 1 << 20;
/// Issue 3: the longest that it may take.
const LIMIT: Duration = Duration::from_secs(1);

/// The stub files of the newest installed esptool, which the hosted tests install.
fn stubs() -> Vec<(String, Stub)> {
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients/esptool-5.6.0/lib");
    let python = fs::read_dir(clients).ok().and_then(|mut found| found.next());
    let Some(Ok(python)) = python else { return Vec::new() };
    let folder = python.path().join("site-packages/esptool/targets/stub_flasher");
    let read = |generation: &str| {
        let text = fs::read_to_string(folder.join(generation).join("esp32.json")).ok()?;
        Some((format!("stub {generation}"), Stub::from_json(&text).ok()?))
    };
    ["1", "2"].into_iter().filter_map(read).collect()
}

/// A session with the stub on a new board.
fn session(stub: &Stub) -> Session {
    let board = factory_board("W25Q128FV").expect("part of the catalogue");
    let port = VirtualPort::new("bench", Arc::new(Mutex::new(board)));
    let mut session = Session::new(Box::new(port));
    session.connect(&[ResetStrategy::none()], 3).expect("the loader answers");
    session.start_stub(stub, &mut |_| {}).expect("the stub starts");
    session.attach_flash().expect("there is a flash");
    session
}

fn flash_one_mebibyte(criterion: &mut Criterion) {
    let stubs = stubs();
    if stubs.is_empty() {
        eprintln!(
            "*** no stub files in target/clients: `cargo test --test hosted stubs` gets them"
        );
    }
    let mut random = fastrand::Rng::with_seed(1);
    let data: Vec<u8> = (0..BYTES).map(|_| random.u8(..)).collect();
    let image = Image { offset: 0x1000, data, name: "noise".to_owned() };
    for (name, stub) in stubs {
        let prepared = Prepared::new(&image, session(&stub).dialect(), false);
        let mut fastest = Duration::MAX;
        criterion.bench_function(&format!("{name}: write and verify 1 MiB"), |bencher| {
            bencher.iter_custom(|rounds| {
                let mut total = Duration::ZERO;
                for _ in 0..rounds {
                    let mut session = session(&stub);
                    #[expect(clippy::disallowed_methods, reason = "a bench measures")]
                    let start = std::time::Instant::now();
                    session.write(&prepared, &mut |_| {}).expect("it takes the data");
                    session.verify(&prepared).expect("it holds the data");
                    let took = start.elapsed();
                    fastest = fastest.min(took);
                    total += took;
                }
                total
            });
        });
        let ratio = LIMIT.as_secs_f64() / fastest.as_secs_f64();
        eprintln!("{name}: fastest {fastest:.3?}, {ratio:.1} times as fast as the limit of 1 s");
    }
}

criterion_group! {
    name = stub;
    config = Criterion::default().sample_size(10).measurement_time(Duration::from_secs(5));
    targets = flash_one_mebibyte
}
criterion_main!(stub);

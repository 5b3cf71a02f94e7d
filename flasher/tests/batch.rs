//! Batches of virtual boards: mixed parts, some protected, one on a bad line, one dead.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "tests")]

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use esp32_emulator::{case::CaseBoard, fault::link::LinkNoise, time};
use esp32_flasher::{
    batch::{self, BatchEvent, Outcome, Plan, Record, Summary, Unprotect},
    port::{
        Lines, Port, PortError, VIRTUAL_PREFIX,
        noisy::{NoiseReport, NoisyPort},
        virtual_board::{VirtualPort, board},
    },
};

const PARTS: [&str; 6] =
    ["W25Q32JV", "GD25Q32C", "W25Q128FV", "GD25Q128E", "W25Q32FV", "BY25Q64AS"];
const BOARDS: usize = 32;
const FLAKY: usize = 5;
const DEAD: usize = 17;

/// Every tenth is protected in a way that the ROM does not undo by itself.
fn port_name(at: usize) -> String {
    match at {
        _ if at % 10 == 3 => format!("virtual:wps-locked#{at}"),
        _ => format!("virtual:{}#{at}", PARTS[at % PARTS.len()]),
    }
}

/// Nobody is there.
struct DeadPort(Duration);

impl Port for DeadPort {
    fn name(&self) -> &'static str {
        "dead"
    }
    fn write(&mut self, _: &[u8]) -> Result<(), PortError> {
        Ok(())
    }
    fn read(&mut self, _: &mut Vec<u8>, deadline: Duration) -> Result<usize, PortError> {
        self.0 = self.0.max(deadline);
        Ok(0)
    }
    fn set_lines(&mut self, _: Lines) -> Result<(), PortError> {
        Ok(())
    }
    fn set_baud(&mut self, _: u32) -> Result<(), PortError> {
        Ok(())
    }
    fn flush_input(&mut self) -> Result<(), PortError> {
        Ok(())
    }
    fn now(&self) -> Duration {
        self.0
    }
    fn wait(&mut self, span: Duration) {
        self.0 += span;
    }
}

/// Boards that stay, so that their flash can be looked at and a batch can be run again.
#[derive(Default)]
struct Rack {
    boards: Mutex<BTreeMap<String, Arc<Mutex<CaseBoard>>>>,
    noise: Mutex<Arc<Mutex<NoiseReport>>>,
}

impl Rack {
    fn board(&self, name: &str) -> Arc<Mutex<CaseBoard>> {
        let mut boards = self.boards.lock().unwrap();
        let make =
            || Arc::new(Mutex::new(board(name.strip_prefix(VIRTUAL_PREFIX).unwrap()).unwrap()));
        Arc::clone(boards.entry(name.to_owned()).or_insert_with(make))
    }

    fn open(&self, name: &str) -> Box<dyn Port> {
        if name == port_name(DEAD) {
            return Box::new(DeadPort(Duration::ZERO));
        }
        let port = VirtualPort::new(name, self.board(name));
        if name == port_name(FLAKY) {
            let noise = LinkNoise {
                flips_per_million: 50,
                drops_per_million: 50,
                doubles_per_million: 50,
                delays_per_million: 50,
                delay_max: time::Duration::from_millis(20),
                ..LinkNoise::default()
            };
            let port = NoisyPort::new(port, noise, 0, 7);
            *self.noise.lock().unwrap() = port.report();
            return Box::new(port);
        }
        Box::new(port)
    }

    fn cells(&self, name: &str, address: u32, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        let board = self.board(name);
        let board = board.lock().unwrap();
        board.flash().nor().read_cells(address, &mut bytes);
        bytes
    }
}

fn image(len: usize) -> Vec<u8> {
    (0..len as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 23) as u8).collect()
}

fn plan(folder: &Path, ports: &[String], bytes: usize) -> Plan {
    fs::write(folder.join("app.bin"), image(bytes)).unwrap();
    let text = format!(
        r#"
        ports = {ports:?}
        record = "records"
        parallel = 4
        serial = {{ first = 100, digits = 4 }}
        [[image]]
        address = 0x10000
        file = "app.bin"
        [[board_data]]
        address = 0x200000
        size = 40
        text = "{{serial}} {{mac:}}"
        "#
    );
    Plan::parse(&text, folder).unwrap()
}

fn run(plan: &Plan, rack: &Rack) -> (Summary, BTreeMap<String, Outcome>) {
    let mut ends = BTreeMap::new();
    let stop = AtomicBool::new(false);
    let summary = batch::run(plan, &|name, _| Ok(rack.open(name)), &stop, &mut |event| {
        if let BatchEvent::BoardFinished { port, outcome, .. } = event {
            ends.insert(port.clone(), *outcome);
        }
    });
    (summary.unwrap(), ends)
}

fn records(folder: &Path) -> Vec<Record> {
    let files = fs::read_dir(folder.join("records")).unwrap().map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .map(|path| serde_json::from_slice(&fs::read(path).unwrap()).unwrap())
        .collect()
}

#[test]
fn thirty_two_boards() {
    let folder = tempfile::tempdir().unwrap();
    let ports: Vec<String> = (0..BOARDS).map(port_name).collect();
    let mut plan = plan(folder.path(), &ports, 60_000);
    let rack = Rack::default();
    let (summary, ends) = run(&plan, &rack);
    let of = |outcome| ends.values().filter(|end| **end == outcome).count();
    assert_eq!((of(Outcome::Protected), of(Outcome::NoAnswer)), (3, 1), "{ends:?}");
    assert_eq!(summary, Summary { done: 28, failed: 4, ..Summary::default() });
    assert_eq!(summary.exit_code(), 104);
    let noise = *rack.noise.lock().unwrap().lock().unwrap();
    assert!(noise.sent.flips + noise.sent.drops + noise.sent.doubles > 3, "{noise:?}");
    for (at, port) in ports.iter().enumerate() {
        if ends[port] == Outcome::Done {
            assert!(rack.cells(port, 0x1_0000, 60_000) == image(60_000), "{port}");
            let data = String::from_utf8_lossy(&rack.cells(port, 0x20_0000, 22)).into_owned();
            assert!(data.ends_with(&format!(" 24:0a:c4:00:00:{at:02x}")), "{data}");
        } else if at != DEAD {
            let untouched = Rack::default().cells(port, 0x1_0000, 60_000);
            assert!(rack.cells(port, 0x1_0000, 60_000) == untouched, "{port}");
        }
    }
    let kept = records(folder.path());
    assert_eq!(kept.len(), BOARDS);
    let mut serials: Vec<u64> = kept.iter().filter_map(|record| record.serial).collect();
    serials.sort_unstable();
    assert_eq!(serials, (100..131).collect::<Vec<u64>>(), "each once, none for the dead one");

    // Again, with leave to lift: only what failed is done, and every board keeps its number.
    plan.resume = true;
    plan.unprotect = Unprotect::Lift;
    let (summary, ends) = run(&plan, &rack);
    assert_eq!(summary, Summary { done: 3, skipped: 28, failed: 1, not_started: 0 }, "{ends:?}");
    for port in ports.iter().filter(|port| port.contains("wps")) {
        assert!(rack.cells(port, 0x1_0000, 60_000) == image(60_000), "{port}");
    }
    let mut again: Vec<u64> = records(folder.path()).iter().filter_map(|r| r.serial).collect();
    again.sort_unstable();
    assert_eq!(again, serials);
}

#[test]
fn a_stop_finishes_what_is_in_work_and_begins_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let ports: Vec<String> = (40..52).map(port_name).filter(|port| !port.contains("wps")).collect();
    let mut plan = plan(folder.path(), &ports, 20_000);
    plan.parallel = 2;
    let (rack, stop) = (Rack::default(), AtomicBool::new(false));
    let mut begun = 0;
    let summary =
        batch::run(&plan, &|name, _| Ok(rack.open(name)), &stop, &mut |event| match event {
            BatchEvent::BoardStarted { .. } => begun += 1,
            BatchEvent::BoardFinished { .. } => stop.store(true, Ordering::Relaxed),
            _ => {}
        })
        .unwrap();
    assert_eq!((summary.done, summary.failed), (begun, 0), "what was begun is done");
    assert!(summary.not_started > 0);
    assert_eq!(summary.exit_code(), 9);
    plan.resume = true;
    let (rest, _) = run(&plan, &rack);
    assert_eq!((rest.skipped, rest.done), (summary.done, summary.not_started));
}

/// `cargo test --release --test batch -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
#[expect(clippy::disallowed_methods, reason = "a measurement")]
fn thirty_two_boards_of_a_mebibyte_take_their_share_of_the_cores() {
    let folder = tempfile::tempdir().unwrap();
    let ports: Vec<String> =
        (0..BOARDS).map(|at| format!("virtual:{}#{at}", PARTS[at % PARTS.len()])).collect();
    let open = |name: &str, baud| esp32_flasher::port::open(name, baud);
    let stop = AtomicBool::new(false);
    let mut slowest = Duration::ZERO;
    for port in &ports[..PARTS.len()] {
        let single = plan(folder.path(), std::slice::from_ref(port), 1 << 20);
        let start = Instant::now();
        assert_eq!(batch::run(&single, &open, &stop, &mut |_| {}).unwrap().done, 1);
        slowest = slowest.max(start.elapsed());
    }
    let cores = std::thread::available_parallelism().unwrap().get();
    let start = Instant::now();
    let all = plan(folder.path(), &ports, 1 << 20);
    assert_eq!(batch::run(&all, &open, &stop, &mut |_| {}).unwrap().done, 32);
    let took = start.elapsed();
    let limit = slowest * 32 / cores as u32 * 3 / 2;
    println!("slowest single {slowest:?}, 32 boards {took:?}, limit {limit:?}, {cores} cores");
    assert!(took <= limit);
}

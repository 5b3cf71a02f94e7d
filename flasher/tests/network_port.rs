//! Ports behind TCP: a board's RFC 2217 and socket fronts, and servers that misbehave. The outside
//! witness of the protocol is in `tests/hosted/rfc2217_client.rs`.

#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "a process is watched in wall time")]

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use esp_protocol::{
    rfc2217::{
        Command as ComPort,
        Control::{BreakOff, BreakOn, DtrOn, FlowNone, RtsOff},
        Format, Speaker,
    },
    telnet::{
        Decoder, Event, Negotiator, OPTION_BINARY, OPTION_COM_PORT, OPTION_SUPPRESS_GO_AHEAD,
    },
};
use esp32_emulator::{
    board::Wiring,
    case::{CaseBoard, LoadedBoard, StrapValue},
    transport::{
        fronts::Fronts,
        pace::Pace,
        server::{Handle, Options, Server},
        tcp::listen_address,
    },
};
use esp32_flasher::{
    port::{self, Lines, Port, PortError, address::Address, rfc2217::Rfc2217Port},
    reset::ResetStrategy,
    session::Session,
};

type Listen = fn(&mut Fronts, SocketAddr) -> std::io::Result<SocketAddr>;

/// A board that runs from flash until its lines say otherwise.
fn serve(wiring: Wiring, pace: Pace, listen: Listen) -> (Handle<CaseBoard>, SocketAddr) {
    let mut loaded = LoadedBoard::with_part("W25Q128FV");
    loaded.file.wiring = wiring;
    loaded.file.chip.strap = StrapValue::FLASH_BOOT;
    let board = loaded.into_board().unwrap();
    let mut server = Server::open(board, &Options { pace, link: None }).unwrap();
    let address = listen(server.fronts(), listen_address("0").unwrap()).unwrap();
    (server.into_thread().unwrap(), address)
}

fn flasher(port: &str, arguments: &[&str]) -> Output {
    // Journals of a changed protection are written where it runs.
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_flasher"));
    command.env_remove("FLASHER_PORT").args(["--port", port, "--no-progress"]);
    command.current_dir(folder.path()).args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

/// `rfc2217://` of a listener whose one client `serve` gets.
fn listener(serve: impl FnOnce(std::net::TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || serve(listener.accept().unwrap().0));
    format!("rfc2217://{address}?timeout=0.5")
}

fn open(name: &str) -> Result<Rfc2217Port, PortError> {
    Rfc2217Port::open(name, &Address::parse(name).unwrap().unwrap(), 115_200)
}

fn image(folder: &Path, len: usize) -> (String, Vec<u8>) {
    let mut random = fastrand::Rng::with_seed(7);
    let data: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(len).collect();
    let path = folder.join("app.bin");
    fs::write(&path, &data).unwrap();
    (path.display().to_string(), data)
}

#[test]
fn every_circuit_is_reset_and_flashed_over_rfc2217() {
    let folder = tempfile::tempdir().unwrap();
    let (file, data) = image(folder.path(), 300_000);
    for wiring in [Wiring::Latch, Wiring::Transistors { rise_ms: 10 }, Wiring::Direct] {
        let (board, address) = serve(wiring, Pace::Max, Fronts::listen_rfc2217);
        let port = format!("rfc2217://{address}");
        let output = flasher(&port, &["--baud", "921600", "write", "0x10000", &file]);
        assert!(output.status.success(), "{wiring:?}: {}", said(&output));
        assert!(!said(&output).contains("modem lines"), "{}", said(&output));
        let back = folder.path().join("back.bin");
        let read = ["read", "0x10000", "300000", back.to_str().unwrap()];
        assert!(flasher(&port, &read).status.success());
        assert!(fs::read(&back).unwrap() == data, "{wiring:?}");
        let doctor = said(&flasher(&port, &["doctor"]));
        assert!(doctor.contains("nothing wrong was found"), "{doctor}");
        let mode = board.with(|board| format!("{:?}", board.mode())).unwrap();
        assert_ne!(mode, "WaitingForSync", "{wiring:?}: the last reset starts the program");
        board.shutdown().unwrap();
    }
}

#[test]
fn protection_is_lifted_through_the_network() {
    let (board, address) = serve(Wiring::Latch, Pace::Max, Fronts::listen_rfc2217);
    board
        .with(|board| {
            let mut state = board.flash().nor().snapshot();
            state.set_register(spi_nor::part::RegisterName::Sr1, 0x1C);
            let now = board.now();
            board.flash_mut().nor_mut().restore(state, now).unwrap();
        })
        .unwrap();
    let port = format!("rfc2217://{address}");
    let status = said(&flasher(&port, &["protect", "status"]));
    assert!(status.contains("BP"), "{status}");
    assert!(flasher(&port, &["protect", "clear"]).status.success());
    assert!(board.with(|board| board.flash().nor().protected()).unwrap().is_empty());
    board.shutdown().unwrap();
}

#[test]
fn a_socket_has_neither_lines_nor_a_rate() {
    let (board, address) = serve(Wiring::Latch, Pace::Max, Fronts::listen_raw);
    board.with(|board| board.set_strap(3)).unwrap();
    board.with(|board| board.host_reset(board.now())).unwrap();
    let port = format!("socket://{address}");
    let output = flasher(&port, &["--json", "flash-id"]);
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    assert_eq!(text.matches("no-modem-lines").count(), 1, "{text}");
    let output = flasher(&port, &["--baud", "921600", "flash-id"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(said(&output).contains("rfc2217:// can"), "{}", said(&output));
    // The refused rate has not reached the chip: it still answers.
    assert!(flasher(&port, &["flash-id"]).status.success());
    board.shutdown().unwrap();
}

#[test]
fn a_second_client_is_told_why_it_may_not() {
    let (board, address) = serve(Wiring::Latch, Pace::Max, Fronts::listen_rfc2217);
    let name = format!("rfc2217://{address}");
    let first = open(&name).unwrap();
    let error = open(&name).unwrap_err();
    assert!(error.to_string().contains("in use by another client"), "{error}");
    drop(first);
    board.shutdown().unwrap();
}

#[test]
fn a_session_at_the_pace_of_a_real_line() {
    let (board, address) = serve(Wiring::Latch, Pace::Real, Fronts::listen_rfc2217);
    let port = port::open(&format!("rfc2217://{address}"), 115_200).unwrap();
    let mut session = Session::new(port);
    session.connect(&[ResetStrategy::unix_tight()], 3).unwrap();
    assert!(session.warnings().is_empty());
    session.change_baud(115_200, 460_800).unwrap();
    assert_eq!(session.attach_flash().unwrap().jedec, [0xef, 0x40, 0x18]);
    assert_eq!(board.with(|board| board.host_baud()).unwrap(), Some(460_800));
    drop(session);
    board.shutdown().unwrap();
}

#[test]
fn nobody_there_and_other_protocols_are_told_apart() {
    let error = open("rfc2217://127.0.0.1:1").unwrap_err();
    assert!(matches!(error, PortError::Open { .. }), "{error}");
    // Says nothing, as a bare serial line does.
    let silent = listener(|mut stream| drop(stream.read_to_end(&mut Vec::new())));
    let begun = Instant::now();
    let error = open(&silent).unwrap_err();
    assert!(error.to_string().contains("does not speak RFC 2217"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(3));
    let plain = listener(|mut stream| {
        stream.write_all(&[255, 254, 44]).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let error = open(&plain).unwrap_err();
    assert!(error.to_string().contains("offers no serial port"), "{error}");
    assert!(matches!(port::open("rfc2217://host", 9600), Err(PortError::Address(_))));
}

/// Answers everything but data, notes what it is told, never reads more than `appetite` bytes.
fn com_port_server(
    mut stream: std::net::TcpStream,
    appetite: usize,
    rate: Option<u32>,
) -> Vec<ComPort> {
    let mut decoder = Decoder::default();
    let mut negotiator =
        Negotiator::new(&[OPTION_BINARY, OPTION_COM_PORT, OPTION_SUPPRESS_GO_AHEAD]);
    let (mut told, mut chunk, mut read_count) = (Vec::new(), [0; 512], 0);
    while read_count < appetite {
        let Ok(count @ 1..) = stream.read(&mut chunk) else { return told };
        read_count += count;
        let (mut input, mut answer) = (&chunk[..count], Vec::new());
        while let Some(event) = decoder.next(&mut input) {
            match event {
                Event::Negotiate { verb, option } => negotiator.receive(verb, option, &mut answer),
                Event::Subnegotiation { payload, .. } => {
                    let (_, command) = ComPort::parse(&payload).unwrap();
                    let reply = match (&command, rate) {
                        (ComPort::SetBaudRate(_), Some(rate)) => ComPort::SetBaudRate(rate),
                        _ => command.clone(),
                    };
                    reply.emit(Speaker::Server, &mut answer);
                    told.push(command);
                }
                _ => {}
            }
        }
        stream.write_all(&answer).unwrap();
    }
    thread::sleep(Duration::from_secs(20));
    told
}

#[test]
fn a_rate_that_the_server_does_not_do_is_an_error() {
    let name = listener(|stream| drop(com_port_server(stream, usize::MAX, Some(9600))));
    let error = open(&name).unwrap_err();
    assert!(matches!(error, PortError::Baud { baud: 115_200, .. }), "{error}");
    assert!(error.to_string().contains("9600"), "{error}");
}

#[test]
fn everything_of_the_port_reaches_the_server() {
    let (sender, told) = std::sync::mpsc::channel();
    let name =
        listener(move |stream| sender.send(com_port_server(stream, usize::MAX, None)).unwrap());
    let mut port = open(&name).unwrap();
    port.set_format(Format { data_bits: 7, parity: 3, stop_bits: 2 }).unwrap();
    port.set_break(true).unwrap();
    port.set_break(false).unwrap();
    port.discard_output().unwrap();
    port.set_lines(Lines { dtr: true, rts: false }).unwrap();
    assert!(!port.modem_state().unwrap().cts());
    drop(port);
    let told = told.recv().unwrap();
    let wanted = [
        ComPort::SetBaudRate(115_200),
        ComPort::SetDataSize(8),
        ComPort::SetParity(1),
        ComPort::SetStopSize(1),
        ComPort::SetControl(FlowNone),
        ComPort::PurgeData(1),
        ComPort::SetDataSize(7),
        ComPort::SetParity(3),
        ComPort::SetStopSize(2),
        ComPort::SetControl(BreakOn),
        ComPort::SetControl(BreakOff),
        ComPort::PurgeData(2),
        ComPort::SetControl(DtrOn),
        ComPort::SetControl(RtsOff),
    ];
    assert_eq!(told, wanted);
}

#[test]
fn a_server_that_stops_reading_ends_a_write_with_an_error() {
    let name = listener(|stream| drop(com_port_server(stream, 200, None)));
    let mut port = open(&name).unwrap();
    let begun = Instant::now();
    let error = port.write(&vec![0x55; 64 << 20]).unwrap_err();
    assert!(matches!(error, PortError::Stalled { .. }), "{error}");
    // The system may take a little more data once, and the wait begins anew.
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    // A read keeps its deadline all the same.
    let begun = port.now();
    assert_eq!(port.read(&mut Vec::new(), begun + Duration::from_millis(200)).unwrap(), 0);
    assert!(port.now().saturating_sub(begun) < Duration::from_secs(1));
}

#[test]
fn a_server_that_vanishes_during_a_write_is_a_clear_error() {
    let (board, address) = serve(Wiring::Latch, Pace::Real, Fronts::listen_rfc2217);
    let folder = tempfile::tempdir().unwrap();
    // At 115200 baud this takes about a minute.
    let (file, _) = image(folder.path(), 600_000);
    let child = Command::new(env!("CARGO_BIN_EXE_flasher"))
        .env_remove("FLASHER_PORT")
        .args(["--port", &format!("rfc2217://{address}"), "write", "0x10000", &file])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    thread::sleep(Duration::from_secs(3));
    board.shutdown().unwrap();
    let begun = Instant::now();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert!(said(&output).contains("hung up") || said(&output).contains("reset by peer"));
}

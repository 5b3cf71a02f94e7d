//! pyserial as the witness of the RFC 2217 server: it opens, sets, drives lines, reads and writes.
//!
//! pyserial itself sleeps 50 to 100 ms a setting (DEPS 1c), so these runs are few.

use std::{sync::mpsc, thread};

use esp32_emulator::{
    trace::Event,
    transport::{
        fronts::Fronts,
        line::SerialLine,
        rfc2217::Session,
        tcp::{TcpServer, listen_address},
    },
};
use rustix::event::{Timespec, poll};

use crate::{clients::ESPTOOL_4_5_1, emulator};

/// Echoes, and notes everything in order.
#[derive(Debug, Default)]
struct Recorder {
    events: Vec<String>,
    echo: Vec<u8>,
}

impl SerialLine for Recorder {
    fn receive(&mut self, bytes: &[u8]) {
        self.echo.extend_from_slice(bytes);
        self.events.push(format!("data {}", bytes.len()));
    }

    fn set_lines(&mut self, dtr: bool, rts: bool) {
        self.events.push(format!("dtr {} rts {}", u8::from(dtr), u8::from(rts)));
    }

    fn set_baud(&mut self, rate: u32) {
        self.events.push(format!("baud {rate}"));
    }

    fn set_break(&mut self, on: bool) {
        self.events.push(format!("break {}", u8::from(on)));
    }

    fn discard_received(&mut self) {
        self.events.push("discard".to_owned());
    }
}

/// Serves one client until it goes; sends the port first, then what the board's side saw.
fn serve(port: &mpsc::Sender<u16>) -> Recorder {
    let address = listen_address("0").expect("a port");
    let mut server = TcpServer::bind(address).expect("loopback is there");
    port.send(server.local_addr().expect("it is bound").port()).expect("the test waits");
    let mut board = Recorder::default();
    loop {
        let activity = server.service(&mut board, |_| Session::new(115_200));
        if activity.disconnected {
            return board;
        }
        if let Some(session) = server.session() {
            session.transmit(&std::mem::take(&mut board.echo));
        }
        server.flush();
        let mut fds = Vec::new();
        server.poll_fds(&mut fds);
        let wait = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
        poll(&mut fds, Some(&wait)).expect("poll");
    }
}

/// Runs `script` with `url` in place, and gives what the board's side saw; `None` without pyserial.
fn with_pyserial(options: &str, script: &str) -> Option<Vec<String>> {
    let mut python = ESPTOOL_4_5_1.python()?;
    let (send_port, port) = mpsc::channel();
    let server = thread::spawn(move || serve(&send_port));
    let port = port.recv().expect("the server starts");
    let url = format!("rfc2217://127.0.0.1:{port}{options}");
    let output = python.args(["-c", script, &url]).output().expect("the interpreter runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "pyserial failed:\n{said}");
    Some(server.join().expect("the server ends").events)
}

/// The positions at which `wanted` occurs in `events`, in this order and possibly apart.
fn assert_order(events: &[String], wanted: &[&str]) {
    let mut rest = events.iter();
    for item in wanted {
        assert!(rest.any(|event| event == item), "{item} missing or out of order in {events:#?}");
    }
}

#[test]
fn pyserial_sets_drives_and_echoes() {
    let script = r"
import serial, sys
port = serial.serial_for_url(sys.argv[1], baudrate=115200, timeout=5)
port.dtr = False
port.rts = True
port.write(bytes(range(256)))
assert port.read(256) == bytes(range(256))
port.rts = False
port.baudrate = 65535
port.reset_output_buffer()
port.break_condition = True
port.break_condition = False
port.write(b'end')
assert port.read(3) == b'end'
assert port.cts and port.dsr
port.close()
";
    let Some(events) = with_pyserial("", script) else { return };
    let wanted = [
        "baud 115200",
        "dtr 0 rts 1",
        "dtr 0 rts 0",
        "baud 65535",
        "discard",
        "break 1",
        "break 0",
        "data 3",
        "dtr 0 rts 0",
    ];
    assert_order(&events, &wanted);
}

#[test]
fn pyserial_without_waiting_for_line_changes() {
    let script = r"
import serial, sys
port = serial.serial_for_url(sys.argv[1], baudrate=921600, timeout=5)
port.rts = False
port.dtr = False
port.write(b'a')
assert port.read(1) == b'a'
port.dtr = True
port.close()
";
    let Some(events) = with_pyserial("?ign_set_control", script) else { return };
    assert_order(&events, &["baud 921600", "dtr 0 rts 0", "data 1", "dtr 1 rts 0", "dtr 0 rts 0"]);
}

#[test]
fn esptool_with_its_default_resets_reaches_a_board() {
    let (board, address) = emulator::serve("W25Q32JV", Fronts::listen_rfc2217);
    let Some(mut esptool) = ESPTOOL_4_5_1.command() else { return };
    esptool.args(["--port", &format!("rfc2217://{address}"), "--no-stub", "flash_id"]);
    let output = esptool.output().expect("the interpreter runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("Device: 4016") && text.contains("Hard resetting"), "{text}");
    let resets_count = board.with(|board| {
        let resets = board.trace().entries();
        resets.filter(|entry| matches!(entry.event, Event::HostReset { .. })).count()
    });
    assert!(resets_count.expect("it serves") >= 2, "one into the loader, one out of it");
}

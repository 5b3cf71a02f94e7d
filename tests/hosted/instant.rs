//! What the board costs stock esptool: the thread's image over a PTY, against a device that answers
//! at once whatever comes.

use std::{
    fs,
    io::{Read as _, Write as _},
    thread,
    time::{Duration, Instant},
};

use esp_protocol::slip;
use esp32_emulator::case::bootable;
use pty_process::blocking::{Pty, open};
use rustix::{
    pty::ptsname,
    termios::{OptionalActions, tcgetattr, tcsetattr},
};

use crate::{bench::Bench, clients::ESPTOOL_4_5_1};

const IMAGE_BYTES: usize = 1_611_488;
/// What the client's wall time on the board should be at most, against the instant device.
const RATIO_AIM: f64 = 1.3;
const ROUNDS: usize = 3;

/// Registers that a client wants to see: magic, eFuses, UART divider, flash id (ROM-FACTS 9.3).
const REGISTERS: [(u32, u32); 8] = [
    (0x4000_1000, 0x00F0_1D83),
    (0x3FF5_A004, 0x8624_8B9C),
    (0x3FF5_A008, 0x004F_94E6),
    (0x3FF5_A00C, 0x0000_A200),
    (0x3FF5_A014, 0x0010_0000),
    (0x3FF6_607C, 0x9604_2000),
    (0x3FF4_0014, 0x0000_015B),
    (0x3FF4_2080, 0x0018_40C8),
];

/// The scripted device.
struct Device {
    pty: Pty,
    md5: [u8; 16],
    in_stub: bool,
}

impl Device {
    fn send(&mut self, payload: &[u8]) {
        let mut wire = Vec::new();
        slip::encode(payload, &mut wire);
        self.pty.write_all(&wire).expect("the client reads");
    }

    fn reply(&mut self, op: u8, value: u32, data: &[u8]) {
        let status = if self.in_stub { 2 } else { 4 };
        let length = u16::try_from(data.len() + status).expect("short").to_le_bytes();
        let mut payload = vec![1, op, length[0], length[1]];
        payload.extend(value.to_le_bytes());
        payload.extend(data);
        payload.resize(payload.len() + status, 0);
        self.send(&payload);
    }

    fn answer(&mut self, request: &[u8]) {
        let [0, op, _, _, _, _, _, _, body @ ..] = request else { return };
        match op {
            // Not 0, which would mean that a stub runs already.
            0x08 => (0..8).for_each(|_| self.reply(0x08, 0x2012_0707, &[])),
            0x0A => {
                let address = body.first_chunk().map_or(0, |word| u32::from_le_bytes(*word));
                let known = REGISTERS.iter().find(|(register, _)| *register == address);
                self.reply(0x0A, known.map_or(0, |(_, value)| *value), &[]);
            }
            0x06 => {
                self.reply(0x06, 0, &[]);
                self.send(b"OHAI");
                self.in_stub = true;
            }
            0x13 => self.reply(0x13, 0, &self.md5.clone()),
            op => self.reply(*op, 0, &[]),
        }
    }

    /// Serves until the PTY's last client has gone for good.
    fn serve(mut self) {
        let mut buffer = vec![0; 1 << 16];
        let mut decoder = slip::Decoder::new(1 << 16);
        while let Ok(count @ 1..) = self.pty.read(&mut buffer) {
            let mut input = &buffer[..count];
            while let Some(frame) = decoder.next_frame(&mut input) {
                self.answer(&frame.expect("the client frames"));
            }
        }
    }
}

/// Wall time of the client's whole run on `port`.
fn time(port: &str, file: &str) -> Option<Duration> {
    let mut command = ESPTOOL_4_5_1.command()?;
    command.args(["--chip", "esp32", "--port", port, "--baud", "921600", "--before", "no_reset"]);
    command.args(["--after", "no_reset_stub", "write_flash", "-z", "0x1000", file]);
    #[expect(clippy::disallowed_methods, reason = "wall time is what is measured")]
    let start = Instant::now();
    let output = command.output().expect("it runs");
    let took = start.elapsed();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("Hash of data verified"), "{text}");
    Some(took)
}

fn time_instant_device(file: &str, md5: [u8; 16]) -> Option<Duration> {
    let (pty, slave) = open().expect("a PTY");
    let mut settings = tcgetattr(&slave).expect("a terminal");
    settings.make_raw();
    tcsetattr(&slave, OptionalActions::Now, &settings).expect("a terminal");
    let path = ptsname(&pty, Vec::new()).expect("a path").into_string().expect("ASCII");
    thread::scope(|scope| {
        scope.spawn(|| Device { pty, md5, in_stub: false }.serve());
        let took = time(&path, file);
        // The read of the master fails when nobody holds the slave.
        drop(slave);
        took
    })
}

fn time_board(file: &str) -> Option<Duration> {
    let bench = Bench::part("GD25Q128C");
    bench.enter_download_mode();
    time(bench.port(), file)
}

#[test]
fn a_stock_client_flashes_the_board_and_an_instant_device() {
    let folder = tempfile::tempdir().expect("a folder");
    let image = bootable(1, IMAGE_BYTES);
    let file = folder.path().join("image.bin");
    fs::write(&file, &image).expect("a file");
    let file = file.to_str().expect("UTF-8");
    let md5 = md5::compute(&image).0;
    let mut best = [Duration::MAX; 2];
    for _ in 0..ROUNDS {
        let Some(instant) = time_instant_device(file, md5) else { return };
        let board = time_board(file).expect("installed above");
        best = [best[0].min(instant), best[1].min(board)];
    }
    let [instant, board] = best;
    let ratio = board.as_secs_f64() / instant.as_secs_f64();
    eprintln!(
        "esptool 4.5.1, {IMAGE_BYTES} bytes: board {board:.2?}, instant device {instant:.2?}, ratio {ratio:.2} (aim {RATIO_AIM})"
    );
}

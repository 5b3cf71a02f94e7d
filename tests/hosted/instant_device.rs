//! A scripted device that answers a stock client at once whatever comes: what the client and the PTY
//! cost without any board behind them.

use std::{
    io::{Read as _, Write as _},
    thread,
};

use esp_protocol::slip;
use pty_process::blocking::{Pty, open};
use rustix::{
    pty::ptsname,
    termios::{OptionalActions, tcgetattr, tcsetattr},
};

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

/// Runs `work` with the port of a device that says that its flash has the digest `md5`.
pub(crate) fn with_instant_device<R>(md5: [u8; 16], work: impl FnOnce(&str) -> R) -> R {
    let (pty, slave) = open().expect("a PTY");
    let mut settings = tcgetattr(&slave).expect("a terminal");
    settings.make_raw();
    tcsetattr(&slave, OptionalActions::Now, &settings).expect("a terminal");
    let path = ptsname(&pty, Vec::new()).expect("a path").into_string().expect("ASCII");
    thread::scope(|scope| {
        scope.spawn(|| Device { pty, md5, in_stub: false }.serve());
        let result = work(&path);
        // The read of the master fails when nobody holds the slave.
        drop(slave);
        result
    })
}

//! A scripted loader for tests: answers come from a closure, time is virtual.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use esp_protocol::{
    response::{Dialect, Response},
    slip::{self, Decoder},
};

use crate::port::{Lines, Port, PortError};

/// Answers one request payload with raw bytes.
pub(crate) type Script = Box<dyn FnMut(&[u8]) -> Vec<u8> + Send>;

/// What the port saw.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) requests: Vec<Vec<u8>>,
    /// Bytes of each write.
    pub(crate) writes: Vec<usize>,
    pub(crate) lines: Vec<Lines>,
    pub(crate) baud: Vec<u32>,
}

/// A port over a script.
pub(crate) struct FakePort {
    script: Script,
    decoder: Decoder,
    pending: VecDeque<u8>,
    now: Duration,
    has_lines: bool,
    log: Arc<Mutex<Log>>,
}

impl FakePort {
    pub(crate) fn new(script: Script) -> (Self, Arc<Mutex<Log>>) {
        let log = Arc::new(Mutex::default());
        let port = Self {
            script,
            decoder: Decoder::new(0x5000),
            pending: VecDeque::new(),
            now: Duration::ZERO,
            has_lines: true,
            log: Arc::clone(&log),
        };
        (port, log)
    }

    pub(crate) fn without_lines(mut self) -> Self {
        self.has_lines = false;
        self
    }
}

/// A successful ROM response, framed.
pub(crate) fn ok(opcode: u8, value: u32) -> Vec<u8> {
    answer(opcode, value, &[], 0, 0)
}

/// A ROM response, framed.
pub(crate) fn answer(opcode: u8, value: u32, payload: &[u8], status: u8, error: u8) -> Vec<u8> {
    let response =
        Response { opcode, value, payload: payload.to_vec(), status, error, reserved: [0; 2] };
    let mut wire = Vec::new();
    slip::encode(&response.emit(Dialect::Rom), &mut wire);
    wire
}

impl Port for FakePort {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), PortError> {
        self.log.lock().unwrap().writes.push(bytes.len());
        let mut rest = bytes;
        while let Some(Ok(frame)) = self.decoder.next_frame(&mut rest) {
            self.pending.extend((self.script)(&frame));
            self.log.lock().unwrap().requests.push(frame);
        }
        Ok(())
    }

    fn read(&mut self, out: &mut Vec<u8>, deadline: Duration) -> Result<usize, PortError> {
        let count = self.pending.len();
        if count == 0 {
            self.now = self.now.max(deadline);
        }
        out.extend(self.pending.drain(..));
        Ok(count)
    }

    fn set_lines(&mut self, lines: Lines) -> Result<(), PortError> {
        if !self.has_lines {
            return Err(PortError::LinesUnsupported);
        }
        self.log.lock().unwrap().lines.push(lines);
        Ok(())
    }

    fn set_baud(&mut self, baud: u32) -> Result<(), PortError> {
        self.log.lock().unwrap().baud.push(baud);
        Ok(())
    }

    fn flush_input(&mut self) -> Result<(), PortError> {
        self.pending.clear();
        Ok(())
    }

    fn now(&self) -> Duration {
        self.now
    }

    fn wait(&mut self, span: Duration) {
        self.now += span;
    }
}

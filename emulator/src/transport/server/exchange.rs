//! Bytes between the device and its client.

use std::{io, time};

use super::{
    ANSWERS_MAX, DEBUGGED_EVENTS_MAX, Input, STALL_WAIT_MAX, STALL_WAIT_MIN, Server, wall_now,
};
use crate::transport::{
    device::SerialDevice,
    line::Format,
    pace::{EVENTS_MAX, Next},
};

impl<D: SerialDevice> Server<D> {
    /// Moves bytes both ways.
    pub(super) fn turn(&mut self, input: Input) -> io::Result<()> {
        if self.device.is_halted() {
            return Ok(());
        }
        let mut bytes = Vec::new();
        if input != Input::None {
            self.port.read(&mut bytes, input == Input::All)?;
        }
        let begin = wall_now();
        self.hear(&bytes, begin);
        for _ in 0..ANSWERS_MAX {
            let (out, next) = self.go_on(begin)?;
            self.send(&out, !bytes.is_empty())?;
            self.more = next != Next::Nothing;
            if next != Next::Answer {
                break;
            }
        }
        if !bytes.is_empty() {
            self.patience.heard(begin, wall_now());
        }
        Ok(())
    }

    /// Sends the board's output. Without a client it is lost, as on an open line; `heard` says that
    /// somebody has just written, whatever the count of clients is.
    fn send(&mut self, out: &[u8], heard: bool) -> io::Result<()> {
        if heard || self.port.has_client() {
            self.port.queue(out);
        }
        self.fronts.transmit(out);
        self.port.write()?;
        self.stall_wait = if self.port.is_stalled() {
            (self.stall_wait * 2).min(STALL_WAIT_MAX)
        } else {
            STALL_WAIT_MIN
        };
        Ok(())
    }

    /// Gives the device its input.
    fn hear(&mut self, bytes: &[u8], wall: time::Instant) {
        if !bytes.is_empty() {
            // The kernel's PTYs know no other frames: they refuse parity and fewer data bits.
            self.device.set_host_format(self.device.now(), Format::EIGHT_N_ONE);
            self.clock.input(&mut self.device, wall, self.port.baud(), bytes);
        } else if self.port.has_client() && self.device.next_event().is_some() {
            // What comes out meets the client at the rate it has by now.
            let now = self.device.now();
            self.device.set_host_baud(now, self.port.baud());
        }
    }

    /// Gives the device its time; returns its output, with all changes stored.
    fn go_on(&mut self, wall: time::Instant) -> io::Result<(Vec<u8>, Next)> {
        let mut out = Vec::new();
        // A debugger's Ctrl-C does not wait for long.
        let events_max = if self.fronts.has_debugger() { DEBUGGED_EVENTS_MAX } else { EVENTS_MAX };
        let next = self.clock.run_events(&mut self.device, wall, &mut out, events_max);
        self.fronts.tell_debugger(&mut self.device);
        for hook in &mut self.hooks {
            hook(&mut self.device)?;
        }
        Ok((out, next))
    }
}

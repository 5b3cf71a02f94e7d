//! Servers that talk to a client from the network.

use esp32_emulator::{
    flash::{FlashState, NorFlash},
    spi::{CommandLines, SpiDevice, Transaction},
    time::{Duration, Instant},
    trace::Trace,
    transport::{
        rfc2217::{Action, Session},
        serprog::{Server, SpiBus, transfer_time},
        tcp::{Outbox, StreamSession},
    },
};
use spi_nor::catalog;

/// More than this never waits for a client.
const PENDING_MAX: usize = 2 << 20;

/// What the board is told, with runs of data as one, and what the client gets.
fn talk(chunks: &[&[u8]]) -> (Vec<String>, Vec<u8>) {
    let mut session = Session::new(115_200);
    let (mut told, mut data, mut wire) = (Vec::new(), Vec::new(), Vec::new());
    for chunk in chunks {
        let mut rest = *chunk;
        loop {
            let left = rest.len();
            match session.next(&mut rest) {
                Some(Action::Data(bytes)) => data.extend_from_slice(bytes),
                Some(action) => told.push(format!("{} {action:?}", data.len())),
                None if rest.is_empty() => break,
                None => assert!(rest.len() < left || !session.pending().is_empty(), "stuck"),
            }
            wire.extend_from_slice(session.pending());
            let count = session.pending().len();
            session.sent(count);
        }
    }
    told.push(format!("{data:?}"));
    wire.extend_from_slice(session.pending());
    (told, wire)
}

/// A session ends in the same state however the client's bytes are cut, and never waits for ever.
pub(crate) fn rfc2217(data: &[u8]) {
    let Some((&at, data)) = data.split_first() else { return };
    let (one, other) = data.split_at(usize::from(at).min(data.len()));
    assert_eq!(talk(&[data]), talk(&[one, other]));
    let mut session = Session::new(115_200);
    session.transmit(data);
    let mut rest = data;
    while session.next(&mut rest).is_some() {}
    session.transmit(data);
    assert!(session.pending().len() <= PENDING_MAX);
}

/// A programmer's bus on a part.
struct Bus {
    flash: NorFlash,
    now: Instant,
    trace: Trace,
}

impl SpiBus for Bus {
    fn transfer(&mut self, clock_hz: u32, mosi: &[u8], miso: &mut [u8]) {
        self.now += transfer_time(mosi.len() + miso.len(), clock_hz);
        let command_lines = CommandLines::One;
        let mut transaction = Transaction { mosi, miso, command_lines };
        self.flash.transfer(self.now, &mut transaction, &mut self.trace);
    }

    fn wait(&mut self, span: Duration) {
        self.now += span;
    }

    fn drive(&mut self, _on: bool) {}
}

/// Bytes of a flashrom.
pub(crate) fn serprog(data: &[u8]) {
    let part = catalog::part(catalog::names().next().unwrap()).unwrap();
    let state = FlashState::factory(&part);
    let flash = NorFlash::new(part, state).unwrap();
    let mut bus = Bus { flash, now: Instant::ZERO, trace: Trace::default() };
    let mut server = Server::default();
    let mut rest = data;
    while !rest.is_empty() {
        let taken = server.receive(rest, &mut bus);
        assert!(taken > 0 || !server.pending().is_empty(), "it takes nothing and says nothing");
        assert!(server.pending().len() <= PENDING_MAX);
        let count = server.pending().len();
        server.sent(count);
        rest = &rest[taken..];
    }
    server.close(&mut bus);
}

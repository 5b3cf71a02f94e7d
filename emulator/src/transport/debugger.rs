//! GDB's front door: a listener for one debugger at a time, whoever drives the board.
//!
//! While the debugger holds the processor, the board's time stands still: whoever drives it asks
//! [`SerialDevice::is_halted`](super::device::SerialDevice::is_halted) and leaves the line alone.

use std::{io, net::SocketAddr};

use rustix::event::PollFd;

use super::tcp::{Outbox, StreamSession, TcpServer};
use crate::gdb::{Outcome, Scope, Session, Target};

/// One debugger's connection.
#[derive(Debug)]
struct Connection {
    session: Session,
    out: Vec<u8>,
}

impl Outbox for Connection {
    fn pending(&mut self) -> &[u8] {
        &self.out
    }

    fn sent(&mut self, count: usize) {
        self.out.drain(..count.min(self.out.len()));
    }
}

impl<'a> StreamSession<dyn Target + 'a> for Connection {
    fn receive(&mut self, bytes: &[u8], target: &mut (dyn Target + 'a)) -> usize {
        if self.session.outcome().is_none() {
            self.session.receive(bytes, target, &mut self.out);
        }
        bytes.len()
    }

    fn close(&mut self, target: &mut (dyn Target + 'a)) {
        // Whoever leaves without a word has detached; another may come.
        if self.session.outcome().is_none() {
            self.session.end(target);
        }
    }
}

/// A listener for debuggers.
#[derive(Debug)]
pub struct DebugServer {
    server: TcpServer<Connection>,
    scope: Scope,
}

impl DebugServer {
    /// Listens on `address`; port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// As [`TcpServer::bind`].
    pub fn bind(address: SocketAddr, scope: Scope) -> io::Result<Self> {
        Ok(Self { server: TcpServer::bind(address)?, scope })
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// As [`TcpServer::local_addr`].
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.server.local_addr()
    }

    /// Whether a debugger is connected.
    pub fn is_attached(&mut self) -> bool {
        self.server.session().is_some_and(|it| it.session.outcome().is_none())
    }

    /// How the session that is there, if any, ended.
    pub fn outcome(&mut self) -> Option<Outcome> {
        self.server.session()?.session.outcome()
    }

    /// Adds the descriptors to wait for.
    pub fn poll_fds<'a>(&'a mut self, fds: &mut Vec<PollFd<'a>>) {
        self.server.poll_fds(fds);
    }

    /// Takes what debuggers send.
    pub fn service(&mut self, target: &mut dyn Target) {
        let scope = self.scope;
        self.server.service(target, |target| Connection {
            session: Session::begin(target, scope),
            out: Vec::new(),
        });
    }

    /// The board has run: tells the debugger if it has paused.
    pub fn tell(&mut self, target: &dyn Target) {
        if let Some(Connection { session, out }) = self.server.session() {
            session.poll(target, out);
        }
        self.server.flush();
    }
}

//! TCP front end: one listener, one client at a time, a sans-io session in between.
//!
//! Not a loop of its own: whoever polls adds [`TcpServer::poll_fds`] and calls
//! [`TcpServer::service`] after each wake-up. Everything is non-blocking and level-triggered, so a
//! call too many costs a system call and nothing else. Memory is bounded: the session takes no
//! more input while too much waits for the client ([`StreamSession::receive`]).
//!
//! One board has one serial port: a second client gets one line of text and the end of its
//! connection, the first is not disturbed.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::fd::AsFd,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// What a second client reads before its connection ends.
pub const BUSY_LINE: &[u8] = b"esp32-emulator: the board is in use by another client\r\n";
/// Bytes read in one go.
const CHUNK_LEN: usize = 0x4000;
/// Chunks read in one service call, so that one client cannot starve the rest of the loop.
const CHUNKS_MAX: usize = 16;
/// Second clients turned away in one service call.
const REFUSALS_MAX: usize = 16;

/// What a session has for its client.
pub trait Outbox {
    /// Bytes that the client has not got yet.
    fn pending(&mut self) -> &[u8];

    /// The first `count` bytes of [`Self::pending`] are on their way.
    fn sent(&mut self, count: usize);
}

/// A protocol between the client's byte stream and `Board`, whatever that is for the protocol.
pub trait StreamSession<Board: ?Sized>: Outbox {
    /// Takes bytes of the client, works on `board`, and says how many bytes it took: fewer than
    /// all only while too much waits for the client or for the board.
    fn receive(&mut self, bytes: &[u8], board: &mut Board) -> usize;

    /// The client is gone.
    fn close(&mut self, board: &mut Board);
}

/// What became of the client during one [`TcpServer::service`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Activity {
    /// A client came.
    pub connected: bool,
    /// The client went.
    pub disconnected: bool,
    /// Further clients were turned away.
    pub refused_count: usize,
    /// Bytes taken from the client.
    pub received_count: usize,
}

#[derive(Debug)]
struct Client<S> {
    stream: TcpStream,
    session: S,
    /// Read but not taken by the session yet.
    backlog: Vec<u8>,
}

/// A listener and at most one client.
#[derive(Debug)]
pub struct TcpServer<S> {
    listener: TcpListener,
    client: Option<Client<S>>,
}

impl<S: Outbox> TcpServer<S> {
    /// Listens on `address`; port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// The address is in use or not this machine's.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, client: None })
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// The system does not tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The client's session, if there is one.
    pub fn session(&mut self) -> Option<&mut S> {
        self.client.as_mut().map(|client| &mut client.session)
    }

    /// Adds the descriptors to wait for: one or two.
    pub fn poll_fds<'a>(&'a mut self, fds: &mut Vec<PollFd<'a>>) {
        fds.push(PollFd::from_borrowed_fd(self.listener.as_fd(), PollFlags::IN));
        let Some(client) = &mut self.client else { return };
        let mut flags = PollFlags::empty();
        if client.backlog.is_empty() {
            flags |= PollFlags::IN;
        }
        if !client.session.pending().is_empty() {
            flags |= PollFlags::OUT;
        }
        fds.push(PollFd::from_borrowed_fd(client.stream.as_fd(), flags));
    }

    /// Moves whatever can be moved without blocking. `open` makes the session of a new client.
    pub fn service<Board: ?Sized>(
        &mut self,
        board: &mut Board,
        mut open: impl FnMut(&mut Board) -> S,
    ) -> Activity
    where
        S: StreamSession<Board>,
    {
        let mut activity = Activity::default();
        // First, so that a client that has just gone does not cost the next one its place.
        self.serve_client(board, &mut activity);
        // Errors are those of one connection attempt and no reason to end.
        while activity.refused_count < REFUSALS_MAX
            && !self.client.as_ref().is_some_and(Client::is_leaving)
            && let Ok((stream, _)) = self.listener.accept()
        {
            if self.client.is_some() {
                refuse(stream);
                activity.refused_count += 1;
            } else if stream.set_nonblocking(true).is_ok() && stream.set_nodelay(true).is_ok() {
                let session = open(board);
                self.client = Some(Client { stream, session, backlog: Vec::new() });
                activity.connected = true;
                self.serve_client(board, &mut activity);
            }
        }
        activity
    }

    /// Sends what waits, without reading: after the board has produced output.
    pub fn flush(&mut self) {
        if let Some(client) = &mut self.client {
            // A broken connection shows at the next read.
            let _ = client.send();
        }
    }

    fn serve_client<Board: ?Sized>(&mut self, board: &mut Board, activity: &mut Activity)
    where
        S: StreamSession<Board>,
    {
        let Some(client) = &mut self.client else { return };
        if client.exchange(board, activity).is_err() {
            client.session.close(board);
            self.client = None;
            activity.disconnected = true;
        }
    }
}

impl<S> Client<S> {
    /// The client has ended its side, and what it wrote before is not all read yet: whoever comes
    /// next waits at the listener until it is.
    fn is_leaving(&self) -> bool {
        let mut fds = [PollFd::new(&self.stream, PollFlags::RDHUP)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|count| count > 0)
    }
}

impl<S: Outbox> Client<S> {
    /// Reads, lets the session work, writes; an error means that the connection is over.
    fn exchange<Board: ?Sized>(
        &mut self,
        board: &mut Board,
        activity: &mut Activity,
    ) -> io::Result<()>
    where
        S: StreamSession<Board>,
    {
        let mut chunk = [0; CHUNK_LEN];
        self.deliver(board)?;
        for _ in 0..CHUNKS_MAX {
            if !self.backlog.is_empty() {
                break;
            }
            let count = match self.stream.read(&mut chunk) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if is_transient(&error) => break,
                Err(error) => return Err(error),
            };
            activity.received_count += count;
            self.backlog.extend(chunk.iter().take(count));
            self.deliver(board)?;
        }
        Ok(())
    }

    /// Gives the backlog to the session until it is empty or nothing moves any more. What is left
    /// then waits for the client to read or for the board's time to pass.
    fn deliver<Board: ?Sized>(&mut self, board: &mut Board) -> io::Result<()>
    where
        S: StreamSession<Board>,
    {
        loop {
            let taken = self.session.receive(&self.backlog, board).min(self.backlog.len());
            self.backlog.drain(..taken);
            let sent = self.send()?;
            if self.backlog.is_empty() || (taken == 0 && sent == 0) {
                return Ok(());
            }
        }
    }

    fn send(&mut self) -> io::Result<usize> {
        let mut sent = 0;
        while !self.session.pending().is_empty() {
            match self.stream.write(self.session.pending()) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => {
                    self.session.sent(count);
                    sent += count;
                }
                Err(error) if is_transient(&error) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// Tells a second client why, and ends its connection.
fn refuse(mut stream: TcpStream) {
    // Best effort: the line fits the socket's buffer, and a client that is gone needs none.
    let _ = stream.set_nonblocking(true);
    let _ = stream.write(BUSY_LINE);
}

/// Where to listen for `text`: a port alone means loopback; any other address must be written out.
///
/// # Errors
///
/// `text` is neither a port nor `ADDRESS:PORT`.
pub fn listen_address(text: &str) -> Result<SocketAddr, ListenAddressError> {
    if let Ok(port) = text.parse::<u16>() {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
    text.parse().map_err(|_| ListenAddressError { text: text.to_owned() })
}

/// Not a place to listen on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is neither a port (listens on 127.0.0.1) nor ADDRESS:PORT")]
pub struct ListenAddressError {
    /// What was given.
    pub text: String,
}

#[cfg(test)]
mod tests;

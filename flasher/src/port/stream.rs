//! A TCP connection with deadlines: never blocks longer than it is told.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::sockopt,
};

/// Sent data that nobody acknowledges for so long ends the connection.
const PEER_GONE_MS: u32 = 30_000;
/// A silent peer is asked whether it is still there after so long, and as often.
const KEEPALIVE: Duration = Duration::from_secs(5);
const CHUNK_BYTES: usize = 0x4000;

/// A connection and its clock.
#[derive(Debug)]
pub(super) struct Stream {
    socket: TcpStream,
    opened: Instant,
}

impl Stream {
    /// Connects to `peer` (`HOST:PORT`) within `timeout` an address.
    #[expect(clippy::disallowed_methods, reason = "a real port reads the clock")]
    pub(super) fn connect(peer: &str, timeout: Duration) -> io::Result<Self> {
        let mut last = io::Error::new(ErrorKind::NotFound, "the host has no address");
        for address in peer.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, timeout) {
                Ok(socket) => {
                    let stream = Self { socket, opened: Instant::now() };
                    stream.configure()?;
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn configure(&self) -> io::Result<()> {
        self.socket.set_nodelay(true)?;
        self.socket.set_nonblocking(true)?;
        sockopt::set_tcp_user_timeout(&self.socket, PEER_GONE_MS)?;
        sockopt::set_tcp_keepidle(&self.socket, KEEPALIVE)?;
        sockopt::set_tcp_keepintvl(&self.socket, KEEPALIVE)?;
        sockopt::set_tcp_keepcnt(&self.socket, 2)?;
        Ok(sockopt::set_socket_keepalive(&self.socket, true)?)
    }

    /// Time since the connection was made.
    pub(super) fn now(&self) -> Duration {
        self.opened.elapsed()
    }

    /// Appends what has arrived to `out`, without waiting; 0 if nothing has.
    pub(super) fn receive(&mut self, out: &mut Vec<u8>) -> io::Result<usize> {
        let mut chunk = [0; CHUNK_BYTES];
        match self.socket.read(&mut chunk) {
            Ok(0) => Err(io::Error::new(ErrorKind::UnexpectedEof, "the server hung up")),
            Ok(count) => {
                out.extend(chunk.iter().take(count));
                Ok(count)
            }
            Err(error) if is_wait(&error) => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Sends as much of `bytes` as fits now.
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        match self.socket.write(bytes) {
            Err(error) if is_wait(&error) => Ok(0),
            other => other,
        }
    }

    /// Waits until there is something to receive or, with `to_send`, room to send; at most until
    /// `deadline` of [`Self::now`].
    pub(super) fn wait(&self, to_send: bool, deadline: Duration) -> io::Result<()> {
        let mut flags = PollFlags::IN;
        flags.set(PollFlags::OUT, to_send);
        // Rounded up: a step of zero would spin.
        let left = deadline.saturating_sub(self.now()).max(Duration::from_millis(1));
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        match poll(&mut [PollFd::new(&self.socket, flags)], Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn is_wait(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

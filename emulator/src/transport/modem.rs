//! Modem lines for the PTY: the emulator's end of the `modem-shim` preload library.
//!
//! A PTY has no DTR and RTS. The preload library sends a client's line changes as datagrams
//! `[VERSION, set, clear]` and holds the client until the answer `[VERSION, lines]` is there (bit 0
//! is DTR, bit 1 RTS). So the order against data is exact: read the PTY until it is empty, then
//! take the request and change the lines, then answer; what the client writes next comes after.

use std::{
    fs, io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::{SocketAddr, UnixDatagram},
    },
    path::{Path, PathBuf},
};

use crate::board::ControlLines;

/// First byte of requests and answers.
const VERSION: u8 = 1;
const DTR: u8 = 1;
const RTS: u8 = 2;
/// Datagrams looked at for one request, so that a flood cannot hold the loop.
const NONSENSE_MAX: usize = 64;

const fn from_bits(bits: u8) -> ControlLines {
    ControlLines { dtr: bits & DTR != 0, rts: bits & RTS != 0 }
}

const fn to_bits(lines: ControlLines) -> u8 {
    let dtr = if lines.dtr { DTR } else { 0 };
    let rts = if lines.rts { RTS } else { 0 };
    dtr | rts
}

/// A client that waits for its line change.
#[derive(Debug)]
#[must_use = "the client waits until the request is answered"]
pub struct ModemRequest {
    /// Bits that shall be set, and those that shall not; none where the client only asks.
    set: u8,
    clear: u8,
    from: SocketAddr,
}

/// The socket that the preload library talks to.
#[derive(Debug)]
pub struct ModemSocket {
    socket: UnixDatagram,
    path: PathBuf,
    lines: ControlLines,
}

impl ModemSocket {
    /// Makes the socket at `path`, which is removed again on drop. Put it into a folder that only
    /// the user can enter.
    ///
    /// # Errors
    ///
    /// The path exists, is too long for a socket (107 bytes), or the folder cannot be written.
    pub fn bind(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::bind(path)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, path: path.to_owned(), lines: ControlLines::default() })
    }

    /// Where the preload library finds it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The lines as last answered.
    #[must_use]
    pub fn lines(&self) -> ControlLines {
        self.lines
    }

    /// The lines fell because the port was closed.
    pub fn release(&mut self) {
        self.lines = ControlLines::default();
    }

    /// The next request, if one waits. Nonsense is dropped.
    pub fn next_request(&mut self) -> Option<ModemRequest> {
        let mut bytes = [0; 4];
        for _ in 0..NONSENSE_MAX {
            let (count, from) = self.socket.recv_from(&mut bytes).ok()?;
            if let ([VERSION, set, clear, _], 3) = (bytes, count) {
                return Some(ModemRequest { set, clear, from });
            }
        }
        None
    }

    /// The lines as `request` wants them. They begin from what holds now, which may be less than
    /// when the request came: the lines of a client that has gone have fallen.
    #[must_use]
    pub fn wanted(&self, request: &ModemRequest) -> ControlLines {
        from_bits((to_bits(self.lines) | request.set) & !request.clear)
    }

    /// The board has the lines of `request`; its client goes on.
    pub fn answer(&mut self, request: &ModemRequest) {
        self.lines = self.wanted(request);
        // A client that is gone needs no answer.
        let _ = self.socket.send_to_addr(&[VERSION, to_bits(self.lines)], &request.from);
    }
}

impl AsFd for ModemSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for ModemSocket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_set_and_clear_lines() {
        let folder = tempfile::tempdir().unwrap();
        let mut socket = ModemSocket::bind(&folder.path().join("modem")).unwrap();
        let client = UnixDatagram::bind(folder.path().join("client")).unwrap();
        client.connect(socket.path()).unwrap();
        let mut ask = |request: [u8; 3]| {
            client.send(&request).unwrap();
            let request = socket.next_request().unwrap();
            let wanted = socket.wanted(&request);
            socket.answer(&request);
            let mut answer = [0; 2];
            assert_eq!(client.recv(&mut answer).unwrap(), 2);
            (wanted, answer)
        };
        assert_eq!(ask([1, 3, 0]), (ControlLines { dtr: true, rts: true }, [1, 3]));
        assert_eq!(ask([1, 2, 1]), (ControlLines { dtr: false, rts: true }, [1, 2]));
        assert_eq!(ask([1, 0, 0]), (ControlLines { dtr: false, rts: true }, [1, 2]));
        assert_eq!(ask([1, 0, 2]), (ControlLines::default(), [1, 0]));
    }

    #[test]
    fn nonsense_and_nobody_are_survived() {
        let folder = tempfile::tempdir().unwrap();
        let mut socket = ModemSocket::bind(&folder.path().join("modem")).unwrap();
        assert!(socket.next_request().is_none());
        let client = UnixDatagram::bind(folder.path().join("client")).unwrap();
        for nonsense in
            [&b""[..], b"\x01", b"\x02\x03\x00", b"\x01\x03\x00\x00", b"longer than that"]
        {
            client.send_to(nonsense, socket.path()).unwrap();
        }
        assert!(socket.next_request().is_none());
        client.send_to(&[1, 1, 0], socket.path()).unwrap();
        drop(client);
        let request = socket.next_request().unwrap();
        socket.answer(&request);
        assert!(socket.lines().dtr);
        let path = socket.path().to_owned();
        drop(socket);
        assert!(!path.exists());
    }
}

//! Reading and writing what does not block.

use std::{
    io::{self, ErrorKind, Read, Write},
    os::fd::{AsFd, BorrowedFd},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

/// A write that moves no byte for so long has failed.
const STALL: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };
/// Bytes read in one go.
const CHUNK: usize = 4096;
/// Chunks read in one go, so that a flood cannot hold the loop.
const CHUNKS_MAX: usize = 64;

/// Appends what has arrived. An end is an error: nothing comes any more.
pub(super) fn read(stream: &mut impl Read, incoming: &mut Vec<u8>) -> io::Result<()> {
    let mut chunk = [0; CHUNK];
    for _ in 0..CHUNKS_MAX {
        match stream.read(&mut chunk) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => incoming.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Sends all of `bytes`; what arrives meanwhile goes to `incoming`, because two sides that both
/// only write would wait for ever.
pub(super) fn write<S: Read + Write + AsFd>(
    stream: &mut S,
    bytes: &[u8],
    incoming: &mut Vec<u8>,
) -> io::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        match stream.write(rest) {
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                read(stream, incoming)?;
                wait(stream.as_fd())?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Waits until the port takes or has bytes.
fn wait(fd: BorrowedFd<'_>) -> io::Result<()> {
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::OUT | PollFlags::IN)];
    match poll(&mut fds, Some(&STALL)) {
        Ok(0) => Err(io::Error::new(ErrorKind::TimedOut, "it takes no bytes")),
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

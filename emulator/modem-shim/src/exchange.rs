//! One request to the emulator and its reply.

use std::{ffi::c_int, mem};

use crate::{Path, REPLY_TIMEOUT_MS, VERSION, config, errno};

/// Asks the emulator to set and clear lines, and waits until it has; the lines that hold now.
pub(crate) fn exchange(set: u8, clear: u8) -> Option<u8> {
    let config = config()?;
    let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC;
    // SAFETY: plain numbers.
    let fd = unsafe { libc::socket(libc::AF_UNIX, kind, 0) };
    if fd < 0 {
        return None;
    }
    let reply = exchange_on(fd, &config.socket, &[VERSION, set, clear]);
    // SAFETY: opened above and known to nobody else.
    unsafe { libc::close(fd) };
    reply
}

/// One request and its reply on a fresh datagram socket.
fn exchange_on(fd: c_int, socket: &Path, request: &[u8; 3]) -> Option<u8> {
    // SAFETY: `sockaddr_un` is plain data for which zeros are a value.
    let mut address: libc::sockaddr_un = unsafe { mem::zeroed() };
    address.sun_family = libc::sa_family_t::try_from(libc::AF_UNIX).ok()?;
    let to = &raw const address;
    let family_len = libc::socklen_t::try_from(size_of::<libc::sa_family_t>()).ok()?;
    // The family alone: the kernel picks an abstract name, so that the reply has a destination.
    // SAFETY: `to` points to at least `family_len` bytes.
    if unsafe { libc::bind(fd, to.cast(), family_len) } != 0 {
        return None;
    }
    address.sun_path = *socket;
    let to = &raw const address;
    let len = libc::socklen_t::try_from(size_of::<libc::sockaddr_un>()).ok()?;
    // SAFETY: `to` points to `len` bytes; the path in it ends with NUL.
    if unsafe { libc::connect(fd, to.cast(), len) } != 0 {
        return None;
    }
    // SAFETY: the buffer is as long as said.
    let sent =
        unsafe { libc::send(fd, request.as_ptr().cast(), request.len(), libc::MSG_NOSIGNAL) };
    if usize::try_from(sent).ok()? != request.len() || !wait_readable(fd) {
        return None;
    }
    let mut reply = [0_u8; 2];
    let flags = libc::MSG_DONTWAIT;
    // SAFETY: the buffer is as long as said.
    let got = unsafe { libc::recv(fd, reply.as_mut_ptr().cast(), reply.len(), flags) };
    (got == 2 && reply[0] == VERSION).then_some(reply[1])
}

/// Waits for a reply; a signal starts the wait over, a few times at most.
fn wait_readable(fd: c_int) -> bool {
    for _attempt in 0..16 {
        let mut entry = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry, as said.
        match unsafe { libc::poll(&raw mut entry, 1, REPLY_TIMEOUT_MS) } {
            1 => return entry.revents & libc::POLLIN != 0,
            -1 if errno() == libc::EINTR => {}
            _ => return false,
        }
    }
    false
}

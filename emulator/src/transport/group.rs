//! One event loop for any number of boards, with their control socket.

use std::{
    io,
    os::{fd::AsFd, unix::net::UnixStream},
    time,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

use super::{
    control::ControlSocket,
    device::SerialDevice,
    server::{Server, wall_now},
};

/// A control socket and what answers its requests.
pub struct Controlled<'a, D> {
    /// Where requests come from.
    pub socket: ControlSocket,
    /// Answers one line.
    #[expect(clippy::type_complexity, reason = "it is named once")]
    pub answer: Box<dyn FnMut(&mut [Server<D>], &str) -> String + 'a>,
}

impl<D> std::fmt::Debug for Controlled<'_, D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Controlled").field("socket", &self.socket).finish_non_exhaustive()
    }
}

/// Serves all of `servers` until `stop` can be read (or its other end is closed).
///
/// # Errors
///
/// A PTY or a hook failed. Nothing that a client does is an error.
pub fn run<D: SerialDevice>(
    servers: &mut [Server<D>],
    mut control: Option<Controlled<'_, D>>,
    stop: &UnixStream,
) -> io::Result<()> {
    servers.iter_mut().try_for_each(Server::begin)?;
    let mut events = Vec::new();
    loop {
        serve_quick(servers)?;
        let starts = wait(servers, control.as_ref().map(|it| &it.socket), stop, &mut events)?;
        if events.first().is_some_and(|event| !event.is_empty()) {
            return servers.iter_mut().try_for_each(Server::end);
        }
        let first = starts.first().copied().unwrap_or(events.len());
        if let Some(Controlled { socket, answer }) = &mut control
            && is_any(events.get(1..first))
        {
            socket.service(&mut |line| answer(servers, line));
        }
        let ends = starts.iter().copied().skip(1).chain([events.len()]);
        for ((server, start), end) in servers.iter_mut().zip(&starts).zip(ends) {
            let events = events.get(*start..end);
            if is_any(events) || server.is_due() {
                server.serve(events.unwrap_or_default())?;
            }
        }
    }
}

/// Turns of quick clients before the loop asks what else there is.
const QUICK_TURNS_MAX: u32 = 64;

/// Hears clients that go on at once. Asking the system for all that could happen takes longer than
/// many an answer, so it is asked when they pause, and every so many turns.
fn serve_quick<D: SerialDevice>(servers: &mut [Server<D>]) -> io::Result<()> {
    for _ in 0..QUICK_TURNS_MAX {
        look(servers);
        let mut is_heard = false;
        for server in servers.iter_mut() {
            is_heard |= server.serve_quick()?;
        }
        if !is_heard {
            break;
        }
    }
    Ok(())
}

/// Looks for the next bytes of a quick client before sleeping.
fn look<D: SerialDevice>(servers: &[Server<D>]) {
    let Some(until) = servers.iter().filter_map(Server::look_until).max() else { return };
    while wall_now() < until && !servers.iter().any(Server::has_input) {
        // The client may need this very processor.
        std::thread::yield_now();
    }
}

fn is_any(events: Option<&[PollFlags]>) -> bool {
    events.unwrap_or_default().iter().any(|event| !event.is_empty())
}

/// Blocks until there is something to do. `events` are those of `stop`, of the control socket, then
/// of each server from the index that is returned for it.
fn wait<D: SerialDevice>(
    servers: &mut [Server<D>],
    control: Option<&ControlSocket>,
    stop: &UnixStream,
    events: &mut Vec<PollFlags>,
) -> io::Result<Vec<usize>> {
    let timeout = servers.iter().filter_map(Server::timeout).min().map(timespec);
    let mut fds = vec![PollFd::from_borrowed_fd(stop.as_fd(), PollFlags::IN)];
    if let Some(control) = control {
        control.poll_fds(&mut fds);
    }
    let mut starts = Vec::with_capacity(servers.len());
    for server in servers {
        starts.push(fds.len());
        server.poll_fds(&mut fds);
    }
    match poll(&mut fds, timeout.as_ref()) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    events.clear();
    events.extend(fds.iter().map(PollFd::revents));
    Ok(starts)
}

/// Rounded up, so that the wait does not end before its time.
fn timespec(span: time::Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: span.subsec_nanos().into(),
    }
}

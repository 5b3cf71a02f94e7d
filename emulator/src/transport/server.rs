//! The event loop of one board: one thread, level-triggered `poll(2)`, no timer but the board's own.

use std::{
    io::{self, Read, Write},
    os::{fd::AsFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    sync::mpsc,
    thread::JoinHandle,
    time,
};

use rustix::event::{PollFd, PollFlags};

use crate::{board::ControlLines, time::Instant};

mod debug;
mod exchange;

use super::{
    client_watch::ClientWatch,
    device::SerialDevice,
    fronts::Fronts,
    group,
    link::Link,
    pace::{Clock, Pace},
    patience::Patience,
    pty::PtyPort,
};

/// How a board is served.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// How virtual time follows wall time.
    pub pace: Pace,
    /// A symbolic link to the PTY, made at the start and removed at the end.
    pub link: Option<PathBuf>,
}

/// How much of what the client has written a turn takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Input {
    None,
    /// What is ready; more is told by the next wait.
    Ready,
    All,
}

/// Work for the loop between two turns.
type Task<D> = Box<dyn FnOnce(&mut D) + Send>;
/// Called after each change of the device, before anything of it reaches a client.
pub(super) type Hook<D> = Box<dyn FnMut(&mut D) -> io::Result<()> + Send>;

/// First wait for a client that does not read; doubles up to [`STALL_WAIT_MAX`].
const STALL_WAIT_MIN: time::Duration = time::Duration::from_millis(1);
/// Answers that are sent in one turn; then what the client has written meanwhile is heard.
const ANSWERS_MAX: usize = 1024;
/// Line changes in one turn.
const MODEM_REQUESTS_MAX: usize = 64;
/// Longest wait for a client that does not read.
const STALL_WAIT_MAX: time::Duration = time::Duration::from_millis(50);

/// Events of one turn of a board that a debugger looks into: each runs a millisecond at most.
const DEBUGGED_EVENTS_MAX: usize = 64;

/// Nothing from outside for so long, and the device counts as quiet.
const QUIET: time::Duration = time::Duration::from_millis(200);

/// One board on one PTY.
pub struct Server<D> {
    device: D,
    port: PtyPort,
    fronts: Fronts,
    clock: Clock,
    hooks: Vec<Hook<D>>,
    quiet_hooks: Vec<Hook<D>>,
    /// When the device counts as quiet, if that is to be told.
    quiet_at: Option<time::Instant>,
    tasks: mpsc::Receiver<Task<D>>,
    task_sender: mpsc::Sender<Task<D>>,
    wake: UnixStream,
    wake_sender: UnixStream,
    stall_wait: time::Duration,
    patience: Patience,
    /// Events are due that the last turn left for the next.
    more: bool,
    /// Removes the link when the server goes.
    _link: Option<Link>,
}

/// A server on a thread of its own.
#[derive(Debug)]
pub struct Handle<D> {
    path: PathBuf,
    tasks: mpsc::Sender<Task<D>>,
    wake: UnixStream,
    stop: UnixStream,
    thread: JoinHandle<(D, io::Result<()>)>,
}

/// The server's thread has ended, so the board is out of reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the board's server has ended")]
pub struct ServerEnded;

impl<D> std::fmt::Debug for Server<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("port", &self.port).finish_non_exhaustive()
    }
}

impl<D: SerialDevice> Server<D> {
    /// Opens a PTY for `device`.
    ///
    /// # Errors
    ///
    /// No PTY can be had, or the link cannot be made.
    pub fn open(device: D, options: &Options) -> io::Result<Self> {
        Self::open_watched(device, options, ClientWatch::new().ok().as_ref())
    }

    /// As [`Self::open`], for one of many boards on one thread, which share `watch`.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub fn open_watched(
        mut device: D,
        options: &Options,
        watch: Option<&ClientWatch>,
    ) -> io::Result<Self> {
        if options.pace == Pace::Real {
            device.receive_one_by_one();
        }
        let port = PtyPort::open_watched(watch)?;
        let link =
            options.link.as_deref().map(|link| Link::create(link, port.path())).transpose()?;
        let (task_sender, tasks) = mpsc::channel();
        let (wake, wake_sender) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        wake_sender.set_nonblocking(true)?;
        let clock = Clock::start(options.pace, wall_now(), device.now());
        Ok(Self {
            device,
            port,
            fronts: Fronts::default(),
            clock,
            hooks: Vec::new(),
            quiet_hooks: Vec::new(),
            quiet_at: None,
            tasks,
            task_sender,
            wake,
            wake_sender,
            stall_wait: STALL_WAIT_MIN,
            patience: Patience::default(),
            more: false,
            _link: link,
        })
    }

    /// Path that a client opens.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.port.path()
    }

    /// Calls `hook` after each change of the device and before any byte of it reaches the client:
    /// what the client was told is then stored. An error ends the server. Hooks run in the order
    /// that they were added in.
    pub fn on_change(&mut self, hook: impl FnMut(&mut D) -> io::Result<()> + Send + 'static) {
        self.hooks.push(Box::new(hook));
    }

    /// Calls `hook` once after each time that nothing has happened for a while, and at the end.
    pub fn on_quiet(&mut self, hook: impl FnMut(&mut D) -> io::Result<()> + Send + 'static) {
        self.quiet_hooks.push(Box::new(hook));
    }

    /// Ways in besides the PTY, to open more of them.
    pub fn fronts(&mut self) -> &mut Fronts {
        &mut self.fronts
    }

    /// The device.
    pub fn device(&mut self) -> &mut D {
        &mut self.device
    }

    /// The device, when serving is over.
    #[must_use]
    pub fn into_device(self) -> D {
        self.device
    }

    /// Serves until `stop` can be read (or its other end is closed).
    ///
    /// # Errors
    ///
    /// The PTY or the hook failed. Nothing that a client does is an error.
    pub fn run(&mut self, stop: &UnixStream) -> io::Result<()> {
        group::run(std::slice::from_mut(self), None, stop)
    }

    /// The first turn: what the device has to say by itself.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        self.turn(Input::None)
    }

    /// The last turn: what clients have written is heard.
    pub(super) fn end(&mut self) -> io::Result<()> {
        self.turn(Input::All)?;
        self.tell_quiet()
    }

    fn tell_quiet(&mut self) -> io::Result<()> {
        self.quiet_at = None;
        self.quiet_hooks.iter_mut().try_for_each(|hook| hook(&mut self.device))
    }

    /// Something may be due although no descriptor says so.
    pub(super) fn is_due(&self) -> bool {
        self.timeout().is_some()
    }

    /// Does what `events` of the descriptors of [`Self::poll_fds`] ask for, and what is due.
    pub(super) fn serve(&mut self, events: &[PollFlags]) -> io::Result<()> {
        let event = |index: usize| events.get(index).copied().unwrap_or(PollFlags::empty());
        if !event(0).is_empty() {
            self.run_tasks();
        }
        if self.debug()? {
            return Ok(());
        }
        if !event(2).is_empty() || self.port.has_client_events() {
            self.see_clients()?;
        }
        let Self { device, clock, hooks, .. } = self;
        self.fronts.service(device, clock, hooks, wall_now())?;
        let input = if event(1).contains(PollFlags::IN) { Input::Ready } else { Input::None };
        self.turn(input)?;
        self.serve_modem()?;
        let idle = events.iter().all(PollFlags::is_empty) && !self.more;
        match self.quiet_at {
            Some(quiet_at) if idle && wall_now() >= quiet_at => self.tell_quiet(),
            _ if !idle && !self.quiet_hooks.is_empty() => {
                self.quiet_at = Some(wall_now() + QUIET);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Something from outside of the line happens to the device, which gets the time of it.
    pub fn touch<R>(&mut self, work: impl FnOnce(&mut D, Instant) -> R) -> R {
        let now = self.clock.happens(&self.device, wall_now());
        let result = work(&mut self.device, now);
        if self.device.now() < now {
            // Put back to an earlier instant: virtual time goes on from there.
            self.clock = Clock::start(self.clock.pace(), wall_now(), self.device.now());
        }
        self.clock.touched(&self.device);
        self.more = true;
        result
    }

    /// Applies line changes of the PTY's clients, each at its place between their data.
    fn serve_modem(&mut self) -> io::Result<()> {
        for _ in 0..MODEM_REQUESTS_MAX {
            if self.device.is_halted() {
                break;
            }
            let Some(request) = self.fronts.modem_request() else { break };
            // Whoever asks has opened the port before, and whoever had it before him has closed it:
            // his lines have fallen by then, however late this loop looks.
            self.see_clients()?;
            // The client waits for its answer, and one turn takes more than a PTY holds.
            self.turn(Input::All)?;
            let lines = self.fronts.modem_wanted(&request);
            self.set_lines(lines);
            // A reset begins: where time jumps, the board may have talked for minutes ahead.
            if lines.rts && self.clock.jumps() {
                self.port.discard_output();
            }
            self.turn(Input::None)?;
            self.fronts.modem_answer(&request);
        }
        Ok(())
    }

    fn set_lines(&mut self, lines: ControlLines) {
        let now = self.clock.happens(&self.device, wall_now());
        self.device.set_lines(now, lines);
    }

    /// Adds the descriptors to wait for.
    pub(super) fn poll_fds<'a>(&'a mut self, fds: &mut Vec<PollFd<'a>>) {
        if self.device.is_halted() {
            fds.push(PollFd::from_borrowed_fd(self.wake.as_fd(), PollFlags::IN));
            return self.fronts.debugger_fds(fds);
        }
        let mut master_flags = PollFlags::IN;
        if self.port.has_output() && !self.port.is_stalled() {
            master_flags |= PollFlags::OUT;
        }
        fds.push(PollFd::from_borrowed_fd(self.wake.as_fd(), PollFlags::IN));
        fds.push(PollFd::from_borrowed_fd(self.port.master_fd(), master_flags));
        fds.extend(
            self.port.watch_fd().map(|watch| PollFd::from_borrowed_fd(watch, PollFlags::IN)),
        );
        self.fronts.poll_fds(fds);
        let wake = self.device.wake_fd();
        fds.extend(wake.map(|wake| PollFd::from_borrowed_fd(wake, PollFlags::IN)));
    }

    /// How long to wait at most; `None` for ever.
    pub(super) fn timeout(&self) -> Option<time::Duration> {
        if self.device.is_halted() {
            return None;
        }
        if self.more || self.port.has_client_events() {
            return Some(time::Duration::ZERO);
        }
        let stalled = self.port.is_stalled().then_some(self.stall_wait);
        let event = self.clock.idle(&self.device, wall_now());
        let quiet = self.quiet_at.map(|at| at.saturating_duration_since(wall_now()));
        let line = self.fronts.wait(&self.device, &self.clock, wall_now());
        [stalled, event, quiet, line].into_iter().flatten().min()
    }

    /// Until when to look for the client's next bytes before sleeping.
    pub(super) fn look_until(&self) -> Option<time::Instant> {
        self.patience.until()
    }

    /// Whether the client's next bytes are there.
    pub(super) fn has_input(&self) -> bool {
        self.port.has_input()
    }

    /// Hears a client that goes on at once, before anything else is asked for; says whether there
    /// was one. What else happens on the client's side waits for the next [`Self::serve`].
    pub(super) fn serve_quick(&mut self) -> io::Result<bool> {
        let is_heard = !self.more && self.look_until().is_some() && self.has_input();
        if is_heard {
            self.turn(Input::Ready)?;
            if !self.quiet_hooks.is_empty() {
                self.quiet_at = Some(wall_now() + QUIET);
            }
        }
        Ok(is_heard)
    }

    /// Runs the closures that the handle sent.
    fn run_tasks(&mut self) {
        let mut drain = [0; 64];
        while matches!((&self.wake).read(&mut drain), Ok(count) if count > 0) {}
        while let Ok(task) = self.tasks.try_recv() {
            task(&mut self.device);
            self.clock.touched(&self.device);
        }
    }

    /// Lets clients come and go.
    fn see_clients(&mut self) -> io::Result<()> {
        let change = self.port.service_clients();
        if change.closed {
            self.port.forget_client();
        }
        if !change.left {
            return Ok(());
        }
        // What is still to be read may be the last words of the old client or the first ones of the
        // next. Answers are never thrown away for it: a stale one is harmless, a lost one is not.
        self.turn(Input::All)?;
        if self.fronts.modem_release() {
            self.set_lines(ControlLines::default());
            self.turn(Input::None)?;
        }
        Ok(())
    }
}

impl<D: SerialDevice + Send + 'static> Server<D> {
    /// Serves on a thread of its own.
    ///
    /// # Errors
    ///
    /// No PTY can be had, the link cannot be made, or no thread started.
    pub fn spawn(device: D, options: &Options) -> io::Result<Handle<D>> {
        Self::open(device, options)?.into_thread()
    }

    /// Goes on serving on a thread of its own.
    ///
    /// # Errors
    ///
    /// No thread can be started.
    pub fn into_thread(mut self) -> io::Result<Handle<D>> {
        let (stop, stopped) = UnixStream::pair()?;
        let path = self.path().to_owned();
        let tasks = self.task_sender.clone();
        let wake = self.wake_sender.try_clone()?;
        let thread = std::thread::Builder::new().name("board".to_owned()).spawn(move || {
            let result = self.run(&stopped);
            (self.into_device(), result)
        })?;
        Ok(Handle { path, tasks, wake, stop, thread })
    }
}

impl<D: 'static> Handle<D> {
    /// Path that a client opens.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `work` on the device between two turns of the loop, and waits for its result.
    ///
    /// # Errors
    ///
    /// The server has ended.
    pub fn with<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut D) -> R + Send + 'static,
    ) -> Result<R, ServerEnded> {
        let (sender, receiver) = mpsc::sync_channel(1);
        let task: Task<D> = Box::new(move |device| {
            // The caller waits, so there is a receiver.
            let _ = sender.send(work(device));
        });
        self.tasks.send(task).map_err(|_| ServerEnded)?;
        // A full pipe means that a wake-up is on its way.
        let _ = (&self.wake).write(&[0]);
        receiver.recv().map_err(|_| ServerEnded)
    }

    /// Ends the server and returns the device.
    ///
    /// # Errors
    ///
    /// What ended the server before, if it was not this call.
    pub fn shutdown(self) -> io::Result<D> {
        drop(self.stop);
        match self.thread.join() {
            Ok((device, result)) => result.map(|()| device),
            Err(_) => Err(io::Error::other("the board's thread panicked")),
        }
    }
}

/// The wall clock: the one place of the front end that reads it.
#[expect(clippy::disallowed_methods, reason = "a transport ties virtual time to the wall clock")]
pub(super) fn wall_now() -> time::Instant {
    time::Instant::now()
}

#[cfg(test)]
mod tests;

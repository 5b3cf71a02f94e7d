//! The PTY itself: descriptors, clients coming and going, a bounded transmit queue.
//!
//! A PTY is not a serial port, and every difference costs a rule here. The server keeps a slave
//! descriptor of its own, so that a client that leaves causes neither a hang-up nor an error on the
//! master. inotify on the slave's path tells who comes and goes, clients killed by a signal
//! included. When the last one has gone, what it did not read is flushed, and the exclusive mode
//! that a killed client leaves behind is lifted, which only a slave descriptor opened earlier can
//! do. The master never blocks, because a PTY holds 8 to 20 KB in each direction and two sides that
//! both block in a write wait for ever.

use std::{
    collections::VecDeque,
    ffi::OsString,
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::ffi::OsStringExt,
    },
    path::{Path, PathBuf},
    time,
};

use pty_process::blocking::{Pts, Pty, open};
use rustix::{
    fs::{Mode, OFlags, fchmod, fcntl_setfl},
    io::{Errno, ioctl_fionread},
    termios::{OptionalActions, QueueSelector, ioctl_tiocnxcl, tcflush, tcgetattr, tcsetattr},
};

use super::client_watch::{ClientEvent, ClientWatch, PathWatch};

/// Bytes that wait for the client at most. Beyond, they are lost as on a line nobody reads.
const QUEUE_MAX: usize = 1024 * 1024;
/// Rate of the ROM's banner, in baud.
const ROM_BAUD: u32 = 115_200;
/// What one read of a terminal gives at most.
const LINE_BUFFER_BYTES: usize = 4095;
/// Bytes taken from the client in one turn.
const READ_MAX: usize = 64 * 1024;

/// A client that is reading takes the next bytes within this time.
const READER_STEP: time::Duration = time::Duration::from_millis(2);
/// Steps to wait for it.
const READER_STEPS_MAX: usize = 10;

/// A PTY whose slave side is a client's serial port.
pub struct PtyPort {
    master: Pty,
    /// Kept open for as long as the port lives.
    slave: Pts,
    /// `None` where the system has no watch left: clients are then taken as always present.
    watch: Option<PathWatch>,
    path: PathBuf,
    client_count: u32,
    queue: VecDeque<u8>,
    stalled: bool,
    lost_bytes: u64,
}

/// What became of the clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClientChange {
    /// A client has opened the port.
    pub opened: bool,
    /// The last client has closed it, and none has come since.
    pub closed: bool,
    /// There was a moment without any client. Unlike with [`Self::closed`] another may have come
    /// since.
    pub left: bool,
}

impl std::fmt::Debug for PtyPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PtyPort")
            .field("path", &self.path)
            .field("client_count", &self.client_count)
            .field("queued", &self.queue.len())
            .finish_non_exhaustive()
    }
}

impl PtyPort {
    /// Opens a PTY: raw before any byte can pass, mode 0600, master non-blocking.
    ///
    /// # Errors
    ///
    /// The system has no PTY left, or does not let this process use one.
    pub fn open() -> io::Result<Self> {
        Self::open_watched(ClientWatch::new().ok().as_ref())
    }

    /// As [`Self::open`], with a watch that other PTYs of the same thread share; without one,
    /// clients are taken as always present.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub fn open_watched(watch: Option<&ClientWatch>) -> io::Result<Self> {
        let (master, slave) = open().map_err(io::Error::other)?;
        make_raw(&master)?;
        fchmod(&slave, Mode::RUSR | Mode::WUSR)?;
        fcntl_setfl(&master, OFlags::RDWR | OFlags::NONBLOCK)?;
        let name = rustix::pty::ptsname(&master, Vec::new())?;
        let path = PathBuf::from(OsString::from_vec(name.into_bytes()));
        let watch = watch.and_then(|watch| watch.path(&path).ok());
        Ok(Self {
            master,
            slave,
            watch,
            path,
            client_count: 0,
            queue: VecDeque::new(),
            stalled: false,
            lost_bytes: 0,
        })
    }

    /// Path that a client opens.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The master, to wait for input on.
    #[must_use]
    pub fn master_fd(&self) -> BorrowedFd<'_> {
        self.master.as_fd()
    }

    /// The watch on clients, to wait for.
    #[must_use]
    pub fn watch_fd(&self) -> Option<BorrowedFd<'_>> {
        self.watch.as_ref().map(PathWatch::fd)
    }

    /// Whether [`Self::service_clients`] has something to tell although the watch is silent.
    #[must_use]
    pub fn has_client_events(&self) -> bool {
        self.watch.as_ref().is_some_and(PathWatch::has_events)
    }

    /// The client's line speed. Any integer arrives exactly; 0 means hang-up and is no speed.
    #[must_use]
    pub fn baud(&self) -> Option<u32> {
        tcgetattr(&self.master)
            .ok()
            .map(|termios| termios.output_speed())
            .filter(|speed| *speed > 0)
    }

    /// Whether somebody has the port open, as far as the system tells.
    #[must_use]
    pub fn has_client(&self) -> bool {
        self.client_count > 0 || self.watch.is_none()
    }

    /// Bytes wait, and the client has not read for a while.
    #[must_use]
    pub fn is_stalled(&self) -> bool {
        self.stalled
    }

    /// Bytes that were lost because nobody read them.
    #[must_use]
    pub fn lost_bytes(&self) -> u64 {
        self.lost_bytes
    }

    /// Sees who came and went.
    pub fn service_clients(&mut self) -> ClientChange {
        let mut change = ClientChange::default();
        for event in self.watch.as_ref().map(PathWatch::take).unwrap_or_default() {
            match event {
                ClientEvent::Open => {
                    self.client_count += 1;
                    change.opened = true;
                    change.closed = false;
                }
                ClientEvent::Close => {
                    self.client_count = self.client_count.saturating_sub(1);
                    change.closed = self.client_count == 0;
                    change.left |= change.closed;
                }
            }
        }
        change
    }

    /// Drops what the client has not read.
    ///
    /// A thread of the client that waits for bytes has been woken by those that are here. Taken
    /// away under it, its read would give none, which pyserial takes for an unplugged device. So
    /// whoever is reading may go on, and only what nobody reads is dropped.
    #[expect(clippy::disallowed_methods, reason = "a transport waits for another process")]
    pub fn discard_output(&mut self) {
        self.queue.clear();
        self.stalled = false;
        let mut unread = self.unread();
        for _ in 0..READER_STEPS_MAX {
            if unread == 0 {
                return;
            }
            std::thread::sleep(READER_STEP);
            let before = std::mem::replace(&mut unread, self.unread());
            if unread >= before {
                break;
            }
        }
        // Best effort: old bytes are noise that every client knows how to skip.
        let _ = tcflush(&self.slave, QueueSelector::IFlush);
    }

    /// Bytes that have reached the client's side and were not read.
    fn unread(&self) -> u64 {
        ioctl_fionread(&self.slave).unwrap_or(0)
    }

    /// Forgets the last client: what it did not read, its exclusive mode, its line discipline.
    pub fn forget_client(&mut self) {
        self.queue.clear();
        self.stalled = false;
        // Best effort: the port works for the next client even where one of these fails.
        let _ = tcflush(&self.slave, QueueSelector::IFlush);
        let _ = ioctl_tiocnxcl(&self.slave);
        let _ = make_raw(&self.master);
    }

    /// Reads what the client has written, without blocking; with `all` until nothing is left, else
    /// until the system gives less than it could.
    ///
    /// # Errors
    ///
    /// The PTY is broken; nothing that a client does causes that.
    pub fn read(&mut self, into: &mut Vec<u8>, all: bool) -> io::Result<()> {
        let mut chunk = [0; 4096];
        while into.len() < READ_MAX {
            match rustix::io::read(&self.master, &mut chunk) {
                // EIO would mean no client at all, which the kept slave makes impossible.
                Ok(0) | Err(Errno::AGAIN | Errno::IO) => break,
                Ok(count) => {
                    into.extend_from_slice(&chunk[..count]);
                    if !all && count < LINE_BUFFER_BYTES {
                        break;
                    }
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Whether bytes of the client can be read, by a look that does not wait for those on their way.
    #[must_use]
    pub fn has_input(&self) -> bool {
        ioctl_fionread(&self.master).is_ok_and(|count| count > 0)
    }

    /// Queues bytes for the client; what finds no room is lost.
    pub fn queue(&mut self, bytes: &[u8]) {
        let room = QUEUE_MAX.saturating_sub(self.queue.len());
        self.queue.extend(bytes.iter().take(room));
        self.lost_bytes += u64::try_from(bytes.len().saturating_sub(room)).unwrap_or(u64::MAX);
    }

    /// Whether bytes wait for the client.
    #[must_use]
    pub fn has_output(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Writes what the client's side takes, without blocking.
    ///
    /// # Errors
    ///
    /// The PTY is broken; nothing that a client does causes that.
    pub fn write(&mut self) -> io::Result<()> {
        while !self.queue.is_empty() {
            let (front, _) = self.queue.as_slices();
            match rustix::io::write(&self.master, front) {
                Ok(count) => {
                    self.queue.drain(..count);
                    self.stalled = false;
                }
                // POLLOUT may stay set all the same, so the caller must wait by time.
                Err(Errno::AGAIN) => {
                    self.stalled = true;
                    return Ok(());
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.stalled = false;
        Ok(())
    }
}

/// Raw mode at the ROM's rate, for clients that set neither. Works on the master and changes the
/// slave.
fn make_raw(master: &Pty) -> io::Result<()> {
    let mut termios = tcgetattr(master)?;
    termios.make_raw();
    termios.set_speed(ROM_BAUD)?;
    tcsetattr(master, OptionalActions::Now, &termios)?;
    Ok(())
}

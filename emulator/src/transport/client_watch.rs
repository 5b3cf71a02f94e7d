//! Who opens and closes PTYs, by inotify on their paths.
//!
//! A user may have few inotify instances (128 on a usual Linux), so the boards of one event loop
//! share one. Whoever reads it sorts the events by board; they wait here until their board looks.

use std::{
    collections::BTreeMap,
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use rustix::fs::inotify;

/// Events of one path that wait at most. Beyond, they are lost.
const EVENTS_MAX: usize = 4096;

/// An inotify instance for any number of PTYs on one thread.
#[derive(Debug, Clone)]
pub struct ClientWatch(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    instance: OwnedFd,
    /// By watch descriptor.
    waiting: Mutex<BTreeMap<i32, Vec<ClientEvent>>>,
}

/// What somebody did with a PTY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientEvent {
    /// Opened it.
    Open,
    /// Closed it.
    Close,
}

/// The watch on one path.
#[derive(Debug)]
pub(super) struct PathWatch {
    shared: Arc<Shared>,
    descriptor: i32,
}

impl ClientWatch {
    /// A new instance.
    ///
    /// # Errors
    ///
    /// The user has none left.
    pub fn new() -> io::Result<Self> {
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let instance = inotify::init(flags)?;
        Ok(Self(Arc::new(Shared { instance, waiting: Mutex::default() })))
    }

    /// Watches opens and closes of `path`.
    pub(super) fn path(&self, path: &Path) -> io::Result<PathWatch> {
        // Writes are of no interest in themselves. But the kernel merges equal neighbours, and
        // without them two opens in a row could count as one.
        let events = inotify::WatchFlags::OPEN
            | inotify::WatchFlags::MODIFY
            | inotify::WatchFlags::CLOSE_WRITE
            | inotify::WatchFlags::CLOSE_NOWRITE;
        let descriptor = inotify::add_watch(&self.0.instance, path, events)?;
        let shared = Arc::clone(&self.0);
        // A descriptor may have been another path's before.
        shared
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(descriptor, Vec::new());
        Ok(PathWatch { shared, descriptor })
    }
}

impl PathWatch {
    /// To wait for; other paths wake it as well.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.shared.instance.as_fd()
    }

    /// Whether events were read already that this path has not taken.
    pub(super) fn has_events(&self) -> bool {
        let waiting = self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.get(&self.descriptor).is_some_and(|events| !events.is_empty())
    }

    /// Takes what happened to this path, in order.
    pub(super) fn take(&self) -> Vec<ClientEvent> {
        let mut waiting = self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut buffer = [MaybeUninit::<u8>::uninit(); 4096];
        let mut reader = inotify::Reader::new(self.shared.instance.as_fd(), &mut buffer);
        // Ends when the queue is empty: the descriptor does not block.
        while let Ok(event) = reader.next() {
            let flags = event.events();
            let closes = inotify::ReadFlags::CLOSE_WRITE | inotify::ReadFlags::CLOSE_NOWRITE;
            let what = if flags.contains(inotify::ReadFlags::OPEN) {
                ClientEvent::Open
            } else if flags.intersects(closes) {
                ClientEvent::Close
            } else {
                continue;
            };
            if let Some(events) = waiting.get_mut(&event.wd())
                && events.len() < EVENTS_MAX
            {
                events.push(what);
            }
        }
        waiting.get_mut(&self.descriptor).map(std::mem::take).unwrap_or_default()
    }
}

impl Drop for PathWatch {
    fn drop(&mut self) {
        // The kernel forgets the watch with the PTY.
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.descriptor);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn paths_share_an_instance_and_nobody_loses_events() {
        let folder = tempfile::tempdir().unwrap();
        let watch = ClientWatch::new().unwrap();
        let paths = ["a", "b"].map(|name| folder.path().join(name));
        let watches = paths.each_ref().map(|path| {
            File::create(path).unwrap();
            watch.path(path).unwrap()
        });
        for path in &paths {
            drop(File::open(path).unwrap());
        }
        let wanted = [ClientEvent::Open, ClientEvent::Close];
        assert!(!watches[1].has_events());
        assert_eq!(watches[0].take(), wanted);
        assert!(watches[1].has_events(), "read with those of the first");
        assert_eq!(watches[1].take(), wanted);
        assert!(watches[0].take().is_empty());
    }
}

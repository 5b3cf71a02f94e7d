//! The control socket: lines of text in, one line of text out for each, over a Unix socket.

use std::{
    fs,
    io::{self, ErrorKind, Read, Write},
    os::{
        fd::AsFd,
        unix::{
            fs::{FileTypeExt, PermissionsExt},
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
};

use rustix::event::{PollFd, PollFlags};

/// Clients at a time; more wait at the listener.
const CLIENTS_MAX: usize = 16;
/// Longest request; whoever sends more is no client.
const LINE_MAX: usize = 64 * 1024;
/// While as many bytes of answers wait for a client, none of its requests is looked at.
const ANSWERS_MAX: usize = 1024 * 1024;
/// Bytes taken from one client in one turn.
const CHUNK_LEN: usize = 4096;

/// A listening Unix socket, removed again on drop.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
    clients: Vec<Client>,
}

#[derive(Debug)]
struct Client {
    stream: UnixStream,
    received: Vec<u8>,
    answers: Vec<u8>,
    /// The client sends no more; what it has asked is still answered.
    ended: bool,
}

impl ControlSocket {
    /// Listens at `path`, mode 0600. A socket that nobody serves any more is replaced.
    ///
    /// # Errors
    ///
    /// Something else is at `path`, it is in use, or the folder cannot be written.
    pub fn bind(path: &Path) -> io::Result<Self> {
        let is_socket = fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
        if is_socket && UnixStream::connect(path).is_err() {
            fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, path: path.to_owned(), clients: Vec::new() })
    }

    /// Where it listens.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds the descriptors to wait for.
    pub(crate) fn poll_fds<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) {
        if self.clients.len() < CLIENTS_MAX {
            fds.push(PollFd::from_borrowed_fd(self.listener.as_fd(), PollFlags::IN));
        }
        for client in &self.clients {
            let waits = if client.answers.is_empty() { PollFlags::IN } else { PollFlags::OUT };
            fds.push(PollFd::from_borrowed_fd(client.stream.as_fd(), waits));
        }
    }

    /// Answers every request that is there.
    pub(crate) fn service(&mut self, answer: &mut dyn FnMut(&str) -> String) {
        while self.clients.len() < CLIENTS_MAX
            && let Ok((stream, _)) = self.listener.accept()
        {
            if stream.set_nonblocking(true).is_ok() {
                let (received, answers) = (Vec::new(), Vec::new());
                self.clients.push(Client { stream, received, answers, ended: false });
            }
        }
        self.clients.retain_mut(|client| client.exchange(answer).is_ok());
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Client {
    /// An error means that the connection is over.
    fn exchange(&mut self, answer: &mut dyn FnMut(&str) -> String) -> io::Result<()> {
        self.send()?;
        if self.answers.is_empty() && !self.ended {
            self.receive()?;
        }
        while self.answers.len() < ANSWERS_MAX
            && let Some(end) = self.received.iter().position(|byte| *byte == b'\n')
        {
            let line: Vec<u8> = self.received.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            if !line.trim().is_empty() {
                self.answers.extend(answer(line.trim()).as_bytes());
                self.answers.push(b'\n');
                self.send()?;
            }
        }
        if (self.ended && self.answers.is_empty()) || self.received.len() > LINE_MAX {
            return Err(ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }

    fn receive(&mut self) -> io::Result<()> {
        let mut chunk = [0; CHUNK_LEN];
        match self.stream.read(&mut chunk) {
            Ok(0) => self.ended = true,
            Ok(count) => self.received.extend(chunk.iter().take(count)),
            Err(error) if is_transient(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn send(&mut self) -> io::Result<()> {
        while !self.answers.is_empty() {
            match self.stream.write(&self.answers) {
                Ok(count) => drop(self.answers.drain(..count)),
                Err(error) if is_transient(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests;

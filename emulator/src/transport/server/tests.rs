use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
    os::unix::net::UnixDatagram,
};

use super::*;
use crate::transport::fake::Echo;

fn serve(options: &Options) -> Handle<Echo> {
    Server::spawn(Echo::default(), options).expect("a PTY")
}

fn client(path: &Path) -> File {
    OpenOptions::new().read(true).write(true).open(path).expect("the slave opens")
}

fn ping(port: &mut File, word: &[u8]) {
    port.write_all(word).expect("written");
    let mut answer = vec![0; word.len()];
    port.read_exact(&mut answer).expect("answered");
    assert_eq!(answer, word);
}

#[test]
fn every_byte_value_passes_both_ways_unchanged() {
    let server = serve(&Options::default());
    let all: Vec<u8> = (0..=255).collect();
    ping(&mut client(server.path()), &all);
}

#[test]
fn the_board_outlives_its_clients() {
    let server = serve(&Options::default());
    for round in 0..20_u8 {
        ping(&mut client(server.path()), &[round; 5]);
    }
    assert!(server.shutdown().is_ok());
}

#[test]
fn closures_run_on_the_device_between_turns() {
    let server = serve(&Options::default());
    let before = server.with(|echo| std::mem::replace(&mut echo.waiting, vec![1])).expect("runs");
    assert!(before.is_empty());
    assert_eq!(server.with(|echo| echo.waiting.clone()), Ok(vec![1]));
    assert_eq!(server.shutdown().expect("clean").waiting, [1]);
}

#[test]
fn the_hook_sees_a_change_before_the_client_does() {
    let mut server = Server::open(Echo::default(), &Options::default()).expect("a PTY");
    let (sender, receiver) = mpsc::channel();
    server.on_change(move |echo| {
        let _ = sender.send(echo.baud.is_some());
        Ok(())
    });
    let server = server.into_thread().expect("a thread");
    ping(&mut client(server.path()), b"x");
    assert!(receiver.try_iter().any(|changed| changed));
}

#[test]
fn a_failing_hook_ends_the_server_with_its_error() {
    let mut server = Server::open(Echo::default(), &Options::default()).expect("a PTY");
    server.on_change(|_| Err(io::Error::other("disk full")));
    let server = server.into_thread().expect("a thread");
    let error = server.shutdown().expect_err("the hook failed");
    assert_eq!(error.to_string(), "disk full");
}

#[test]
fn the_link_is_there_while_the_server_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let link = folder.path().join("tty");
    let server = serve(&Options { link: Some(link.clone()), ..Options::default() });
    ping(&mut client(&link), b"x");
    server.shutdown().expect("clean");
    assert!(link.symlink_metadata().is_err());
}

#[test]
fn a_file_in_the_place_of_the_link_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let link = folder.path().join("tty");
    std::fs::write(&link, "mine").expect("written");
    let error =
        Server::open(Echo::default(), &Options { link: Some(link.clone()), ..Options::default() })
            .expect_err("in the way");
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read(&link).expect("still there"), b"mine");
}

/// The preload library's end: each asks once, and its answer is there when the loop has turned.
struct Lines(UnixDatagram);

impl Lines {
    fn new(server: &mut Server<Echo>, folder: &Path) -> Self {
        let socket = server.fronts().listen_modem(&folder.join("modem")).expect("a socket");
        let client = UnixDatagram::bind(folder.join("client")).expect("a socket");
        client.connect(socket).expect("it is there");
        client.set_nonblocking(true).expect("a socket");
        Self(client)
    }

    /// Asks for `set` and not `clear`; the loop sees the request and no other event.
    fn change(&self, server: &mut Server<Echo>, set: u8, clear: u8) -> u8 {
        self.0.send(&[1, set, clear]).expect("it is there");
        server.serve(&[]).expect("the loop goes on");
        let mut answer = [0; 2];
        assert_eq!(self.0.recv(&mut answer).expect("answered in that turn"), 2);
        answer[1]
    }
}

/// All states of the lines so far, DTR and RTS.
fn history(server: &mut Server<Echo>) -> Vec<(bool, bool)> {
    server.device().lines.iter().map(|lines| (lines.dtr, lines.rts)).collect()
}

/// The loop is told of closes and opens by a descriptor that it polls before the requests: under
/// load a request is seen first. The order on the wire is that of what the clients did all the same.
#[test]
fn lines_fall_between_two_clients_however_late_the_loop_sees_the_close() {
    const DTR: u8 = 1;
    const RTS: u8 = 2;
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::open(Echo::default(), &Options::default()).expect("a PTY");
    let lines = Lines::new(&mut server, folder.path());
    let first = client(server.path());
    assert_eq!(lines.change(&mut server, RTS, DTR), RTS);
    drop(first);
    let second = client(server.path());
    // The second one's reset sequence, with the news of the close and the open still unread.
    assert_eq!(lines.change(&mut server, DTR | RTS, 0), DTR | RTS);
    assert_eq!(lines.change(&mut server, RTS, DTR), RTS);
    assert_eq!(lines.change(&mut server, DTR, RTS), DTR);
    let watch = [PollFlags::empty(), PollFlags::empty(), PollFlags::IN];
    server.serve(&watch).expect("the loop goes on");
    let wanted = [(false, true), (false, false), (true, true), (false, true), (true, false)];
    assert_eq!(history(&mut server), wanted, "nothing falls in the middle of the sequence");
    drop(second);
    server.serve(&watch).expect("the loop goes on");
    assert_eq!(history(&mut server)[wanted.len()..], [(false, false)]);
}

/// A client that adds to the lines of the one before would begin with lines that have fallen.
#[test]
fn what_a_client_left_is_no_part_of_the_next_ones_lines() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::open(Echo::default(), &Options::default()).expect("a PTY");
    let lines = Lines::new(&mut server, folder.path());
    drop(client(server.path()));
    let first = client(server.path());
    assert_eq!(lines.change(&mut server, 2, 0), 2);
    drop(first);
    let _second = client(server.path());
    assert_eq!(lines.change(&mut server, 0, 0), 0, "a question is answered by what holds");
    assert_eq!(lines.change(&mut server, 1, 0), 1);
}

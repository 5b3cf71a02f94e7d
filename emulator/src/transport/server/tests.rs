use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
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

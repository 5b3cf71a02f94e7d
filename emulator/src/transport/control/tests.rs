//! Clients that misbehave at the control socket.

use std::{net::Shutdown, time::Duration};

use proptest::{collection::vec, prelude::*};

use super::*;

/// A socket with one client, which has connected.
fn connected(folder: &Path) -> (ControlSocket, UnixStream) {
    let mut socket = ControlSocket::bind(&folder.join("control")).unwrap();
    let client = UnixStream::connect(socket.path()).unwrap();
    client.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    client.set_write_timeout(Some(Duration::from_millis(1))).unwrap();
    socket.service(&mut |_| unreachable!("nothing was asked"));
    (socket, client)
}

#[test]
fn a_client_that_asks_and_never_reads_does_not_grow_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let (mut socket, mut client) = connected(folder.path());
    let mut asked = 0;
    for _ in 0..500 {
        let _ = client.write(&b"x\n".repeat(100));
        socket.service(&mut |_| {
            asked += 1;
            "y".repeat(100_000)
        });
        let held: usize = socket.clients.iter().map(|it| it.answers.len()).sum();
        assert!(held <= ANSWERS_MAX + 100_001, "{held}");
    }
    assert!(asked < 100, "{asked} requests answered into the void");
    // Once it reads, everything that it asked is answered.
    let mut bytes = vec![0; 1 << 20];
    let mut last = 0;
    while let Ok(count @ 1..) = client.read(&mut bytes) {
        last = bytes[count - 1];
        socket.service(&mut |_| "y".to_owned());
    }
    assert_eq!(last, b'\n');
    assert!(socket.clients.iter().all(|it| it.received.is_empty() && it.answers.is_empty()));
}

#[test]
fn who_ends_its_side_still_gets_its_answers() {
    let folder = tempfile::tempdir().unwrap();
    let (mut socket, mut client) = connected(folder.path());
    client.write_all(b"a\n\n  \nb\nrest").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    for _ in 0..3 {
        socket.service(&mut str::to_uppercase);
    }
    let mut answers = String::new();
    client.read_to_string(&mut answers).unwrap();
    assert_eq!(answers, "A\nB\n");
    assert!(socket.clients.is_empty());
}

#[test]
fn a_request_without_an_end_ends_the_connection() {
    let folder = tempfile::tempdir().unwrap();
    let (mut socket, mut client) = connected(folder.path());
    for _ in 0..LINE_MAX / CHUNK_LEN + 2 {
        let _ = client.write(&[b'x'; CHUNK_LEN]);
        socket.service(&mut |_| unreachable!("there is no line"));
    }
    assert!(socket.clients.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Every line of any bytes is answered by one line, and the server goes on.
    #[test]
    fn any_bytes(chunks in vec(vec(prop_oneof![any::<u8>(), Just(b'\n'), Just(b'"')], 0..100), 0..20)) {
        let folder = tempfile::tempdir().unwrap();
        let (mut socket, mut client) = connected(folder.path());
        let mut asked = 0;
        for chunk in &chunks {
            client.write_all(chunk).unwrap();
            socket.service(&mut |_| {
                asked += 1;
                "ok".to_owned()
            });
        }
        client.shutdown(Shutdown::Write).unwrap();
        for _ in 0..chunks.len() + 2 {
            socket.service(&mut |_| {
                asked += 1;
                "ok".to_owned()
            });
        }
        let mut answers = Vec::new();
        client.read_to_end(&mut answers).unwrap();
        prop_assert_eq!(answers, b"ok\n".repeat(asked));
    }
}

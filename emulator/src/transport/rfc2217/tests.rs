//! A session as pyserial plays it (DEPS 1c), then properties.

use proptest::{collection::vec, prelude::*};

use super::*;

/// What the session made of some bytes: the board's side and the client's.
fn ask(session: &mut Session, mut bytes: &[u8]) -> (Vec<String>, Vec<u8>) {
    let mut actions = Vec::new();
    while let Some(action) = session.next(&mut bytes) {
        actions.push(format!("{action:?}"));
    }
    let wire = session.pending().to_vec();
    session.sent(wire.len());
    (actions, wire)
}

fn answer(session: &mut Session, bytes: &[u8]) -> Vec<u8> {
    ask(session, bytes).1
}

/// IAC SB COM-PORT `payload` IAC SE.
fn com_port(payload: &[u8]) -> Vec<u8> {
    [&[255, 250, 44], payload, &[255, 240]].concat()
}

#[test]
fn opening_as_pyserial_does() {
    let mut session = Session::new(115_200);
    // DO ECHO, WILL SGA, DO SGA, DO COM-PORT, WILL COM-PORT
    let hello = [255, 253, 1, 255, 251, 3, 255, 253, 3, 255, 253, 44, 255, 251, 44];
    let (actions, wire) = ask(&mut session, &hello);
    assert!(actions.is_empty());
    let has = |verb, option| wire.windows(3).any(|w| w == [255, verb, option]);
    assert!(has(252, 1), "WONT ECHO");
    assert!(has(253, 3) && has(251, 3), "DO and WILL SGA");
    assert!(has(251, 44) && has(253, 44), "WILL and DO COM-PORT");
    assert!(has(251, 0) && has(253, 0), "asks for BINARY both ways");
    let state = com_port(&[107, 0x30]);
    assert!(wire.windows(state.len()).any(|w| w == state), "NOTIFY-MODEMSTATE");
    assert_eq!(answer(&mut session, &[255, 253, 0, 255, 251, 0]), b"", "nothing more to agree on");
}

#[test]
fn settings_are_echoed() {
    let mut session = Session::new(115_200);
    let (actions, wire) = ask(&mut session, &com_port(&[1, 0, 1, 0xC2, 0]));
    assert_eq!(actions, ["Baud(115200)"]);
    assert_eq!(wire, com_port(&[101, 0, 1, 0xC2, 0]));
    assert_eq!(answer(&mut session, &com_port(&[2, 8])), com_port(&[102, 8]));
    assert_eq!(answer(&mut session, &com_port(&[3, 1])), com_port(&[103, 1]));
    assert_eq!(answer(&mut session, &com_port(&[4, 1])), com_port(&[104, 1]));
    assert_eq!(answer(&mut session, &com_port(&[12, 3])), com_port(&[112, 3]));
    assert_eq!(answer(&mut session, &com_port(&[5, 1])), com_port(&[105, 1]));
    assert_eq!(answer(&mut session, &com_port(&[11, 255, 255])), com_port(&[111, 255, 255]));
}

#[test]
fn zero_asks_and_nonsense_changes_nothing() {
    let mut session = Session::new(74_880);
    let (actions, wire) = ask(&mut session, &com_port(&[1, 0, 0, 0, 0]));
    assert!(actions.is_empty());
    assert_eq!(wire, com_port(&[101, 0, 1, 0x24, 0x80]));
    assert_eq!(answer(&mut session, &com_port(&[2, 9])), com_port(&[102, 8]));
    assert_eq!(answer(&mut session, &com_port(&[3, 0])), com_port(&[103, 1]));
    assert_eq!(answer(&mut session, &com_port(&[5, 7])), com_port(&[105, 9]), "DTR is off");
    assert_eq!(answer(&mut session, &com_port(&[5, 77])), b"");
    assert_eq!(answer(&mut session, &com_port(&[101, 0, 0, 0, 1])), b"", "a server's word");
}

#[test]
fn lines_keep_their_place_in_the_stream() {
    let mut session = Session::new(115_200);
    let stream = [
        b"ab".to_vec(),
        com_port(&[5, 9]),
        com_port(&[5, 11]),
        b"\xFF\xFFc".to_vec(),
        com_port(&[5, 8]),
        com_port(&[5, 12]),
    ]
    .concat();
    let (actions, wire) = ask(&mut session, &stream);
    let expected = [
        "Data([97, 98])",
        "Lines { dtr: false, rts: false }",
        "Lines { dtr: false, rts: true }",
        "Data([255])",
        "Data([99])",
        "Lines { dtr: true, rts: true }",
        "Lines { dtr: true, rts: false }",
    ];
    assert_eq!(actions, expected);
    let echoes = [9, 11, 8, 12].map(|control| com_port(&[105, control])).concat();
    assert_eq!(wire, echoes);
}

#[test]
fn breaks_reach_the_board() {
    let mut session = Session::new(115_200);
    let (actions, _) = ask(&mut session, &[com_port(&[5, 5]), com_port(&[5, 6])].concat());
    assert_eq!(actions, ["Break(true)", "Break(false)"]);
}

#[test]
fn purge_drops_what_the_client_has_not_got() {
    let mut session = Session::new(115_200);
    session.transmit(b"stale");
    let (actions, wire) = ask(&mut session, &com_port(&[12, 1]));
    assert!(actions.is_empty());
    assert_eq!(wire, com_port(&[112, 1]));
    let (actions, _) = ask(&mut session, &com_port(&[12, 2]));
    assert_eq!(actions, ["DiscardToBoard"]);
}

#[test]
fn the_boards_bytes_are_escaped_and_can_be_held() {
    let mut session = Session::new(115_200);
    session.transmit(b"\xC0\xFF\xC0");
    assert_eq!(answer(&mut session, b""), b"\xC0\xFF\xFF\xC0");
    assert_eq!(answer(&mut session, &com_port(&[8])), b"");
    session.transmit(b"later");
    assert_eq!(answer(&mut session, b""), b"");
    assert_eq!(answer(&mut session, &com_port(&[9])), b"later");
}

#[test]
fn the_server_says_who_it_is() {
    let mut session = Session::new(115_200);
    let own = [&[100], SIGNATURE].concat();
    assert_eq!(answer(&mut session, &com_port(&[0])), com_port(&own));
    assert_eq!(answer(&mut session, &com_port(b"\0pyserial")), b"");
}

/// Notes what the board's side saw.
#[derive(Debug, Default)]
struct Wire {
    received: Vec<u8>,
    lines: Vec<(bool, bool)>,
}

impl SerialLine for Wire {
    fn receive(&mut self, bytes: &[u8]) {
        self.received.extend_from_slice(bytes);
    }

    fn has_room(&self) -> bool {
        self.received.len() < 100_000
    }

    fn set_lines(&mut self, dtr: bool, rts: bool) {
        self.lines.push((dtr, rts));
    }

    fn set_baud(&mut self, _rate: u32) {}
}

#[test]
fn a_client_that_does_not_read_is_not_heard() {
    let mut session = Session::new(115_200);
    let mut wire = Wire::default();
    let flood = com_port(&[5, 7]).repeat(100_000);
    let taken = session.receive(&flood, &mut wire);
    assert!(taken < flood.len() && session.wire.len() < ANSWERS_MAX + 100);
    session.sent(usize::MAX);
    assert!(session.receive(&flood[taken..], &mut wire) > 0);
}

#[test]
fn a_suspended_session_still_hears_the_client() {
    let mut session = Session::new(115_200);
    let mut wire = Wire::default();
    session.receive(&com_port(&[8]), &mut wire);
    session.transmit(&vec![b'.'; 2 * FROM_BOARD_MAX]);
    assert_eq!(session.pending(), b"");
    assert_eq!(session.room(), 0, "what is held is bounded");
    session.receive(&com_port(&[9]), &mut wire);
    assert_eq!(session.pending().len(), FROM_BOARD_MAX);
}

#[test]
fn a_full_board_leaves_bytes_with_the_client() {
    let mut session = Session::new(115_200);
    let mut wire = Wire::default();
    let flood = vec![b'x'; 60_000];
    assert_eq!(session.receive(&flood, &mut wire), 60_000);
    assert_eq!(session.receive(&flood, &mut wire), 60_000);
    assert_eq!(session.receive(&flood, &mut wire), 0);
}

#[test]
fn lines_fall_when_the_client_goes() {
    let mut session = Session::new(115_200);
    let mut wire = Wire::default();
    session.receive(&com_port(&[5, 8]), &mut wire);
    session.close(&mut wire);
    assert_eq!(wire.lines, [(true, false), (false, false)]);
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in vec(prop_oneof![any::<u8>(), 240_u8..=255, 0_u8..14], 0..400)) {
        let mut session = Session::new(115_200);
        let (_, _) = ask(&mut session, &bytes);
        // Whatever came: the end of a subnegotiation, then a plain question is answered.
        ask(&mut session, &[255, 240, 255, 240]);
        let wire = answer(&mut session, &com_port(&[5, 4]));
        prop_assert!(wire == com_port(&[105, 6]) || wire == com_port(&[105, 5]));
    }
}

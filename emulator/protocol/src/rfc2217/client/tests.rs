//! Byte literals of RFC 854 and 2217, then properties.

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::rfc2217::Control;

/// IAC SB COM-PORT `payload` IAC SE.
fn com_port(payload: &[u8]) -> Vec<u8> {
    [&[255, 250, 44], payload, &[255, 240]].concat()
}

fn sent(client: &mut Client) -> Vec<u8> {
    let wire = client.outbox().to_vec();
    client.sent(wire.len());
    wire
}

#[test]
fn it_offers_com_port_and_asks_for_eight_bits() {
    let mut client = Client::new();
    let wire = sent(&mut client);
    for word in [[255, 251, 44], [255, 251, 0], [255, 253, 0], [255, 251, 3], [255, 253, 3]] {
        assert!(wire.windows(3).any(|it| it == word), "{word:?} in {wire:?}");
    }
    assert_eq!(client.agreement(), Agreement::Open);
    client.receive(&[255, 253, 44, 255, 251, 0, 255, 253, 0]);
    assert_eq!(client.agreement(), Agreement::Agreed);
    assert!(sent(&mut client).is_empty(), "answers are not answered");
    client.receive(&[255, 251, 1]);
    assert_eq!(sent(&mut client), [255, 254, 1], "DONT ECHO");
}

#[test]
fn a_refusal_is_seen() {
    let mut client = Client::new();
    client.receive(&[255, 254, 44]);
    assert_eq!(client.agreement(), Agreement::Refused);
}

#[test]
fn commands_and_data_in_the_order_given() {
    let mut client = Client::new();
    sent(&mut client);
    client.command(&[Command::SetControl(Control::DtrOff), Command::SetControl(Control::RtsOn)]);
    client.data(&[0xC0, 0xFF]);
    let wanted = [com_port(&[5, 9]), com_port(&[5, 11]), vec![0xC0, 0xFF, 0xFF]].concat();
    assert_eq!(sent(&mut client), wanted);
    client.receive(&com_port(&[105, 9]));
    client.receive(&[1, 255, 255, 2]);
    client.receive(&com_port(&[105, 11]));
    let answers = [Control::DtrOff, Control::RtsOn].map(Command::SetControl);
    assert_eq!(client.answers(), answers);
    assert_eq!(*client.received(), [1, 255, 2]);
}

#[test]
fn a_purge_drops_what_came_before_its_answer() {
    let mut client = Client::new();
    client.command(&[Command::PurgeData(PURGE_RECEIVED)]);
    client.receive(&[b"old".to_vec(), com_port(&[112, 1]), b"new".to_vec()].concat());
    assert_eq!(client.received(), b"new");
}

#[test]
fn states_and_flow_control_are_kept() {
    let mut client = Client::new();
    client.receive(&com_port(&[107, 0xB0]));
    client.receive(&com_port(&[106, 8]));
    client.receive(&com_port(&[108]));
    assert_eq!((client.modem_state(), client.is_suspended()), (0xB0, true));
    assert_eq!((client.take_line_state(), client.take_line_state()), (8, 0));
    client.receive(&com_port(&[109]));
    assert!(!client.is_suspended());
}

proptest! {
    /// Whatever a server sends, memory stays bounded and nothing panics.
    #[test]
    fn any_bytes(chunks in vec(vec(any::<u8>(), 0..200), 0..50)) {
        let mut client = Client::new();
        for chunk in chunks {
            client.receive(&chunk);
        }
        prop_assert!(client.answers().len() <= ANSWERS_MAX);
        prop_assert!(client.received().len() <= RECEIVED_MAX);
    }

    /// However the bytes are cut, the same is heard.
    #[test]
    fn cuts_do_not_matter(bytes in vec(prop_oneof![Just(255), Just(250), Just(240), Just(44), any::<u8>()], 0..300), cut in 0_usize..300) {
        let (mut whole, mut halves) = (Client::new(), Client::new());
        whole.receive(&bytes);
        let (front, back) = bytes.split_at(cut.min(bytes.len()));
        halves.receive(front);
        halves.receive(back);
        prop_assert_eq!(whole.received(), halves.received());
        prop_assert_eq!(whole.outbox(), halves.outbox());
        prop_assert_eq!(whole.answers(), halves.answers());
    }
}

//! Byte literals from RFC 854, 855 and 2217, then properties.

use proptest::{collection::vec, prelude::*};

use super::*;

/// An event that owns its data, with neighbouring runs joined.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Owned {
    Data(Vec<u8>),
    Negotiate(Verb, u8),
    Subnegotiation(u8, Vec<u8>),
    Overlong(u8),
    Command(u8),
}

impl Owned {
    fn emit(&self, out: &mut Vec<u8>) {
        match self {
            Self::Data(bytes) => Event::Data(bytes).emit(out),
            Self::Negotiate(verb, option) => {
                Event::Negotiate { verb: *verb, option: *option }.emit(out);
            }
            Self::Subnegotiation(option, payload) => {
                Event::Subnegotiation { option: *option, payload: payload.clone() }.emit(out);
            }
            Self::Overlong(option) => Event::Overlong { option: *option }.emit(out),
            Self::Command(code) => Event::Command(*code).emit(out),
        }
    }
}

fn collect(decoder: &mut Decoder, mut chunk: &[u8], events: &mut Vec<Owned>) {
    while let Some(event) = decoder.next(&mut chunk) {
        let owned = match event {
            Event::Data(bytes) => {
                if let Some(Owned::Data(last)) = events.last_mut() {
                    last.extend_from_slice(bytes);
                    continue;
                }
                Owned::Data(bytes.to_vec())
            }
            Event::Negotiate { verb, option } => Owned::Negotiate(verb, option),
            Event::Subnegotiation { option, payload } => Owned::Subnegotiation(option, payload),
            Event::Overlong { option } => Owned::Overlong(option),
            Event::Command(code) => Owned::Command(code),
        };
        events.push(owned);
    }
    assert!(chunk.is_empty());
}

fn decode(bytes: &[u8]) -> Vec<Owned> {
    let mut events = Vec::new();
    collect(&mut Decoder::default(), bytes, &mut events);
    events
}

#[test]
fn data_passes_and_doubled_iac_is_one_byte() {
    assert_eq!(decode(b"a\xFF\xFFb"), [Owned::Data(b"a\xFFb".to_vec())]);
    let mut out = Vec::new();
    Event::Data(b"\xFF\xFFx\xFF").emit(&mut out);
    assert_eq!(out, b"\xFF\xFF\xFF\xFFx\xFF\xFF");
}

#[test]
fn negotiation_words() {
    let bytes = [255, 251, 44, 255, 252, 1, 255, 253, 0, 255, 254, 3];
    let expected = [
        Owned::Negotiate(Verb::Will, OPTION_COM_PORT),
        Owned::Negotiate(Verb::Wont, OPTION_ECHO),
        Owned::Negotiate(Verb::Do, OPTION_BINARY),
        Owned::Negotiate(Verb::Dont, OPTION_SUPPRESS_GO_AHEAD),
    ];
    assert_eq!(decode(&bytes), expected);
}

#[test]
fn subnegotiation_with_iac_inside() {
    // RFC 2217 SET-BAUDRATE of 65535: the value holds two FFh, each doubled.
    let bytes = [255, 250, 44, 1, 0, 0, 255, 255, 255, 255, 255, 240, b'x'];
    let expected = [Owned::Subnegotiation(44, vec![1, 0, 0, 255, 255]), Owned::Data(vec![b'x'])];
    assert_eq!(decode(&bytes), expected);
    let mut out = Vec::new();
    for event in &expected {
        event.emit(&mut out);
    }
    assert_eq!(out, bytes);
}

#[test]
fn other_commands_are_events_and_a_stray_end_is_not() {
    assert_eq!(decode(&[255, 243, 255, 241]), [Owned::Command(BREAK), Owned::Command(241)]);
    assert_eq!(decode(&[255, 240, b'a']), [Owned::Data(vec![b'a'])]);
}

#[test]
fn an_unfinished_subnegotiation_is_dropped_at_the_next_command() {
    let bytes = [255, 250, 44, 5, 255, 253, 0, b'z'];
    assert_eq!(decode(&bytes), [Owned::Negotiate(Verb::Do, 0), Owned::Data(vec![b'z'])]);
    // Empty subnegotiation, then data.
    assert_eq!(decode(&[255, 250, 255, 240, b'q']), [Owned::Data(vec![b'q'])]);
}

#[test]
fn memory_is_bounded() {
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    collect(&mut decoder, &[255, 250, 44], &mut events);
    for _ in 0..100 {
        collect(&mut decoder, &[7; 4096], &mut events);
        assert!(decoder.payload.capacity() <= 2 * SUBNEGOTIATION_MAX);
    }
    collect(&mut decoder, &[255, 240, b'k'], &mut events);
    assert_eq!(events, [Owned::Overlong(44), Owned::Data(vec![b'k'])]);
    // The next one starts clean.
    events.clear();
    collect(&mut decoder, &[255, 250, 44, 1, 255, 240], &mut events);
    assert_eq!(events, [Owned::Subnegotiation(44, vec![1])]);
}

#[test]
fn the_negotiator_answers_changes_only() {
    let mut agreed = Negotiator::new(&[OPTION_COM_PORT, OPTION_BINARY]);
    let mut out = Vec::new();
    agreed.receive(Verb::Will, OPTION_COM_PORT, &mut out);
    assert_eq!(out, [255, 253, 44]);
    agreed.receive(Verb::Will, OPTION_COM_PORT, &mut out);
    assert_eq!(out.len(), 3, "an agreed option is not answered again");
    assert!(agreed.is_on(OPTION_COM_PORT));

    out.clear();
    agreed.receive(Verb::Do, OPTION_ECHO, &mut out);
    assert_eq!(out, [255, 252, 1], "an unknown option is refused");
    out.clear();
    agreed.receive(Verb::Wont, OPTION_ECHO, &mut out);
    assert!(out.is_empty());

    agreed.ask(OPTION_BINARY, true, &mut out);
    agreed.ask(OPTION_BINARY, true, &mut out);
    assert_eq!(out, [255, 251, 0]);
    out.clear();
    agreed.receive(Verb::Do, OPTION_BINARY, &mut out);
    assert!(out.is_empty(), "the answer to our own question");
    agreed.receive(Verb::Dont, OPTION_BINARY, &mut out);
    assert_eq!(out, [255, 252, 0]);
    assert!(!agreed.is_on(OPTION_BINARY));
}

#[test]
fn two_negotiators_come_to_rest() {
    let options = [OPTION_BINARY, OPTION_COM_PORT, OPTION_SUPPRESS_GO_AHEAD];
    let mut ends = [Negotiator::new(&options), Negotiator::new(&options)];
    let mut wires = [Vec::new(), Vec::new()];
    for option in options {
        for (end, wire) in ends.iter_mut().zip(&mut wires) {
            end.ask(option, true, wire);
            end.ask(option, false, wire);
        }
    }
    for _turn in 0..4 {
        for from in 0..2 {
            let bytes = std::mem::take(&mut wires[from]);
            for event in decode(&bytes) {
                let Owned::Negotiate(verb, option) = event else { panic!("{event:?}") };
                ends[1 - from].receive(verb, option, &mut wires[1 - from]);
            }
        }
    }
    assert!(wires.iter().all(Vec::is_empty), "no loop");
    assert!(ends.iter().all(|end| options.iter().all(|option| end.is_on(*option))));
}

fn any_event() -> impl Strategy<Value = Owned> {
    let verb = prop_oneof![Just(Verb::Will), Just(Verb::Wont), Just(Verb::Do), Just(Verb::Dont)];
    let byte = prop_oneof![any::<u8>(), Just(IAC), Just(SE), Just(SB)];
    prop_oneof![
        vec(byte.clone(), 1..40).prop_map(Owned::Data),
        (verb, any::<u8>()).prop_map(|(verb, option)| Owned::Negotiate(verb, option)),
        (any::<u8>(), vec(byte, 0..40))
            .prop_map(|(option, payload)| Owned::Subnegotiation(option, payload)),
        (0_u8..240).prop_map(Owned::Command),
        (241_u8..250).prop_map(Owned::Command),
    ]
}

fn join(events: Vec<Owned>) -> Vec<Owned> {
    let mut joined: Vec<Owned> = Vec::new();
    for event in events {
        match (joined.last_mut(), event) {
            (Some(Owned::Data(last)), Owned::Data(more)) => last.extend(more),
            (_, event) => joined.push(event),
        }
    }
    joined
}

proptest! {
    #[test]
    fn decoding_undoes_emitting(events in vec(any_event(), 0..20)) {
        let mut wire = Vec::new();
        for event in &events {
            event.emit(&mut wire);
        }
        prop_assert_eq!(decode(&wire), join(events));
    }

    #[test]
    fn chunks_do_not_matter(
        bytes in vec(prop_oneof![any::<u8>(), 240_u8..=255], 0..200),
        sizes in vec(1_usize..9, 200),
    ) {
        let mut decoder = Decoder::default();
        let (mut events, mut rest) = (Vec::new(), &bytes[..]);
        for size in sizes {
            let (chunk, tail) = rest.split_at(size.min(rest.len()));
            collect(&mut decoder, chunk, &mut events);
            rest = tail;
        }
        prop_assert_eq!(decode(&bytes), events);
    }
}

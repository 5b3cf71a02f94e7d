//! Tests of transcripts: the file, the importer, conversations, replay.

use proptest::prelude::*;

use super::{
    ClockKind, Entry, Event, Header, Problem, Transcript,
    conversation::{Step, steps},
    diff,
    replay::{Kind, Options, replay},
    words,
};
use crate::{board::ControlLines, case::LoadedBoard, time::Instant};

const HEADER: &str = r#"{"transcript":1,"recorder":"test","clock":"virtual"}"#;

fn text(lines: &str) -> Vec<u8> {
    format!("{HEADER}\n{lines}").into_bytes()
}

fn transcript(entries: Vec<Entry>) -> Transcript {
    Transcript { header: Header::new("test", ClockKind::Virtual), entries, cut: false }
}

fn at(us: u64, event: Event) -> Entry {
    Entry { at: Instant::from_nanos(us * 1_000), event }
}

fn any_event() -> impl Strategy<Value = Event> {
    let bytes = || prop::collection::vec(any::<u8>(), 1..100);
    prop_oneof![
        bytes().prop_map(Event::ToBoard),
        bytes().prop_map(Event::FromBoard),
        any::<(bool, bool)>().prop_map(|(dtr, rts)| Event::Lines(ControlLines { dtr, rts })),
        any::<u32>().prop_map(Event::Baud),
        Just(Event::Flush),
        Just(Event::Break),
        any::<u64>().prop_map(Event::Lost),
        any::<String>().prop_map(Event::Note),
    ]
}

fn any_entries() -> impl Strategy<Value = Vec<Entry>> {
    prop::collection::vec((0_u64..1 << 40, any_event()), 0..40).prop_map(|mut entries| {
        entries.sort_by_key(|(us, _)| *us);
        entries.into_iter().map(|(us, event)| at(us, event)).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_file_gives_back_what_was_recorded(entries in any_entries()) {
        let recorded = transcript(entries);
        let mut file = Vec::new();
        recorded.emit(&mut file).unwrap();
        prop_assert_eq!(Transcript::parse(&file).unwrap(), recorded);
    }

    #[test]
    fn a_cut_file_is_read_up_to_the_cut(entries in any_entries(), cut in any::<prop::sample::Index>()) {
        let recorded = transcript(entries);
        let mut file = Vec::new();
        recorded.emit(&mut file).unwrap();
        let header_end = file.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        let end = header_end + cut.index(file.len() - header_end + 1);
        let read = Transcript::parse(&file[..end]).unwrap();
        let count = file[header_end..end].split(|byte| *byte == b'\n').count() - 1;
        // A line whose newline alone is missing is whole.
        prop_assert!(read.entries.len() == count || read.entries.len() == count + 1);
        prop_assert_eq!(&read.entries[..], &recorded.entries[..read.entries.len()]);
    }

    #[test]
    fn garbage_is_an_error_or_a_transcript_and_nothing_else(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Transcript::parse(&bytes);
        let _ = Transcript::parse(&[HEADER.as_bytes(), b"\n", &bytes].concat());
        let _ = Transcript::parse(&[b"TRACE +0.001 Write 14 bytes: ", &bytes[..]].concat());
        let _ = Transcript::parse(&[b"TRACE +9999999999999999999.1 Read 40 bytes: \n    ", &bytes[..]].concat());
    }

    #[test]
    fn a_hostile_transcript_ends_on_a_board(entries in any_entries(), hours in 0_u64..1 << 44) {
        let mut entries = entries;
        entries.push(at((1 << 40) + hours, Event::ToBoard(b"\xc0\x00\x08\xc0".to_vec())));
        let hostile = transcript(entries);
        let mut board = LoadedBoard::with_part("W25Q32JV").into_board().unwrap();
        let report = replay(&hostile, &mut board, Options::default(), &mut |_, _| {});
        prop_assert!(report.differences.len() as u64 <= report.difference_count);
        let _ = diff::compare(&hostile, &hostile);
    }
}

#[test]
fn wrong_lines_are_named() {
    let cases = [
        (r#"{"us":1}"#, "says nothing"),
        (r#"{"us":1,"to":"c0","baud":1}"#, "says more than one"),
        (r#"{"us":1,"dtr":true}"#, "tells one of the two lines only"),
        (r#"{"us":1,"to":"c"}"#, "hex digit"),
        (r#"{"us":1,"to":"+f"}"#, "hex digit"),
        (r#"{"us":-1,"to":"c0"}"#, "not a line of a transcript"),
        (r#"{"us":1,"to":"c0","colour":1}"#, "unknown field `colour`"),
        ("[1]", "says nothing"),
        ("hello", "not a line of a transcript"),
    ];
    for (line, expected) in cases {
        let file = text(&format!("{{\"us\":0,\"note\":\"\"}}\n{line}\n"));
        let error = Transcript::parse(&file).unwrap_err();
        assert_eq!(error.line, 3, "{line}");
        assert!(error.to_string().contains(expected), "{line}: {error}");
    }
    let back = text("{\"us\":5,\"baud\":1}\n{\"us\":4,\"baud\":1}\n");
    assert!(matches!(Transcript::parse(&back).unwrap_err().problem, Problem::Time { .. }));
    let newer = br#"{"transcript":2,"recorder":"x","clock":"wall","more":1}"#;
    assert!(matches!(Transcript::parse(newer).unwrap_err().problem, Problem::Version { found: 2 }));
    assert!(matches!(Transcript::parse(b" \n ").unwrap_err().problem, Problem::Empty));
    assert!(matches!(Transcript::parse(b"hello").unwrap_err().problem, Problem::NoTrace));
}

#[test]
fn a_hint_may_not_name_files() {
    for file in [
        r#"{"flash":{"part":"W25Q32JV","image":{"file":{"path":"/etc/passwd"}}}}"#,
        r#"{"flash":{"part-file":"/etc/passwd"}}"#,
    ] {
        let header = format!(
            r#"{{"transcript":1,"recorder":"x","clock":"wall","board":{{"file":{file}}}}}"#
        );
        let read = Transcript::parse(header.as_bytes()).unwrap();
        let error = read.header.board.unwrap().load().unwrap_err();
        assert!(error.to_string().contains("may not"), "{error}");
    }
}

const TRACE: &str = "esptool.py v4.5.1
Connecting...
.TRACE +0.050 command op=0x0a data len=4 wait_response=1 timeout=3.000 data=00100040
TRACE +0.002 Write 14 bytes: c0000a04000000000000100040c0
TRACE +0.001 Read 1 bytes: c0
TRACE +0.000 Read 13 bytes: 010a0400831df00000000000c0
TRACE +0.000 Received full packet: 010a0400831df00000000000
TRACE +0.000 Write 18 bytes: 
    c0000f0800000000 0000c20100000000 | ................
    00c0                              | ..
Changed.
TRACE +0.250 Write 14 bytes: c0000a04000000000000100040c0
";

#[test]
fn a_trace_of_esptool_is_read() {
    let read = Transcript::parse(TRACE.as_bytes()).unwrap();
    assert_eq!(read.header.recorder, "esptool 4.5.1");
    let told = |entry: &Entry| match &entry.event {
        Event::ToBoard(bytes) => Some((entry.at.as_nanos() / 1_000_000, true, bytes.len())),
        Event::FromBoard(bytes) => Some((entry.at.as_nanos() / 1_000_000, false, bytes.len())),
        _ => None,
    };
    let expected =
        [(52, true, 14), (53, false, 1), (53, false, 13), (53, true, 18), (303, true, 14)];
    assert_eq!(read.entries.iter().filter_map(told).collect::<Vec<_>>(), expected);
    let rates = read.entries.iter().filter_map(|entry| match entry.event {
        Event::Baud(rate) => Some(rate),
        _ => None,
    });
    assert_eq!(rates.collect::<Vec<_>>(), [115_200, 115_200]);
    let cut = TRACE.as_bytes().iter().rposition(|byte| *byte == b'0').unwrap();
    assert!(Transcript::parse(&TRACE.as_bytes()[..cut - 7]).unwrap().cut);
}

#[test]
fn a_trace_that_lost_bytes_says_so_and_is_played_up_to_there() {
    let lossy = TRACE.replace("    00c0                              | ..\n", "");
    let read = Transcript::parse(lossy.as_bytes()).unwrap();
    assert!(read.entries.iter().any(|entry| entry.event == Event::Lost(2)));
    let mut board = LoadedBoard::with_part("W25Q32JV").into_board().unwrap();
    let report = replay(&read, &mut board, Options::default(), &mut |_, _| {});
    assert_eq!((report.lost, report.requests), (2, 1));
    let more = TRACE.replace("Write 18 bytes", "Write 17 bytes");
    let error = Transcript::parse(more.as_bytes()).unwrap_err();
    assert!(matches!(error.problem, Problem::Count { claimed: 17, found: 18 }), "{error}");
    assert_eq!(error.line, 8);
}

/// SYNC, then a read of the magic value, with these answers.
fn conversation(answer: &[u8]) -> Transcript {
    let mut wire = Vec::new();
    let mut say = |payload: &[u8]| {
        wire.clear();
        esp_protocol::slip::encode(payload, &mut wire);
        wire.clone()
    };
    let sync = say(&esp_protocol::command::Request::Sync.emit());
    let read = say(&esp_protocol::command::Request::ReadReg { address: 0x4000_1000 }.emit());
    let synced = say(b"\x01\x08\x04\x00\x07\x07\x12\x20\x00\x00\x00\x00");
    let answer = say(answer);
    transcript(vec![
        at(0, Event::ToBoard(sync)),
        at(900, Event::FromBoard(synced)),
        at(20_000, Event::ToBoard(read)),
        at(21_000, Event::FromBoard(answer)),
    ])
}

const MAGIC: &[u8] = b"\x01\x0a\x04\x00\x83\x1d\xf0\x00\x00\x00\x00\x00";

fn grade(transcript: &Transcript, options: Options) -> super::replay::Report {
    let mut board = LoadedBoard::with_part("W25Q32JV").into_board().unwrap();
    replay(transcript, &mut board, options, &mut |_, _| {})
}

#[test]
fn answers_are_graded_and_the_count_of_syncs_is_not() {
    let report = grade(&conversation(MAGIC), Options::default());
    assert_eq!((report.difference_count, report.requests, report.compared), (0, 2, 2));
    assert_eq!(report.not_compared, 7, "the ROM answers a SYNC eight times");
}

#[test]
fn a_wrong_answer_is_told_with_its_fields() {
    let other = b"\x01\x0a\x04\x00\x84\x1d\xf0\x00\x00\x00\x00\x00";
    let report = grade(&conversation(other), Options::default());
    let difference = &report.differences[0];
    assert_eq!(difference.kind, Kind::Answer);
    assert_eq!(difference.fields(), ["value"]);
    let [recorded, board] = difference.words();
    assert_eq!(recorded.unwrap().to_string(), "READ_REG status=ok value=0x00f01d84");
    assert_eq!(board.unwrap().to_string(), "READ_REG status=ok value=0x00f01d83");
    assert_eq!(difference.request.as_ref().unwrap().to_string(), "READ_REG register=CHIP_MAGIC");
}

#[test]
fn left_overs_are_differences_that_can_be_allowed() {
    let stale = b"\x01\x0a\x04\x00\x83\x1d\xf0\x00\x00\x00\x33\x37";
    let report = grade(&conversation(stale), Options::default());
    assert_eq!(report.differences[0].kind, Kind::Leftovers);
    let allowed = Options { allow_leftovers: true, ..Options::default() };
    assert_eq!(grade(&conversation(stale), allowed).difference_count, 0);
}

#[test]
fn silence_and_talk_are_differences() {
    let mut silent = conversation(MAGIC);
    let Some(answer) = silent.entries.pop() else { return };
    let again = Entry { at: Instant::from_nanos(3_000_000_000), ..silent.entries[2].clone() };
    let answer = Entry { at: Instant::from_nanos(3_001_000_000), ..answer };
    silent.entries.extend([again, answer]);
    let report = grade(&silent, Options::default());
    assert_eq!((report.difference_count, report.differences[0].kind), (1, Kind::Extra));
    let mut twice = conversation(MAGIC);
    twice.entries.push(twice.entries[3].clone());
    let report = grade(&twice, Options::default());
    assert_eq!((report.difference_count, report.differences[0].kind), (1, Kind::Missing));
}

#[test]
fn answers_in_flight_belong_to_their_requests() {
    let mut pipelined = conversation(MAGIC);
    pipelined.entries.swap(1, 2);
    pipelined.entries[1].at = Instant::ZERO;
    let steps = steps(&pipelined);
    let answers = steps.iter().map(|step| match step {
        Step::Exchange(exchange) => exchange.answers.len(),
        _ => usize::MAX,
    });
    assert_eq!(answers.collect::<Vec<_>>(), [1, 1]);
}

#[test]
fn a_difference_between_conversations_is_where_they_part() {
    let a = conversation(MAGIC);
    assert!(diff::compare(&a, &a).is_equal());
    let mut b = a.clone();
    let mut attach = Vec::new();
    let request = esp_protocol::command::Request::SpiAttach { pins: 0, legacy: Some(0) };
    esp_protocol::slip::encode(&request.emit(), &mut attach);
    b.entries.insert(2, at(1_000, Event::ToBoard(attach)));
    let found = diff::compare(&a, &b);
    assert!(!found.is_equal() && found.aligned);
    assert_eq!(found.hunks.len(), 1);
    assert_eq!(found.hunks[0].after.as_deref(), Some("SYNC"));
    assert_eq!(found.hunks[0].b, ["SPI_ATTACH pins=0 legacy=0 -> no answer"]);
    let attach = found.commands.iter().find(|count| count.name == "SPI_ATTACH").unwrap();
    assert_eq!((attach.a, attach.b), (0, 1));
}

#[test]
fn requests_in_words() {
    let cases: [(&[u8], &str); 5] = [
        (b"\x00\x0a\x04\x00\x00\x00\x00\x00\x24\x20\xf4\x3f", "READ_REG register=SPI1_USER2"),
        (b"\x00\x0a\x04\x00\x00\x00\x00\x00\x84\x20\xf4\x3f", "READ_REG register=SPI1_W1"),
        (b"\x00\xd0\x00\x00\x00\x00\x00\x00", "ERASE_FLASH"),
        (b"\x00\x10\x00\x00", "read acknowledgement received=0x1000"),
        (b"\x00\x77\x00\x00\x00\x00\x00\x00", "77h odd=unknown opcode 0x77 body=none"),
    ];
    for (frame, expected) in cases {
        assert_eq!(words::request(frame).to_string(), expected);
    }
}

use proptest::prelude::*;

use super::*;

fn decode_all(decoder: &mut Decoder, mut input: &[u8]) -> Vec<Result<Vec<u8>, SlipError>> {
    std::iter::from_fn(|| decoder.next_frame(&mut input)).collect()
}

#[test]
fn empty_frames_are_skipped() {
    let mut decoder = Decoder::new(8);
    assert_eq!(decode_all(&mut decoder, &[END, END, END, 1, END]), [Ok(vec![1])]);
}

#[test]
fn a_bad_escape_is_reported_and_the_next_frame_arrives() {
    let mut decoder = Decoder::new(8);
    let frames = decode_all(&mut decoder, &[END, 1, ESC, 7, 9, END, END, 2, END]);
    assert_eq!(frames, [Err(SlipError::BadEscape { second: 7 }), Ok(vec![2])]);
}

#[test]
fn a_delimiter_inside_an_escape_opens_the_next_frame() {
    let mut decoder = Decoder::new(8);
    let frames = decode_all(&mut decoder, &[END, 1, ESC, END, 2, END]);
    assert_eq!(frames, [Err(SlipError::BadEscape { second: END }), Ok(vec![2])]);
}

#[test]
fn too_long_a_frame_is_reported_once() {
    let mut decoder = Decoder::new(2);
    let frames = decode_all(&mut decoder, &[END, 1, 2, 3, 4, 5, END, END, 2, END]);
    assert_eq!(frames, [Err(SlipError::TooLong { max: 2 }), Ok(vec![2])]);
}

#[test]
fn boot_text_is_kept_up_to_its_bound() {
    let mut decoder = Decoder::new(2);
    assert_eq!(decode_all(&mut decoder, &vec![b'a'; TEXT_BYTES_MAX + 5]), []);
    assert_eq!(decode_all(&mut decoder, b"waiting\xc0"), []);
    let text = decoder.take_text();
    assert_eq!(text.len(), TEXT_BYTES_MAX);
    assert!(text.ends_with(b"aawaiting"));
}

proptest! {
    #[test]
    fn decoding_reverses_encoding(payload in prop::collection::vec(any::<u8>(), 1..200)) {
        let mut wire = Vec::new();
        encode(&payload, &mut wire);
        prop_assert_eq!(decode_all(&mut Decoder::new(200), &wire), [Ok(payload)]);
    }

    #[test]
    fn the_decoder_keeps_its_bound_and_resynchronises(
        noise in prop::collection::vec(prop_oneof![Just(END), Just(ESC), any::<u8>()], 0..300),
        chunk in 1_usize..40,
    ) {
        let mut decoder = Decoder::new(16);
        for piece in noise.chunks(chunk) {
            for frame in decode_all(&mut decoder, piece).into_iter().flatten() {
                prop_assert!(!frame.is_empty() && frame.len() <= 16);
            }
            prop_assert!(decoder.frame.len() <= 16 && decoder.text.len() <= TEXT_BYTES_MAX);
        }
        // One delimiter ends whatever the noise began; then a frame must come through.
        let mut wire = vec![END];
        encode(b"alive", &mut wire);
        let frames = decode_all(&mut decoder, &wire);
        prop_assert_eq!(frames.last(), Some(&Ok(b"alive".to_vec())));
    }

    #[test]
    fn chunking_does_not_matter(
        wire in prop::collection::vec(prop_oneof![Just(END), Just(ESC), 0xdb_u8..0xde], 0..100),
        chunk in 1_usize..10,
    ) {
        let whole = decode_all(&mut Decoder::new(8), &wire);
        let mut decoder = Decoder::new(8);
        let pieces: Vec<_> =
            wire.chunks(chunk).flat_map(|piece| decode_all(&mut decoder, piece)).collect();
        prop_assert_eq!(whole, pieces);
    }
}

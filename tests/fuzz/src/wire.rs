//! Formats on the wire.

use esp_protocol::{
    command::Request,
    image::Image,
    partition::Table,
    response::{Dialect, Response},
    slip::{self, SlipError},
    telnet::{Decoder, Event},
};

/// Longest frame of the decoder under test.
const FRAME_BYTES_MAX: usize = 300;

fn frames(chunks: &[&[u8]]) -> (Vec<Result<Vec<u8>, SlipError>>, Vec<u8>) {
    let mut decoder = slip::Decoder::new(FRAME_BYTES_MAX);
    let mut frames = Vec::new();
    for chunk in chunks {
        let mut rest = *chunk;
        while let Some(frame) = decoder.next_frame(&mut rest) {
            frames.push(frame);
        }
        assert!(rest.is_empty(), "None means that all was taken");
    }
    (frames, decoder.take_text())
}

/// Frames come out whole and bounded, however the bytes are cut, and encode to themselves.
pub(crate) fn slip(data: &[u8]) {
    let Some((&at, data)) = data.split_first() else { return };
    let (one, other) = data.split_at(usize::from(at).min(data.len()));
    let whole = frames(&[data]);
    assert_eq!(whole, frames(&[one, other]));
    let mut wire = Vec::new();
    let good: Vec<_> = whole.0.into_iter().flatten().collect();
    for frame in &good {
        assert!(!frame.is_empty() && frame.len() <= FRAME_BYTES_MAX);
        slip::encode(frame, &mut wire);
    }
    let again: Vec<_> = frames(&[&wire]).0.into_iter().map(Result::unwrap).collect();
    assert_eq!(good, again);
}

/// What parses emits to bytes that parse to the same.
pub(crate) fn requests(data: &[u8]) {
    if let Ok(request) = Request::parse(data) {
        let emitted = request.emit();
        assert_eq!(Request::parse(&emitted).as_ref(), Ok(&request));
    }
    for dialect in [Dialect::Rom, Dialect::Stub] {
        if let Ok(response) = Response::parse(data, dialect) {
            assert!(response.payload.len() <= data.len());
            let _ = response.failure(dialect);
        }
    }
}

/// Images and partition tables.
pub(crate) fn images(data: &[u8]) {
    if let Ok(image) = Image::parse(data) {
        for segment in &image.segments {
            assert!(segment.data.end <= data.len() && segment.data.start <= segment.data.end);
        }
        let _ = image.checksum_ok();
    }
    // A label that is no UTF-8 is shown with replacements, and not emitted as it was.
    if let Ok(table) = Table::parse(data)
        && table.partitions.iter().all(|partition| !partition.label.contains('\u{fffd}'))
    {
        assert_eq!(Table::parse(&table.emit()).as_ref(), Ok(&table));
    }
}

/// Events are the same however the bytes are cut.
pub(crate) fn telnet(data: &[u8]) {
    let Some((&at, data)) = data.split_first() else { return };
    let (one, other) = data.split_at(usize::from(at).min(data.len()));
    assert_eq!(joined(&[data]), joined(&[one, other]));
}

/// The events as bytes: a form in which the cuts of data runs cannot be seen.
fn joined(chunks: &[&[u8]]) -> Vec<u8> {
    let mut decoder = Decoder::default();
    let mut wire = Vec::new();
    for chunk in chunks {
        let mut rest = *chunk;
        while let Some(event) = decoder.next(&mut rest) {
            event.emit(&mut wire);
            if let Event::Overlong { option } = event {
                wire.push(option);
            }
        }
        assert!(rest.is_empty(), "None means that all was taken");
    }
    wire
}

use std::sync::{Arc, Mutex};

use esp_protocol::{
    command::{Opcode, Request},
    response::Dialect,
};
use miniz_oxide::inflate::decompress_to_vec_zlib;
use proptest::prelude::*;

use super::{
    prepared::{Body, WINDOW_BYTES},
    *,
};
use crate::session::{
    Session,
    fake::{FakePort, Log, answer, ok},
};

fn image(len: usize) -> Image {
    let data = (0..len).map(|at| u8::try_from(at / 7 % 251).unwrap()).collect();
    Image { name: "test".into(), offset: 0x1_0000, data }
}

/// A session whose loader says yes, but for what `script` decides.
fn session(
    mut script: impl FnMut(&Request<'_>) -> Option<Vec<u8>> + Send + 'static,
) -> (Session, Arc<Mutex<Log>>) {
    let mut count = 0;
    let (port, log) = FakePort::new(Box::new(move |payload| {
        count += 1;
        assert!(count < 3_000, "it does not end");
        let special = Request::parse(payload).ok().and_then(|request| script(&request));
        special.unwrap_or_else(|| ok(payload[1], 1))
    }));
    (Session::new(Box::new(port)), log)
}

fn opcodes(log: &Arc<Mutex<Log>>) -> Vec<u8> {
    log.lock().unwrap().requests.iter().map(|request| request[1]).collect()
}

#[test]
fn the_0xff_digest_of_issue_915() {
    for len in [0, 1, 4095, 4096, 4097, 8193] {
        assert_eq!(Digest::of_erased(len), Digest::of(&vec![0xff; len as usize]), "{len}");
    }
    let erased = Digest::of_erased(1_611_488);
    assert_eq!(erased.to_string(), "f5031d16530b9c6e7e501fb52423bef0");
}

#[test]
fn the_rom_never_gets_an_end_nor_a_last_block() {
    let (mut session, log) = session(|_| None);
    let prepared = Prepared::new(&image(3 * WINDOW_BYTES + 5000), Dialect::Rom, true);
    let report = session.write(&prepared, &mut |_| {}).unwrap();
    assert_eq!(report.bytes, 3 * 0x8000 + 5000);
    let log = log.lock().unwrap();
    let mut deflated_blocks = 0;
    let mut announced = 0;
    for payload in &log.requests {
        match Request::parse(payload).unwrap() {
            Request::FlashDeflBegin(begin) => announced = begin.blocks,
            Request::FlashDeflData(_) => deflated_blocks += 1,
            Request::FlashBegin(begin) => {
                assert_eq!((begin.offset, begin.size), (0x2_8000, 5000));
            }
            Request::FlashData(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(deflated_blocks > 0 && deflated_blocks < announced);
}

#[test]
fn a_stub_gets_its_ends() {
    let (mut session, log) = session(|request| {
        let mut wire = Vec::new();
        let frame = [1, request.opcode().into(), 2, 0, 0, 0, 0, 0, 0, 0];
        esp_protocol::slip::encode(&frame, &mut wire);
        Some(wire)
    });
    session.set_dialect(Dialect::Stub);
    let prepared = Prepared::new(&image(10_001), Dialect::Stub, true);
    session.write(&prepared, &mut |_| {}).unwrap();
    let expected = [Opcode::FlashDeflBegin, Opcode::FlashDeflData, Opcode::FlashDeflEnd];
    assert_eq!(opcodes(&log), expected.map(u8::from));
}

#[test]
fn a_block_that_the_flash_did_not_take_ends_the_write_at_its_offset() {
    let (mut session, _) = session(|request| match request {
        Request::FlashData(data) if data.sequence == 1 => Some(answer(0x03, 0, &[], 1, 8)),
        _ => None,
    });
    let prepared = Prepared::new(&image(20_000), Dialect::Rom, false);
    let error = session.write(&prepared, &mut |_| {}).unwrap_err();
    assert!(matches!(error, WriteError::NotTaken { offset: 0x1_1800 }), "{error}");
}

#[test]
fn a_damaged_block_begins_again_at_its_sector() {
    let mut damaged = false;
    let (mut session, log) = session(move |request| match request {
        Request::FlashData(data) if data.sequence == 1 && !damaged => {
            damaged = true;
            Some(answer(0x03, 0, &[], 1, 7))
        }
        _ => None,
    });
    let prepared = Prepared::new(&image(20_000), Dialect::Rom, false);
    let report = session.write(&prepared, &mut |_| {}).unwrap();
    assert_eq!((report.restarts, report.wire_bytes), (1, 20_000));
    let log = log.lock().unwrap();
    let begins: Vec<_> = log
        .requests
        .iter()
        .filter_map(|payload| match Request::parse(payload) {
            Ok(Request::FlashBegin(begin)) => Some((begin.offset, begin.size)),
            _ => None,
        })
        .collect();
    // One block of 0x1800 was done: one whole sector.
    assert_eq!(begins, [(0x1_0000, 20_000), (0x1_1000, 20_000 - 0x1000)]);
}

#[test]
fn a_line_that_stays_bad_is_given_up() {
    let (mut session, _) = session(|request| {
        matches!(request, Request::FlashData(_)).then(|| answer(0x03, 0, &[], 1, 7))
    });
    let prepared = Prepared::new(&image(5000), Dialect::Rom, false);
    let error = session.write(&prepared, &mut |_| {}).unwrap_err();
    assert!(matches!(error, WriteError::TooManyRestarts { restarts: 3, .. }), "{error}");
}

/// Every third block arrives damaged, nine times in all.
#[test]
fn failures_count_from_the_last_progress_on() {
    let (mut session, _) = session(|request| match request {
        Request::FlashData(data) if data.sequence == 2 => Some(answer(0x03, 0, &[], 1, 7)),
        _ => None,
    });
    let prepared = Prepared::new(&image(120_000), Dialect::Rom, false);
    let report = session.write(&prepared, &mut |_| {}).unwrap();
    assert_eq!(report.restarts, 9);
}

#[test]
fn what_is_no_trouble_of_the_line_is_not_tried_again() {
    let (mut session, log) = session(|request| match request {
        // "Failed to act on a received message".
        Request::FlashData(_) => Some(answer(0x03, 0, &[], 1, 6)),
        _ => None,
    });
    let prepared = Prepared::new(&image(5000), Dialect::Rom, false);
    let error = session.write(&prepared, &mut |_| {}).unwrap_err();
    assert!(matches!(error, WriteError::Session(_)), "{error}");
    assert_eq!(opcodes(&log), [0x02, 0x03]);
}

#[test]
fn progress_rises_over_all_pieces_to_the_whole() {
    let mut image = image(2 * WINDOW_BYTES + 0x1804);
    // So much noise that the windows take several blocks.
    let mut state = 1_u32;
    image.data[..0x4000].fill_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_le_bytes()[3]
    });
    let (mut session, _) = session(|_| None);
    let prepared = Prepared::new(&image, Dialect::Rom, true);
    assert_eq!(prepared.pieces.len(), 2, "two windows, and the rest raw");
    let total = u64::from(prepared.len);
    let mut seen = Vec::new();
    session
        .write(&prepared, &mut |progress| {
            assert_eq!((progress.offset, progress.total), (image.offset, total));
            seen.push(progress.done);
        })
        .unwrap();
    let windows = 2 * WINDOW_BYTES as u64;
    assert!(seen.len() >= 6 && seen[1] < windows, "{seen:?}");
    assert_eq!((seen.first(), seen.last()), (Some(&0), Some(&total)));
    assert!(seen.is_sorted_by(|one, next| one < next), "{seen:?}");
    assert!(seen.ends_with(&[windows, windows + 0x1800, total]), "{seen:?}");
}

#[test]
fn a_mismatch_shows_three_digests() {
    let (mut session, _) = session(|request| match request {
        Request::SpiFlashMd5 { .. } => {
            Some(answer(0x13, 0, b"00000000000000000000000000000001", 0, 0))
        }
        _ => None,
    });
    let prepared = Prepared::new(&image(100), Dialect::Rom, false);
    let Err(WriteError::Mismatch(mismatch)) = session.verify(&prepared) else { panic!() };
    assert_eq!(mismatch.flash.to_string(), "00000000000000000000000000000001");
    assert_eq!(mismatch.file, Digest::of(&image(100).data));
    assert!(!mismatch.is_blank());
}

proptest! {
    /// The pieces put together are the image and at most three bytes of 0xFF; compressed pieces
    /// for the ROM are whole windows.
    #[test]
    fn pieces_cover_the_image_and_nothing_else(
        len in 1_usize..200_000, noise in any::<bool>(), compress in any::<bool>(), rom in any::<bool>(),
    ) {
        let dialect = if rom { Dialect::Rom } else { Dialect::Stub };
        let mut image = image(len);
        if noise {
            let mut state = 1_u32;
            image.data.fill_with(|| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            });
        }
        let prepared = Prepared::new(&image, dialect, compress);
        let mut bytes = Vec::new();
        for piece in &prepared.pieces {
            prop_assert_eq!(piece.offset as usize, 0x1_0000 + bytes.len());
            prop_assert_eq!(piece.offset % 0x1000, 0);
            match &piece.body {
                Body::Raw(raw) => bytes.extend_from_slice(raw),
                Body::Deflated(stream) => {
                    prop_assert!(dialect == Dialect::Stub || (piece.len as usize).is_multiple_of(WINDOW_BYTES));
                    let plain = decompress_to_vec_zlib(stream).unwrap();
                    let overflow = usize::from(dialect == Dialect::Rom);
                    prop_assert_eq!(plain.len(), piece.len as usize + overflow);
                    bytes.extend(&plain[..piece.len as usize]);
                }
            }
        }
        prop_assert!(bytes.starts_with(&image.data));
        prop_assert!(bytes.len() < len + 4 && bytes[len..].iter().all(|byte| *byte == 0xff));
    }
}

/// One digest is enough for what no dead line could have given.
#[test]
fn a_comparison_of_bytes_that_differ_is_one_request() {
    let image = image(4096);
    let digest = Digest::of(&image.data).to_string();
    let (mut session, log) = session(move |request| {
        let is_digest = matches!(request, Request::SpiFlashMd5 { .. });
        is_digest.then(|| answer(0x13, 0, digest.as_bytes(), 0, 0))
    });
    session.verify(&Prepared::new(&image, Dialect::Rom, false)).unwrap();
    assert_eq!(opcodes(&log), [0x13]);
}

/// A loader that holds `image`, whatever it is sent: digests of any range are right, but for those
/// that `meddle` answers.
fn holder(
    image: &Image,
    mut meddle: impl FnMut(&Request<'_>) -> Option<Vec<u8>> + Send + 'static,
) -> (Session, Arc<Mutex<Log>>) {
    let image = image.clone();
    session(move |request| {
        meddle(request).or_else(|| match request {
            Request::SpiFlashMd5 { offset, len } => {
                let start = (offset - image.offset) as usize;
                let digest = Digest::of(&image.data[start..start + *len as usize]);
                Some(answer(0x13, 0, digest.to_string().as_bytes(), 0, 0))
            }
            _ => None,
        })
    })
}

const WRONG: &[u8] = b"00000000000000000000000000000001";

fn raw() -> WriteOptions {
    WriteOptions { compression: Compression::Never, ..WriteOptions::default() }
}

/// Announced writes.
fn begins(log: &Arc<Mutex<Log>>) -> usize {
    opcodes(log).into_iter().filter(|opcode| *opcode == 0x02).count()
}

#[test]
fn a_mismatch_is_mended_if_a_transfer_began_again_and_told_if_not() {
    let image = image(0x3000);
    for damaged in [true, false] {
        let (mut refused, mut wrong) = (!damaged, 4);
        let (mut session, log) = holder(&image, move |request| match request {
            Request::FlashData(data) if data.sequence == 1 && !refused => {
                refused = true;
                Some(answer(0x03, 0, &[], 1, 7))
            }
            // Of the whole, twice, of its block, and of its first sector.
            Request::SpiFlashMd5 { .. } if wrong > 0 => {
                wrong -= 1;
                Some(answer(0x13, 0, WRONG, 0, 0))
            }
            _ => None,
        });
        let result = session.write_image(&image, raw(), &mut |_| {});
        if damaged {
            let report = result.unwrap();
            assert_eq!((report.restarts, report.bytes, report.skipped), (1, 0x3000, 0));
            assert_eq!(begins(&log), 3, "once more for the refused block, and for the sector");
        } else {
            assert!(matches!(result, Err(WriteError::Mismatch(_))), "{result:?}");
            assert_eq!(begins(&log), 1);
        }
    }
}

#[test]
fn what_never_matches_on_a_bad_line_is_told_in_the_end() {
    let image = image(0x2000);
    let (mut session, _) = holder(&image, |request| match request {
        Request::SpiFlashMd5 { .. } => {
            Some([b"\xc0\x01\xc0", &*answer(0x13, 0, WRONG, 0, 0)].concat())
        }
        _ => None,
    });
    let error = session.write_image(&image, raw(), &mut |_| {}).unwrap_err();
    assert!(matches!(error, WriteError::Mismatch(_)), "{error}");
}

#[test]
fn blocks_that_never_arrive_end_a_write() {
    let image = image(0x2000);
    let (mut session, _) = holder(&image, |request| match request {
        Request::FlashData(_) => Some(answer(0x03, 0, &[], 1, 7)),
        Request::SpiFlashMd5 { .. } => Some(answer(0x13, 0, WRONG, 0, 0)),
        Request::Sync => Some(ok(0x08, 0x2012_0707).repeat(8)),
        _ => None,
    });
    let error = session.write_image(&image, raw(), &mut |_| {}).unwrap_err();
    assert!(matches!(error, WriteError::TooManyRestarts { restarts: 3, .. }), "{error}");
}

#[test]
fn only_what_the_line_did_is_its_trouble() {
    use crate::session::{Cause, LineTrouble, Step};
    let lost = |cause| SessionError { step: Step::Connect, cause };
    let quiet = || lost(Cause::NoAnswer { after: std::time::Duration::ZERO, damaged: 0 });
    assert!(WriteError::Session(quiet()).is_line_trouble());
    assert!(WriteError::TooManyRestarts { restarts: 3, last: quiet() }.is_line_trouble());
    assert!(!WriteError::Session(lost(Cause::SpiBusy)).is_line_trouble());
    assert!(!WriteError::NotTaken { offset: 0 }.is_line_trouble());
    assert!(ReadError::Session(quiet()).is_line_trouble() && ReadError::Damaged.is_line_trouble());
    assert!(!ReadError::Absent([0xff; 3]).is_line_trouble());
    assert!(!ReadError::Session(lost(Cause::SpiBusy)).is_line_trouble());
}

/// 30 s for each MiB that is erased, 10 s for each that is programmed.
#[test]
fn erasing_and_programming_may_take_their_time() {
    for (silent, seconds) in [(0x02, 3 + 3 * 30), (0x03, 3 + 10), (0x11, 3 + 3 * 10)] {
        let image = image((2 << 20) + 1);
        let (mut session, _) =
            session(move |request| (request.opcode() as u8 == silent).then(Vec::new));
        let prepared = Prepared::new(&image, Dialect::Stub, silent == 0x11);
        let error = session.write(&prepared, &mut |_| {}).unwrap_err();
        let WriteError::TooManyRestarts { last, .. } = error else { panic!("{error}") };
        let crate::session::Cause::NoAnswer { after, .. } = last.cause else { panic!("{last}") };
        assert_eq!(after.as_secs(), seconds, "{silent:#x}");
    }
}

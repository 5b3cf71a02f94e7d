use proptest::prelude::*;

use super::*;

#[test]
fn sync_is_the_well_known_frame() {
    let mut expected = vec![0x00, 0x08, 0x24, 0x00, 0, 0, 0, 0, 0x07, 0x07, 0x12, 0x20];
    expected.extend([0x55; 32]);
    assert_eq!(Request::Sync.emit(), expected);
}

#[test]
fn a_data_block_carries_its_checksum() {
    let data = Data { sequence: 2, bytes: Cow::Borrowed(&[0xaa, 0x55, 0x01]) };
    assert_eq!(
        Request::FlashData(data).emit(),
        [0, 3, 19, 0, 0x11, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xaa, 0x55, 1]
    );
}

#[test]
fn begin_has_16_bytes_for_the_rom_and_20_for_a_stub() {
    let rom = Begin { size: 1, blocks: 2, block_size: 3, offset: 4, encrypted: None };
    assert_eq!(Request::FlashBegin(rom).emit().len(), 24);
    let stub = Begin { encrypted: Some(0), ..rom };
    assert_eq!(Request::FlashBegin(stub).emit().len(), 28);
}

#[test]
fn malformed_requests_are_named() {
    assert_eq!(Request::parse(&[0, 8]), Err(RequestError::Short { len: 2 }));
    assert_eq!(Request::parse(&[1, 8, 0, 0, 0, 0, 0, 0]), Err(RequestError::Direction(1)));
    assert_eq!(Request::parse(&[0, 0x0c, 0, 0, 0, 0, 0, 0]), Err(RequestError::Opcode(0x0c)));
    assert_eq!(
        Request::parse(&[0, 0x0a, 4, 0, 0, 0, 0, 0]),
        Err(RequestError::Size { claimed: 4, len: 0 })
    );
    assert_eq!(
        Request::parse(&[0, 0x0a, 1, 0, 0, 0, 0, 0, 9]),
        Err(RequestError::Body(Opcode::ReadReg))
    );
}

fn begin() -> impl Strategy<Value = Begin> {
    (any::<[u32; 4]>(), any::<Option<u32>>()).prop_map(
        |([size, blocks, block_size, offset], encrypted)| Begin {
            size,
            blocks,
            block_size,
            offset,
            encrypted,
        },
    )
}

fn data() -> impl Strategy<Value = Data<'static>> {
    (any::<u32>(), prop::collection::vec(any::<u8>(), 0..300))
        .prop_map(|(sequence, bytes)| Data { sequence, bytes: Cow::Owned(bytes) })
}

fn request() -> impl Strategy<Value = Request<'static>> {
    let write = any::<[u32; 4]>().prop_map(|[address, value, mask, delay_us]| RegisterWrite {
        address,
        value,
        mask,
        delay_us,
    });
    prop_oneof![
        begin().prop_map(Request::FlashBegin),
        begin().prop_map(Request::MemBegin),
        begin().prop_map(Request::FlashDeflBegin),
        data().prop_map(Request::FlashData),
        data().prop_map(Request::MemData),
        data().prop_map(Request::FlashDeflData),
        any::<u32>().prop_map(|action| Request::FlashEnd { action }),
        any::<u32>().prop_map(|action| Request::FlashDeflEnd { action }),
        any::<(u32, u32)>().prop_map(|(stay, entry)| Request::MemEnd { stay, entry }),
        Just(Request::Sync),
        prop::collection::vec(write, 0..5).prop_map(Request::WriteReg),
        any::<u32>().prop_map(|address| Request::ReadReg { address }),
        any::<u32>().prop_map(|size| Request::SpiSetParams(SpiParameters::of_size(size))),
        any::<(u32, Option<u32>)>().prop_map(|(pins, legacy)| Request::SpiAttach { pins, legacy }),
        any::<(u32, u32)>().prop_map(|(offset, len)| Request::ReadFlashSlow { offset, len }),
        any::<(u32, u32)>().prop_map(|(new, old)| Request::ChangeBaudrate { new, old }),
        any::<(u32, u32)>().prop_map(|(offset, len)| Request::SpiFlashMd5 { offset, len }),
        any::<(u32, u32)>().prop_map(|(offset, len)| Request::EraseRegion { offset, len }),
        Just(Request::GetSecurityInfo),
        Just(Request::EraseFlash),
        Just(Request::RunUserCode),
    ]
}

proptest! {
    #[test]
    fn parse_reverses_emit(request in request()) {
        let wire = request.emit();
        prop_assert_eq!(Request::parse(&wire), Ok(request));
    }

    #[test]
    fn emit_reverses_parse(frame in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(request) = Request::parse(&frame) {
            // Only data blocks have a checksum; other commands carry the field unread.
            let mut emitted = request.emit();
            emitted[field::CHECKSUM].copy_from_slice(&frame[field::CHECKSUM]);
            prop_assert_eq!(emitted, frame);
        }
    }
}

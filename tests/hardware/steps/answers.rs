//! What the ROM says: identity, memory, refusals.

use esp_protocol::{
    CHECKSUM_SEED, checksum,
    command::{Begin, Data, Request},
    response::{Dialect, ErrorCode, Response},
};
use esp32_flasher::{
    chip::{Chip, ESP32_MAGIC},
    session::COMMAND_TIMEOUT,
};

use super::check;
use crate::{
    bench::{Bench, Trouble},
    suite::Outcome,
};

/// Free RAM in download mode (ROM-FACTS 5.2 cases use it, too).
const RAM: u32 = 0x3ffe_8000;

pub(super) fn identity(bench: &mut Bench) -> Result<Outcome, Trouble> {
    let again = Chip::read(&mut bench.session)?;
    check(again == bench.chip, || format!("read twice: {:?} and {again:?}", bench.chip))?;
    check(again.magic == ESP32_MAGIC, || format!("magic value {:#010x}", again.magic))?;
    check(again.mac_crc_ok, || format!("the CRC of the MAC {} is wrong", again.mac))?;
    check(again.strap & 0x10 == 0, || {
        format!("straps {:#04x} are not download mode", again.strap)
    })?;
    Ok(Outcome::Passed)
}

/// A request's opcode and body, as a payload.
fn payload(opcode: u8, checksum: u32, body: &[u8]) -> Vec<u8> {
    let size = u16::try_from(body.len()).unwrap_or(u16::MAX);
    let head = [&[0, opcode][..], &size.to_le_bytes(), &checksum.to_le_bytes()].concat();
    [head, body.to_vec()].concat()
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

pub(super) fn errors(bench: &mut Bench) -> Result<Outcome, Trouble> {
    let end = bench.session.flash_bytes();
    let invalid = ErrorCode::InvalidMessage;
    // ROM-FACTS 4.3 to 5.6. None of these touches flash or registers.
    let cases: [(&str, Vec<u8>, ErrorCode); 9] = [
        ("unknown command 77h", payload(0x77, 0, &[]), invalid),
        ("GET_SECURITY_INFO", payload(0x14, 0, &[]), invalid),
        ("ERASE_FLASH of a stub", payload(0xd0, 0, &[]), invalid),
        ("FLASH_BEGIN with 20 bytes", payload(0x02, 0, &words(&[0, 0, 0x400, 0, 0])), invalid),
        (
            "FLASH_BEGIN with too large blocks",
            payload(0x02, 0, &words(&[0, 0, 0x1801, 0])),
            invalid,
        ),
        ("SPI_SET_PARAMS with 4 bytes", payload(0x0b, 0, &words(&[0])), invalid),
        ("MEM_BEGIN with 12 bytes", payload(0x05, 0, &words(&[4, 1, 4])), invalid),
        ("a read of 65 bytes", payload(0x0e, 0, &words(&[0, 65])), ErrorCode::ReadLength),
        ("a read behind the end", payload(0x0e, 0, &words(&[end, 64])), ErrorCode::FlashReadFailed),
    ];
    for (name, request, expected) in cases {
        let frame = bench.ask(&request).map_err(|trouble| format!("{name}: {trouble}"))?;
        let found = Response::parse(&frame, Dialect::Rom)?.failure(Dialect::Rom);
        check(found == Some(expected), || format!("{name}: {found:?}, not {expected:?}"))?;
    }
    Ok(Outcome::Passed)
}

pub(super) fn memory(bench: &mut Bench) -> Result<Outcome, Trouble> {
    // Delimiter, escape and their partners at all places of a word.
    let bytes: Vec<u8> = [0xc0, 0xdb, 0xdc, 0xdd, 0x00].into_iter().cycle().take(40).collect();
    let len = u32::try_from(bytes.len())?;
    let begin = Begin { size: len, blocks: 1, block_size: len, offset: RAM, encrypted: None };
    bench.session.command(&Request::MemBegin(begin), COMMAND_TIMEOUT)?;
    let wrong = u32::from(checksum(CHECKSUM_SEED, &bytes) ^ 0x01);
    let body = [words(&[len, 0, 0, 0]), bytes.clone()].concat();
    let frame = bench.ask(&payload(0x07, wrong, &body))?;
    let found = Response::parse(&frame, Dialect::Rom)?.failure(Dialect::Rom);
    let expected = ErrorCode::InvalidChecksum;
    check(found == Some(expected), || format!("a wrong checksum: {found:?}"))?;
    bench.session.command(&Request::MemBegin(begin), COMMAND_TIMEOUT)?;
    let data = Data { sequence: 0, bytes: bytes.as_slice().into() };
    bench.session.command(&Request::MemData(data), COMMAND_TIMEOUT)?;
    for (address, word) in (RAM..).step_by(4).zip(bytes.chunks_exact(4)) {
        let found = bench.session.read_register(address)?;
        let expected = u32::from_le_bytes(word.try_into()?);
        check(found == expected, || {
            format!("{address:#x} holds {found:#010x}, not {expected:#010x}")
        })?;
    }
    Ok(Outcome::Passed)
}

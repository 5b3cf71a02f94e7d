//! CRC and Adler-32 functions of the ROM.
//!
//! The CRC functions invert the running value before and after, so that the result of one piece
//! is the start of the next (esp-idf `esp32/rom/crc.h`).

use super::{Call, Flow};
use crate::{guest::memory::Fault, spi::SpiDevice};

/// Dallas/Maxim polynomial, reflected; also used for the MAC's CRC (ROM-FACTS 9.3).
const CRC8_REFLECTED: u8 = 0x8C;
const CRC8: u8 = 0x07;
const CRC16_REFLECTED: u16 = 0x8408;
const CRC16: u16 = 0x1021;
const CRC32_REFLECTED: u32 = 0xEDB8_8320;
const CRC32: u32 = 0x04C1_1DB7;
const ADLER_MODULUS: u32 = 65_521;

/// CRC functions: start value, buffer, length.
pub(super) fn crc<F: SpiDevice>(
    call: &mut Call<'_, F>,
    function: impl Fn(u32, &[u8]) -> u32,
) -> Result<Flow, Fault> {
    let (start, buffer, len) = (call.argument(0)?, call.argument(1)?, call.argument(2)?);
    let data = call.bytes(buffer, len)?;
    Ok(Flow::Return(function(start, &data)))
}

pub(super) fn crc8_le(start: u32, data: &[u8]) -> u32 {
    let step = |crc: u8, byte: &u8| {
        (0..8).fold(crc ^ byte, |crc, _| crc >> 1 ^ if crc & 1 == 1 { CRC8_REFLECTED } else { 0 })
    };
    u32::from(!data.iter().fold(!low_byte(start), step))
}

pub(super) fn crc8_be(start: u32, data: &[u8]) -> u32 {
    let step = |crc: u8, byte: &u8| {
        (0..8).fold(crc ^ byte, |crc, _| crc << 1 ^ if crc >> 7 == 1 { CRC8 } else { 0 })
    };
    u32::from(!data.iter().fold(!low_byte(start), step))
}

pub(super) fn crc16_le(start: u32, data: &[u8]) -> u32 {
    let step = |crc: u16, byte: &u8| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| {
            crc >> 1 ^ if crc & 1 == 1 { CRC16_REFLECTED } else { 0 }
        })
    };
    u32::from(!data.iter().fold(!low_half(start), step))
}

pub(super) fn crc16_be(start: u32, data: &[u8]) -> u32 {
    let step = |crc: u16, byte: &u8| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| {
            crc << 1 ^ if crc >> 15 == 1 { CRC16 } else { 0 }
        })
    };
    u32::from(!data.iter().fold(!low_half(start), step))
}

pub(super) fn crc32_le(start: u32, data: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            crc >> 1 ^ if crc & 1 == 1 { CRC32_REFLECTED } else { 0 }
        })
    };
    !data.iter().fold(!start, step)
}

pub(super) fn crc32_be(start: u32, data: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| {
            crc << 1 ^ if crc >> 31 == 1 { CRC32 } else { 0 }
        })
    };
    !data.iter().fold(!start, step)
}

/// `esp_crc8(buffer, len)`: the CRC of the MAC in eFuse; neither end is inverted.
pub(super) fn esp_crc8<F: SpiDevice>(call: &mut Call<'_, F>) -> Result<Flow, Fault> {
    let (buffer, len) = (call.argument(0)?, call.argument(1)?);
    let data = call.bytes(buffer, len)?;
    Ok(Flow::Return(!crc8_le(0xFF, &data) & 0xFF))
}

/// `mz_crc32(start, pointer, length)`; a null pointer asks for the start value.
pub(super) fn mz_crc32<F: SpiDevice>(call: &mut Call<'_, F>) -> Result<Flow, Fault> {
    if call.argument(1)? == 0 { Ok(Flow::Return(0)) } else { crc(call, crc32_le) }
}

/// `mz_adler32(start, pointer, length)`; a null pointer asks for the start value.
pub(super) fn mz_adler32<F: SpiDevice>(call: &mut Call<'_, F>) -> Result<Flow, Fault> {
    if call.argument(1)? == 0 { Ok(Flow::Return(1)) } else { crc(call, adler32) }
}

fn adler32(start: u32, data: &[u8]) -> u32 {
    let step = |(low, high): (u32, u32), byte: &u8| {
        let low = (low + u32::from(*byte)) % ADLER_MODULUS;
        (low, (high + low) % ADLER_MODULUS)
    };
    let (low, high) = data.iter().fold((start & 0xFFFF, start >> 16), step);
    high << 16 | low
}

fn low_byte(value: u32) -> u8 {
    value.to_le_bytes()[0]
}

fn low_half(value: u32) -> u16 {
    let [low, high, ..] = value.to_le_bytes();
    u16::from_le_bytes([low, high])
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHECK: &[u8] = b"123456789";

    #[test]
    fn published_check_values() {
        // CRC catalogue: CRC-32/ISO-HDLC, CRC-32/BZIP2, CRC-16/IBM-SDLC, CRC-16/GENIBUS.
        assert_eq!(crc32_le(0, CHECK), 0xCBF4_3926);
        assert_eq!(crc32_be(0, CHECK), 0xFC89_1918);
        assert_eq!(crc16_le(0, CHECK), 0x906E);
        assert_eq!(crc16_be(0, CHECK), 0xD64E);
        // CRC-8/MAXIM-DOW and CRC-8/SMBUS start at 0 and do not invert.
        assert_eq!(!crc8_le(0xFF, CHECK) & 0xFF, 0xA1);
        assert_eq!(!crc8_be(0xFF, CHECK) & 0xFF, 0xF4);
        assert_eq!(adler32(1, b"Wikipedia"), 0x11E6_0398);
    }

    #[test]
    fn pieces_chain() {
        let (head, tail) = CHECK.split_at(4);
        assert_eq!(crc32_le(crc32_le(0, head), tail), 0xCBF4_3926);
        assert_eq!(crc16_be(crc16_be(0, head), tail), 0xD64E);
    }
}

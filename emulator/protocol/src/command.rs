//! Requests: opcodes, the 8-byte header and the parameters of each command.

mod opcode;
mod parameters;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

pub use opcode::Opcode;
pub use parameters::{Begin, Data, ReadFlash, RegisterWrite, SpiParameters};

use crate::{
    CHECKSUM_SEED,
    bytes::{u16_at, u32_at, words},
    checksum,
};

/// Direction byte of a request.
pub const DIRECTION_REQUEST: u8 = 0x00;
/// Bytes of the header.
pub const HEADER_BYTES: usize = 8;
/// Bytes of the parameters in front of the data of `FLASH_DATA`, `MEM_DATA`, `FLASH_DEFL_DATA`.
pub const DATA_PARAMETER_BYTES: usize = 16;
/// Largest data block that the ROM takes (ROM-FACTS 5.2).
pub const ROM_BLOCK_BYTES_MAX: u32 = 0x1800;
/// Largest flash data block that the stubs take (ROM-FACTS 7.1).
pub const STUB_BLOCK_BYTES_MAX: u32 = 0x4000;
/// Largest length of `READ_FLASH_SLOW`.
pub const READ_SLOW_BYTES_MAX: u32 = 64;

/// Body of a SYNC: `07 07 12 20` and 32 times `55`.
pub const SYNC_BODY: [u8; 36] = {
    let mut body = [0x55; 36];
    body[0] = 0x07;
    body[1] = 0x07;
    body[2] = 0x12;
    body[3] = 0x20;
    body
};

/// Where each field of the header lies.
pub mod field {
    use std::ops::Range;

    /// 00 = request, 01 = response.
    pub const DIRECTION: usize = 0;
    /// Opcode.
    pub const OPCODE: usize = 1;
    /// Length of the body, `u16`.
    pub const SIZE: Range<usize> = 2..4;
    /// Checksum of a data block, `u32` of which the ROM looks at the low byte; in a response the
    /// value field.
    pub const CHECKSUM: Range<usize> = 4..8;
    /// The body.
    pub const BODY: usize = 8;
}

/// Header of a request as it lies on the wire; judges nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// 00 in a request.
    pub direction: u8,
    /// Opcode, known or not.
    pub opcode: u8,
    /// Length of the body as claimed.
    pub size: u16,
    /// Checksum field.
    pub checksum: u32,
}

impl Header {
    /// Reads the header at the start of `frame`; `None` if it is shorter than a header.
    #[must_use]
    pub fn parse(frame: &[u8]) -> Option<Self> {
        Some(Self {
            direction: *frame.first()?,
            opcode: *frame.get(field::OPCODE)?,
            size: u16_at(frame, field::SIZE.start)?,
            checksum: u32_at(frame, field::CHECKSUM.start)?,
        })
    }

    /// Appends the header.
    pub fn emit(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[self.direction, self.opcode]);
        out.extend_from_slice(&self.size.to_le_bytes());
        out.extend_from_slice(&self.checksum.to_le_bytes());
    }
}

/// A request with its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request<'a> {
    /// See [`Opcode::FlashBegin`].
    FlashBegin(Begin),
    /// See [`Opcode::FlashData`].
    FlashData(Data<'a>),
    /// See [`Opcode::FlashEnd`].
    FlashEnd {
        /// 0 = reboot, else stay or run user code.
        action: u32,
    },
    /// See [`Opcode::MemBegin`].
    MemBegin(Begin),
    /// See [`Opcode::MemEnd`].
    MemEnd {
        /// 0 = jump to `entry`, else stay in the loader.
        stay: u32,
        /// Address of the code.
        entry: u32,
    },
    /// See [`Opcode::MemData`].
    MemData(Data<'a>),
    /// See [`Opcode::Sync`]; always with [`SYNC_BODY`].
    Sync,
    /// See [`Opcode::WriteReg`].
    WriteReg(Vec<RegisterWrite>),
    /// See [`Opcode::ReadReg`].
    ReadReg {
        /// Address.
        address: u32,
    },
    /// See [`Opcode::SpiSetParams`].
    SpiSetParams(SpiParameters),
    /// See [`Opcode::SpiAttach`].
    SpiAttach {
        /// 0 = default pins, 1 = HSPI, else five 6-bit pin numbers.
        pins: u32,
        /// Legacy word of the ROM's 8-byte form; the stubs take 4 bytes only.
        legacy: Option<u32>,
    },
    /// See [`Opcode::ReadFlashSlow`].
    ReadFlashSlow {
        /// Flash offset.
        offset: u32,
        /// Bytes, at most [`READ_SLOW_BYTES_MAX`].
        len: u32,
    },
    /// See [`Opcode::ChangeBaudrate`].
    ChangeBaudrate {
        /// New rate in baud.
        new: u32,
        /// Current rate for a stub, 0 for the ROM (ROM-FACTS 5.8).
        old: u32,
    },
    /// See [`Opcode::FlashDeflBegin`].
    FlashDeflBegin(Begin),
    /// See [`Opcode::FlashDeflData`].
    FlashDeflData(Data<'a>),
    /// See [`Opcode::FlashDeflEnd`].
    FlashDeflEnd {
        /// 0 = reboot, else stay.
        action: u32,
    },
    /// See [`Opcode::SpiFlashMd5`].
    SpiFlashMd5 {
        /// Flash offset.
        offset: u32,
        /// Bytes.
        len: u32,
    },
    /// See [`Opcode::GetSecurityInfo`].
    GetSecurityInfo,
    /// See [`Opcode::EraseFlash`].
    EraseFlash,
    /// See [`Opcode::EraseRegion`].
    EraseRegion {
        /// Flash offset, a multiple of 4096.
        offset: u32,
        /// Bytes, a multiple of 4096.
        len: u32,
    },
    /// See [`Opcode::ReadFlash`].
    ReadFlash(ReadFlash),
    /// See [`Opcode::RunUserCode`].
    RunUserCode,
}

/// Why a frame is no well-formed request. (The ROM itself is laxer; its rules are in the emulator.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Shorter than the header.
    #[error("frame of {len} bytes is shorter than a header")]
    Short {
        /// Bytes received.
        len: usize,
    },
    /// The direction byte is not 00.
    #[error("direction byte {0:#04x} is not a request's")]
    Direction(u8),
    /// Unknown opcode.
    #[error("unknown opcode {0:#04x}")]
    Opcode(u8),
    /// The size field does not say how long the body is.
    #[error("size field says {claimed} bytes, body has {len}")]
    Size {
        /// The field.
        claimed: u16,
        /// Bytes received behind the header.
        len: usize,
    },
    /// The body's length or content does not fit the command.
    #[error("body of {} does not fit the command", .0.name())]
    Body(Opcode),
    /// The checksum of the data is wrong.
    #[error("data checksum is {computed:#04x}, header says {claimed:#x}")]
    Checksum {
        /// The field.
        claimed: u32,
        /// Over the received data.
        computed: u8,
    },
}

impl<'a> Request<'a> {
    /// The request's opcode.
    #[must_use]
    pub const fn opcode(&self) -> Opcode {
        match self {
            Self::FlashBegin(_) => Opcode::FlashBegin,
            Self::FlashData(_) => Opcode::FlashData,
            Self::FlashEnd { .. } => Opcode::FlashEnd,
            Self::MemBegin(_) => Opcode::MemBegin,
            Self::MemEnd { .. } => Opcode::MemEnd,
            Self::MemData(_) => Opcode::MemData,
            Self::Sync => Opcode::Sync,
            Self::WriteReg(_) => Opcode::WriteReg,
            Self::ReadReg { .. } => Opcode::ReadReg,
            Self::SpiSetParams(_) => Opcode::SpiSetParams,
            Self::SpiAttach { .. } => Opcode::SpiAttach,
            Self::ReadFlashSlow { .. } => Opcode::ReadFlashSlow,
            Self::ChangeBaudrate { .. } => Opcode::ChangeBaudrate,
            Self::FlashDeflBegin(_) => Opcode::FlashDeflBegin,
            Self::FlashDeflData(_) => Opcode::FlashDeflData,
            Self::FlashDeflEnd { .. } => Opcode::FlashDeflEnd,
            Self::SpiFlashMd5 { .. } => Opcode::SpiFlashMd5,
            Self::GetSecurityInfo => Opcode::GetSecurityInfo,
            Self::EraseFlash => Opcode::EraseFlash,
            Self::EraseRegion { .. } => Opcode::EraseRegion,
            Self::ReadFlash(_) => Opcode::ReadFlash,
            Self::RunUserCode => Opcode::RunUserCode,
        }
    }

    /// The request as a payload, before SLIP. A body longer than 65,535 bytes gets a size field of
    /// 65,535.
    #[must_use]
    pub fn emit(&self) -> Vec<u8> {
        let sum = match self {
            Self::FlashData(data) | Self::MemData(data) | Self::FlashDeflData(data) => {
                checksum(CHECKSUM_SEED, &data.bytes)
            }
            _ => 0,
        };
        let mut out = Vec::with_capacity(HEADER_BYTES + 36);
        let mut header = Header {
            direction: DIRECTION_REQUEST,
            opcode: self.opcode().into(),
            size: 0,
            checksum: sum.into(),
        };
        header.emit(&mut out);
        self.emit_body(&mut out);
        header.size = u16::try_from(out.len() - HEADER_BYTES).unwrap_or(u16::MAX);
        out[field::SIZE].copy_from_slice(&header.size.to_le_bytes());
        out
    }

    fn emit_body(&self, out: &mut Vec<u8>) {
        match self {
            Self::FlashBegin(begin) | Self::MemBegin(begin) | Self::FlashDeflBegin(begin) => {
                push(out, &[begin.size, begin.blocks, begin.block_size, begin.offset]);
                push(out, begin.encrypted.as_slice());
            }
            Self::FlashData(data) | Self::MemData(data) | Self::FlashDeflData(data) => {
                let len = u32::try_from(data.bytes.len()).unwrap_or(u32::MAX);
                push(out, &[len, data.sequence, 0, 0]);
                out.extend_from_slice(&data.bytes);
            }
            Self::FlashEnd { action } | Self::FlashDeflEnd { action } => push(out, &[*action]),
            Self::MemEnd { stay, entry } => push(out, &[*stay, *entry]),
            Self::Sync => out.extend_from_slice(&SYNC_BODY),
            Self::WriteReg(entries) => {
                for entry in entries {
                    push(out, &[entry.address, entry.value, entry.mask, entry.delay_us]);
                }
            }
            Self::ReadReg { address } => push(out, &[*address]),
            Self::SpiSetParams(p) => {
                push(out, &[p.id, p.size, p.block_size, p.sector_size, p.page_size, p.status_mask]);
            }
            Self::SpiAttach { pins, legacy } => {
                push(out, &[*pins]);
                push(out, legacy.as_slice());
            }
            Self::ReadFlashSlow { offset, len } | Self::EraseRegion { offset, len } => {
                push(out, &[*offset, *len]);
            }
            Self::ChangeBaudrate { new, old } => push(out, &[*new, *old]),
            Self::SpiFlashMd5 { offset, len } => push(out, &[*offset, *len, 0, 0]),
            Self::ReadFlash(r) => push(out, &[r.offset, r.len, r.packet_size, r.in_flight_max]),
            Self::GetSecurityInfo | Self::EraseFlash | Self::RunUserCode => {}
        }
    }

    /// Reads a well-formed request.
    ///
    /// # Errors
    ///
    /// [`RequestError`] for anything that [`Request::emit`] would not have written.
    pub fn parse(frame: &'a [u8]) -> Result<Self, RequestError> {
        let len = frame.len();
        let header = Header::parse(frame).ok_or(RequestError::Short { len })?;
        if header.direction != DIRECTION_REQUEST {
            return Err(RequestError::Direction(header.direction));
        }
        let opcode = Opcode::from_byte(header.opcode).ok_or(RequestError::Opcode(header.opcode))?;
        let body = &frame[field::BODY..];
        if usize::from(header.size) != body.len() {
            return Err(RequestError::Size { claimed: header.size, len: body.len() });
        }
        let request = Self::parse_body(opcode, body).ok_or(RequestError::Body(opcode))?;
        if let Self::FlashData(data) | Self::MemData(data) | Self::FlashDeflData(data) = &request {
            let computed = checksum(CHECKSUM_SEED, &data.bytes);
            if header.checksum != u32::from(computed) {
                return Err(RequestError::Checksum { claimed: header.checksum, computed });
            }
        }
        Ok(request)
    }

    fn parse_body(opcode: Opcode, body: &'a [u8]) -> Option<Self> {
        Some(match opcode {
            Opcode::FlashBegin => Self::FlashBegin(parse_begin(body)?),
            Opcode::MemBegin => Self::MemBegin(parse_begin(body)?),
            Opcode::FlashDeflBegin => Self::FlashDeflBegin(parse_begin(body)?),
            Opcode::FlashData => Self::FlashData(parse_data(body)?),
            Opcode::MemData => Self::MemData(parse_data(body)?),
            Opcode::FlashDeflData => Self::FlashDeflData(parse_data(body)?),
            Opcode::FlashEnd => Self::FlashEnd { action: words::<1>(body)?[0] },
            Opcode::FlashDeflEnd => Self::FlashDeflEnd { action: words::<1>(body)?[0] },
            Opcode::MemEnd => {
                let [stay, entry] = words(body)?;
                Self::MemEnd { stay, entry }
            }
            Opcode::Sync => (body == SYNC_BODY).then_some(Self::Sync)?,
            Opcode::WriteReg => Self::WriteReg(parse_writes(body)?),
            Opcode::ReadReg => Self::ReadReg { address: words::<1>(body)?[0] },
            Opcode::SpiSetParams => {
                let [id, size, block_size, sector_size, page_size, status_mask] = words(body)?;
                Self::SpiSetParams(SpiParameters {
                    id,
                    size,
                    block_size,
                    sector_size,
                    page_size,
                    status_mask,
                })
            }
            Opcode::SpiAttach => Self::SpiAttach {
                pins: u32_at(body, 0)?,
                legacy: if body.len() == 4 { None } else { Some(words::<2>(body)?[1]) },
            },
            Opcode::ReadFlashSlow => {
                let [offset, len] = words(body)?;
                Self::ReadFlashSlow { offset, len }
            }
            Opcode::EraseRegion => {
                let [offset, len] = words(body)?;
                Self::EraseRegion { offset, len }
            }
            Opcode::ChangeBaudrate => {
                let [new, old] = words(body)?;
                Self::ChangeBaudrate { new, old }
            }
            Opcode::SpiFlashMd5 => match words(body)? {
                [offset, len, 0, 0] => Self::SpiFlashMd5 { offset, len },
                _ => return None,
            },
            Opcode::ReadFlash => {
                let [offset, len, packet_size, in_flight_max] = words(body)?;
                Self::ReadFlash(ReadFlash { offset, len, packet_size, in_flight_max })
            }
            Opcode::GetSecurityInfo => body.is_empty().then_some(Self::GetSecurityInfo)?,
            Opcode::EraseFlash => body.is_empty().then_some(Self::EraseFlash)?,
            Opcode::RunUserCode => body.is_empty().then_some(Self::RunUserCode)?,
        })
    }
}

fn push(out: &mut Vec<u8>, words: &[u32]) {
    for word in words {
        out.extend_from_slice(&word.to_le_bytes());
    }
}

fn parse_begin(body: &[u8]) -> Option<Begin> {
    let [size, blocks, block_size, offset] = words(body.get(..16)?)?;
    let encrypted = if body.len() == 16 { None } else { Some(words::<1>(&body[16..])?[0]) };
    Some(Begin { size, blocks, block_size, offset, encrypted })
}

fn parse_data(body: &[u8]) -> Option<Data<'_>> {
    let (parameters, bytes) = body.split_at_checked(DATA_PARAMETER_BYTES)?;
    match words(parameters)? {
        [len, sequence, 0, 0] if u32::try_from(bytes.len()) == Ok(len) => {
            Some(Data { sequence, bytes: Cow::Borrowed(bytes) })
        }
        _ => None,
    }
}

fn parse_writes(body: &[u8]) -> Option<Vec<RegisterWrite>> {
    if !body.len().is_multiple_of(16) {
        return None;
    }
    body.chunks_exact(16)
        .map(|entry| {
            let [address, value, mask, delay_us] = words(entry)?;
            Some(RegisterWrite { address, value, mask, delay_us })
        })
        .collect()
}

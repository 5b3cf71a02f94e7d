//! Responses: header, value, payload, and the status bytes of the two dialects.

use crate::{
    bytes::{u16_at, u32_at},
    command::{HEADER_BYTES, Opcode, field},
};

/// Direction byte of a response.
pub const DIRECTION_RESPONSE: u8 = 0x01;

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// The mask ROM: four status bytes, of which two mean something (ROM-FACTS 4.1).
    Rom,
    /// A flasher stub: two status bytes (ROM-FACTS 7.1).
    Stub,
}

impl Dialect {
    /// Trailing status bytes of each response.
    #[must_use]
    pub const fn status_bytes(self) -> usize {
        match self {
            Self::Rom => 4,
            Self::Stub => 2,
        }
    }

    /// Bytes of a digest as the dialect sends it: hex text from the ROM, raw from a stub.
    #[must_use]
    pub const fn digest_bytes(self) -> usize {
        match self {
            Self::Rom => 32,
            Self::Stub => 16,
        }
    }

    /// Largest flash block that the dialect takes.
    #[must_use]
    pub const fn block_bytes_max(self) -> u32 {
        match self {
            Self::Rom => crate::command::ROM_BLOCK_BYTES_MAX,
            Self::Stub => crate::command::STUB_BLOCK_BYTES_MAX,
        }
    }
}

/// One response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Opcode that it answers. The ROM repeats the last valid one for an unknown command.
    pub opcode: u8,
    /// Value field: the register's value after `READ_REG`, else stale (ROM-FACTS 4.2).
    pub value: u32,
    /// Bytes between header and status.
    pub payload: Vec<u8>,
    /// First status byte, 0 = success.
    pub status: u8,
    /// Second status byte.
    pub error: u8,
    /// The ROM's two last bytes: leftovers (ROM-FACTS 4.2). Zero and not sent by stubs.
    pub reserved: [u8; 2],
}

impl Response {
    /// Reads a response.
    ///
    /// ```
    /// use esp_protocol::response::{Dialect, Response};
    ///
    /// let frame = b"\x01\x0a\x04\x00\x83\x1d\xf0\x00\x00\x00\x00\x00";
    /// let response = Response::parse(frame, Dialect::Rom)?;
    /// assert_eq!(response.value, 0x00f0_1d83);
    /// # Ok::<(), esp_protocol::response::ResponseError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ResponseError`] if the frame is no response or shorter than its status.
    pub fn parse(frame: &[u8], dialect: Dialect) -> Result<Self, ResponseError> {
        let len = frame.len();
        let short = ResponseError::Short { len };
        let &direction = frame.first().ok_or(short)?;
        if direction != DIRECTION_RESPONSE {
            return Err(ResponseError::Direction(direction));
        }
        let claimed = u16_at(frame, field::SIZE.start).ok_or(short)?;
        let value = u32_at(frame, field::CHECKSUM.start).ok_or(short)?;
        let body = &frame[field::BODY..];
        if usize::from(claimed) != body.len() {
            return Err(ResponseError::Size { claimed, len: body.len() });
        }
        let payload_len = body.len().checked_sub(dialect.status_bytes()).ok_or(short)?;
        let (payload, status) = body.split_at(payload_len);
        Ok(Self {
            opcode: frame[field::OPCODE],
            value,
            payload: payload.to_vec(),
            status: status[0],
            error: status[1],
            reserved: [
                status.get(2).copied().unwrap_or_default(),
                status.get(3).copied().unwrap_or_default(),
            ],
        })
    }

    /// The response as a payload, before SLIP.
    #[must_use]
    pub fn emit(&self, dialect: Dialect) -> Vec<u8> {
        let size = self.payload.len() + dialect.status_bytes();
        let mut out = Vec::with_capacity(HEADER_BYTES + size);
        out.extend_from_slice(&[DIRECTION_RESPONSE, self.opcode]);
        out.extend_from_slice(&u16::try_from(size).unwrap_or(u16::MAX).to_le_bytes());
        out.extend_from_slice(&self.value.to_le_bytes());
        out.extend_from_slice(&self.payload);
        out.extend_from_slice(&[self.status, self.error]);
        if dialect == Dialect::Rom {
            out.extend_from_slice(&self.reserved);
        }
        out
    }

    /// The failure that the status bytes report; `None` after success.
    #[must_use]
    pub fn failure(&self, dialect: Dialect) -> Option<ErrorCode> {
        match (self.status, dialect) {
            (0, _) => None,
            (_, Dialect::Rom) => Some(ErrorCode::from_byte(self.error)),
            // A stub puts its code first; `01 00` is its plain failure.
            (code, Dialect::Stub) => Some(ErrorCode::from_byte(code)),
        }
    }

    /// The opcode, if it is a known one.
    #[must_use]
    pub const fn known_opcode(&self) -> Option<Opcode> {
        Opcode::from_byte(self.opcode)
    }
}

/// Why a frame is no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// Shorter than header and status.
    #[error("response of {len} bytes is too short")]
    Short {
        /// Bytes received.
        len: usize,
    },
    /// The direction byte is not 01.
    #[error("direction byte {0:#04x} is not a response's")]
    Direction(u8),
    /// The size field does not say how long the rest is.
    #[error("size field says {claimed} bytes, {len} follow")]
    Size {
        /// The field.
        claimed: u16,
        /// Bytes behind the header.
        len: usize,
    },
}

macro_rules! error_codes {
    ($($(#[$meta:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        /// Error code of the ROM (05..0d, ROM-FACTS 4.3) or of a stub (c0..ff, ROM-FACTS 7.1).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
        pub enum ErrorCode {
            $($(#[$meta])* #[error($text)] $name,)*
            /// A code that no documentation names.
            #[error("unknown error code {0:#04x}")]
            Unknown(u8),
        }

        impl ErrorCode {
            /// From the wire.
            #[must_use]
            pub const fn from_byte(byte: u8) -> Self {
                match byte {
                    $($code => Self::$name,)*
                    other => Self::Unknown(other),
                }
            }

            /// To the wire.
            #[must_use]
            pub const fn to_byte(self) -> u8 {
                match self {
                    $(Self::$name => $code,)*
                    Self::Unknown(other) => other,
                }
            }
        }
    };
}

error_codes! {
    /// A stub's plain failure.
    Failed = 0x01, "the stub reports a failure without a reason";
    /// Unknown command, wrong size, limit, or sequence.
    InvalidMessage = 0x05, "the ROM refused the request (unknown, wrong size, limit or sequence)";
    /// The action failed.
    FailedToAct = 0x06, "the ROM could not do it (range, alignment or totals)";
    /// Checksum of a data block.
    InvalidChecksum = 0x07, "the data arrived damaged";
    /// Read-back differs.
    FlashWriteFailed = 0x08, "the flash does not hold what was just written";
    /// Read failed.
    FlashReadFailed = 0x09, "the range to read is outside of the flash";
    /// Read too long.
    ReadLength = 0x0a, "the read is longer than 64 bytes";
    /// Inflate failed.
    Inflate = 0x0b, "the compressed data is damaged or incomplete";
    /// Adler-32 wrong.
    Adler = 0x0c, "the compressed data has a wrong Adler-32";
    /// Parameter error of the inflater.
    DeflateParameter = 0x0d, "the ROM's inflater refused its parameters";
    /// Stub: length.
    StubLength = 0xc0, "the stub found a wrong length";
    /// Stub: checksum.
    StubChecksum = 0xc1, "the data arrived damaged";
    /// Stub: block size.
    StubBlockSize = 0xc2, "the stub refused the block size";
    /// Stub: command.
    StubCommand = 0xc3, "the stub does not know the command";
    /// Stub: flash operation.
    StubSpi = 0xc4, "the stub's flash operation failed";
    /// Stub: unlock.
    StubUnlock = 0xc5, "the stub could not unlock the flash";
    /// Stub: not in flash mode.
    StubNotInFlashMode = 0xc6, "the stub got data without a begin";
    /// Stub: inflate.
    StubInflate = 0xc7, "the compressed data is damaged";
    /// Stub: too little.
    StubNotEnoughData = 0xc8, "the stub got less data than announced";
    /// Stub: too much.
    StubTooMuchData = 0xc9, "the stub got more data than announced";
    /// Stub: not implemented.
    StubNotImplemented = 0xff, "the stub does not implement the command";
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_roms_answer_to_an_unknown_command_after_sync() {
        let frame = b"\x01\x08\x04\x00\x07\x07\x12\x20\x01\x05\x00\x00";
        let response = Response::parse(frame, Dialect::Rom).unwrap();
        assert_eq!(response.failure(Dialect::Rom), Some(ErrorCode::InvalidMessage));
        assert_eq!(response.known_opcode(), Some(Opcode::Sync));
    }

    #[test]
    fn a_stub_puts_its_code_first() {
        let frame = b"\x01\x03\x02\x00\x00\x00\x00\x00\xc1\x00";
        let response = Response::parse(frame, Dialect::Stub).unwrap();
        assert_eq!(response.failure(Dialect::Stub), Some(ErrorCode::StubChecksum));
    }

    #[test]
    fn a_wrong_size_field_is_an_error() {
        let frame = b"\x01\x08\x05\x00\x07\x07\x12\x20\x00\x00\x00\x00";
        let error = Response::parse(frame, Dialect::Rom).unwrap_err();
        assert_eq!(error, ResponseError::Size { claimed: 5, len: 4 });
    }

    #[test]
    fn every_error_code_survives_the_wire() {
        for byte in 0..=u8::MAX {
            assert_eq!(ErrorCode::from_byte(byte).to_byte(), byte);
        }
    }

    proptest! {
        #[test]
        fn parse_reverses_emit(
            (opcode, value, status, error) in any::<(u8, u32, u8, u8)>(),
            payload in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            for dialect in [Dialect::Rom, Dialect::Stub] {
                let response = Response {
                    opcode, value, payload: payload.clone(), status, error, reserved: [0, 0],
                };
                let parsed = Response::parse(&response.emit(dialect), dialect);
                prop_assert_eq!(parsed, Ok(response));
            }
        }

        #[test]
        fn garbage_does_not_panic(frame in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = Response::parse(&frame, Dialect::Rom);
            let _ = Response::parse(&frame, Dialect::Stub);
        }
    }
}

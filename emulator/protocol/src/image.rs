//! The ESP image: header, segments, checksum, digest flag.
//!
//! Layout: esp-idf `esp_app_format.h`. The boot ROM reads it at 0x1000 (ROM-FACTS 1.3).

use std::ops::Range;

use crate::{
    CHECKSUM_SEED,
    bytes::{u16_at, u32_at},
    checksum,
};

/// First byte of an image.
pub const MAGIC: u8 = 0xe9;
/// Bytes of the header including its extension.
pub const HEADER_BYTES: usize = 24;
/// Bytes of a segment header.
pub const SEGMENT_HEADER_BYTES: usize = 8;
/// Segments that the loaders take at most.
pub const SEGMENTS_MAX: u8 = 16;
/// Bytes of the appended SHA-256.
pub const DIGEST_BYTES: usize = 32;
/// Chip id of the ESP32.
pub const CHIP_ID_ESP32: u16 = 0;

/// Header of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Number of segments.
    pub segment_count: u8,
    /// Flash mode.
    pub flash_mode: FlashMode,
    /// High nibble: size code; low nibble: frequency code.
    pub size_and_frequency: u8,
    /// Entry address.
    pub entry: u32,
    /// WP pin.
    pub wp_pin: u8,
    /// Drive settings of the flash pins.
    pub pin_drive: [u8; 3],
    /// Chip that the image is for.
    pub chip_id: u16,
    /// A SHA-256 follows the checksum.
    pub digest_appended: bool,
}

/// How the flash is read after boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlashMode {
    /// Quad I/O.
    Qio,
    /// Quad output.
    Qout,
    /// Dual I/O.
    Dio,
    /// Dual output.
    Dout,
    /// Any other code.
    Other(u8),
}

impl FlashMode {
    /// From the header's byte.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Self {
        match byte {
            0 => Self::Qio,
            1 => Self::Qout,
            2 => Self::Dio,
            3 => Self::Dout,
            other => Self::Other(other),
        }
    }
}

impl Header {
    /// Reads a header.
    ///
    /// # Errors
    ///
    /// [`ImageError::Magic`] or [`ImageError::Truncated`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ImageError> {
        let truncated = ImageError::Truncated { needed: HEADER_BYTES };
        match bytes.first() {
            None => return Err(truncated),
            Some(&MAGIC) => {}
            Some(&found) => return Err(ImageError::Magic { found }),
        }
        let head: &[u8; HEADER_BYTES] =
            bytes.get(..HEADER_BYTES).and_then(|head| head.try_into().ok()).ok_or(truncated)?;
        Ok(Self {
            segment_count: head[1],
            flash_mode: FlashMode::from_byte(head[2]),
            size_and_frequency: head[3],
            entry: u32_at(head, 4).ok_or(truncated)?,
            wp_pin: head[8],
            pin_drive: [head[9], head[10], head[11]],
            chip_id: u16_at(head, 12).ok_or(truncated)?,
            digest_appended: head[23] == 1,
        })
    }

    /// Flash size in bytes that the header asks for; `None` for an unknown code.
    ///
    /// ```
    /// # let mut bytes = [0_u8; 24]; bytes[0] = 0xe9; bytes[3] = 0x4f;
    /// let header = esp_protocol::image::Header::parse(&bytes)?;
    /// assert_eq!(header.flash_bytes(), Some(16 << 20));
    /// # Ok::<(), esp_protocol::image::ImageError>(())
    /// ```
    #[must_use]
    pub const fn flash_bytes(&self) -> Option<u32> {
        match self.size_and_frequency >> 4 {
            code @ 0..=7 => Some((1 << 20) << code),
            _ => None,
        }
    }
}

/// One segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Address that it is loaded to or mapped at.
    pub load_address: u32,
    /// Its bytes, as a range of the image.
    pub data: Range<usize>,
}

/// A whole image, checked for structure; [`Image::checksum_ok`] tells about its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Header.
    pub header: Header,
    /// Segments in order.
    pub segments: Vec<Segment>,
    /// Checksum that the image carries.
    pub checksum_stored: u8,
    /// Checksum over the segments' data.
    pub checksum_computed: u8,
    /// Bytes that the digest covers, followed by the digest; if there is one.
    pub digested: Option<Range<usize>>,
    /// Length of the image with checksum and digest.
    pub len: usize,
}

impl Image {
    /// Reads the structure of the image at the start of `bytes`; what follows is ignored.
    ///
    /// # Errors
    ///
    /// [`ImageError`] names the first thing that is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, ImageError> {
        let header = Header::parse(bytes)?;
        if header.segment_count == 0 || header.segment_count > SEGMENTS_MAX {
            return Err(ImageError::SegmentCount { count: header.segment_count });
        }
        let mut segments = Vec::with_capacity(header.segment_count.into());
        let mut offset = HEADER_BYTES;
        let mut sum = CHECKSUM_SEED;
        for _ in 0..header.segment_count {
            let start = offset + SEGMENT_HEADER_BYTES;
            let truncated = ImageError::Truncated { needed: start };
            let load_address = u32_at(bytes, offset).ok_or(truncated)?;
            let len = u32_at(bytes, offset + 4).ok_or(truncated)?;
            let end = usize::try_from(len).ok().and_then(|len| start.checked_add(len));
            let end = end.ok_or(truncated)?;
            let data = bytes.get(start..end).ok_or(ImageError::Truncated { needed: end })?;
            sum = checksum(sum, data);
            segments.push(Segment { load_address, data: start..end });
            offset = end;
        }
        // The checksum is the last byte of the 16-byte line that has room for it.
        let end = (offset / 16 + 1) * 16;
        let &checksum_stored = bytes.get(end - 1).ok_or(ImageError::Truncated { needed: end })?;
        let len = if header.digest_appended { end + DIGEST_BYTES } else { end };
        if bytes.len() < len {
            return Err(ImageError::Truncated { needed: len });
        }
        Ok(Self {
            header,
            segments,
            checksum_stored,
            checksum_computed: sum,
            digested: header.digest_appended.then_some(0..end),
            len,
        })
    }

    /// The stored checksum is right.
    #[must_use]
    pub const fn checksum_ok(&self) -> bool {
        self.checksum_stored == self.checksum_computed
    }
}

/// Why bytes are no image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// The first byte is wrong.
    #[error("first byte {found:#04x} is not an image's e9")]
    Magic {
        /// The byte.
        found: u8,
    },
    /// The segment count is 0 or more than 16.
    #[error("{count} segments")]
    SegmentCount {
        /// The header's count.
        count: u8,
    },
    /// The bytes end too early.
    #[error("the image is cut off: at least {needed} bytes are needed")]
    Truncated {
        /// Bytes needed at least.
        needed: usize,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One segment of `data` at 0x40080000, assembled by hand.
    fn image(data: &[u8], digest: bool) -> Vec<u8> {
        let mut bytes = vec![0xe9, 1, 2, 0x40, 0x00, 0x00, 0x08, 0x40, 0xee, 0, 0, 0, 0, 0];
        bytes.extend([0; 9]);
        bytes.push(digest.into());
        bytes.extend([0x00, 0x00, 0x08, 0x40]);
        bytes.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
        bytes.extend(data);
        while bytes.len() % 16 != 15 {
            bytes.push(0);
        }
        bytes.push(data.iter().fold(0xef, |sum, byte| sum ^ byte));
        if digest {
            bytes.extend([0xaa; 32]);
        }
        bytes
    }

    #[test]
    fn a_small_image_is_understood() {
        let bytes = image(&[1, 2, 3, 4], true);
        let image = Image::parse(&bytes).unwrap();
        assert!(image.checksum_ok());
        assert_eq!(image.header.flash_mode, FlashMode::Dio);
        assert_eq!(image.header.flash_bytes(), Some(16 << 20));
        assert_eq!(image.segments, [Segment { load_address: 0x4008_0000, data: 32..36 }]);
        assert_eq!(image.digested, Some(0..48));
        assert_eq!(image.len, 80);
    }

    #[test]
    fn damage_and_cuts_are_told_apart() {
        let mut bytes = image(&[1, 2, 3, 4], false);
        assert_eq!(Image::parse(&bytes[..40]), Err(ImageError::Truncated { needed: 48 }));
        bytes[33] ^= 1;
        assert!(!Image::parse(&bytes).unwrap().checksum_ok());
        bytes[0] = 0xff;
        assert_eq!(Image::parse(&bytes), Err(ImageError::Magic { found: 0xff }));
    }

    proptest! {
        #[test]
        fn any_segment_length_puts_the_checksum_where_the_parser_looks(
            data in prop::collection::vec(any::<u8>(), 0..100),
        ) {
            let bytes = image(&data, false);
            let image = Image::parse(&bytes).unwrap();
            prop_assert!(image.checksum_ok());
            prop_assert_eq!(image.len, bytes.len());
        }

        #[test]
        fn garbage_does_not_panic(mut bytes in prop::collection::vec(any::<u8>(), 1..80)) {
            bytes[0] = MAGIC;
            let _ = Image::parse(&bytes);
        }
    }
}

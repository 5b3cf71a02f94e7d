//! Data made ready to send.

use std::borrow::Cow;

use esp_protocol::response::Dialect;

use super::Digest;

/// The ROM's inflate window in bytes.
pub(super) const WINDOW_BYTES: usize = 0x8000;
/// Best trade of time and size with this compressor.
const COMPRESSION_LEVEL: u8 = 6;
/// Programs go by words of so many bytes; the fill is erased flash.
const WORD_BYTES: usize = 4;
const FILL: u8 = 0xff;

/// Bytes and where they belong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// How a person knows it: the file's name.
    pub name: String,
    /// Flash offset, on a sector.
    pub offset: u32,
    /// The bytes.
    pub data: Vec<u8>,
}

/// An image made ready for one dialect. Preparing compresses, so it may be done once and used for
/// many boards.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// Flash offset.
    pub offset: u32,
    /// Bytes of the image.
    pub len: u32,
    /// MD5 of the image.
    pub digest: Digest,
    /// Nothing but 0xFF: erased flash holds it as well.
    pub(super) is_blank: bool,
    pub(super) pieces: Vec<Piece<'static>>,
}

/// A run of bytes that is sent in one way.
#[derive(Debug, Clone)]
pub(super) struct Piece<'a> {
    /// Flash offset.
    pub(super) offset: u32,
    /// Bytes of flash that it fills.
    pub(super) len: u32,
    /// What is sent.
    pub(super) body: Body<'a>,
}

#[derive(Debug, Clone)]
pub(super) enum Body<'a> {
    /// The bytes themselves, whole words.
    Raw(Cow<'a, [u8]>),
    /// A zlib stream of them.
    Deflated(Vec<u8>),
}

impl Piece<'_> {
    /// Bytes that go over the line.
    pub(super) fn wire_bytes(&self) -> u64 {
        match &self.body {
            Body::Raw(bytes) => bytes.len() as u64,
            Body::Deflated(stream) => stream.len() as u64,
        }
    }

    fn into_owned(self) -> Piece<'static> {
        let body = match self.body {
            Body::Raw(bytes) => Body::Raw(Cow::Owned(bytes.into_owned())),
            Body::Deflated(stream) => Body::Deflated(stream),
        };
        Piece { offset: self.offset, len: self.len, body }
    }
}

impl Prepared {
    /// Prepares `image` for `dialect`.
    #[must_use]
    pub fn new(image: &Image, dialect: Dialect, compress: bool) -> Self {
        let pieces = pieces(image.offset, &image.data, dialect, compress);
        Self {
            offset: image.offset,
            len: len32(&image.data),
            digest: Digest::of(&image.data),
            is_blank: image.data.iter().all(|&byte| byte == FILL),
            pieces: pieces.into_iter().map(Piece::into_owned).collect(),
        }
    }

    /// Bytes that go over the line.
    #[must_use]
    pub fn wire_bytes(&self) -> u64 {
        self.pieces.iter().map(Piece::wire_bytes).sum()
    }
}

/// `data` for the flash at `offset`, as `dialect` takes it.
pub(super) fn pieces(offset: u32, data: &[u8], dialect: Dialect, compress: bool) -> Vec<Piece<'_>> {
    let compressed_len = match (compress, dialect) {
        (false, _) => 0,
        (true, Dialect::Stub) => data.len(),
        (true, Dialect::Rom) => data.len() / WINDOW_BYTES * WINDOW_BYTES,
    };
    let (head, tail) = data.split_at(compressed_len);
    let tail_offset = offset.saturating_add(len32(head));
    let overflow = match dialect {
        Dialect::Rom => tail.first().copied().or(Some(FILL)),
        Dialect::Stub => None,
    };
    [deflated(offset, head, overflow), raw(tail_offset, tail)].into_iter().flatten().collect()
}

/// A compressed piece. `overflow` is one byte more for the stream: the ROM programs its last window
/// when that byte no longer fits, and the byte itself never.
fn deflated(offset: u32, data: &[u8], overflow: Option<u8>) -> Option<Piece<'_>> {
    if data.is_empty() {
        return None;
    }
    let mut plain = whole_words(data).into_owned();
    let len = len32(&plain);
    plain.extend(overflow);
    let stream = miniz_oxide::deflate::compress_to_vec_zlib(&plain, COMPRESSION_LEVEL);
    if len32(&stream) < len {
        Some(Piece { offset, len, body: Body::Deflated(stream) })
    } else {
        raw(offset, data)
    }
}

fn raw(offset: u32, data: &[u8]) -> Option<Piece<'_>> {
    let padded = whole_words(data);
    let len = len32(&padded);
    (len > 0).then_some(Piece { offset, len, body: Body::Raw(padded) })
}

fn whole_words(data: &[u8]) -> Cow<'_, [u8]> {
    if data.len().is_multiple_of(WORD_BYTES) {
        return Cow::Borrowed(data);
    }
    let mut padded = data.to_vec();
    padded.resize(data.len().next_multiple_of(WORD_BYTES), FILL);
    Cow::Owned(padded)
}

fn len32(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

//! The ROM's `tinfl_decompress` (miniz 1.15) over `miniz_oxide`.
//!
//! The program owns a `tinfl_decompressor` of about 11 KB. Its first word is the coroutine's
//! state: 0 means start over. Everything else is kept here, keyed by the pointer (XTENSA 1.4).

use miniz_oxide::inflate::{
    TINFLStatus,
    core::{DecompressorOxide, decompress},
};

/// Decompressors kept at a time; the one used longest ago goes first.
const KEPT_MAX: usize = 8;
/// Flag of the caller: more input follows.
const HAS_MORE_INPUT: u32 = 2;
/// Flags that a program can give: zlib header, more input, linear output, Adler-32.
const FLAGS: u32 = 0xf;
/// Zero bytes fed at a time behind a stream that ends early.
const PADDING: [u8; 64] = [0; 64];

/// What one call did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Inflated {
    /// `tinfl_status`: 2 output is full, 1 more input wanted, 0 done, negative: failed.
    pub(crate) status: i32,
    /// Bytes taken from the input.
    pub(crate) consumed: usize,
    /// Bytes put into the output.
    pub(crate) produced: usize,
    /// Adler-32 of the output so far.
    pub(crate) adler32: u32,
}

/// The decompressors of a program.
#[derive(Clone, Default)]
pub(crate) struct Inflaters {
    kept: Vec<(u32, Box<DecompressorOxide>)>,
}

impl std::fmt::Debug for Inflaters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.kept.iter().map(|(key, _)| key)).finish()
    }
}

impl Inflaters {
    /// One call for the decompressor at `pointer`. `ring` is the whole output buffer of which
    /// `position` bytes lie before the output pointer; without the linear flag its length is a
    /// power of two and serves as the window.
    pub(crate) fn decompress(
        &mut self,
        pointer: u32,
        start_over: bool,
        input: &[u8],
        ring: &mut [u8],
        position: usize,
        flags: u32,
    ) -> Inflated {
        let core = self.take(pointer, start_over);
        let (status, consumed, produced) = decompress(core, input, ring, position, flags & FLAGS);
        let (mut status, mut produced) = (status, produced);
        // The old generation reads zeros behind the input's end (XTENSA 1.7).
        while flags & HAS_MORE_INPUT == 0 && status == TINFLStatus::FailedCannotMakeProgress {
            let at = position + produced;
            let (next, _, more) = decompress(core, &PADDING, ring, at, flags & FLAGS);
            (status, produced) = (next, produced + more);
        }
        let adler32 = core.adler32().unwrap_or(1);
        Inflated { status: status as i32, consumed, produced, adler32 }
    }

    /// The decompressor of `pointer`, moved to the end of the list.
    fn take(&mut self, pointer: u32, start_over: bool) -> &mut DecompressorOxide {
        let mut core = match self.kept.iter().position(|(key, _)| *key == pointer) {
            Some(at) => self.kept.remove(at).1,
            None => Box::default(),
        };
        if start_over {
            core.init();
        }
        if self.kept.len() == KEPT_MAX {
            self.kept.remove(0);
        }
        self.kept.push((pointer, core));
        let last = self.kept.len() - 1;
        &mut self.kept[last].1
    }
}

#[cfg(test)]
mod tests {
    use miniz_oxide::deflate::compress_to_vec_zlib;

    use super::*;

    const POINTER: u32 = 0x3FFD_4024;

    fn data(len: usize) -> Vec<u8> {
        (0..len).map(|index| ((index * index) >> 7).to_le_bytes()[0]).collect()
    }

    #[test]
    fn a_stream_in_pieces_through_a_ring_of_32_kib() {
        let plain = data(100_000);
        let packed = compress_to_vec_zlib(&plain, 6);
        let mut inflaters = Inflaters::default();
        let (mut ring, mut at, mut out) = (vec![0; 32768], 0, Vec::new());
        let mut start_over = true;
        let mut chunks = packed.chunks(700).peekable();
        let mut status = 1;
        while let Some(mut chunk) = chunks.next() {
            let flags = 1 | if chunks.peek().is_some() { HAS_MORE_INPUT } else { 0 };
            while !chunk.is_empty() || status == 2 {
                let done = inflaters.decompress(POINTER, start_over, chunk, &mut ring, at, flags);
                start_over = false;
                out.extend_from_slice(&ring[at..at + done.produced]);
                at = (at + done.produced) % ring.len();
                chunk = &chunk[done.consumed..];
                status = done.status;
                assert!(status >= 0, "{done:?}");
            }
        }
        assert_eq!(status, 0);
        assert!(out == plain);
    }

    #[test]
    fn garbage_fails_and_goes_on_failing_until_it_starts_over() {
        let mut inflaters = Inflaters::default();
        let mut ring = vec![0; 32768];
        let first = inflaters.decompress(POINTER, true, &[0xff; 16], &mut ring, 0, 1);
        assert_eq!(first.status, -1);
        assert_eq!(inflaters.decompress(POINTER, false, &[0; 4], &mut ring, 0, 1).status, -1);
        let packed = compress_to_vec_zlib(b"hello", 6);
        let again = inflaters.decompress(POINTER, true, &packed, &mut ring, 0, 1);
        assert_eq!((again.status, again.produced), (0, 5));
        assert_eq!(&ring[..5], b"hello");
    }

    #[test]
    fn a_truncated_stream_without_more_input_ends() {
        let packed = compress_to_vec_zlib(&data(5000), 6);
        let mut inflaters = Inflaters::default();
        let mut ring = vec![0; 32768];
        let half = &packed[..packed.len() / 2];
        let done = inflaters.decompress(POINTER, true, half, &mut ring, 0, 1);
        assert_ne!(done.status, 1);
    }

    #[test]
    fn a_program_with_many_decompressors_stays_bounded() {
        let mut inflaters = Inflaters::default();
        let mut ring = vec![0; 32768];
        for pointer in 0..100 {
            inflaters.decompress(pointer, true, &[], &mut ring, 0, 3);
        }
        assert_eq!(inflaters.kept.len(), KEPT_MAX);
    }
}

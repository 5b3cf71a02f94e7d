//! The inflater of `FLASH_DEFL_DATA`: a 32 KiB window that goes to the flash when it is full
//! (ROM-FACTS 5.5).

use miniz_oxide::inflate::{
    TINFLStatus,
    core::{DecompressorOxide, decompress, inflate_flags},
};

/// Window and unit of programming.
pub(super) const WINDOW_BYTES: usize = 32 * 1024;

/// Inflater state.
#[derive(Clone)]
pub(super) struct Inflation {
    decompressor: DecompressorOxide,
    window: Vec<u8>,
    at: usize,
    finished: bool,
}

impl std::fmt::Debug for Inflation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Inflation").field("at", &self.at).finish_non_exhaustive()
    }
}

impl Default for Inflation {
    fn default() -> Self {
        Self { decompressor: DecompressorOxide::new(), window: Vec::new(), at: 0, finished: false }
    }
}

/// What a step of inflating needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The window is full: program it and go on.
    WindowFull,
    /// All input is taken.
    NeedsInput,
    /// The stream has ended with all input taken.
    Finished,
    /// The stream has ended before the input.
    Tail,
    /// The stream is bad.
    Bad,
    /// Its checksum is bad.
    Adler,
    /// The inflater refuses its parameters.
    Parameter,
}

impl Inflation {
    /// Starts a new stream. The window keeps its content, which is what gets programmed behind
    /// the end of an image.
    pub(super) fn restart(&mut self) {
        self.decompressor.init();
        self.window.resize(WINDOW_BYTES, 0);
        self.at = 0;
        self.finished = false;
    }

    /// Whether the end of the stream has come.
    pub(super) fn is_finished(&self) -> bool {
        self.finished
    }

    /// The window.
    pub(super) fn window(&self) -> &[u8] {
        &self.window
    }

    /// Inflates until the window is full or `input` is used up; gives the bytes taken.
    pub(super) fn step(&mut self, input: &[u8]) -> (Step, usize) {
        if self.finished {
            return (if input.is_empty() { Step::Finished } else { Step::Tail }, 0);
        }
        let flags = inflate_flags::TINFL_FLAG_PARSE_ZLIB_HEADER
            | inflate_flags::TINFL_FLAG_HAS_MORE_INPUT
            | inflate_flags::TINFL_FLAG_COMPUTE_ADLER32;
        let (status, taken, made) =
            decompress(&mut self.decompressor, input, &mut self.window, self.at, flags);
        self.at = (self.at + made) % WINDOW_BYTES;
        let step = match status {
            TINFLStatus::HasMoreOutput => Step::WindowFull,
            TINFLStatus::NeedsMoreInput | TINFLStatus::FailedCannotMakeProgress => Step::NeedsInput,
            TINFLStatus::Done => {
                self.finished = true;
                // The ROM's inflater reports the full window before the end.
                if made > 0 && self.at == 0 {
                    return (Step::WindowFull, taken);
                }
                if taken < input.len() { Step::Tail } else { Step::Finished }
            }
            TINFLStatus::Adler32Mismatch => Step::Adler,
            TINFLStatus::BadParam => Step::Parameter,
            _ => Step::Bad,
        };
        (step, taken)
    }
}

//! Which words of code compiled paths are made of.

/// One bit a word of the span of executable addresses.
#[derive(Debug, Clone)]
pub(crate) struct Watched {
    words: Vec<u64>,
    stale: bool,
}

impl Default for Watched {
    fn default() -> Self {
        // The first look makes it fit the memory.
        Self { words: Vec::new(), stale: true }
    }
}

impl Watched {
    /// Whether a watched word has changed.
    #[inline]
    pub(crate) fn is_stale(&self) -> bool {
        self.stale
    }

    /// Nothing is watched any more, in a span of so many bytes.
    pub(crate) fn reset(&mut self, code_bytes: usize) {
        self.words.clear();
        self.words.resize(code_bytes.div_ceil(4 * 64), 0);
        self.stale = false;
    }

    /// All that is watched is void.
    pub(crate) fn spoil(&mut self) {
        self.stale = true;
    }

    /// Watches `bytes` bytes from the one with the number `at` on.
    pub(super) fn add(&mut self, at: u32, bytes: u32) {
        for word in at / 4..=(at + (bytes - 1)) / 4 {
            if let Some(bits) = self.words.get_mut((word / 64) as usize) {
                *bits |= 1 << (word % 64);
            }
        }
    }

    /// The bytes with the numbers from `start` to `end` have changed.
    pub(crate) fn change(&mut self, start: usize, end: usize) {
        if self.stale || start >= end {
            return;
        }
        let is_watched = |word: usize| {
            self.words.get(word / 64).is_some_and(|bits| bits >> (word % 64) & 1 != 0)
        };
        self.stale = (start / 4..=(end - 1) / 4).any(is_watched);
    }
}

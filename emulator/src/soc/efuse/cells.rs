//! The bits themselves.

/// Blocks.
pub const BLOCKS: usize = 4;
/// Words of a block; block 0 has only seven.
pub const WORDS: usize = 8;

/// One bit for each eFuse, as it is in silicon: encoded where a coding scheme encodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EfuseCells {
    blocks: [[u32; WORDS]; BLOCKS],
}

impl Default for EfuseCells {
    fn default() -> Self {
        Self::BLANK
    }
}

impl EfuseCells {
    /// Nothing is burned.
    pub const BLANK: Self = Self { blocks: [[0; WORDS]; BLOCKS] };

    /// One word; 0 where there is none.
    #[must_use]
    pub fn word(&self, block: usize, word: usize) -> u32 {
        self.blocks.get(block).and_then(|words| words.get(word)).copied().unwrap_or(0)
    }

    /// Sets one word, if there is one.
    pub fn set_word(&mut self, block: usize, word: usize, value: u32) {
        if let Some(place) = self.blocks.get_mut(block).and_then(|words| words.get_mut(word)) {
            *place = value;
        }
    }

    pub(super) fn block(&self, block: usize) -> &[u32; WORDS] {
        &self.blocks[block]
    }

    pub(super) fn block_mut(&mut self, block: usize) -> &mut [u32; WORDS] {
        &mut self.blocks[block]
    }

    /// These bits and the `other`'s.
    #[must_use]
    pub fn burned_with(&self, other: &Self) -> Self {
        self.combine(other, |own, other| own | other)
    }

    /// The bits that the `mask` has too.
    #[must_use]
    pub fn masked(&self, mask: &Self) -> Self {
        self.combine(mask, |own, mask| own & mask)
    }

    /// The bits that `other` has not.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        self.combine(other, |own, other| own & !other)
    }

    /// How many bits are set.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.blocks.iter().flatten().map(|word| word.count_ones()).sum()
    }

    fn combine(&self, other: &Self, by: impl Fn(u32, u32) -> u32) -> Self {
        let mut combined = *self;
        for (words, others) in combined.blocks.iter_mut().zip(&other.blocks) {
            for (word, other) in words.iter_mut().zip(others) {
                *word = by(*word, *other);
            }
        }
        combined
    }
}

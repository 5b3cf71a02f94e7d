//! Where the flash differs from the file, and how.

use std::ops::Range;

use serde::Serialize;

use crate::{
    flash::{BLOCK_BYTES, ReadError, SECTOR_BYTES},
    session::Session,
    write::{Digest, Image},
};

/// How the content of a differing sector relates to the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pattern {
    /// All 0xFF: erased and not programmed.
    Blank,
    /// Stable and without relation to the file: what was there before.
    OldContent,
    /// Bits of the file are missing and none is too many: programmed over what was not erased.
    Anded,
    /// Another sector of the file: wrapped or shifted addresses, as of a wrong flash size.
    Elsewhere {
        /// Where that sector belongs.
        belongs: u32,
    },
    /// Another content at every reading.
    Varying,
    /// Some of the sector is right: every now and then a program is lost.
    Partly {
        /// Bytes of the sector that are right.
        right: u32,
    },
}

/// The differences.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Differences {
    /// Differing ranges, in whole sectors where they were looked at so closely, else blocks.
    pub ranges: Vec<Range<u32>>,
    /// What the first differing sector holds.
    pub pattern: Pattern,
    /// Sectors of the first differing block that are blank, and that differ.
    pub blank_sectors: u32,
    /// Sectors of the first differing block that differ.
    pub differing_sectors: u32,
}

impl Session {
    /// Finds the blocks of `image` that the flash does not hold, the sectors in the first of them,
    /// and what the first such sector holds. `None`: all is right now.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub fn compare(&mut self, image: &Image) -> Result<Option<Differences>, ReadError> {
        // A controller whose set-up was damaged reads 0xFF everywhere, which would pass for blank.
        self.prove_loader_reads()?;
        let blocks = self.differing(image, whole(image), BLOCK_BYTES)?;
        let Some(first) = blocks.first().cloned() else { return Ok(None) };
        let sectors = self.differing(image, first, SECTOR_BYTES)?;
        let mut blank_sectors = 0;
        for sector in &sectors {
            let len = sector.end - sector.start;
            blank_sectors += u32::from(
                Digest(self.look(|session| session.flash_md5(sector.start, len))?)
                    == Digest::of_erased(len),
            );
        }
        let Some(sector) = sectors.first() else {
            // The block differed and its sectors do not: reads vary.
            let (ranges, pattern) = (blocks, Pattern::Varying);
            return Ok(Some(Differences { ranges, pattern, blank_sectors, differing_sectors: 0 }));
        };
        let pattern = self.pattern(image, sector)?;
        let differing_sectors = u32::try_from(sectors.len()).unwrap_or(u32::MAX);
        let ranges = merge(sectors.into_iter().chain(blocks.into_iter().skip(1)));
        Ok(Some(Differences { ranges, pattern, blank_sectors, differing_sectors }))
    }

    /// Pieces of `range` in steps of `step` that differ from the image.
    fn differing(
        &mut self,
        image: &Image,
        range: Range<u32>,
        step: u32,
    ) -> Result<Vec<Range<u32>>, ReadError> {
        let mut found = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let end = ((at / step + 1) * step).min(range.end);
            if Digest(self.look(|session| session.flash_md5(at, end - at))?)
                != Digest::of(bytes_of(image, &(at..end)))
            {
                found.push(at..end);
            }
            at = end;
        }
        Ok(found)
    }

    fn pattern(&mut self, image: &Image, sector: &Range<u32>) -> Result<Pattern, ReadError> {
        let len = sector.end - sector.start;
        let held = self.read_flash(sector.start, len, &mut |_| {})?;
        if Digest(self.look(|session| session.flash_md5(sector.start, len))?) != Digest::of(&held) {
            return Ok(Pattern::Varying);
        }
        Ok(classify(&held, image, sector))
    }
}

fn classify(held: &[u8], image: &Image, sector: &Range<u32>) -> Pattern {
    let file = bytes_of(image, sector);
    if held.iter().all(|byte| *byte == 0xff) {
        return Pattern::Blank;
    }
    let sectors = (image.offset..).step_by(SECTOR_BYTES as usize);
    let other = sectors.zip(image.data.chunks(SECTOR_BYTES as usize));
    if let Some((belongs, _)) = other.into_iter().find(|(at, chunk)| {
        *at != sector.start && *chunk == held && chunk.iter().any(|byte| *byte != chunk[0])
    }) {
        return Pattern::Elsewhere { belongs };
    }
    if held.iter().zip(file).all(|(held, file)| held & file == *held) {
        return Pattern::Anded;
    }
    let right = held.iter().zip(file).filter(|(held, file)| held == file).count();
    // Unrelated data agrees in one byte of 256, and in fill.
    if right * 2 > held.len() {
        return Pattern::Partly { right: u32::try_from(right).unwrap_or(u32::MAX) };
    }
    Pattern::OldContent
}

fn whole(image: &Image) -> Range<u32> {
    let len = u32::try_from(image.data.len()).unwrap_or(u32::MAX);
    image.offset..image.offset.saturating_add(len)
}

fn bytes_of<'a>(image: &'a Image, range: &Range<u32>) -> &'a [u8] {
    let at = |address: u32| address.saturating_sub(image.offset) as usize;
    image.data.get(at(range.start)..at(range.end)).unwrap_or_default()
}

fn merge(ranges: impl Iterator<Item = Range<u32>>) -> Vec<Range<u32>> {
    let mut merged: Vec<Range<u32>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => merged.push(range),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Image {
        let data = (0..0x3000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        Image { name: "image".into(), offset: 0x1000, data }
    }

    #[test]
    fn contents_are_told_apart() {
        let (image, sector) = (image(), 0x1000..0x2000);
        let file = image.data[..0x1000].to_vec();
        let of = |held: &[u8]| classify(held, &image, &sector);
        assert_eq!(of(&[0xff; 0x1000]), Pattern::Blank);
        assert_eq!(of(&image.data[0x2000..]), Pattern::Elsewhere { belongs: 0x3000 });
        let old: Vec<u8> = file.iter().map(|byte| byte.wrapping_mul(7) ^ 0x31).collect();
        assert_eq!(of(&old), Pattern::OldContent);
        let anded: Vec<u8> = file.iter().zip(&old).map(|(new, old)| new & old).collect();
        assert_eq!(of(&anded), Pattern::Anded);
        let mut partly = file.clone();
        partly[..0x100].copy_from_slice(&old[..0x100]);
        assert!(matches!(of(&partly), Pattern::Partly { .. }));
    }

    #[test]
    fn neighbours_merge() {
        assert_eq!(merge([0..1, 1..2, 4..5].into_iter()), [0..2, 4..5]);
    }
}

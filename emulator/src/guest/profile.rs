//! Instructions by address, and calls by function.

use std::collections::BTreeMap;

const PAGE_BYTES: u32 = 4096;
/// Code further behind the start of a function is not its own.
const FUNCTION_MAX: u32 = 0xFFFF;

/// Counts of a run.
#[derive(Debug, Clone, Default)]
pub struct Profile {
    pages: BTreeMap<u32, Vec<u64>>,
    calls: BTreeMap<u32, u64>,
}

/// One function of a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionCount {
    /// Its first instruction.
    pub address: u32,
    /// Instructions executed in it, not in what it calls.
    pub instructions: u64,
    /// Times that it was called.
    pub calls: u64,
}

impl Profile {
    /// Counts the instruction at `pc`.
    pub(super) fn count(&mut self, pc: u32) {
        let page =
            self.pages.entry(pc / PAGE_BYTES).or_insert_with(|| vec![0; PAGE_BYTES as usize]);
        if let Some(count) = page.get_mut((pc % PAGE_BYTES) as usize) {
            *count += 1;
        }
    }

    /// Counts a call of the function at `target`.
    pub(crate) fn call(&mut self, target: u32) {
        *self.calls.entry(target).or_insert(0) += 1;
    }

    /// Functions with their counts, the most instructions first. A function begins where something
    /// was called, or at one of the `starts` (symbols).
    #[must_use]
    pub fn functions(&self, starts: impl Iterator<Item = u32>) -> Vec<FunctionCount> {
        let mut found: BTreeMap<u32, (u64, u64)> =
            starts.map(|address| (address, (0, 0))).collect();
        for (&address, &calls) in &self.calls {
            found.entry(address).or_default().1 = calls;
        }
        for (&page, counts) in &self.pages {
            for (address, &count) in (page * PAGE_BYTES..).zip(counts).filter(|(_, n)| **n > 0) {
                match found.range_mut(address.saturating_sub(FUNCTION_MAX)..=address).next_back() {
                    Some((_, function)) => function.0 += count,
                    None => {
                        found.insert(address, (count, 0));
                    }
                }
            }
        }
        let mut rows: Vec<_> = found
            .into_iter()
            .filter(|(_, counts)| *counts != (0, 0))
            .map(|(address, (instructions, calls))| FunctionCount { address, instructions, calls })
            .collect();
        rows.sort_by_key(|row| (std::cmp::Reverse((row.instructions, row.calls)), row.address));
        rows
    }

    /// All instructions.
    #[must_use]
    pub fn instructions(&self) -> u64 {
        self.pages.values().flatten().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_belong_to_the_function_before_them() {
        let mut profile = Profile::default();
        profile.call(0x4008_0010);
        for pc in [0x4008_0000, 0x4008_0010, 0x4008_0013, 0x4008_1000, 0x4008_0003] {
            profile.count(pc);
        }
        profile.call(0x4000_7D54);
        let rows = profile.functions([0x4008_0000].into_iter());
        let shown: Vec<_> =
            rows.iter().map(|row| (row.address, row.instructions, row.calls)).collect();
        assert_eq!(shown, [(0x4008_0010, 3, 1), (0x4008_0000, 2, 0), (0x4000_7D54, 0, 1)]);
        assert_eq!(profile.instructions(), 5);
    }
}

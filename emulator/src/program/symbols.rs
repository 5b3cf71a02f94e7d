//! Names of addresses.

use std::collections::BTreeMap;

/// Symbols of more names than this are not kept.
const SYMBOLS_MAX: usize = 1 << 20;

/// Names by address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Symbols {
    names: BTreeMap<u32, String>,
}

impl Symbols {
    /// Reads the output of `nm` (address, type, name) or a linker script's `name = address;` lines.
    /// Other lines are skipped.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut symbols = Self::default();
        for line in text.lines() {
            let words: Vec<&str> = line
                .split([' ', '\t', '=', '(', ')', ';', ','])
                .filter(|w| !w.is_empty())
                .collect();
            let found = match words[..] {
                [address, kind, name] if kind.len() == 1 => {
                    u32::from_str_radix(address, 16).ok().map(|address| (address, name))
                }
                [.., name, address] => address
                    .strip_prefix("0x")
                    .and_then(|hex| u32::from_str_radix(hex, 16).ok())
                    .map(|address| (address, name)),
                _ => None,
            };
            if let Some((address, name)) = found {
                symbols.insert(address, name);
            }
        }
        symbols
    }

    /// Adds a name; the first of an address stays.
    pub fn insert(&mut self, address: u32, name: &str) {
        if self.names.len() < SYMBOLS_MAX {
            self.names.entry(address).or_insert_with(|| name.to_owned());
        }
    }

    /// Adds all of `other`.
    pub fn extend(&mut self, other: Self) {
        for (address, name) in other.names {
            self.insert(address, &name);
        }
    }

    /// The name at `address` itself.
    #[must_use]
    pub fn at(&self, address: u32) -> Option<&str> {
        self.names.get(&address).map(String::as_str)
    }

    /// The nearest name at or up to 64 KiB before `address`, with the distance in bytes.
    #[must_use]
    pub fn near(&self, address: u32) -> Option<(&str, u32)> {
        let (start, name) =
            self.names.range(address.saturating_sub(0xFFFF)..=address).next_back()?;
        Some((name, address - start))
    }

    /// Addresses with a name, in order.
    pub fn addresses(&self) -> impl Iterator<Item = u32> {
        self.names.keys().copied()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

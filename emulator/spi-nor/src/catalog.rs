//! The parts that are built in.

use std::sync::OnceLock;

use crate::part::{JedecId, Part};
use crate::part_error::PartError;

/// Name and text of a part file.
macro_rules! part_files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../parts/", $name, ".toml")))),*]
    };
}

/// Every built-in part: name and file.
const FILES: &[(&str, &str)] = part_files![
    "AT25SF128A",
    "AT25SF321",
    "BY25Q128AS",
    "BY25Q32BS",
    "BY25Q64AS",
    "EN25Q128",
    "EN25Q32",
    "EN25Q64",
    "EN25QH128",
    "EN25QH32B",
    "EN25QH64A",
    "FM25Q128A",
    "FM25Q32",
    "FM25Q64",
    "FM25Q64A",
    "FM25W128",
    "GD25F64F",
    "GD25LQ128E",
    "GD25LQ32",
    "GD25LQ64",
    "GD25Q127C",
    "GD25Q128C",
    "GD25Q128E",
    "GD25Q32B",
    "GD25Q32C",
    "GD25Q32E",
    "GD25Q64C",
    "GD25Q64E",
    "IS25LP032",
    "IS25LP064",
    "IS25LP128",
    "MT25QL128",
    "MX25L12833F",
    "MX25L12835F",
    "MX25L3206E",
    "MX25L3233F",
    "MX25L6433F",
    "N25Q032A",
    "N25Q064A",
    "N25Q128A",
    "P25Q32H",
    "PY25Q128HA",
    "PY25Q32HB",
    "PY25Q64HA",
    "S25FL128L",
    "SST25VF032B",
    "SST26VF032B",
    "W25Q128BV",
    "W25Q128FV",
    "W25Q128JV",
    "W25Q16JV",
    "W25Q256FV",
    "W25Q256JV",
    "W25Q32FV",
    "W25Q32JV",
    "W25Q64FV",
    "W25Q64JV",
    "XM25QH128A",
    "XM25QH128B",
    "XM25QH128C",
    "XM25QH32B",
    "XM25QH32C",
    "XM25QH64A",
    "XM25QH64B",
    "XM25QH64C",
    "XT25F128B",
    "ZB25VQ128A",
    "ZB25VQ32B",
    "ZB25VQ64A",
];

/// Names of the built-in parts, sorted.
#[must_use]
pub fn names() -> impl ExactSizeIterator<Item = &'static str> {
    FILES.iter().map(|(name, _)| *name)
}

/// A built-in part by name, letter case ignored.
///
/// A built-in file is checked by the tests, so `None` means that there is no such part.
#[must_use]
pub fn part(name: &str) -> Option<Part> {
    let (name, text) = FILES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
    Part::parse(text, name).ok()
}

/// The built-in parts with this id, in the order of their names. A file is read as a whole when its
/// part is first asked for, and never again: a program that has an id wants a few of many.
pub fn with_id(id: JedecId) -> impl Iterator<Item = Result<&'static Part, &'static PartError>> {
    static IDS: OnceLock<Vec<Option<JedecId>>> = OnceLock::new();
    static PARTS: [OnceLock<Result<Part, PartError>>; FILES.len()] =
        [const { OnceLock::new() }; FILES.len()];
    let ids = IDS.get_or_init(|| FILES.iter().map(|(_, text)| written_id(text)).collect());
    let all = ids.iter().zip(FILES).zip(&PARTS).filter(move |((found, _), _)| **found == Some(id));
    all.map(|((_, (name, text)), part)| part.get_or_init(|| Part::parse(text, name)).as_ref())
}

/// The id as a line of a part's file says it.
fn written_id(text: &str) -> Option<JedecId> {
    let value = text.lines().find_map(|line| line.strip_prefix("jedec-id = "))?;
    JedecId::try_from(value.trim().trim_matches('"').to_owned()).ok()
}

/// The file of a built-in part, letter case ignored: a starting point for a user's own.
#[must_use]
pub fn text(name: &str) -> Option<&'static str> {
    FILES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, text)| *text)
}

/// Parses every built-in part.
///
/// # Errors
/// The first file that is not accepted.
pub fn parse_all() -> Result<Vec<Part>, PartError> {
    FILES.iter().map(|(name, text)| Part::parse(text, name)).collect()
}

#[cfg(test)]
mod tests;

//! Fuzz targets: everything that takes bytes from outside, one function each.
//!
//! A target gets any bytes and panics if something is wrong: a panic of the code under test, or a
//! promise of its documentation that does not hold. `tests/driver.rs` runs each of them on its
//! corpus and on seeded mutations of it under plain `cargo test`; `.ci/fuzz` runs libFuzzer.

#![allow(clippy::missing_panics_doc, reason = "a target panics where it finds something")]

mod board;
mod conversation;
pub mod mutate;
mod text;
mod wire;

/// A target and its name, which is that of its corpus as well.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 14] = [
    ("slip", wire::slip),
    ("requests", wire::requests),
    ("images", wire::images),
    ("telnet", wire::telnet),
    ("rfc2217", conversation::rfc2217),
    ("serprog", conversation::serprog),
    ("rom", board::rom),
    ("spi", board::spi),
    ("control", board::control),
    ("gdb", board::gdb),
    ("parts", text::parts),
    ("boards", text::boards),
    ("stubs", text::stubs),
    ("transcripts", text::transcripts),
];

/// The target of that name.
#[must_use]
pub fn target(name: &str) -> Option<fn(&[u8])> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, run)| *run)
}

/// Cuts `data` into records: one byte of length, then so many bytes.
fn records(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (&len, rest) = data.split_first()?;
        let (record, rest) = rest.split_at(usize::from(len).min(rest.len()));
        data = rest;
        Some(record)
    })
}

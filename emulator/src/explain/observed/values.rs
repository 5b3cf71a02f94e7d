//! Constrained values of observation files. Each says what it allows when it refuses.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// What the MD5 of a region equals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Relation {
    /// The image.
    Intended,
    /// What was there before.
    Old,
    /// 0xFF everywhere.
    Blank,
    /// Something else, the same at every reading.
    Other,
    /// Something else at every reading.
    Varying,
}

/// Relations of which one was seen: `"old"`, or `"old or other"`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Md5(pub Vec<Relation>);

/// How long an erase took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Took {
    /// It returned at once: under 100 ms for a chip erase, under 2 ms for sectors.
    NoTime,
    /// It took its time; nobody measured how long.
    Time,
    /// It took so long.
    About(Duration),
}

/// JEDEC id with bytes that are not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct IdPattern(pub [Option<u8>; 3]);

/// A value that does not say what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not allowed here: {allowed}")]
pub struct NotAllowed {
    found: String,
    allowed: &'static str,
}

impl Relation {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Intended, Self::Old, Self::Blank, Self::Other, Self::Varying];

    const fn word(self) -> &'static str {
        match self {
            Self::Intended => "intended",
            Self::Old => "old",
            Self::Blank => "blank",
            Self::Other => "other",
            Self::Varying => "varying",
        }
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Intended => "the image",
            Self::Old => "the old content",
            Self::Blank => "0xFF",
            Self::Other => "something else",
            Self::Varying => "something else at every reading",
        })
    }
}

impl TryFrom<String> for Md5 {
    type Error = NotAllowed;

    fn try_from(text: String) -> Result<Self, NotAllowed> {
        let relations: Option<Vec<_>> = text
            .split(" or ")
            .map(|word| Relation::ALL.into_iter().find(|it| it.word() == word.trim()))
            .collect();
        relations.map(Self).ok_or(NotAllowed {
            found: text,
            allowed: "\"intended\", \"old\", \"blank\", \"other\", \"varying\", \
                      or several of them with \" or \" between",
        })
    }
}

impl TryFrom<String> for Took {
    type Error = NotAllowed;

    fn try_from(text: String) -> Result<Self, NotAllowed> {
        let seconds = text.strip_suffix('s').map(str::trim_end);
        match (text.as_str(), seconds.and_then(|number| number.parse::<f64>().ok())) {
            ("no time", _) | (_, Some(0.0..0.1)) => Ok(Self::NoTime),
            ("time", _) => Ok(Self::Time),
            (_, Some(seconds @ 0.1..=10_000.0)) => {
                Ok(Self::About(Duration::from_secs_f64(seconds)))
            }
            _ => Err(NotAllowed {
                found: text,
                allowed: "\"no time\", \"time\", or seconds from 0 to 10000 such as \"7.2 s\"",
            }),
        }
    }
}

impl TryFrom<String> for IdPattern {
    type Error = NotAllowed;

    fn try_from(text: String) -> Result<Self, NotAllowed> {
        let byte = |pair: &[u8]| match std::str::from_utf8(pair) {
            Ok("??") => Some(None),
            Ok(digits)
                if digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()) =>
            {
                u8::from_str_radix(digits, 16).ok().map(Some)
            }
            _ => None,
        };
        let bytes: Option<Vec<_>> = text.as_bytes().chunks(2).map(byte).collect();
        bytes.and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or(NotAllowed {
            found: text,
            allowed: "three pairs of hex digits, ?? for a byte that is not known: \"c84018\", \"20????\"",
        })
    }
}

impl IdPattern {
    /// Whether `id` is one of these.
    #[must_use]
    pub fn matches(self, id: [u8; 3]) -> bool {
        self.0.iter().zip(id).all(|(known, byte)| known.is_none_or(|known| known == byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relations_are_words_with_or_between() {
        let md5 = |text: &str| Md5::try_from(text.to_owned());
        assert_eq!(md5("old"), Ok(Md5(vec![Relation::Old])));
        assert_eq!(md5("old or other"), Ok(Md5(vec![Relation::Old, Relation::Other])));
        assert!(md5("").is_err() && md5("older").is_err() && md5("old,other").is_err());
    }

    #[test]
    fn times_are_words_or_seconds() {
        let took = |text: &str| Took::try_from(text.to_owned());
        assert_eq!(took("no time"), Ok(Took::NoTime));
        assert_eq!(took("0.0 s"), Ok(Took::NoTime));
        assert_eq!(took("time"), Ok(Took::Time));
        assert_eq!(took("7.5s"), Ok(Took::About(Duration::from_millis(7500))));
        for wrong in ["", "s", "7", "-1 s", "NaN s", "inf s", "1e9 s"] {
            assert!(took(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ids_may_have_unknown_bytes() {
        let id = |text: &str| IdPattern::try_from(text.to_owned());
        assert!(id("c84018").is_ok_and(|id| id.matches([0xc8, 0x40, 0x18])));
        assert!(id("20????").is_ok_and(|id| id.matches([0x20, 0x40, 0x18])));
        assert!(id("20????").is_ok_and(|id| !id.matches([0x21, 0x40, 0x18])));
        for wrong in ["", "c840", "c8401", "c840180", "+14018", "c8 40 18", "c840\u{e9}\u{e9}"] {
            assert!(id(wrong).is_err(), "{wrong}");
        }
    }
}

//! Constrained values of board files. Each says what it allows when it refuses.

use std::fmt;

use serde::Deserialize;

/// Why a value was refused; the parser adds file, line and key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found} is not allowed here: {allowed}")]
pub struct Refused {
    found: String,
    allowed: &'static str,
}

/// Supply voltage in millivolts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "u32")]
pub struct SupplyMillivolts(u16);

/// A MAC address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct MacAddress(pub [u8; 6]);

/// Value of `GPIO_STRAP` (ROM-FACTS 1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub struct StrapValue(u8);

/// A share in percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub struct Percent(u8);

impl SupplyMillivolts {
    /// 3.3 V.
    pub const NOMINAL: Self = Self(3300);

    /// In millivolts.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl StrapValue {
    /// Download mode on an ordinary board.
    pub const DOWNLOAD: Self = Self(0x03);
    /// Flash boot on an ordinary board.
    pub const FLASH_BOOT: Self = Self(0x13);

    /// The six bits.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl Percent {
    /// 0 to 100.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// Narrows `value` if it is at most `max`.
fn at_most(value: u32, max: u16, allowed: &'static str) -> Result<u16, Refused> {
    u16::try_from(value)
        .ok()
        .filter(|value| *value <= max)
        .ok_or_else(|| Refused { found: value.to_string(), allowed })
}

impl TryFrom<u32> for SupplyMillivolts {
    type Error = Refused;

    fn try_from(value: u32) -> Result<Self, Refused> {
        at_most(value, 5000, "millivolts from 0 to 5000").map(Self)
    }
}

impl TryFrom<u32> for StrapValue {
    type Error = Refused;

    fn try_from(value: u32) -> Result<Self, Refused> {
        let bits = at_most(value, 0x3f, "six strap bits, 0x00 to 0x3f")?;
        Ok(Self(bits.to_le_bytes()[0]))
    }
}

impl TryFrom<u32> for Percent {
    type Error = Refused;

    fn try_from(value: u32) -> Result<Self, Refused> {
        let percent = at_most(value, 100, "percent from 0 to 100")?;
        Ok(Self(percent.to_le_bytes()[0]))
    }
}

impl TryFrom<String> for MacAddress {
    type Error = Refused;

    fn try_from(text: String) -> Result<Self, Refused> {
        let octets: Option<Vec<u8>> = text
            .split(':')
            .map(|pair| u8::from_str_radix(pair, 16).ok().filter(|_| pair.len() == 2))
            .collect();
        octets.and_then(|octets| octets.try_into().ok()).map(Self).ok_or(Refused {
            found: format!("{text:?}"),
            allowed: "six pairs of hex digits with colons, \"24:0a:c4:00:00:01\"",
        })
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs: Vec<_> = self.0.iter().map(|octet| format!("{octet:02x}")).collect();
        f.write_str(&pairs.join(":"))
    }
}

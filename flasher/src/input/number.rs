//! Numbers as esptool takes them: `0x1000`, `4096`, `64K`, `4MB`.

/// A text that is no number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no number up to 4 GiB; write 0x1000, 4096, 64K or 4MB")]
pub struct BadNumber {
    /// The text.
    pub text: String,
}

/// Reads an address or a size.
///
/// ```
/// use esp32_flasher::input::parse_number;
///
/// assert_eq!(parse_number("0x1000"), Ok(4096));
/// assert_eq!(parse_number("64K"), Ok(65_536));
/// assert_eq!(parse_number("4MB"), Ok(4 << 20));
/// assert!(parse_number("4 apples").is_err());
/// ```
///
/// # Errors
///
/// [`BadNumber`] if it is none, or does not fit 32 bits.
pub fn parse_number(text: &str) -> Result<u32, BadNumber> {
    parse(text.trim()).ok_or_else(|| BadNumber { text: text.to_owned() })
}

fn parse(text: &str) -> Option<u32> {
    let lower = text.to_ascii_lowercase();
    if let Some(digits) = lower.strip_prefix("0x") {
        return parse_radix(digits, 16);
    }
    if let Some(digits) = lower.strip_prefix("0b") {
        return parse_radix(digits, 2);
    }
    let digits = lower.strip_suffix('b').unwrap_or(&lower);
    let (digits, unit) = match digits.strip_suffix(['k', 'm']) {
        Some(rest) => (rest, if digits.ends_with('k') { 1 << 10 } else { 1 << 20 }),
        None => (lower.as_str(), 1),
    };
    parse_radix(digits, 10)?.checked_mul(unit)
}

/// As the standard parser, but without a sign.
fn parse_radix(digits: &str, radix: u32) -> Option<u32> {
    if digits.starts_with(['+', '-']) {
        return None;
    }
    u32::from_str_radix(&digits.replace('_', ""), radix).ok()
}

#[cfg(test)]
mod tests {
    use super::parse_number;

    #[test]
    fn all_forms() {
        for (text, number) in [
            ("0", 0),
            ("0X10", 16),
            ("0xfb", 0xfb),
            ("0b101", 5),
            ("1_000", 1000),
            ("2k", 2048),
            ("2kb", 2048),
            (" 16MB ", 16 << 20),
        ] {
            assert_eq!(parse_number(text), Ok(number), "{text}");
        }
    }

    #[test]
    fn what_is_no_number() {
        for text in ["", "x", "0x", "-1", "+1", "0x+1", "4G", "5b", "4096M", "0x100000000", "K"] {
            assert!(parse_number(text).is_err(), "{text}");
        }
    }
}

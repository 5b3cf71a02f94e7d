//! Flasher stubs as esptool (JSON) and espflash (TOML) carry them: base64 of text and data.

use serde::Deserialize;

use super::{Program, Symbols};

/// Why a text is no stub.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StubError {
    /// Neither JSON nor TOML with a stub's fields.
    #[error("{0}")]
    Fields(String),
    /// A field is not base64.
    #[error("{0} is not base64")]
    Base64(&'static str),
}

#[derive(Debug, Deserialize)]
struct File {
    entry: u32,
    text: String,
    text_start: u32,
    #[serde(default)]
    data: String,
    #[serde(default)]
    data_start: u32,
}

/// Reads a stub.
pub(super) fn program(text: &str) -> Result<Program, StubError> {
    let file: File = if text.trim_start().starts_with('{') {
        serde_json::from_str(text).map_err(|error| StubError::Fields(error.to_string()))?
    } else {
        toml::from_str(text).map_err(|error| StubError::Fields(error.message().to_owned()))?
    };
    let code = base64(&file.text).ok_or(StubError::Base64("text"))?;
    let data = base64(&file.data).ok_or(StubError::Base64("data"))?;
    let mut segments = vec![(file.text_start, code)];
    if !data.is_empty() {
        segments.push((file.data_start, data));
    }
    Ok(Program { entry: file.entry, segments, symbols: Symbols::default() })
}

/// RFC 4648, section 4. Line ends between the characters are skipped.
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0_u32);
    for byte in text.trim_end().trim_end_matches('=').bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'\r' | b'\n' => continue,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count & 0xFF) as u8);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_the_rfc() {
        let vectors = ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"];
        for (len, text) in vectors.iter().enumerate() {
            assert_eq!(base64(text).unwrap(), b"foobar"[..len]);
        }
        assert_eq!(base64("Zm9*"), None);
        assert_eq!(base64("Zm\n9v").unwrap(), b"foo");
    }
}

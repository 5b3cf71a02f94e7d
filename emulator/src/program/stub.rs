//! Flasher stubs as esptool (JSON) and espflash (TOML) carry them: base64 of text and data.

use esp_protocol::base64;
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
    let decode =
        |field, text: &str| base64::decode(text.trim_end()).map_err(|_| StubError::Base64(field));
    let code = decode("text", &file.text)?;
    let data = decode("data", &file.data)?;
    let mut segments = vec![(file.text_start, code)];
    if !data.is_empty() {
        segments.push((file.data_start, data));
    }
    Ok(Program { entry: file.entry, segments, symbols: Symbols::default() })
}

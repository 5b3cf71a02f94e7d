//! Base64 as RFC 4648 has it, decoding only: stub files carry their segments in it.

/// Decodes `text`; line breaks are skipped, and nothing but padding may follow the first `=`.
///
/// # Errors
///
/// The position of the first character that does not belong there.
pub fn decode(text: &str) -> Result<Vec<u8>, usize> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut bit_count, mut is_padding) = (0_u32, 0, false);
    for (at, character) in text.bytes().enumerate() {
        let six = match character {
            b'\r' | b'\n' => continue,
            b'=' => {
                is_padding = true;
                continue;
            }
            _ if is_padding => return Err(at),
            b'A'..=b'Z' => character - b'A',
            b'a'..=b'z' => character - b'a' + 26,
            b'0'..=b'9' => character - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return Err(at),
        };
        bits = (bits << 6) | u32::from(six);
        bit_count += 6;
        if bit_count >= 8 {
            bit_count -= 8;
            out.push(u8::try_from((bits >> bit_count) & 0xff).unwrap_or_default());
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn the_vectors_of_rfc_4648() {
        let vectors = ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"];
        for (len, text) in vectors.iter().enumerate() {
            assert_eq!(decode(text).as_deref(), Ok(&b"foobar"[..len]));
        }
        assert_eq!(decode("Zm\n9v").as_deref(), Ok(&b"foo"[..]));
    }

    #[test]
    fn a_bad_character_is_found() {
        assert_eq!(decode("Zm9v*"), Err(4));
        assert_eq!(decode("Zg==Zg=="), Err(4));
    }
}

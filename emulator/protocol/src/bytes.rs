//! Little-endian access that cannot panic.

/// The `u16` at `offset`, if `bytes` are long enough.
pub(crate) fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    let field = bytes.get(offset..offset.checked_add(2)?)?;
    Some(u16::from_le_bytes(field.try_into().ok()?))
}

/// The `u32` at `offset`, if `bytes` are long enough.
pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    let field = bytes.get(offset..offset.checked_add(4)?)?;
    Some(u32::from_le_bytes(field.try_into().ok()?))
}

/// `N` words from the start of `bytes`, if there are exactly as many bytes.
pub(crate) fn words<const N: usize>(bytes: &[u8]) -> Option<[u32; N]> {
    if bytes.len() != N * 4 {
        return None;
    }
    let mut out = [0; N];
    for (word, field) in out.iter_mut().zip(bytes.chunks_exact(4)) {
        *word = u32::from_le_bytes(field.try_into().ok()?);
    }
    Some(out)
}

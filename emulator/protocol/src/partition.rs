//! The partition table: 32-byte records and a digest record (esp-idf `esp_flash_partitions.h`).

use crate::{MD5_BYTES, bytes::u32_at};

/// Where the table usually lies in flash.
pub const USUAL_OFFSET: u32 = 0x8000;
/// Bytes of one record.
pub const RECORD_BYTES: usize = 32;
/// Bytes of flash that the table may use.
pub const TABLE_BYTES_MAX: usize = 0xc00;

const RECORD_MAGIC: [u8; 2] = [0xaa, 0x50];
const DIGEST_MAGIC: [u8; 2] = [0xeb, 0xeb];

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Type: 0 = app, 1 = data.
    pub kind: u8,
    /// Subtype.
    pub subtype: u8,
    /// First byte in flash.
    pub offset: u32,
    /// Bytes.
    pub size: u32,
    /// Name, at most 16 bytes.
    pub label: String,
    /// Flags: bit 0 = encrypted.
    pub flags: u32,
}

/// A parsed table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    /// Partitions in order.
    pub partitions: Vec<Partition>,
    /// The digest record was there (and right).
    pub digest_checked: bool,
}

/// Why bytes are no partition table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PartitionError {
    /// A record begins with something else than its magic, a digest or the end mark.
    #[error("record {index} begins with {found:02x?}")]
    Magic {
        /// Record number from 0.
        index: usize,
        /// Its first two bytes.
        found: [u8; 2],
    },
    /// The digest record does not match the records before it.
    #[error("the table's MD5 is wrong")]
    Digest,
    /// There is no record at all.
    #[error("the table is empty")]
    Empty,
}

impl Table {
    /// Reads the table at the start of `bytes`, up to the end mark or [`TABLE_BYTES_MAX`].
    ///
    /// # Errors
    ///
    /// [`PartitionError`] if this is no table.
    pub fn parse(bytes: &[u8]) -> Result<Self, PartitionError> {
        let bytes = &bytes[..bytes.len().min(TABLE_BYTES_MAX)];
        let mut table = Self::default();
        for (index, record) in bytes.chunks_exact(RECORD_BYTES).enumerate() {
            match [record[0], record[1]] {
                RECORD_MAGIC => table.partitions.extend(Partition::parse(record)),
                DIGEST_MAGIC => {
                    let digest = md5::compute(&bytes[..index * RECORD_BYTES]).0;
                    if record[RECORD_BYTES - MD5_BYTES..] != digest {
                        return Err(PartitionError::Digest);
                    }
                    table.digest_checked = true;
                }
                [0xff, 0xff] => break,
                found => return Err(PartitionError::Magic { index, found }),
            }
        }
        if table.partitions.is_empty() { Err(PartitionError::Empty) } else { Ok(table) }
    }

    /// Writes the records and the digest record.
    #[must_use]
    pub fn emit(&self) -> Vec<u8> {
        let mut out: Vec<u8> = self.partitions.iter().flat_map(Partition::emit).collect();
        if self.digest_checked {
            let digest = md5::compute(&out).0;
            out.extend(DIGEST_MAGIC);
            out.extend([0xff; RECORD_BYTES - MD5_BYTES - 2]);
            out.extend(digest);
        }
        out
    }
}

impl Partition {
    fn parse(record: &[u8]) -> Option<Self> {
        let label = record.get(12..28)?;
        let end = memchr::memchr(0, label).unwrap_or(label.len());
        Some(Self {
            kind: *record.get(2)?,
            subtype: *record.get(3)?,
            offset: u32_at(record, 4)?,
            size: u32_at(record, 8)?,
            label: String::from_utf8_lossy(&label[..end]).into_owned(),
            flags: u32_at(record, 28)?,
        })
    }

    fn emit(&self) -> [u8; RECORD_BYTES] {
        let mut record = [0; RECORD_BYTES];
        record[..2].copy_from_slice(&RECORD_MAGIC);
        record[2] = self.kind;
        record[3] = self.subtype;
        record[4..8].copy_from_slice(&self.offset.to_le_bytes());
        record[8..12].copy_from_slice(&self.size.to_le_bytes());
        for (to, from) in record[12..28].iter_mut().zip(self.label.bytes()) {
            *to = from;
        }
        record[28..].copy_from_slice(&self.flags.to_le_bytes());
        record
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_record_of_bytes() {
        let mut bytes = b"\xaa\x50\x01\x02\x00\x90\x00\x00\x00\x60\x00\x00nvs".to_vec();
        bytes.extend([0; 17]);
        bytes.extend([0xff; 32]);
        let nvs = Partition {
            kind: 1,
            subtype: 2,
            offset: 0x9000,
            size: 0x6000,
            label: "nvs".into(),
            flags: 0,
        };
        assert_eq!(
            Table::parse(&bytes),
            Ok(Table { partitions: vec![nvs], digest_checked: false })
        );
    }

    #[test]
    fn what_is_no_table_is_named() {
        assert_eq!(Table::parse(&[0xff; 64]), Err(PartitionError::Empty));
        let error = PartitionError::Magic { index: 0, found: [0, 0] };
        assert_eq!(Table::parse(&[0; 64]), Err(error));
    }

    prop_compose! {
        fn partition()(
            (kind, subtype, offset, size, flags) in any::<(u8, u8, u32, u32, u32)>(),
            label in "[a-z0-9_]{0,16}",
        ) -> Partition {
            Partition { kind, subtype, offset, size, label, flags }
        }
    }

    proptest! {
        #[test]
        fn parse_reverses_emit(
            partitions in prop::collection::vec(partition(), 1..20), digest_checked in any::<bool>(),
        ) {
            let table = Table { partitions, digest_checked };
            prop_assert_eq!(Table::parse(&table.emit()), Ok(table));
        }

        #[test]
        fn a_changed_byte_under_the_digest_is_noticed(
            partition in partition(), at in 2_usize..32, flip in 1_u8..,
        ) {
            let mut bytes = Table { partitions: vec![partition], digest_checked: true }.emit();
            bytes[at] ^= flip;
            prop_assert_eq!(Table::parse(&bytes), Err(PartitionError::Digest));
        }

        #[test]
        fn garbage_does_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Table::parse(&bytes);
        }
    }
}

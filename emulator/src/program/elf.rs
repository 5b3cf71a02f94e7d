//! 32-bit little-endian ELF files: program headers, entry, function symbols (System V ABI).

use super::{Program, Symbols};

/// Machine number of Xtensa.
const XTENSA: u16 = 94;
const LOAD: u32 = 1;
const SYMBOL_TABLE: u32 = 2;
const PROGRAM_HEADER_BYTES: u32 = 32;
const SECTION_HEADER_BYTES: u32 = 40;
const SYMBOL_BYTES: usize = 16;
const FUNCTION: u8 = 2;
/// Largest segment: more than the chip's RAM.
const SEGMENT_MAX: usize = 1 << 20;

/// Why bytes are no program of the core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ElfError {
    /// Not a 32-bit little-endian ELF file.
    #[error("not a 32-bit little-endian file")]
    Class,
    /// For another processor.
    #[error("machine {0} is not Xtensa (94)")]
    Machine(u16),
    /// A table or segment leaves the file.
    #[error("cut off: a table or segment leaves the file")]
    Truncated,
    /// A segment larger than any memory.
    #[error("a segment at {address:#010x} has {bytes} bytes")]
    TooLarge {
        /// Its address.
        address: u32,
        /// Its length.
        bytes: u32,
    },
    /// Nothing to load.
    #[error("no segment to load")]
    Empty,
}

/// A file's bytes, read without running over their end.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn slice(&self, at: u32, bytes: u32) -> Result<&'a [u8], ElfError> {
        let at = at as usize;
        let end = at.checked_add(bytes as usize).ok_or(ElfError::Truncated)?;
        self.0.get(at..end).ok_or(ElfError::Truncated)
    }

    fn word(&self, at: u32) -> Result<u32, ElfError> {
        let bytes = self.slice(at, 4)?.first_chunk().ok_or(ElfError::Truncated)?;
        Ok(u32::from_le_bytes(*bytes))
    }

    fn half(&self, at: u32) -> Result<u16, ElfError> {
        let bytes = self.slice(at, 2)?.first_chunk().ok_or(ElfError::Truncated)?;
        Ok(u16::from_le_bytes(*bytes))
    }
}

/// Reads segments, entry and function symbols. A segment goes to its physical address, where a
/// loader puts it.
pub(super) fn program(bytes: &[u8]) -> Result<Program, ElfError> {
    let file = Reader(bytes);
    if bytes.get(..6) != Some(b"\x7fELF\x01\x01") {
        return Err(ElfError::Class);
    }
    let machine = file.half(18)?;
    if machine != XTENSA {
        return Err(ElfError::Machine(machine));
    }
    let table = file.word(28)?;
    let count = u32::from(file.half(44)?);
    let mut segments = Vec::new();
    for index in 0..count {
        let header = table.checked_add(index * PROGRAM_HEADER_BYTES).ok_or(ElfError::Truncated)?;
        let header = Reader(file.slice(header, PROGRAM_HEADER_BYTES)?);
        let (length, total) = (header.word(16)?, header.word(20)?);
        if header.word(0)? != LOAD || total == 0 {
            continue;
        }
        let address = header.word(12)?;
        let mut data = file.slice(header.word(4)?, length)?.to_vec();
        let total = total.max(length);
        if total as usize > SEGMENT_MAX {
            return Err(ElfError::TooLarge { address, bytes: total });
        }
        data.resize(total as usize, 0);
        segments.push((address, data));
    }
    if segments.is_empty() {
        return Err(ElfError::Empty);
    }
    Ok(Program { entry: file.word(24)?, segments, symbols: symbols(&file)? })
}

/// Function symbols; files without a table have none.
fn symbols(file: &Reader<'_>) -> Result<Symbols, ElfError> {
    let table = file.word(32)?;
    let section = |index: u32| {
        let at = index.checked_mul(SECTION_HEADER_BYTES).and_then(|at| table.checked_add(at));
        Ok(Reader(file.slice(at.ok_or(ElfError::Truncated)?, SECTION_HEADER_BYTES)?))
    };
    let mut symbols = Symbols::default();
    for index in 0..u32::from(file.half(48)?) {
        let header = section(index)?;
        if header.word(4)? != SYMBOL_TABLE {
            continue;
        }
        let names = section(header.word(24)?)?;
        let names = file.slice(names.word(16)?, names.word(20)?)?;
        let content = file.slice(header.word(16)?, header.word(20)?)?;
        for entry in content.chunks_exact(SYMBOL_BYTES) {
            let entry = Reader(entry);
            let is_function = entry.slice(12, 1)?.first().is_some_and(|kind| kind & 15 == FUNCTION);
            let name = names.get(entry.word(0)? as usize..).unwrap_or_default();
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            if is_function && !name.is_empty() {
                symbols.insert(entry.word(4)?, &String::from_utf8_lossy(name));
            }
        }
    }
    Ok(symbols)
}

//! The formatter of the ROM's `ets_printf`.

use super::memory::Fault;

/// Longest field width and precision; longer ones are cut.
const WIDTH_MAX: usize = 256;
/// Most bytes of output of one call.
const OUTPUT_MAX: usize = 64 * 1024;

/// Where a format's arguments and strings come from.
pub(crate) trait Arguments {
    /// The next 32-bit argument.
    fn word(&mut self) -> Result<u32, Fault>;
    /// The next 64-bit argument, aligned as the calling convention wants.
    fn wide(&mut self) -> Result<u64, Fault>;
    /// A byte of memory.
    fn byte(&mut self, address: u32) -> Result<u8, Fault>;
}

#[expect(clippy::struct_excessive_bools, reason = "the flags of C's printf")]
#[derive(Default)]
struct Spec {
    left: bool,
    zero: bool,
    plus: bool,
    space: bool,
    alternate: bool,
    width: usize,
    precision: Option<usize>,
    wide: bool,
}

/// Formats; gives the characters, `\n` not yet expanded.
///
/// # Errors
///
/// A [`Fault`] if the format or a string is not in memory.
pub(crate) fn format(format: u32, arguments: &mut impl Arguments) -> Result<Vec<u8>, Fault> {
    let mut out = Vec::new();
    let mut at = format;
    while out.len() < OUTPUT_MAX {
        let byte = arguments.byte(at)?;
        at = at.wrapping_add(1);
        match byte {
            0 => break,
            b'%' => {
                if !conversion(&mut at, arguments, &mut out)? {
                    break;
                }
            }
            _ => out.push(byte),
        }
    }
    out.truncate(OUTPUT_MAX);
    Ok(out)
}

/// One conversion behind its `%`; false at the end of the format.
fn conversion(
    at: &mut u32,
    arguments: &mut impl Arguments,
    out: &mut Vec<u8>,
) -> Result<bool, Fault> {
    let mut spec = Spec::default();
    let kind = parse(at, arguments, &mut spec)?;
    match kind {
        0 => return Ok(false),
        b'd' | b'i' => {
            let value = if spec.wide {
                arguments.wide()?.cast_signed()
            } else {
                i64::from(arguments.word()?.cast_signed())
            };
            number(&spec, value < 0, value.unsigned_abs(), 10, false, out);
        }
        b'u' => number(&spec, false, unsigned(&spec, arguments)?, 10, false, out),
        b'o' => number(&spec, false, unsigned(&spec, arguments)?, 8, false, out),
        b'x' | b'X' => {
            number(&spec, false, unsigned(&spec, arguments)?, 16, kind == b'X', out);
        }
        b'p' => {
            spec.alternate = true;
            number(&spec, false, u64::from(arguments.word()?), 16, false, out);
        }
        b'c' => pad(&spec, &[arguments.word()?.to_le_bytes()[0]], out),
        b's' => {
            let pointer = arguments.word()?;
            let text = string(&spec, pointer, arguments)?;
            pad(&spec, &text, out);
        }
        other => out.push(other),
    }
    Ok(true)
}

/// Flags, width, precision and length; gives the conversion character, 0 at the end.
fn parse(at: &mut u32, arguments: &mut impl Arguments, spec: &mut Spec) -> Result<u8, Fault> {
    let mut in_precision = false;
    let mut long = 0;
    loop {
        let byte = arguments.byte(*at)?;
        if byte == 0 {
            return Ok(0);
        }
        *at = at.wrapping_add(1);
        match byte {
            b'-' => spec.left = true,
            b'+' => spec.plus = true,
            b' ' => spec.space = true,
            b'#' => spec.alternate = true,
            b'0' if spec.width == 0 && !in_precision => spec.zero = true,
            b'.' => {
                in_precision = true;
                spec.precision = Some(0);
            }
            b'0'..=b'9' => {
                let field = match &mut spec.precision {
                    Some(precision) => precision,
                    None => &mut spec.width,
                };
                *field = (*field * 10 + usize::from(byte - b'0')).min(WIDTH_MAX);
            }
            b'*' => star(arguments.word()?.cast_signed(), in_precision, spec),
            b'l' => {
                long += 1;
                spec.wide = long > 1;
            }
            b'j' => spec.wide = true,
            b'h' | b'z' | b't' => {}
            other => return Ok(other),
        }
    }
}

/// A width or precision taken from the arguments.
fn star(value: i32, in_precision: bool, spec: &mut Spec) {
    let size = usize::try_from(value.unsigned_abs()).unwrap_or(0).min(WIDTH_MAX);
    if in_precision {
        spec.precision = (value >= 0).then_some(size);
    } else {
        spec.left |= value < 0;
        spec.width = size;
    }
}

fn unsigned(spec: &Spec, arguments: &mut impl Arguments) -> Result<u64, Fault> {
    if spec.wide { arguments.wide() } else { arguments.word().map(u64::from) }
}

fn string(spec: &Spec, pointer: u32, memory: &mut impl Arguments) -> Result<Vec<u8>, Fault> {
    if pointer == 0 {
        return Ok(b"(null)".to_vec());
    }
    let most = spec.precision.unwrap_or(OUTPUT_MAX);
    let mut text = Vec::new();
    let mut at = pointer;
    while text.len() < most {
        match memory.byte(at)? {
            0 => break,
            byte => text.push(byte),
        }
        at = at.wrapping_add(1);
    }
    Ok(text)
}

fn number(spec: &Spec, negative: bool, value: u64, base: u64, upper: bool, out: &mut Vec<u8>) {
    let digits: &[u8; 16] = if upper { b"0123456789ABCDEF" } else { b"0123456789abcdef" };
    let mut reversed = Vec::new();
    let mut rest = value;
    while rest != 0 || reversed.is_empty() {
        reversed.push(digits[usize::try_from(rest % base).unwrap_or(0)]);
        rest /= base;
    }
    while reversed.len() < spec.precision.unwrap_or(0) {
        reversed.push(b'0');
    }
    let sign: &[u8] = match (negative, spec.plus, spec.space) {
        (true, ..) => b"-",
        (false, true, _) => b"+",
        (false, false, true) => b" ",
        _ if spec.alternate && base == 16 => {
            if upper {
                b"0X"
            } else {
                b"0x"
            }
        }
        _ => b"",
    };
    if spec.zero && !spec.left && spec.precision.is_none() {
        while reversed.len() + sign.len() < spec.width {
            reversed.push(b'0');
        }
    }
    let text: Vec<u8> = sign.iter().copied().chain(reversed.into_iter().rev()).collect();
    pad(spec, &text, out);
}

/// Appends `text` in its field.
fn pad(spec: &Spec, text: &[u8], out: &mut Vec<u8>) {
    let fill = spec.width.saturating_sub(text.len());
    if !spec.left {
        out.extend(std::iter::repeat_n(b' ', fill));
    }
    out.extend_from_slice(text);
    if spec.left {
        out.extend(std::iter::repeat_n(b' ', fill));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed {
        memory: Vec<u8>,
        words: Vec<u32>,
    }

    impl Arguments for Fixed {
        fn word(&mut self) -> Result<u32, Fault> {
            Ok(self.words.remove(0))
        }

        fn wide(&mut self) -> Result<u64, Fault> {
            Ok(u64::from(self.word()?) | u64::from(self.word()?) << 32)
        }

        fn byte(&mut self, address: u32) -> Result<u8, Fault> {
            let byte = self.memory.get(address as usize);
            byte.copied().ok_or(Fault::load(address))
        }
    }

    fn printed(text: &str, words: &[u32]) -> String {
        let mut memory = text.as_bytes().to_vec();
        memory.push(0);
        let bytes = format(0, &mut Fixed { memory, words: words.to_vec() });
        String::from_utf8(bytes.unwrap()).unwrap()
    }

    #[test]
    fn conversions_as_in_c() {
        assert_eq!(printed("a%%b%c", &[0x41]), "a%bA");
        assert_eq!(printed("%d %i %u", &[u32::MAX, 5, u32::MAX]), "-1 5 4294967295");
        assert_eq!(printed("%08x|%-6X|%6o", &[0xBEEF, 0xAB, 8]), "0000beef|AB    |    10");
        assert_eq!(printed("%+d % d %05d", &[3, 3, u32::MAX - 41]), "+3  3 -0042");
        assert_eq!(printed("%p %#x", &[0x4000_0000, 16]), "0x40000000 0x10");
        assert_eq!(printed("%lld %llx", &[0, 1, 0xFFFF_FFFF, 0xF]), "4294967296 fffffffff");
        assert_eq!(printed("%*d|%.3d|%-*d|", &[4, 7, 5, 3, 9]), "   7|005|9  |");
    }

    #[test]
    fn strings_come_from_memory_and_a_bad_pointer_is_a_fault() {
        let mut memory = b"%s %.2s %s\0".to_vec();
        let place = u32::try_from(memory.len()).unwrap();
        memory.extend_from_slice(b"board\0");
        let mut fixed = Fixed { memory, words: vec![place, place, 0] };
        assert_eq!(format(0, &mut fixed).unwrap(), b"board bo (null)");
        let mut fixed = Fixed { memory: b"%s\0".to_vec(), words: vec![0x1000] };
        assert_eq!(format(0, &mut fixed), Err(Fault::load(0x1000)));
    }

    #[test]
    fn an_unfinished_conversion_and_wild_widths_end() {
        assert_eq!(printed("x%", &[]), "x");
        assert_eq!(printed("%99999999d", &[1]).len(), WIDTH_MAX);
    }
}

//! Where a key is in the text of a board file.

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// The line of a key such as `case.play[2]`, counted from 1: its own, or that of the last part of it
/// that the text has; `None` where the text has nothing of it.
pub(crate) fn of(text: &str, key: &str) -> Option<usize> {
    let root = DeTable::parse(text).ok()?;
    let mut table = Some(root.get_ref());
    let mut found = None;
    for part in key.split('.') {
        let Some(inside) = table else { break };
        let (name, number) = split_index(part);
        let Some((at, value)) = inside.iter().find(|(own, _)| own.get_ref().as_ref() == name)
        else {
            break;
        };
        found = Some(at.span().start);
        let value = match number.and_then(|number| element(value, number)) {
            Some(element) => {
                found = Some(element.span().start);
                element
            }
            None => value,
        };
        table = match value.get_ref() {
            DeValue::Table(inside) => Some(inside),
            _ => None,
        };
    }
    let before = text.get(..found?)?;
    Some(before.matches('\n').count() + 1)
}

/// `play[2]` into name and number.
fn split_index(part: &str) -> (&str, Option<usize>) {
    part.strip_suffix(']')
        .and_then(|rest| rest.split_once('['))
        .and_then(|(name, number)| Some((name, Some(number.parse().ok()?))))
        .unwrap_or((part, None))
}

fn element<'a, 'i>(
    value: &'a Spanned<DeValue<'i>>,
    number: usize,
) -> Option<&'a Spanned<DeValue<'i>>> {
    match value.get_ref() {
        DeValue::Array(elements) => elements.get(number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::of;

    const TEXT: &str = "[case]\nplay = [\n    { boot = {} },\n    { read = { bytes = 9 } },\n]\n\n\
                        [flash]\nregisters = { sr1 = 1 }\n\n[hypotheses.h1.flash]\npart = \"x\"\n";

    #[test]
    fn keys_are_found_where_they_stand() {
        assert_eq!(of(TEXT, "case.play"), Some(2));
        assert_eq!(of(TEXT, "case.play[1]"), Some(4));
        assert_eq!(of(TEXT, "case.play[1].read"), Some(4));
        assert_eq!(of(TEXT, "flash.registers.sr1"), Some(8));
        assert_eq!(of(TEXT, "hypotheses.h1.flash"), Some(10));
    }

    #[test]
    fn a_key_that_is_not_there_has_the_line_of_what_is() {
        assert_eq!(of(TEXT, "flash.overrides.fields"), Some(7));
        assert_eq!(of(TEXT, "power"), None);
        assert_eq!(of("", "flash"), None);
        assert_eq!(of("not = toml = at all", "not"), None);
    }
}

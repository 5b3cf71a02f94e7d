//! The schema of what `--json` prints: one object a line, its `event` naming the kind.
//!
//! The document is JSON Schema (draft 2020-12); `x-commands` in it says which kinds each command
//! prints. `flasher schema COMMAND` prints the part that a command needs. The tests validate the
//! output of every command by it.
//!
//! ```
//! use esp32_flasher::schema;
//!
//! let chip = schema::of_command("chip").ok_or("no such command")?;
//! let kinds = chip["oneOf"].as_array().ok_or("no kinds")?;
//! assert!(kinds.iter().any(|kind| kind["$ref"] == "#/$defs/event-connected"));
//! assert!(chip["$defs"].get("event-batch-ended").is_none(), "only what the command prints");
//! # Ok::<(), &str>(())
//! ```

use serde_json::{Map, Value, json};

/// The whole document.
pub const TEXT: &str = include_str!("schema/lines.json");
/// Where definitions are.
const DEFS: &str = "#/$defs/";

/// The whole document; null if the built-in text were no JSON.
#[must_use]
pub fn document() -> Value {
    serde_json::from_str(TEXT).unwrap_or_default()
}

/// The commands that print lines, in order of their names.
#[must_use]
pub fn commands() -> Vec<String> {
    let commands = document();
    let names = commands["x-commands"].as_object().into_iter().flat_map(Map::keys);
    names.cloned().collect()
}

/// The schema of one line of `command`, such as `protect clear`; of `protect`, of one line of any
/// of its commands.
#[must_use]
pub fn of_command(command: &str) -> Option<Value> {
    let document = document();
    let of_group = format!("{command} ");
    let mut kinds: Vec<&str> = Vec::new();
    for (name, events) in document["x-commands"].as_object()? {
        if name != command && !name.starts_with(&of_group) {
            continue;
        }
        for event in events.as_array()?.iter().filter_map(Value::as_str) {
            if !kinds.contains(&event) {
                kinds.push(event);
            }
        }
    }
    if kinds.is_empty() {
        return None;
    }
    let one_of: Vec<Value> =
        kinds.iter().map(|kind| json!({ "$ref": format!("{DEFS}event-{kind}") })).collect();
    let mut needed = Map::new();
    for kind in &one_of {
        collect(&document, kind, &mut needed);
    }
    Some(json!({
        "$schema": document["$schema"],
        "title": format!("Lines of flasher --json {command}"),
        "description": document["description"],
        "oneOf": one_of,
        "$defs": needed,
    }))
}

/// Takes every definition that `schema` leads to.
fn collect(document: &Value, schema: &Value, needed: &mut Map<String, Value>) {
    match schema {
        Value::Object(fields) => {
            let name = fields.get("$ref").and_then(Value::as_str);
            if let Some(name) = name.and_then(|name| name.strip_prefix(DEFS))
                && !needed.contains_key(name)
            {
                let definition = &document["$defs"][name];
                needed.insert(name.to_owned(), definition.clone());
                collect(document, definition, needed);
            }
            fields.values().for_each(|value| collect(document, value, needed));
        }
        Value::Array(items) => items.iter().for_each(|value| collect(document, value, needed)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_leads_somewhere_and_every_kind_is_printed() {
        let document = document();
        let mut needed = Map::new();
        collect(&document, &document["oneOf"], &mut needed);
        let all = document["$defs"].as_object().unwrap();
        assert!(needed.values().all(|definition| !definition.is_null()));
        assert_eq!(needed.len(), all.len(), "a definition that nothing uses");
        let printed: Vec<Value> = commands().iter().filter_map(|name| of_command(name)).collect();
        for kind in all.keys().filter(|name| name.starts_with("event-")) {
            assert!(printed.iter().any(|schema| schema["$defs"].get(kind).is_some()), "{kind}");
        }
    }

    #[test]
    fn a_group_has_the_kinds_of_its_commands() {
        let group = of_command("protect").unwrap();
        assert!(group["$defs"].get("event-choices").is_some());
        assert_eq!(of_command("nothing"), None);
    }
}

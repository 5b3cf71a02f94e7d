//! A validator of as much of JSON Schema as the committed document uses. A keyword that it does not
//! know is an error, so that nothing goes unchecked.

use serde_json::Value;

/// Checks `value` by `schema`, whose references are in `root`; the first thing that is wrong.
pub(crate) fn validate(
    root: &Value,
    schema: &Value,
    value: &Value,
    at: &str,
) -> Result<(), String> {
    let fields = match schema {
        Value::Object(fields) => fields,
        Value::Bool(true) => return Ok(()),
        Value::Bool(false) => return Err(format!("{at}: nothing may be here")),
        other => return Err(format!("{at}: no schema: {other}")),
    };
    for (keyword, rule) in fields {
        let fine = match keyword.as_str() {
            "$ref" => {
                let name = rule.as_str().and_then(|name| name.strip_prefix("#/$defs/"));
                let name = name.ok_or_else(|| format!("{at}: reference {rule}"))?;
                validate(root, &root["$defs"][name], value, at)?;
                true
            }
            "type" => has_type(rule, value),
            "const" => value == rule,
            "enum" => rule.as_array().is_some_and(|all| all.contains(value)),
            "oneOf" => matching(root, rule, value, at).len() == 1,
            "anyOf" => !matching(root, rule, value, at).is_empty(),
            "allOf" => list(rule).iter().all(|s| validate(root, s, value, at).is_ok()),
            "properties" => {
                for (name, schema) in rule.as_object().into_iter().flatten() {
                    if let Some(inner) = value.get(name) {
                        validate(root, schema, inner, &format!("{at}.{name}"))?;
                    }
                }
                true
            }
            "required" => {
                let has = |name: &Value| value.get(name.as_str().unwrap()).is_some();
                !value.is_object() || list(rule).iter().all(has)
            }
            "additionalProperties" => {
                let known = &schema["properties"];
                let names = value.as_object().into_iter().flat_map(|fields| fields.keys());
                let extra: Vec<&String> =
                    names.filter(|name| known.get(name.as_str()).is_none()).collect();
                if !extra.is_empty() {
                    return Err(format!("{at}: fields that the schema does not know: {extra:?}"));
                }
                *rule == Value::Bool(false)
            }
            "prefixItems" => {
                for (number, (schema, inner)) in list(rule).iter().zip(list(value)).enumerate() {
                    validate(root, schema, inner, &format!("{at}[{number}]"))?;
                }
                true
            }
            "items" => {
                let first = schema["prefixItems"].as_array().map_or(0, Vec::len);
                for (number, inner) in list(value).iter().enumerate().skip(first) {
                    validate(root, rule, inner, &format!("{at}[{number}]"))?;
                }
                true
            }
            "minItems" => !value.is_array() || list(value).len() as u64 >= rule.as_u64().unwrap(),
            "maxItems" => list(value).len() as u64 <= rule.as_u64().unwrap(),
            "minimum" => value.as_f64().is_none_or(|number| number >= rule.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|number| number <= rule.as_f64().unwrap()),
            "pattern" => value.as_str().is_none_or(|text| fits(rule.as_str().unwrap(), text)),
            "description" | "title" | "$schema" | "$defs" | "x-commands" => true,
            unknown => return Err(format!("{at}: keyword {unknown} is not known here")),
        };
        if !fine {
            return Err(format!("{at}: {value} does not fit {keyword} {rule}"));
        }
    }
    Ok(())
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn matching<'a>(root: &Value, rule: &'a Value, value: &Value, at: &str) -> Vec<&'a Value> {
    list(rule).iter().filter(|schema| validate(root, schema, value, at).is_ok()).collect()
}

fn has_type(rule: &Value, value: &Value) -> bool {
    let is = |name: &Value| match name.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        _ => false,
    };
    match rule {
        Value::Array(names) => names.iter().any(is),
        name => is(name),
    }
}

/// The two patterns of the document.
fn fits(pattern: &str, text: &str) -> bool {
    let hex = |part: &str| part.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
    match pattern {
        "^[0-9a-f]{32}$" => text.len() == 32 && hex(text),
        "^([0-9a-f]{2}:){5}[0-9a-f]{2}$" => {
            let parts: Vec<&str> = text.split(':').collect();
            parts.len() == 6 && parts.iter().all(|part| part.len() == 2 && hex(part))
        }
        other => panic!("pattern {other} is not known here"),
    }
}

//! A hook that checks the list in a response: how long it is, which fields each
//! element has, that no two are the same, and that a count elsewhere in the body
//! agrees. Configuration: items, min_items, fields, unique, count.

#[macro_use]
mod qarion_hook;

use qarion_hook::*;
use std::collections::HashMap;

validate!(check);

const KINDS: [&str; 7] = ["any", "string", "number", "integer", "boolean", "array", "object"];

fn check(r: &Call) -> Result<(), Error> {
    r.config_keys(&["items", "min_items", "fields", "unique", "count"])?;
    let items_at = r.config_text("items", "")?;
    let min_items = r.config_count("min_items", 0)?;
    let fields = r.config.get("fields");
    let unique = r.config_text("unique", "")?;
    let count_at = r.config_text("count", "")?;
    for (name, kind) in fields.members() {
        if !KINDS.iter().any(|k| kind.is(k)) {
            return Err(failure("config", &format!(
                "config.fields.{name}: want any, string, number, integer, boolean, array or object, have {}", kind.text())));
        }
    }

    let body = r.json()?;
    let items = body.at(&items_at);
    if items.kind() != Kind::Array {
        return Err(problem(&items_at, "no_items", &format!("want an array, have {}", items.kind().name())));
    }
    let mut v = Verdict::default();
    let items: Vec<Value> = items.items().collect();
    let n = items.len();
    if n < min_items {
        v.add(&items_at, "too_few_items", &format!("need {min_items}, have {n}"));
    }
    let mut seen = HashMap::new();
    for (i, &item) in items.iter().enumerate() {
        let path = |field: Option<&str>| match field {
            None => format!("{items_at}/{i}"),
            Some(name) => format!("{items_at}/{i}/{}", pointer_token(name)),
        };
        if item.kind() != Kind::Object {
            v.add(&path(None), "wrong_kind", &format!("want an object, have {}", item.kind().name()));
            continue;
        }
        for (name, kind) in fields.members() {
            let (field, kind) = (item.get(&name), kind.text());
            if !field.exists() {
                v.add(&path(Some(&name)), "missing", "the field is not there");
            } else if !is(field, &kind) {
                v.add(&path(Some(&name)), "wrong_kind", &format!("want {kind}, have {}", field.kind().name()));
            }
        }
        let key = if unique.is_empty() { MISSING } else { item.get(&unique) };
        if key.exists() {
            let first = *seen.entry(key.raw).or_insert(i);
            if first != i {
                v.add(&path(Some(&unique)), "duplicate", &format!("the same as in element {first}"));
            }
        }
    }
    if !count_at.is_empty() && body.at(&count_at).raw != n.to_string().as_bytes() {
        v.add(&count_at, "wrong_count", &format!("want {n}, as many as there are elements"));
    }
    v.end()
}

/// Says whether a field is of a kind, as fields in the configuration has it.
fn is(field: Value, kind: &str) -> bool {
    match kind {
        "string" => field.kind() == Kind::Text,
        "number" => field.kind() == Kind::Number,
        "integer" => field.kind() == Kind::Number && !field.raw.iter().any(|c| matches!(c, b'.' | b'e' | b'E')),
        "boolean" => field.kind() == Kind::Bool,
        "array" => field.kind() == Kind::Array,
        "object" => field.kind() == Kind::Object,
        _ => true, // any
    }
}

//! A hook that checks the list in a response: how long it is, which fields each
//! element has, that no two are the same, and that a count elsewhere in the body
//! agrees. Configuration: items, min_items, fields, unique, count.

#[macro_use]
mod qarion_hook;

use qarion_hook::*;
use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

validate!(check);

/// What a field must be.
#[derive(Clone, Copy)]
enum Want { Any, Integer, Kind(Kind) }

fn want(kind: Value) -> Option<Want> {
    if kind.kind() != Kind::Text { return None; }
    Some(match &*kind.text() {
        "any" => Want::Any,
        "string" => Want::Kind(Kind::Text),
        "number" => Want::Kind(Kind::Number),
        "integer" => Want::Integer,
        "boolean" => Want::Kind(Kind::Bool),
        "array" => Want::Kind(Kind::Array),
        "object" => Want::Kind(Kind::Object),
        _ => return None,
    })
}

impl Want {
    fn fits(self, field: Value) -> bool {
        match self {
            Want::Any => true,
            Want::Integer => field.kind() == Kind::Number && !field.raw.iter().any(|c| matches!(c, b'.' | b'e' | b'E')),
            Want::Kind(kind) => field.kind() == kind,
        }
    }
}

fn check(r: &Call) -> Result<(), Error> {
    r.config_keys(&["items", "min_items", "fields", "unique", "count"])?;
    let items_at = r.config_text("items", "")?;
    let min_items = r.config_count("min_items", 0)?;
    let unique = r.config_text("unique", "")?;
    let count_at = r.config_text("count", "")?;
    let (mut names, mut kinds): (Vec<Cow<str>>, Vec<(Want, Value)>) = Default::default();
    for (name, kind) in r.config.get("fields").members() {
        match want(kind) {
            Some(want) => kinds.push((want, kind)),
            None => return Err(failure("config", &format!(
                "config.fields.{name}: want any, string, number, integer, boolean, array or object, have {}", kind.text()))),
        }
        names.push(name);
    }
    if !unique.is_empty() { names.push(unique.clone()); } // behind the fields
    let mut found = vec![MISSING; names.len()];

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
    let mut seen: HashMap<&[u8], usize, BuildHasherDefault<Fnv>> = HashMap::default();
    for (i, &item) in items.iter().enumerate() {
        let path = |field: Option<&str>| match field {
            None => format!("{items_at}/{i}"),
            Some(name) => format!("{items_at}/{i}/{}", pointer_token(name)),
        };
        if item.kind() != Kind::Object {
            v.add(&path(None), "wrong_kind", &format!("want an object, have {}", item.kind().name()));
            continue;
        }
        item.pick(&names, &mut found);
        for ((name, (want, kind)), &field) in names.iter().zip(&kinds).zip(&found) {
            if !field.exists() {
                v.add(&path(Some(name)), "missing", "the field is not there");
            } else if !want.fits(field) {
                v.add(&path(Some(name)), "wrong_kind", &format!("want {}, have {}", kind.text(), field.kind().name()));
            }
        }
        let key = found.get(kinds.len()).copied().unwrap_or(MISSING);
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

/// The hash FNV-1a: keys are short, and the work of a call is bounded whatever they are.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self { Fnv(0xcbf2_9ce4_8422_2325) }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for b in bytes { self.0 = (self.0 ^ *b as u64).wrapping_mul(0x100_0000_01b3); }
    }
    fn finish(&self) -> u64 { self.0 }
}

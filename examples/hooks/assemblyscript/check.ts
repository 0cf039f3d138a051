// A hook that checks the list in a response: how long it is, which fields each
// element has, that no two are the same, and that a count elsewhere in the body
// agrees. Configuration: items, min_items, fields, unique, count.

import {
  Entries, Kind, MISSING, Value, begin, checkJSON, config, configCount, configKeys, configText, endValidate, fail, failed, json,
  pointerToken, problem,
} from "./qarion";
export { qarion_abi_version, qarion_alloc } from "./qarion";

export function qarion_validate(p: usize, meta: u32, body: u32): u64 {
  begin(p, meta, body);
  check();
  return endValidate();
}

const KINDS = ["any", "string", "number", "integer", "boolean", "array", "object"];

function check(): void {
  configKeys(["items", "min_items", "fields", "unique", "count"]);
  let itemsAt = configText("items", ""), minItems = configCount("min_items", 0);
  let fields = config("fields"), unique = configText("unique", ""), countAt = configText("count", "");
  let names: string[] = [], kinds: string[] = [];
  for (let it = new Entries(fields); it.next();) {
    let kind = it.value;
    names.push(it.key);
    kinds.push(kind.text);
    if (kind.kind != Kind.Text || !KINDS.includes(kind.text)) {
      fail("config", "config.fields." + it.key +
        ": want any, string, number, integer, boolean, array or object, have " + kind.text);
    }
  }
  if (failed() || !checkJSON()) return;

  let items = json().at(itemsAt);
  if (items.kind != Kind.Array) {
    problem(itemsAt, "no_items", "want an array, have " + items.kindName);
    return;
  }
  let n = items.length;
  if (n < minItems) problem(itemsAt, "too_few_items", `need ${minItems}, have ${n}`);
  let seen = new Map<string, i32>();
  for (let it = new Entries(items); it.next();) {
    let item = it.value;
    if (item.kind != Kind.Object) {
      problem(path(itemsAt, it.index), "wrong_kind", "want an object, have " + item.kindName);
      continue;
    }
    for (let i = 0; i < names.length; i++) {
      let field = item.get(names[i]);
      if (!field.exists) problem(path(itemsAt, it.index, names[i]), "missing", "the field is not there");
      else if (!is(field, kinds[i])) problem(path(itemsAt, it.index, names[i]), "wrong_kind", `want ${kinds[i]}, have ${field.kindName}`);
    }
    let field = unique == "" ? MISSING : item.get(unique);
    if (!field.exists) continue;
    let key = field.raw;
    if (seen.has(key)) problem(path(itemsAt, it.index, unique), "duplicate", `the same as in element ${seen.get(key)}`);
    else seen.set(key, it.index);
  }
  if (countAt != "" && !json().at(countAt).rawIs(n.toString())) {
    problem(countAt, "wrong_count", `want ${n}, as many as there are elements`);
  }
}

/** The JSON Pointer to an element, or to a field of it. */
function path(itemsAt: string, index: i32, field: string | null = null): string {
  let at = `${itemsAt}/${index}`;
  return field === null ? at : at + "/" + pointerToken(field);
}

/** Says whether a field is of a kind, as fields in the configuration has it. */
function is(field: Value, kind: string): bool {
  if (kind == "string") return field.kind == Kind.Text;
  if (kind == "number") return field.kind == Kind.Number;
  if (kind == "integer") return field.kind == Kind.Number && whole(field);
  if (kind == "boolean") return field.kind == Kind.Bool;
  if (kind == "array") return field.kind == Kind.Array;
  if (kind == "object") return field.kind == Kind.Object;
  return true; // any
}

function whole(number: Value): bool {
  let raw = number.raw;
  return !raw.includes(".") && !raw.includes("e") && !raw.includes("E");
}

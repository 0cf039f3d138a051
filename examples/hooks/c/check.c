/* check.c is a hook that checks the list in a response: how long it is, which
 * fields each element has, that no two are the same, and that a count
 * elsewhere in the body agrees. Configuration: items, min_items, fields,
 * unique, count. */
#include "qarion_hook.h"

static int known(qh_str kind) {
  return qh_is(kind, "any") || qh_is(kind, "string") || qh_is(kind, "number") || qh_is(kind, "integer") ||
         qh_is(kind, "boolean") || qh_is(kind, "array") || qh_is(kind, "object");
}

static int whole(qh_str number) {
  for (qh_u32 i = 0; i < number.n; i++)
    if (number.p[i] == '.' || (number.p[i] | 0x20) == 'e') return 0;
  return 1;
}

static int is(qh_str field, qh_str kind) {
  char k = qh_kind(field);
  if (qh_is(kind, "string")) return k == '"';
  if (qh_is(kind, "number")) return k == '0';
  if (qh_is(kind, "integer")) return k == '0' && whole(field);
  if (qh_is(kind, "boolean")) return k == 'b';
  if (qh_is(kind, "array")) return k == '[';
  if (qh_is(kind, "object")) return k == '{';
  return 1; /* any */
}

/* seen remembers unique values and where each stood first: a hash table with
 * twice as many places as there are elements. */
typedef struct { qh_str key; qh_u32 index; } place;
static place *places;
static qh_u32 place_count;

static void seen_start(qh_u32 items) {
  for (place_count = 16; place_count < 2 * items;) place_count *= 2;
  places = qh_take(place_count * sizeof *places);
  for (qh_u32 i = 0; i < place_count; i++) places[i].key.p = 0;
}

static place *seen(qh_str key) {
  qh_u32 hash = 2166136261u; /* FNV-1a */
  for (qh_u32 i = 0; i < key.n; i++) hash = (hash ^ (qh_u8)key.p[i]) * 16777619u;
  for (;; hash++) {
    place *p = &places[hash & (place_count - 1)];
    if (!p->key.p || qh_same(p->key, key)) return p;
  }
}

static qh_str items_at, fields, unique;

/* path is the JSON Pointer to an element, or to a field of it. */
static qh_str path(qh_u32 index, qh_str field) {
  qh_str at = qh_cat(3, items_at, QH_S("/"), qh_number(index));
  return field.p ? qh_cat(3, at, QH_S("/"), qh_token(field)) : at;
}

static void check_item(qh_u32 index, qh_str item) {
  if (qh_kind(item) != '{') {
    qh_problem_at(path(index, QH_NONE), "wrong_kind", qh_cat(2, QH_S("want an object, have "), qh_kind_name(item)));
    return;
  }
  for (qh_iter it = qh_each(fields); qh_next(&it);) {
    qh_str name = qh_string(it.key), kind = qh_string(it.value), field = qh_member(item, name);
    if (!field.p)
      qh_problem_at(path(index, name), "missing", QH_S("the field is not there"));
    else if (!is(field, kind))
      qh_problem_at(path(index, name), "wrong_kind", qh_cat(4, QH_S("want "), kind, QH_S(", have "), qh_kind_name(field)));
  }
  qh_str key = unique.n ? qh_member(item, unique) : QH_NONE;
  if (!key.p) return;
  place *p = seen(key);
  if (p->key.p)
    qh_problem_at(path(index, unique), "duplicate", qh_cat(2, QH_S("the same as in element "), qh_number(p->index)));
  else
    *p = (place){key, index};
}

/* list reads an array once: what stands in it, one behind the other. */
static qh_str *list(qh_str array, qh_u32 *n) {
  qh_str *out = qh_take(array.n * sizeof *out / 2 + sizeof *out); /* an element is two bytes at least, with its comma */
  for (qh_iter it = qh_each(array); qh_next(&it);) out[(*n)++] = it.value;
  return out;
}

static void check(void) {
  qh_config_keys("items, min_items, fields, unique, count");
  items_at = qh_config_text("items", "");
  qh_u32 min_items = qh_config_count("min_items", 0);
  fields = qh_config("fields");
  unique = qh_config_text("unique", "");
  qh_str count_at = qh_config_text("count", "");
  for (qh_iter it = qh_each(fields); qh_next(&it);)
    if (qh_kind(it.value) != '"' || !known(qh_string(it.value)))
      qh_fail("config", qh_cat(4, QH_S("config.fields."), qh_string(it.key),
                               QH_S(": want any, string, number, integer, boolean, array or object, have "), qh_string(it.value)));
  if (qh_failed || qh_not_json(1)) return;

  qh_str items = qh_at(qh_json(), items_at);
  if (qh_kind(items) != '[') {
    qh_problem_at(items_at, "no_items", qh_cat(2, QH_S("want an array, have "), qh_kind_name(items)));
    return;
  }
  qh_u32 n = 0;
  qh_str *item = list(items, &n);
  if (n < min_items)
    qh_problem_at(items_at, "too_few_items", qh_cat(4, QH_S("need "), qh_number(min_items), QH_S(", have "), qh_number(n)));
  if (unique.n) seen_start(n);
  for (qh_u32 i = 0; i < n; i++) check_item(i, item[i]);
  if (count_at.n && !qh_same(qh_at(qh_json(), count_at), qh_number(n)))
    qh_problem_at(count_at, "wrong_count", qh_cat(3, QH_S("want "), qh_number(n), QH_S(", as many as there are elements")));
}

QH_VALIDATE(check)

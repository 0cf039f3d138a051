/* check.c is a hook that checks the list in a response: how long it is, which
 * fields each element has, that no two are the same, and that a count
 * elsewhere in the body agrees. Configuration: items, min_items, fields,
 * unique, count. */
#include "qarion_hook.h"

/* kind_letter is what qh_kind says of a kind that fields in the configuration has:
 * 'i' for an integer, 'a' for any, 0 for what it must not have. */
static char kind_letter(qh_str kind) {
  if (qh_is(kind, "any")) return 'a';
  if (qh_is(kind, "string")) return '"';
  if (qh_is(kind, "number")) return '0';
  if (qh_is(kind, "integer")) return 'i';
  if (qh_is(kind, "boolean")) return 'b';
  if (qh_is(kind, "array")) return '[';
  if (qh_is(kind, "object")) return '{';
  return 0;
}

static int whole(qh_str number) {
  for (qh_u32 i = 0; i < number.n; i++)
    if (number.p[i] == '.' || (number.p[i] | 0x20) == 'e') return 0;
  return 1;
}

static int is(qh_str field, char letter) {
  char k = qh_kind(field);
  return letter == k || letter == 'a' || (letter == 'i' && k == '0' && whole(field));
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

static qh_str items_at, unique;

/* What elements must have, read once: names and kinds, behind them the name of what is
 * unique, and what an element has of all these. */
static qh_str *names, *kinds, *found;
static char *letters;
static qh_u32 wanted;

static void read_fields(void) {
  qh_str fields = qh_config("fields");
  qh_u32 most = qh_len(fields) + 1;
  names = qh_take(most * sizeof *names), kinds = qh_take(most * sizeof *kinds), found = qh_take(most * sizeof *found), letters = qh_take(most);
  wanted = 0;
  for (qh_iter it = qh_each(fields); qh_next(&it); wanted++) {
    names[wanted] = qh_string(it.key), kinds[wanted] = qh_string(it.value);
    letters[wanted] = qh_kind(it.value) == '"' ? kind_letter(kinds[wanted]) : 0;
    if (!letters[wanted])
      qh_fail("config", qh_cat(4, QH_S("config.fields."), names[wanted],
                               QH_S(": want any, string, number, integer, boolean, array or object, have "), kinds[wanted]));
  }
  names[wanted] = unique;
}

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
  qh_pick(item, names, wanted + (unique.n > 0), found);
  for (qh_u32 i = 0; i < wanted; i++) {
    if (!found[i].p)
      qh_problem_at(path(index, names[i]), "missing", QH_S("the field is not there"));
    else if (!is(found[i], letters[i]))
      qh_problem_at(path(index, names[i]), "wrong_kind", qh_cat(4, QH_S("want "), kinds[i], QH_S(", have "), qh_kind_name(found[i])));
  }
  qh_str key = unique.n ? found[wanted] : QH_NONE;
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
  unique = qh_config_text("unique", "");
  qh_str count_at = qh_config_text("count", "");
  read_fields();
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

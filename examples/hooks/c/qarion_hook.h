/* qarion_hook.h - what a hook in C is written with (qarion-hook/1, see
 * docs/hooks.md). No libc and no other file is needed:
 *
 *   #include "qarion_hook.h"
 *
 *   static void check(void) {
 *     if (qh_len(qh_get(qh_json(), "items")) == 0)
 *       qh_problem("/items", "too_few_items", "an order without items");
 *   }
 *   QH_VALIDATE(check)
 *
 *   clang --target=wasm32 -O2 -mbulk-memory -nostdlib -Wl,--no-entry -o check.wasm check.c
 *
 * A hook is one function, given to QH_VALIDATE or QH_TRANSFORM. It reads with
 * qh_json, qh_config_*, qh_meta, qh_secret; it answers with qh_problem (a
 * validator: what is wrong with the response), qh_body (a transformer: the new
 * body) or qh_fail (either: the hook could not do its work). Saying nothing
 * means that all is well and unchanged. After qh_fail nothing else counts.
 *
 * Memory is taken with qh_take and is all free again at the next call. Text is
 * a pointer and a length (qh_str), never ended by a zero. */
#ifndef QARION_HOOK_H
#define QARION_HOOK_H

typedef unsigned char qh_u8;
typedef unsigned int qh_u32;
typedef unsigned long long qh_u64;

/* qh_str is a text, or a JSON value as it was written. p == 0: there is none. */
typedef struct { const char *p; qh_u32 n; } qh_str;

/* ---- memory: the input buffer lies at the heap's begin, what a call takes
 * behind it. */

extern qh_u8 __heap_base;
static qh_u32 qh_in_cap;   /* size of the input buffer */
static qh_u32 qh_top;      /* first free address */

static int qh_reach(qh_u32 end) {
  qh_u32 have = (qh_u32)__builtin_wasm_memory_size(0) << 16;
  if (end <= have) return 1;
  return __builtin_wasm_memory_grow(0, (end - have + 0xffff) >> 16) != (qh_u32)-1;
}

/* qh_take gives n bytes until the next call. When there is no more memory the
 * module traps, and the host says so. */
static void *qh_take(qh_u32 n) {
  qh_u32 at = (qh_top + 7) & ~7u;
  if (at + n < at || !qh_reach(at + n)) __builtin_trap();
  qh_top = at + n;
  return (void *)at;
}

static void qh_copy(void *to, const void *from, qh_u32 n) { __builtin_memcpy(to, from, n); }

/* ---- texts */

#define QH_NONE ((qh_str){0, 0})
#define QH_S(literal) ((qh_str){(literal), sizeof(literal) - 1})

static qh_str qh_text(const char *s) {
  qh_u32 n = 0;
  while (s[n]) n++;
  return (qh_str){s, n};
}

static __inline__ int qh_same(qh_str a, qh_str b) {
  if (a.n != b.n) return 0;
  for (qh_u32 i = 0; i < a.n; i++)
    if (a.p[i] != b.p[i]) return 0;
  return 1;
}

static int qh_is(qh_str a, const char *b) { return qh_same(a, qh_text(b)); }

/* qh_cat joins texts: qh_cat(3, a, b, c). */
static qh_str qh_cat(int count, ...) {
  __builtin_va_list args;
  qh_u32 n = 0;
  __builtin_va_start(args, count);
  for (int i = 0; i < count; i++) n += __builtin_va_arg(args, qh_str).n;
  __builtin_va_end(args);
  char *out = qh_take(n);
  qh_u32 at = 0;
  __builtin_va_start(args, count);
  for (int i = 0; i < count; i++) {
    qh_str s = __builtin_va_arg(args, qh_str);
    qh_copy(out + at, s.p, s.n);
    at += s.n;
  }
  __builtin_va_end(args);
  return (qh_str){out, n};
}

/* qh_number writes a number in decimal. */
static qh_str qh_number(qh_u32 v) {
  char *out = qh_take(10);
  qh_u32 at = 10;
  do out[--at] = (char)('0' + v % 10); while (v /= 10);
  return (qh_str){out + at, 10 - at};
}

/* ---- the call */

static qh_str qh_meta_doc, qh_body_in;
static qh_str qh_cfg;
static qh_str qh_out_doc;          /* what the host gets */
static int qh_failed, qh_retry_on;
static qh_u32 qh_problems, qh_more;
static int qh_parsed;              /* 0 not yet, 1 JSON, -1 not */
static qh_str qh_json_value;

/* ---- JSON: checking. Places are pointers: a structure would go through memory
 * at every step. */

#define QH_BAD 0xffffffffu
#define QH_MAX_DEPTH 1000
static const char *qh_bad_reason, *qh_bad_place;

static int qh_space(char c) { return (qh_u8)c <= ' ' && (c == ' ' || c == '\n' || c == '\t' || c == '\r'); }
static int qh_digit(char c) { return c >= '0' && c <= '9'; }

static const char *qh_skip_space(const char *i, const char *end) {
  while (i < end && qh_space(*i)) i++;
  return i;
}

static int qh_hex4(const char *p, qh_u32 *out) {
  qh_u32 r = 0;
  for (int i = 0; i < 4; i++) {
    char c = p[i], low = c | 0x20;
    if (qh_digit(c)) r = r << 4 | (qh_u32)(c - '0');
    else if (low >= 'a' && low <= 'f') r = r << 4 | (qh_u32)(low - 'a' + 10);
    else return 0;
  }
  *out = r;
  return 1;
}

/* Text is read eight bytes at a time. QH_IS marks the bytes of a word that are c,
 * QH_BELOW those below c (at most 0x80), each in its highest bit; the lowest mark is
 * exact, those above may be wrong. */
#define QH_ALL(c) (0x0101010101010101ull * (c))
#define QH_BELOW(w, c) (((w) - QH_ALL(c)) & ~(w) & QH_ALL(0x80))
#define QH_IS(w, c) QH_BELOW((w) ^ QH_ALL(c), 1)

static qh_u64 qh_word(const char *p) {
  qh_u64 w;
  __builtin_memcpy(&w, p, 8);
  return w;
}

/* qh_plain steps over what stands in a string as it is. It may stop early, at the
 * end. */
static const char *qh_plain(const char *i, const char *end) {
  for (; end - i >= 8; i += 8) {
    qh_u64 w = qh_word(i), mark = QH_IS(w, '"') | QH_IS(w, '\\') | QH_BELOW(w, 0x20);
    if (mark) return i + (__builtin_ctzll(mark) >> 3);
  }
  return i;
}

/* The qh_scan functions return the place behind what they scanned, or 0. */

static const char *qh_bad(const char *i, const char *end, const char *reason) {
  qh_bad_reason = i >= end ? "the text ends early" : reason;
  qh_bad_place = i < end ? i : end;
  return 0;
}

static const char *qh_scan_string(const char *i, const char *end) {
  for (i++; (i = qh_plain(i, end)) < end; i++) {
    qh_u32 r;
    if (*i == '"') return i + 1;
    if ((qh_u8)*i < 0x20) return qh_bad(i, end, "a control character in a string");
    if (*i != '\\') continue;
    if (++i >= end) break;
    switch (*i) {
    case '"': case '\\': case '/': case 'b': case 'f': case 'n': case 'r': case 't': continue;
    case 'u':
      if (end - i > 4 && qh_hex4(i + 1, &r)) { i += 4; continue; }
    }
    return qh_bad(i, end, "an unknown escape");
  }
  return qh_bad(end, end, "");
}

static const char *qh_scan_digits(const char *i, const char *end) {
  if (i >= end || !qh_digit(*i)) return qh_bad(i, end, "a digit is missing");
  while (i < end && qh_digit(*i)) i++;
  return i;
}

static const char *qh_scan_number(const char *i, const char *end) {
  if (*i == '-') i++;
  if (i < end && *i == '0') i++;
  else if (!(i = qh_scan_digits(i, end))) return 0;
  if (i < end && *i == '.' && !(i = qh_scan_digits(i + 1, end))) return 0;
  if (i < end && (*i | 0x20) == 'e') {
    i++;
    if (i < end && (*i == '+' || *i == '-')) i++;
    return qh_scan_digits(i, end);
  }
  return i;
}

static const char *qh_scan_word(const char *i, const char *end, const char *w) {
  const char *at = i;
  for (; *w; w++, at++)
    if (at >= end || *at != *w) return qh_bad(i, end, "an unknown word");
  return at;
}

static const char *qh_scan_simple(const char *i, const char *end) {
  switch (*i) {
  case '"': return qh_scan_string(i, end);
  case 't': return qh_scan_word(i, end, "true");
  case 'f': return qh_scan_word(i, end, "false");
  case 'n': return qh_scan_word(i, end, "null");
  }
  if (*i == '-' || qh_digit(*i)) return qh_scan_number(i, end);
  return qh_bad(i, end, "no value");
}

static const char *qh_scan_name(const char *i, const char *end) {
  i = qh_skip_space(i, end);
  if (i >= end || *i != '"') return qh_bad(i, end, "no name of a member");
  if (!(i = qh_scan_string(i, end))) return 0;
  i = qh_skip_space(i, end);
  if (i >= end || *i != ':') return qh_bad(i, end, "no colon after a name");
  return i + 1;
}

/* qh_scan_value is a loop, not a recursion: the stack of a module is short. */
static const char *qh_scan_value(const char *i, const char *end) {
  static char open[QH_MAX_DEPTH]; /* the closing bracket of all that is open */
  qh_u32 depth = 0;
  for (;;) {
    i = qh_skip_space(i, end);
    if (i >= end) return qh_bad(i, end, "");
    if (*i == '{' || *i == '[') {
      char closing = *i + 2; /* as ASCII has it, for both kinds */
      if (depth == QH_MAX_DEPTH) return qh_bad(i, end, "nested too deep");
      i = qh_skip_space(i + 1, end);
      if (i >= end || *i != closing) {
        open[depth++] = closing;
        if (closing == '}' && !(i = qh_scan_name(i, end))) return 0;
        continue;
      }
      i++;
    } else if (!(i = qh_scan_simple(i, end))) {
      return 0;
    }
    for (;; depth--) { /* behind a value */
      if (!depth) return i;
      i = qh_skip_space(i, end);
      if (i >= end || *i != open[depth - 1]) break;
      i++;
    }
    if (i >= end || *i != ',') return qh_bad(i, end, "no comma and no closing bracket");
    i++;
    if (open[depth - 1] == '}' && !(i = qh_scan_name(i, end))) return 0;
  }
}

/* ---- JSON: reading what was checked */

static const char *qh_skip_string(const char *i, const char *end) {
  for (i++; (i = qh_plain(i, end)) < end && *i != '"'; i++)
    if (*i == '\\') i++;
  return i < end ? i + 1 : end;
}

/* qh_skip returns the place behind the value at i. */
static const char *qh_skip(const char *i, const char *end) {
  qh_u32 depth = 0;
  if (i < end && *i != '"' && *i != '{' && *i != '[') {
    while (i < end && *i != ',' && *i != '}' && *i != ']' && !qh_space(*i)) i++;
    return i;
  }
  while (i < end) {
    char c = *i;
    if (c == '"') {
      i = qh_skip_string(i, end);
      if (!depth) return i;
      continue;
    }
    i++;
    c |= 0x20; /* { is [ with this bit, } is ] */
    if (c == '{') depth++;
    else if (c == '}' && --depth == 0) return i;
    else if (end - i >= 8) { /* to the next string or bracket */
      qh_u64 w = qh_word(i), low = w | QH_ALL(0x20), mark = QH_IS(w, '"') | QH_IS(low, '{') | QH_IS(low, '}');
      i += mark ? __builtin_ctzll(mark) >> 3 : 8;
    }
  }
  return end;
}

/* qh_kind is 'n'ull, 'b'oolean, '0' for a number, '"', '[', '{', or 0 for nothing. */
static char qh_kind(qh_str v) {
  if (!v.p || !v.n) return 0;
  switch (v.p[0]) {
  case 'n': case '"': case '[': case '{': return v.p[0];
  case 't': case 'f': return 'b';
  }
  return '0';
}

static qh_str qh_kind_name(qh_str v) {
  switch (qh_kind(v)) {
  case 0: return QH_S("nothing");
  case 'n': return QH_S("null");
  case 'b': return QH_S("a boolean");
  case '"': return QH_S("a string");
  case '[': return QH_S("an array");
  case '{': return QH_S("an object");
  }
  return QH_S("a number");
}

/* qh_iter goes through an array or an object:
 *   for (qh_iter it = qh_each(list); qh_next(&it);) use(it.key, it.value); */
typedef struct { const char *at, *end; int object; qh_u32 index; qh_str key, value; } qh_iter;

static qh_iter qh_each(qh_str v) {
  char k = qh_kind(v);
  if (k != '[' && k != '{') v.n = 0;
  return (qh_iter){v.p + 1, v.p + v.n, k == '{', QH_BAD, {0, 0}, {0, 0}};
}

/* qh_next steps on; key is a JSON string as it was written, of an object. */
static int qh_next(qh_iter *it) {
  const char *i = qh_skip_space(it->at, it->end), *end = it->end, *behind;
  if (i >= end || *i == ']' || *i == '}') return 0;
  if (it->object) {
    behind = qh_skip_string(i, end);
    it->key = (qh_str){i, (qh_u32)(behind - i)};
    i = qh_skip_space(qh_skip_space(behind, end) + 1, end);
  }
  behind = qh_skip(i, end);
  it->value = (qh_str){i, (qh_u32)(behind - i)};
  it->index++;
  it->at = qh_skip_space(behind, end) + 1;
  return 1;
}

static qh_u32 qh_len(qh_str v) {
  qh_u32 n = 0;
  for (qh_iter it = qh_each(v); qh_next(&it);) n++;
  return n;
}

static qh_u32 qh_put_rune(char *out, qh_u32 r) {
  if (r < 0x80) { out[0] = (char)r; return 1; }
  if (r < 0x800) { out[0] = (char)(0xc0 | r >> 6); out[1] = (char)(0x80 | (r & 63)); return 2; }
  if (r < 0x10000) {
    out[0] = (char)(0xe0 | r >> 12); out[1] = (char)(0x80 | (r >> 6 & 63)); out[2] = (char)(0x80 | (r & 63));
    return 3;
  }
  out[0] = (char)(0xf0 | r >> 18); out[1] = (char)(0x80 | (r >> 12 & 63));
  out[2] = (char)(0x80 | (r >> 6 & 63)); out[3] = (char)(0x80 | (r & 63));
  return 4;
}

/* qh_string is the text of a JSON string, escapes undone; of anything else
 * what was written. */
static qh_str qh_string(qh_str v) {
  if (qh_kind(v) != '"') return v;
  qh_str in = {v.p + 1, v.n - 2};
  qh_u32 i = 0;
  while (i < in.n && in.p[i] != '\\') i++;
  if (i == in.n) return in;
  char *out = qh_take(in.n * 3 / 2 + 3); /* \u0800 is six bytes and becomes three */
  qh_u32 n = 0;
  for (i = 0; i < in.n; i++) {
    qh_u32 r, low;
    if (in.p[i] != '\\' || i + 1 >= in.n) { out[n++] = in.p[i]; continue; }
    switch (in.p[++i]) {
    case 'b': out[n++] = '\b'; continue;
    case 'f': out[n++] = '\f'; continue;
    case 'n': out[n++] = '\n'; continue;
    case 'r': out[n++] = '\r'; continue;
    case 't': out[n++] = '\t'; continue;
    case 'u': break;
    default: out[n++] = in.p[i]; continue;
    }
    if (i + 5 > in.n || !qh_hex4(in.p + i + 1, &r)) continue;
    i += 4;
    if (r >= 0xd800 && r < 0xe000) {
      if (r < 0xdc00 && i + 7 <= in.n && in.p[i + 1] == '\\' && in.p[i + 2] == 'u' &&
          qh_hex4(in.p + i + 3, &low) && low >= 0xdc00 && low < 0xe000) {
        r = 0x10000 + ((r - 0xd800) << 10) + (low - 0xdc00);
        i += 6;
      } else {
        r = 0xfffd;
      }
    }
    n += qh_put_rune(out + n, r);
  }
  return (qh_str){out, n};
}

/* qh_names says whether a JSON string, as it was written, is this text. */
static int qh_names(qh_str quoted, qh_str text) {
  if (quoted.n < 2 || quoted.n - 2 < text.n) return 0; /* an escape is longer than what it stands for */
  const char *raw = quoted.p + 1;
  qh_u32 n = quoted.n - 2, i = 0;
  while (i < text.n && raw[i] == text.p[i] && raw[i] != '\\') i++;
  if (i == n) return 1;
  if (i == text.n || raw[i] != '\\') return 0;
  qh_u32 top = qh_top; /* what is unescaped here is not kept */
  int same = qh_same(qh_string(quoted), text);
  qh_top = top;
  return same;
}

/* qh_member finds a member of an object; of several with one name the last. */
static qh_str qh_member(qh_str v, qh_str name) {
  qh_str found = {0, 0};
  if (qh_kind(v) != '{') return found;
  for (qh_iter it = qh_each(v); qh_next(&it);)
    if (qh_names(it.key, name)) found = it.value;
  return found;
}

/* qh_pick finds several members at once, each as qh_member does. */
static void qh_pick(qh_str v, const qh_str *names, qh_u32 n, qh_str *found) {
  for (qh_u32 i = 0; i < n; i++) found[i] = QH_NONE;
  if (!n || qh_kind(v) != '{') return;
  for (qh_iter it = qh_each(v); qh_next(&it);)
    for (qh_u32 i = 0; i < n; i++)
      if (qh_names(it.key, names[i])) found[i] = it.value;
}

static qh_str qh_get(qh_str v, const char *name) { return qh_member(v, qh_text(name)); }

static qh_str qh_index(qh_str v, qh_u32 index) {
  if (qh_kind(v) == '[')
    for (qh_iter it = qh_each(v); qh_next(&it);)
      if (it.index == index) return it.value;
  return QH_NONE;
}

/* qh_at follows a JSON Pointer (RFC 6901). */
static qh_str qh_at(qh_str v, qh_str pointer) {
  qh_u32 i = 0;
  while (i < pointer.n && v.p) {
    if (pointer.p[i] != '/') return QH_NONE;
    char *token = qh_take(pointer.n);
    qh_u32 n = 0, index = 0, digits = 1;
    for (i++; i < pointer.n && pointer.p[i] != '/'; i++) {
      char c = pointer.p[i];
      if (qh_digit(c)) index = index * 10 + (qh_u32)(c - '0');
      else digits = 0;
      if (c == '~' && i + 1 < pointer.n && (pointer.p[i + 1] == '0' || pointer.p[i + 1] == '1'))
        c = pointer.p[++i] == '0' ? '~' : '/';
      token[n++] = c;
    }
    if (qh_kind(v) == '[') {
      if (!digits || n == 0 || n > 9 || (token[0] == '0' && n > 1)) return QH_NONE;
      v = qh_index(v, index);
    } else {
      v = qh_member(v, (qh_str){token, n});
    }
  }
  return v;
}

/* qh_token writes a name as it stands in a JSON Pointer. */
static qh_str qh_token(qh_str name) {
  char *out = qh_take(name.n * 2);
  qh_u32 n = 0;
  for (qh_u32 i = 0; i < name.n; i++) {
    char c = name.p[i];
    if (c == '~' || c == '/') { out[n++] = '~'; c = c == '~' ? '0' : '1'; }
    out[n++] = c;
  }
  return (qh_str){out, n};
}

/* qh_quote writes a JSON string with its quotes, of UTF-8. */
static qh_str qh_quote(qh_str s) {
  static const char hex[] = "0123456789abcdef";
  char *out = qh_take(s.n * 6 + 2);
  qh_u32 n = 0;
  out[n++] = '"';
  for (qh_u32 i = 0; i < s.n; i++) {
    qh_u8 c = (qh_u8)s.p[i];
    if (c == '"' || c == '\\') { out[n++] = '\\'; out[n++] = (char)c; }
    else if (c == '\n') { out[n++] = '\\'; out[n++] = 'n'; }
    else if (c < 0x20) {
      qh_copy(out + n, "\\u00", 4);
      out[n + 4] = hex[c >> 4];
      out[n + 5] = hex[c & 15];
      n += 6;
    } else out[n++] = (char)c;
  }
  out[n++] = '"';
  return (qh_str){out, n};
}

/* qh_count is a whole number up to 999999999; otherwise, if it is none. */
static qh_u32 qh_count(qh_str v, qh_u32 otherwise) {
  qh_u32 out = 0;
  if (qh_kind(v) != '0' || v.n > 9) return otherwise;
  for (qh_u32 i = 0; i < v.n; i++) {
    if (!qh_digit(v.p[i])) return otherwise;
    out = out * 10 + (qh_u32)(v.p[i] - '0');
  }
  return out;
}

/* ---- what a hook reads */

/* qh_body_text is the body, of whatever kind. */
static qh_str qh_body_text(void) { return qh_body_in; }

/* qh_meta is the whole meta document: qh_get(qh_meta(), "task"). */
static qh_str qh_meta(void) { return qh_meta_doc; }

/* qh_json is the body as JSON; there is none when it is something else. */
static qh_str qh_json(void) {
  if (qh_parsed) return qh_json_value;
  const char *end = qh_body_in.p + qh_body_in.n;
  const char *start = qh_skip_space(qh_body_in.p, end), *behind = qh_scan_value(start, end);
  if (behind && qh_skip_space(behind, end) < end)
    behind = qh_bad(qh_skip_space(behind, end), end, "more text after the value");
  qh_parsed = behind ? 1 : -1;
  if (behind) qh_json_value = (qh_str){start, (qh_u32)(behind - start)};
  return qh_json_value;
}

/* ---- what a hook answers */

/* qh_cut shortens a message to the 1 KiB that the host keeps. */
static qh_str qh_cut(qh_str s) {
  if (s.n <= 1024) return s;
  s.n = 1024 - 3;
  while (s.n && ((qh_u8)s.p[s.n] & 0xc0) == 0x80) s.n--; /* not within a character */
  return qh_cat(2, s, QH_S("..."));
}

/* qh_fail: the hook could not do its work. The first one counts. */
static void qh_fail(const char *code, qh_str message) {
  if (qh_failed) return;
  qh_failed = 1;
  qh_out_doc = qh_cat(4, QH_S("{\"code\":"), qh_quote(qh_text(code)), QH_S(",\"message\":"), qh_quote(qh_cut(message)));
}

/* qh_problem_at notes what is wrong with a response; path may be empty. */
static void qh_problem_at(qh_str path, const char *code, qh_str message) {
  if (qh_failed) return;
  if (qh_problems == 31) { qh_more++; return; }
  qh_str one = qh_cat(5, qh_problems++ ? QH_S(",") : QH_S(""), QH_S("{\"code\":"), qh_quote(qh_text(code)),
                      QH_S(",\"message\":"), qh_quote(qh_cut(message)));
  if (path.n) one = qh_cat(3, one, QH_S(",\"path\":"), qh_quote(path));
  qh_out_doc = qh_cat(3, qh_out_doc, one, QH_S("}"));
}

static void qh_problem(const char *path, const char *code, const char *message) {
  qh_problem_at(qh_text(path), code, qh_text(message));
}

/* qh_retry: another attempt may end better. */
static void qh_retry(void) { qh_retry_on = 1; }

/* qh_body is the new body. */
static void qh_body(qh_str body) {
  if (!qh_failed) qh_out_doc = body;
}

/* qh_not_json says where the body stops being JSON: a problem for a validator,
 * the failure of a transformer. It returns whether there was something to say. */
static int qh_not_json(int validating) {
  qh_json();
  if (qh_parsed == 1) return 0;
  qh_str text = qh_cat(4, QH_S("the body is not JSON: "), qh_text(qh_bad_reason), QH_S(" at byte "), qh_number((qh_u32)(qh_bad_place - qh_body_in.p)));
  if (validating) qh_problem_at(QH_S(""), "not_json", text);
  else qh_fail("not_json", text);
  return 1;
}

/* ---- log: level 0 debug, 1 info, 2 warning, 3 error */

__attribute__((import_module("qarion"), import_name("log")))
void qh_host_log(int level, const char *p, qh_u32 n);

#define qh_log(level, text) do { qh_str qh_line = (text); qh_host_log((level), qh_line.p, qh_line.n); } while (0)

/* ---- configuration: a wrong kind is a failure that names the key */

static void qh_config_wrong(const char *key, const char *want, qh_str have) {
  char k = qh_kind(have);
  qh_fail("config", qh_cat(6, *key ? QH_S("config.") : QH_S("config"), qh_text(key), QH_S(": want "), qh_text(want), QH_S(", have "),
                           k == '0' || k == 'b' ? have : qh_kind_name(have)));
}

/* The configuration is read once: its first members, with their names as they were
 * written. */
#define QH_SETTINGS 32
static struct { qh_str key, value; } qh_settings[QH_SETTINGS];
static qh_u32 qh_setting_count; /* QH_BAD: not read yet; QH_SETTINGS: there may be more */

static void qh_read_config(void) {
  if (qh_setting_count != QH_BAD) return;
  qh_setting_count = 0;
  if (qh_kind(qh_cfg) != '{') return;
  for (qh_iter it = qh_each(qh_cfg); qh_setting_count < QH_SETTINGS && qh_next(&it); qh_setting_count++)
    qh_settings[qh_setting_count].key = it.key, qh_settings[qh_setting_count].value = it.value;
}

static qh_str qh_config(const char *key) {
  qh_str v = QH_NONE, name = qh_text(key);
  qh_read_config();
  if (qh_setting_count == QH_SETTINGS) v = qh_member(qh_cfg, name);
  else
    for (qh_u32 i = 0; i < qh_setting_count; i++)
      if (qh_names(qh_settings[i].key, name)) v = qh_settings[i].value;
  return qh_kind(v) == 'n' ? QH_NONE : v;
}

static qh_str qh_config_text(const char *key, const char *otherwise) {
  qh_str v = qh_config(key);
  if (!v.p) return qh_text(otherwise);
  if (qh_kind(v) != '"') qh_config_wrong(key, "a string", v);
  return qh_string(v);
}

static int qh_config_bool(const char *key, int otherwise) {
  qh_str v = qh_config(key);
  if (!v.p) return otherwise;
  if (qh_kind(v) != 'b') qh_config_wrong(key, "a boolean", v);
  return v.p[0] == 't';
}

static qh_u32 qh_config_count(const char *key, qh_u32 otherwise) {
  qh_str v = qh_config(key);
  if (!v.p) return otherwise;
  qh_u32 n = qh_count(v, QH_BAD);
  if (n == QH_BAD) qh_config_wrong(key, "a whole number", v);
  return n;
}

/* qh_config_keys fails for a key that is not in the list, so that a spelling
 * mistake does not pass for the default: qh_config_keys("at, error"). */
static void qh_config_keys(const char *known) {
  qh_str list = qh_text(known);
  char kind = qh_kind(qh_cfg);
  if (kind && kind != 'n' && kind != '{') qh_config_wrong("", "an object", qh_cfg);
  for (qh_iter it = qh_each(kind == '{' ? qh_cfg : QH_NONE); qh_next(&it);) {
    qh_str key = qh_string(it.key);
    int found = 0;
    for (qh_u32 from = 0, i = 0; i <= list.n; i++) {
      if (i < list.n && list.p[i] != ',') continue;
      if ((found = qh_same((qh_str){list.p + from, i - from}, key))) break;
      from = i + 2;
    }
    if (!found) qh_fail("config", qh_cat(4, QH_S("config: unknown key "), key, QH_S("; known are "), list));
  }
}

/* qh_secret is a secret that the flow gives this hook; without it the hook
 * fails, and says how to give it. */
static qh_str qh_secret(qh_str name) {
  qh_str v = qh_member(qh_get(qh_meta_doc, "secrets"), name);
  if (qh_kind(v) == '"') return qh_string(v);
  qh_fail("no_secret", qh_cat(3, QH_S("the flow does not give this hook the secret "), name,
                              QH_S(": name it in the hook's list secrets")));
  return QH_NONE;
}

/* ---- the exports */

#define QH_EXPORT(name) __attribute__((export_name(name), used))

QH_EXPORT("qarion_abi_version") qh_u32 qh_abi_version(void) { return 1u << 16; }

QH_EXPORT("qarion_alloc") void *qh_alloc(qh_u32 n) {
  qh_u32 base = ((qh_u32)&__heap_base + 7) & ~7u;
  if (n > qh_in_cap) {
    qh_u32 cap = n < 4096 ? 4096 : n;
    if (base + cap < base || !qh_reach(base + cap)) return 0;
    qh_in_cap = cap;
  }
  return (void *)base;
}

static void qh_begin(const char *p, qh_u32 meta_len, qh_u32 body_len) {
  qh_top = (((qh_u32)&__heap_base + 7) & ~7u) + qh_in_cap;
  qh_meta_doc = (qh_str){p, meta_len};
  qh_body_in = (qh_str){p + meta_len, body_len};
  qh_cfg = qh_get(qh_meta_doc, "config");
  qh_out_doc = qh_json_value = QH_NONE;
  qh_failed = qh_retry_on = qh_parsed = 0;
  qh_problems = qh_more = 0;
  qh_setting_count = QH_BAD;
}

static qh_u64 qh_give(void) {
  return (qh_u64)(qh_u32)qh_out_doc.p << 32 | (qh_u64)(qh_failed != 0) << 31 | qh_out_doc.n;
}

static void qh_close(void) {
  qh_out_doc = qh_cat(2, qh_out_doc, qh_retry_on ? QH_S(",\"retry\":true}") : QH_S("}"));
}

static qh_u64 qh_end_validate(void) {
  if (qh_more) {
    qh_str text = qh_cat(3, QH_S("and "), qh_number(qh_more), QH_S(" more"));
    qh_out_doc = qh_cat(4, qh_out_doc, QH_S(",{\"code\":\"more\",\"message\":"), qh_quote(text), QH_S("}"));
  }
  if (qh_failed) qh_close();
  else if (qh_problems) {
    qh_out_doc = qh_cat(3, QH_S("{\"ok\":false,\"errors\":["), qh_out_doc, QH_S("]"));
    qh_close();
  } else return 0;
  return qh_give();
}

static qh_u64 qh_end_transform(void) {
  if (qh_failed) qh_close();
  return qh_give();
}

#define QH_VALIDATE(check)                                                                     \
  QH_EXPORT("qarion_validate") qh_u64 qh_run(const char *p, qh_u32 meta_len, qh_u32 body_len) { \
    qh_begin(p, meta_len, body_len);                                                           \
    check();                                                                                   \
    return qh_end_validate();                                                                  \
  }

#define QH_TRANSFORM(change)                                                                    \
  QH_EXPORT("qarion_transform") qh_u64 qh_run(const char *p, qh_u32 meta_len, qh_u32 body_len) { \
    qh_begin(p, meta_len, body_len);                                                            \
    change();                                                                                   \
    return qh_end_transform();                                                                  \
  }

#endif

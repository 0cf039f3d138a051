//! What a hook in Rust is written with (qarion-hook/1, see docs/hooks.md). No
//! other crate is needed:
//!
//! ```text
//! mod qarion_hook;
//! use qarion_hook::*;
//!
//! fn check(r: &Call) -> Result<(), Error> {
//!     if r.json()?.get("items").len() == 0 {
//!         return Err(problem("/items", "too_few_items", "an order without items"));
//!     }
//!     Ok(())
//! }
//! validate!(check);
//! ```
//!
//! A hook is one function, given to `validate!` or `transform!`. A validator
//! returns what is wrong with the response (`problem`, or a `Verdict` of many),
//! a transformer the new body, or None to leave it as it is. In both, `failure`
//! says that the hook could not do its work.
//!
//! A panic is a trap: the instance is dropped, and the error of the task has the
//! message of the panic with file and line.
#![allow(dead_code)]

use std::borrow::Cow;

// ---- errors

/// One thing that is wrong with a response.
pub struct Problem {
    pub path: String, // a JSON Pointer; may be empty
    pub code: String,
    pub message: String,
}

/// What a hook answers when all is not well.
pub enum Error {
    Invalid(Verdict),
    Failure { code: String, message: String, retry: bool },
}

/// A response that is not as it should be.
pub fn problem(path: &str, code: &str, message: &str) -> Error {
    let mut v = Verdict::default();
    v.add(path, code, message);
    Error::Invalid(v)
}

/// The hook could not do its work.
pub fn failure(code: &str, message: &str) -> Error {
    Error::Failure { code: code.into(), message: message.into(), retry: false }
}

/// Collects problems, so that one run shows all of them.
#[derive(Default)]
pub struct Verdict {
    problems: Vec<Problem>,
    more: u32,
    /// Another attempt may end better.
    pub retry: bool,
}

impl Verdict {
    /// Notes a problem. After 31 of them the others are counted.
    pub fn add(&mut self, path: &str, code: &str, message: &str) {
        if self.problems.len() == 31 {
            self.more += 1;
            return;
        }
        self.problems.push(Problem { path: path.into(), code: code.into(), message: message.into() });
    }

    /// The end of a validator: fine when nothing was noted.
    pub fn end(self) -> Result<(), Error> {
        if self.problems.is_empty() { Ok(()) } else { Err(Error::Invalid(self)) }
    }
}

// ---- JSON, read where it lies

/// What a value is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind { Missing, Null, Bool, Number, Text, Array, Object }

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Missing => "nothing",
            Kind::Null => "null",
            Kind::Bool => "a boolean",
            Kind::Number => "a number",
            Kind::Text => "a string",
            Kind::Array => "an array",
            Kind::Object => "an object",
        }
    }
}

/// A JSON value as it was written: no copy, no tree. What is asked of a missing
/// value is missing or empty.
#[derive(Clone, Copy)]
pub struct Value<'a> { pub raw: &'a [u8] }

pub const MISSING: Value<'static> = Value { raw: &[] };

/// Checks a whole document (RFC 8259). The error says where it ends to be JSON.
pub fn parse(doc: &[u8]) -> Result<Value<'_>, String> {
    let mut s = Scan { b: doc, reason: "", place: 0 };
    let start = skip_space(doc, 0);
    let end = s.value(start);
    if end != BAD {
        let behind = skip_space(doc, end);
        if behind < doc.len() { s.bad(behind, "more text after the value"); }
    }
    if s.reason.is_empty() { Ok(Value { raw: &doc[start..end] }) } else { Err(format!("{} at byte {}", s.reason, s.place)) }
}

impl<'a> Value<'a> {
    pub fn kind(self) -> Kind {
        match self.raw.first() {
            None => Kind::Missing,
            Some(b'n') => Kind::Null,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'"') => Kind::Text,
            Some(b'[') => Kind::Array,
            Some(b'{') => Kind::Object,
            _ => Kind::Number,
        }
    }

    pub fn exists(self) -> bool { !self.raw.is_empty() }

    /// A member of an object; of several with one name the last.
    pub fn get(self, name: &str) -> Value<'a> {
        if self.kind() != Kind::Object { return MISSING; }
        self.entries().filter(|(key, _)| same(key, name)).last().map_or(MISSING, |(_, v)| v)
    }

    /// Finds several members at once, each as get does.
    pub fn pick(self, names: &[impl AsRef<str>], found: &mut [Value<'a>]) {
        found.fill(MISSING);
        if names.is_empty() || self.kind() != Kind::Object { return; }
        for (key, v) in self.entries() {
            for (name, found) in names.iter().zip(found.iter_mut()) {
                if same(key, name.as_ref()) { *found = v; }
            }
        }
    }

    pub fn index(self, i: usize) -> Value<'a> { self.items().nth(i).unwrap_or(MISSING) }

    /// Follows a JSON Pointer (RFC 6901).
    pub fn at(self, pointer: &str) -> Value<'a> {
        let mut v = self;
        let mut tokens = pointer.split('/');
        if tokens.next() != Some("") { return MISSING; } // "" or what stands before the first slash
        for token in tokens {
            v = match v.kind() {
                Kind::Array => array_index(token).map_or(MISSING, |i| v.index(i)),
                _ if token.contains('~') => v.get(&token.replace("~1", "/").replace("~0", "~")),
                _ => v.get(token),
            };
        }
        v
    }

    /// How many elements or members there are.
    pub fn len(self) -> usize { self.entries().count() }

    /// The elements of an array.
    pub fn items(self) -> impl Iterator<Item = Value<'a>> {
        let v = if self.kind() == Kind::Array { self } else { MISSING };
        v.entries().map(|(_, v)| v)
    }

    /// The members of an object, names unescaped.
    pub fn members(self) -> impl Iterator<Item = (Cow<'a, str>, Value<'a>)> {
        let v = if self.kind() == Kind::Object { self } else { MISSING };
        v.entries().map(|(key, v)| (unquote(key), v))
    }

    fn entries(self) -> Entries<'a> {
        match self.kind() {
            Kind::Array | Kind::Object => Entries { b: self.raw, i: 1 },
            _ => Entries { b: &[], i: 0 },
        }
    }

    /// The text of a string; of anything else what was written.
    pub fn text(self) -> Cow<'a, str> {
        if self.kind() == Kind::Text { unquote(self.raw) } else { String::from_utf8_lossy(self.raw) }
    }

    pub fn is(self, s: &str) -> bool { self.kind() == Kind::Text && same(self.raw, s) }
}

/// Entries goes through an array or an object; keys as they were written, of an
/// object.
struct Entries<'a> { b: &'a [u8], i: usize }

impl<'a> Iterator for Entries<'a> {
    type Item = (&'a [u8], Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let b = self.b;
        let mut i = skip_space(b, self.i);
        if i >= b.len() || b[i] == b']' || b[i] == b'}' { return None; }
        let mut key: &[u8] = &[];
        if b[0] == b'{' {
            let end = skip_string(b, i);
            key = &b[i..end];
            i = skip_space(b, skip_space(b, end) + 1);
        }
        let end = skip(b, i);
        self.i = skip_space(b, end) + 1;
        Some((key, Value { raw: b.get(i..end)? }))
    }
}

fn array_index(token: &str) -> Option<usize> {
    let digits = token.bytes().all(|c| c.is_ascii_digit()) && token.len() <= 9;
    if !digits || token.starts_with('0') && token.len() > 1 { return None; }
    token.parse().ok()
}

/// Writes a name as it stands in a JSON Pointer.
pub fn pointer_token(name: &str) -> String { name.replace('~', "~0").replace('/', "~1") }

/// Compares a JSON string with a text.
#[inline(always)]
fn same(quoted: &[u8], s: &str) -> bool {
    let (raw, s) = (inner(quoted), s.as_bytes());
    if raw.len() < s.len() { return false; } // an escape is longer than what it stands for
    match (raw.first(), s.first()) {
        (Some(r), Some(c)) if r != c && *r != b'\\' => false,
        _ => same_text(quoted, raw, s),
    }
}

fn same_text(quoted: &[u8], raw: &[u8], s: &[u8]) -> bool {
    let at = raw.iter().zip(s).position(|(r, c)| *r == b'\\' || r != c).unwrap_or(s.len());
    match raw.get(at) {
        None => true,
        Some(b'\\') if at < s.len() => unquote(quoted).as_bytes() == s,
        _ => false,
    }
}

fn inner(quoted: &[u8]) -> &[u8] { if quoted.len() < 2 { &[] } else { &quoted[1..quoted.len() - 1] } }

fn unquote(quoted: &[u8]) -> Cow<'_, str> {
    let b = inner(quoted);
    if !b.contains(&b'\\') { return String::from_utf8_lossy(b); }
    let mut out = Vec::with_capacity(b.len());
    let mut i = 0;
    while i < b.len() {
        if b[i] != b'\\' || i + 1 >= b.len() {
            out.push(b[i]);
            i += 1;
            continue;
        }
        i += 2;
        let c = match b[i - 1] {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => unescape_u(b, &mut i),
            c => c as char,
        };
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

/// Reads the digits behind \u at i, and the second half of a pair. Half a pair
/// is U+FFFD.
fn unescape_u(b: &[u8], i: &mut usize) -> char {
    let high = match Hex4::of(b, *i) {
        Some(high) => high,
        None => return '\u{fffd}',
    };
    *i += 4;
    if b[*i..].starts_with(b"\\u") && (0xd800..0xdc00).contains(&high) {
        if let Some(low @ 0xdc00..=0xdfff) = Hex4::of(b, *i + 2) {
            *i += 6;
            return char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)).unwrap_or('\u{fffd}');
        }
    }
    char::from_u32(high).unwrap_or('\u{fffd}')
}

struct Hex4;

impl Hex4 {
    fn of(b: &[u8], i: usize) -> Option<u32> {
        b.get(i..i + 4)?.iter().try_fold(0, |r, c| Some(r << 4 | (*c as char).to_digit(16)?))
    }
}

/// A JSON string with its quotes.
pub fn quote(s: &str) -> String {
    let mut out = String::with_capacity(s.len() + 2);
    out.push('"');
    for c in s.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c if c < ' ' => {
                out.push_str("\\u00");
                out.extend([c as u32 >> 4, c as u32 & 15].map(|d| char::from_digit(d, 16).unwrap_or('0')));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn is_space(c: u8) -> bool { matches!(c, b' ' | b'\n' | b'\t' | b'\r') }

#[inline(always)]
fn skip_space(b: &[u8], mut i: usize) -> usize {
    while i < b.len() && b[i] <= b' ' && is_space(b[i]) { i += 1; }
    i
}

// Text is read eight bytes at a time: below marks the bytes of a word that are below
// c (at most 0x80), equal those that are c, each in its highest bit. The lowest mark
// is exact, those above may be wrong.
const fn all(c: u8) -> u64 { 0x0101_0101_0101_0101 * c as u64 }
fn below(w: u64, c: u8) -> u64 { w.wrapping_sub(all(c)) & !w & all(0x80) }
fn equal(w: u64, c: u8) -> u64 { below(w ^ all(c), 1) }

/// The place of the first byte from i on that mark marks, or one of the last seven.
#[inline(always)]
fn find(b: &[u8], mut i: usize, mark: impl Fn(u64) -> u64) -> usize {
    while let Some(w) = b.get(i..i + 8) {
        let m = mark(u64::from_le_bytes(w.try_into().unwrap()));
        if m != 0 { return i + (m.trailing_zeros() >> 3) as usize; }
        i += 8;
    }
    i
}

/// The first byte of a string from i on that does not stand there as it is.
fn plain(b: &[u8], i: usize) -> usize { find(b, i, |w| equal(w, b'"') | equal(w, b'\\') | below(w, 0x20)) }

/// The next string or bracket from i on.
fn structure(b: &[u8], i: usize) -> usize {
    find(b, i, |w| equal(w, b'"') | equal(w | all(0x20), b'{') | equal(w | all(0x20), b'}'))
}

/// The place behind the string at i, of a document that was checked.
fn skip_string(b: &[u8], mut i: usize) -> usize {
    i += 1;
    loop {
        i = plain(b, i);
        if i >= b.len() { return b.len(); }
        match b[i] {
            b'"' => return i + 1,
            b'\\' => i += 2,
            _ => i += 1,
        }
    }
}

/// The place behind the value at i, of a document that was checked.
fn skip(b: &[u8], mut i: usize) -> usize {
    let mut depth = 0;
    while i < b.len() {
        match b[i] {
            b'"' => {
                i = skip_string(b, i);
                if depth == 0 { return i; }
                continue;
            }
            b'{' | b'[' => { depth += 1; i += 1; continue; }
            b'}' | b']' => depth -= 1,
            _ if depth > 0 => { i = structure(b, i + 1); continue; }
            _ => {
                while i < b.len() && !matches!(b[i], b',' | b'}' | b']' | 0..=b' ') { i += 1; }
                return i;
            }
        }
        i += 1;
        if depth == 0 { break; }
    }
    i.min(b.len())
}

const MAX_DEPTH: usize = 1000;

/// Scan checks a document. It is a loop, not a recursion: the stack of a module
/// is short. Its functions return the place behind what they scanned, or BAD.
struct Scan<'a> { b: &'a [u8], reason: &'static str, place: usize }

const BAD: usize = usize::MAX;

impl<'a> Scan<'a> {
    #[cold]
    fn bad(&mut self, i: usize, reason: &'static str) -> usize {
        self.reason = if i >= self.b.len() { "the text ends early" } else { reason };
        self.place = i.min(self.b.len());
        BAD
    }

    /// The byte at i, 0 at the end.
    #[inline(always)]
    fn at(&self, i: usize) -> u8 { self.b.get(i).copied().unwrap_or(0) }

    fn value(&mut self, mut i: usize) -> usize {
        let mut open: Vec<u8> = Vec::new(); // the closing bracket of all that is open
        loop {
            i = skip_space(self.b, i);
            i = match self.at(i) {
                b'"' => self.string(i),
                c @ (b'{' | b'[') => {
                    let closing = c + 2; // as ASCII has it, for both kinds
                    if open.len() == MAX_DEPTH { return self.bad(i, "nested too deep"); }
                    i = skip_space(self.b, i + 1);
                    if self.at(i) != closing {
                        open.push(closing);
                        if closing == b'}' { i = self.name(i); }
                        if i == BAD { return BAD; }
                        continue;
                    }
                    i + 1
                }
                b'-' | b'0'..=b'9' => self.number(i),
                b't' => self.word(i, b"true"),
                b'f' => self.word(i, b"false"),
                b'n' => self.word(i, b"null"),
                _ => self.bad(i, "no value"),
            };
            if i == BAD { return BAD; }
            let closing = loop { // behind a value
                let closing = match open.last() {
                    Some(&closing) => closing,
                    None => return i,
                };
                i = skip_space(self.b, i);
                if self.at(i) != closing { break closing; }
                i += 1;
                open.pop();
            };
            if self.at(i) != b',' { return self.bad(i, "no comma and no closing bracket"); }
            i += 1;
            if closing == b'}' { i = self.name(i); }
            if i == BAD { return BAD; }
        }
    }

    fn name(&mut self, i: usize) -> usize {
        let i = skip_space(self.b, i);
        if self.at(i) != b'"' { return self.bad(i, "no name of a member"); }
        let i = self.string(i);
        if i == BAD { return BAD; }
        let i = skip_space(self.b, i);
        if self.at(i) != b':' { return self.bad(i, "no colon after a name"); }
        i + 1
    }

    fn string(&mut self, mut i: usize) -> usize {
        i += 1;
        loop {
            i = plain(self.b, i);
            if i >= self.b.len() { return self.bad(self.b.len(), ""); }
            match self.b[i] {
                b'"' => return i + 1,
                b'\\' => {
                    i += 1;
                    match self.at(i) {
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                        b'u' if Hex4::of(self.b, i + 1).is_some() => i += 4,
                        _ => return self.bad(i, "an unknown escape"),
                    }
                }
                0..=0x1f => return self.bad(i, "a control character in a string"),
                _ => {}
            }
            i += 1;
        }
    }

    #[inline(always)]
    fn number(&mut self, mut i: usize) -> usize {
        if self.at(i) == b'-' { i += 1; }
        i = if self.at(i) == b'0' { i + 1 } else { self.digits(i) };
        if self.at(i) == b'.' { i = self.digits(i + 1); }
        if matches!(self.at(i), b'e' | b'E') {
            i += 1;
            if matches!(self.at(i), b'+' | b'-') { i += 1; }
            i = self.digits(i);
        }
        i
    }

    fn digits(&mut self, mut i: usize) -> usize {
        if !self.at(i).is_ascii_digit() { return self.bad(i, "a digit is missing"); }
        while self.at(i).is_ascii_digit() { i += 1; }
        i
    }

    fn word(&mut self, i: usize, w: &[u8]) -> usize {
        if self.b[i..].starts_with(w) { i + w.len() } else { self.bad(i, "an unknown word") }
    }
}

// ---- the call

/// What a hook gets.
pub struct Call<'a> {
    pub meta: Value<'a>,
    pub body: &'a [u8],
    pub config: Value<'a>,
    settings: Vec<(&'a [u8], Value<'a>)>, // the members of config, names as they were written
}

impl<'a> Call<'a> {
    fn new(meta: Value<'a>, body: &'a [u8]) -> Self {
        let config = meta.get("config");
        let members = if config.kind() == Kind::Object { config } else { MISSING };
        Call { meta, body, config, settings: members.entries().collect() }
    }

    /// A member of config, as get finds it.
    fn setting(&self, key: &str) -> Value<'a> {
        self.settings.iter().rev().find(|(name, _)| same(name, key)).map_or(MISSING, |(_, v)| *v)
    }

    /// The body as JSON; the error says where it ends to be JSON.
    pub fn json(&self) -> Result<Value<'a>, Error> {
        parse(self.body).map_err(|e| problem("", "not_json", &format!("the body is not JSON: {e}")))
    }

    /// A secret that the flow gives this hook.
    pub fn secret(&self, name: &str) -> Result<Cow<'a, str>, Error> {
        let v = self.meta.get("secrets").get(name);
        if v.kind() == Kind::Text { return Ok(v.text()); }
        Err(failure("no_secret", &format!(
            "the flow does not give this hook the secret {name}: name it in the hook's list secrets")))
    }

    /// Refuses keys of the configuration that are not known, so that a spelling
    /// mistake does not pass for the default.
    pub fn config_keys(&self, known: &[&str]) -> Result<(), Error> {
        if set(self.config) && self.config.kind() != Kind::Object {
            return Err(wrong("", "an object", self.config));
        }
        for (key, _) in &self.settings {
            if !known.iter().any(|k| same(key, k)) {
                let key = unquote(key);
                return Err(failure("config", &format!("config: unknown key {key}; known are {}", known.join(", "))));
            }
        }
        Ok(())
    }

    pub fn config_text(&self, key: &str, otherwise: &'a str) -> Result<Cow<'a, str>, Error> {
        match self.setting(key) {
            v if !set(v) => Ok(otherwise.into()),
            v if v.kind() == Kind::Text => Ok(v.text()),
            v => Err(wrong(key, "a string", v)),
        }
    }

    pub fn config_bool(&self, key: &str, otherwise: bool) -> Result<bool, Error> {
        match self.setting(key) {
            v if !set(v) => Ok(otherwise),
            v if v.kind() == Kind::Bool => Ok(v.raw == b"true"),
            v => Err(wrong(key, "a boolean", v)),
        }
    }

    pub fn config_count(&self, key: &str, otherwise: usize) -> Result<usize, Error> {
        let v = self.setting(key);
        if !set(v) { return Ok(otherwise); }
        v.text().parse().ok().filter(|_| v.kind() == Kind::Number).ok_or_else(|| wrong(key, "a whole number", v))
    }
}

fn set(v: Value) -> bool { !matches!(v.kind(), Kind::Missing | Kind::Null) }

fn wrong(key: &str, want: &str, have: Value) -> Error {
    let text = match have.kind() {
        Kind::Number | Kind::Bool => have.text(),
        kind => kind.name().into(),
    };
    let dot = if key.is_empty() { "" } else { "." };
    failure("config", &format!("config{dot}{key}: want {want}, have {text}"))
}

// ---- log

#[link(wasm_import_module = "qarion")]
extern "C" {
    #[link_name = "log"]
    fn host_log(level: u32, ptr: *const u8, len: u32);
}

/// Writes a line to the log of the operator: 0 debug, 1 info, 2 warning, 3 error.
pub fn log(level: u32, line: &str) {
    unsafe { host_log(level, line.as_ptr(), line.len() as u32) }
}

// ---- panics

#[link(wasm_import_module = "wasi_snapshot_preview1")]
extern "C" {
    fn fd_write(fd: u32, parts: *const Part, count: u32, written: *mut usize) -> u32;
}

#[repr(C)]
struct Part { at: *const u8, len: usize }

/// Says why and where on standard error, which the host puts into the error.
fn complain(info: &std::panic::PanicInfo) {
    let payload = info.payload();
    let text = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text.as_str(),
        _ => "unknown",
    };
    let (file, line) = info.location().map_or(("", 0), |l| (l.file(), l.line()));
    let all = format!("panic: {text} ({file}:{line})\n");
    unsafe { fd_write(2, &Part { at: all.as_ptr(), len: all.len() }, 1, &mut 0) };
}

// ---- what crosses between module and host

/// The buffers that the host reads and writes. A module is one thread, called
/// once at a time.
pub mod wire {
    use super::*;

    static mut IN: Vec<u8> = Vec::new();
    static mut OUT: Vec<u8> = Vec::new();
    static mut READY: bool = false; // panics are said

    pub fn alloc(n: u32) -> *mut u8 {
        unsafe {
            if !READY { std::panic::set_hook(Box::new(complain)); }
            READY = true;
            let buf = &mut *std::ptr::addr_of_mut!(IN);
            if buf.len() < n as usize || buf.is_empty() {
                *buf = Vec::new();
                *buf = vec![0; (n as usize).max(4096)];
            }
            buf.as_mut_ptr()
        }
    }

    /// # Safety
    /// p has to be what alloc returned, with both lengths within it.
    pub unsafe fn call<'a>(p: *const u8, meta: u32, body: u32) -> Call<'a> {
        let (meta, body) = std::slice::from_raw_parts(p, (meta + body) as usize).split_at(meta as usize);
        Call::new(Value { raw: meta }, body)
    }

    fn give(bytes: Vec<u8>, failed: bool) -> u64 {
        unsafe {
            let out = &mut *std::ptr::addr_of_mut!(OUT);
            *out = bytes;
            (out.as_ptr() as u64) << 32 | (failed as u64) << 31 | out.len() as u64
        }
    }

    pub fn verdict(result: Result<(), Error>) -> u64 {
        match result {
            Ok(()) => 0,
            Err(Error::Invalid(v)) => give(verdict_document(&v).into_bytes(), false),
            Err(Error::Failure { code, message, retry }) => give(failure_document(&code, &message, retry), true),
        }
    }

    pub fn body(result: Result<Option<Vec<u8>>, Error>) -> u64 {
        match result {
            Ok(None) => 0,
            Ok(Some(b)) => give(b, false),
            Err(Error::Failure { code, message, retry }) => give(failure_document(&code, &message, retry), true),
            Err(Error::Invalid(v)) => {
                let first = &v.problems[0];
                give(failure_document(&first.code, &first.message, v.retry), true)
            }
        }
    }

    fn failure_document(code: &str, message: &str, retry: bool) -> Vec<u8> {
        let retry = if retry { ",\"retry\":true" } else { "" };
        format!("{{\"code\":{},\"message\":{}{retry}}}", quote(code), quote(&cut(message))).into_bytes()
    }

    fn verdict_document(v: &Verdict) -> String {
        let mut list: Vec<String> = v.problems.iter().map(problem_document).collect();
        if v.more > 0 {
            list.push(format!("{{\"code\":\"more\",\"message\":\"and {} more\"}}", v.more));
        }
        let retry = if v.retry { ",\"retry\":true" } else { "" };
        format!("{{\"ok\":false,\"errors\":[{}]{retry}}}", list.join(","))
    }

    fn problem_document(p: &Problem) -> String {
        let mut doc = format!("{{\"code\":{},\"message\":{}", quote(&p.code), quote(&cut(&p.message)));
        if !p.path.is_empty() {
            doc += ",\"path\":";
            doc += &quote(&p.path);
        }
        doc + "}"
    }

    /// Shortens a message to the 1 KiB that the host keeps.
    fn cut(message: &str) -> Cow<'_, str> {
        if message.len() <= 1024 { return message.into(); }
        let mut n = 1024 - 3;
        while !message.is_char_boundary(n) { n -= 1; }
        (message[..n].to_string() + "...").into()
    }
}

/// Makes the exports that every hook has.
#[macro_export]
macro_rules! exports {
    () => {
        #[no_mangle]
        pub extern "C" fn qarion_abi_version() -> u32 { 1 << 16 }

        #[no_mangle]
        pub extern "C" fn qarion_alloc(n: u32) -> *mut u8 { $crate::qarion_hook::wire::alloc(n) }
    };
}

/// Makes a module a validator, of a function `fn(&Call) -> Result<(), Error>`.
#[macro_export]
macro_rules! validate {
    ($check:path) => {
        $crate::exports!();

        /// # Safety
        /// Only the host calls it.
        #[no_mangle]
        pub unsafe extern "C" fn qarion_validate(p: *const u8, meta: u32, body: u32) -> u64 {
            $crate::qarion_hook::wire::verdict($check(&$crate::qarion_hook::wire::call(p, meta, body)))
        }
    };
}

/// Makes a module a transformer, of a function
/// `fn(&Call) -> Result<Option<Vec<u8>>, Error>`.
#[macro_export]
macro_rules! transform {
    ($change:path) => {
        $crate::exports!();

        /// # Safety
        /// Only the host calls it.
        #[no_mangle]
        pub unsafe extern "C" fn qarion_transform(p: *const u8, meta: u32, body: u32) -> u64 {
            $crate::qarion_hook::wire::body($change(&$crate::qarion_hook::wire::call(p, meta, body)))
        }
    };
}

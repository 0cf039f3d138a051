// What a hook in AssemblyScript is written with (qarion-hook/1, see
// docs/hooks.md):
//
//   import { begin, endValidate, json, problem } from "./qarion";
//   export { qarion_abi_version, qarion_alloc } from "./qarion";
//
//   export function qarion_validate(p: usize, meta: u32, body: u32): u64 {
//     begin(p, meta, body);
//     if (json().get("items").length == 0) problem("/items", "too_few_items", "an order without items");
//     return endValidate();
//   }
//
// A hook reads with json, body, config, secret and meta; it answers with
// problem (a validator: what is wrong with the response), giveBody or giveText
// (a transformer: the new body) or fail (either: the hook could not do its
// work). Saying nothing means that all is well and unchanged. After fail nothing
// else counts.
//
// It is built with --runtime minimal: begin frees what the last call left.

// ---- JSON, read where it lies

export const enum Kind { Missing, Null, Bool, Number, Text, Array, Object }

function isSpace(c: u8): bool { return c == 0x20 || c == 0x0a || c == 0x09 || c == 0x0d; }
function isDigit(c: u8): bool { return c >= 0x30 && c <= 0x39; }

function skipSpace(i: usize, end: usize): usize {
  while (i < end && isSpace(load<u8>(i))) i++;
  return i;
}

/** The place behind the value at i, of a document that was checked. */
function skip(i: usize, end: usize): usize {
  let depth = 0;
  for (; i < end; i++) {
    let c = load<u8>(i);
    if (c == 0x22) { // a string
      for (i++; i < end && load<u8>(i) != 0x22; i++) if (load<u8>(i) == 0x5c) i++;
    } else if (c == 0x7b || c == 0x5b) { // { [
      depth++;
      continue;
    } else if (c == 0x7d || c == 0x5d) { // } ]
      depth--;
    } else if (depth) {
      continue;
    } else {
      while (i < end) {
        c = load<u8>(i);
        if (c == 0x2c || c == 0x7d || c == 0x5d || isSpace(c)) break;
        i++;
      }
      return i;
    }
    if (!depth) return min(i + 1, end);
  }
  return end;
}

/** A JSON value as it was written: no copy, no tree. What is asked of a missing
 * value is missing or empty. It is good until the hook returns. */
export class Value {
  constructor(public p: usize, public n: u32) {}

  get kind(): Kind {
    if (!this.n) return Kind.Missing;
    switch (load<u8>(this.p)) {
      case 0x6e: return Kind.Null;
      case 0x74: case 0x66: return Kind.Bool;
      case 0x22: return Kind.Text;
      case 0x5b: return Kind.Array;
      case 0x7b: return Kind.Object;
    }
    return Kind.Number;
  }

  get kindName(): string {
    switch (this.kind) {
      case Kind.Missing: return "nothing";
      case Kind.Null: return "null";
      case Kind.Bool: return "a boolean";
      case Kind.Number: return "a number";
      case Kind.Text: return "a string";
      case Kind.Array: return "an array";
    }
    return "an object";
  }

  get exists(): bool { return this.n > 0; }

  /** What was written. */
  get raw(): string { return String.UTF8.decodeUnsafe(this.p, this.n); }

  /** The text of a string; of anything else what was written. */
  get text(): string { return this.kind == Kind.Text ? unquote(this.p + 1, this.p + this.n - 1) : this.raw; }

  /** A whole number up to 999999999; otherwise, if it is none. */
  count(otherwise: i32): i32 {
    if (this.kind != Kind.Number || this.n > 9) return otherwise;
    let out = 0;
    for (let i: u32 = 0; i < this.n; i++) {
      let c = load<u8>(this.p + i);
      if (!isDigit(c)) return otherwise;
      out = out * 10 + <i32>(c - 0x30);
    }
    return out;
  }

  /** Whether what was written is this; ASCII only. */
  rawIs(s: string): bool { return sameBytes(this.p, this.p + this.n, s) == 1; }

  /** How many elements or members there are. */
  get length(): i32 {
    let n = 0;
    for (let it = cursor.over(this); it.next();) n++;
    return n;
  }

  /** A member of an object; of several with one name the last. */
  get(name: string): Value {
    if (this.kind != Kind.Object) return MISSING;
    let p: usize = 0, n: u32 = 0;
    for (let it = cursor.over(this); it.next();) {
      if (!it.keyIs(name)) continue;
      p = it.start;
      n = it.size;
    }
    return n ? new Value(p, n) : MISSING;
  }

  index(i: i32): Value {
    if (this.kind == Kind.Array) for (let it = cursor.over(this); it.next();) if (it.index == i) return it.value;
    return MISSING;
  }

  /** Follows a JSON Pointer (RFC 6901). */
  at(pointer: string): Value {
    let v: Value = this;
    let tokens = pointer.split("/");
    if (tokens[0] != "") return MISSING;
    for (let i = 1; i < tokens.length; i++) {
      v = v.kind == Kind.Array ? v.index(arrayIndex(tokens[i]))
        : v.get(tokens[i].replaceAll("~1", "/").replaceAll("~0", "~"));
    }
    return v;
  }
}

export const MISSING = new Value(0, 0);

/** Goes through an array or an object:
 * for (let it = new Entries(v); it.next();) use(it.key, it.value) */
export class Entries {
  index: i32 = -1;
  private i: usize = 0;
  private end: usize = 0;
  private object: bool = false;
  private keyStart: usize = 0;
  private keyEnd: usize = 0;
  private valueStart: usize = 0;

  constructor(list: Value) { this.over(list); }

  /** Begins anew with another list. */
  over(list: Value): this {
    let k = list.kind;
    this.object = k == Kind.Object;
    this.i = this.valueStart = list.p + 1;
    this.end = this.object || k == Kind.Array ? list.p + list.n : 0;
    this.index = -1;
    return this;
  }

  next(): bool {
    let i = this.index < 0 ? this.i : skipSpace(this.i, this.end) + 1; // behind the comma
    i = skipSpace(i, this.end);
    if (i >= this.end) return false;
    let c = load<u8>(i);
    if (c == 0x5d || c == 0x7d) return false;
    if (this.object) {
      this.keyStart = i + 1;
      let behind = skip(i, this.end);
      this.keyEnd = behind - 1;
      i = skipSpace(skipSpace(behind, this.end) + 1, this.end);
    }
    this.valueStart = i;
    this.i = skip(i, this.end);
    this.index++;
    return true;
  }

  /** Where the value is, without making an object of it. */
  get start(): usize { return this.valueStart; }
  get size(): u32 { return <u32>(this.i - this.valueStart); }

  get value(): Value { return new Value(this.start, this.size); }

  /** The name of the member. */
  get key(): string { return unquote(this.keyStart, this.keyEnd); }

  keyIs(name: string): bool {
    let same = sameBytes(this.keyStart, this.keyEnd, name);
    return same < 0 ? this.key == name : same == 1;
  }
}

// What looks for one thing goes through a list with this and leaves no garbage.
const cursor = new Entries(MISSING);

/** Compares bytes with a text: 1 the same, 0 not, -1 for those that need more
 * than a comparison. */
function sameBytes(p: usize, end: usize, s: string): i32 {
  let n = <i32>(end - p);
  for (let i = 0; i < n; i++) {
    let c = load<u8>(p + i);
    if (c == 0x5c || c >= 0x80) return -1;
    if (i >= s.length || <i32>c != s.charCodeAt(i)) return escaped(p + i, end) ? -1 : 0;
  }
  return n == s.length ? 1 : 0;
}

function escaped(p: usize, end: usize): bool {
  while (p < end && load<u8>(p) != 0x5c) p++;
  return p < end;
}

function arrayIndex(token: string): i32 {
  let n = token.length, index = 0;
  if (n == 0 || n > 9 || (n > 1 && token.charCodeAt(0) == 0x30)) return -1;
  for (let i = 0; i < n; i++) {
    let c = token.charCodeAt(i);
    if (c < 0x30 || c > 0x39) return -1;
    index = index * 10 + (c - 0x30);
  }
  return index;
}

function hex4(p: usize, end: usize): i32 {
  if (p + 4 > end) return -1;
  let r = 0;
  for (let i = 0; i < 4; i++) {
    let c = <i32>load<u8>(p + i), low = c | 0x20;
    if (c >= 0x30 && c <= 0x39) r = (r << 4) | (c - 0x30);
    else if (low >= 0x61 && low <= 0x66) r = (r << 4) | (low - 0x61 + 10);
    else return -1;
  }
  return r;
}

/** Undoes the escapes between two quotes. Half a surrogate pair is U+FFFD. */
function unquote(p: usize, end: usize): string {
  let out = "", from = p;
  while (p < end) {
    if (load<u8>(p) != 0x5c || p + 1 >= end) { p++; continue; }
    out += String.UTF8.decodeUnsafe(from, p - from);
    let c = load<u8>(p + 1);
    p += 2;
    switch (c) {
      case 0x62: out += "\b"; break;
      case 0x66: out += "\f"; break;
      case 0x6e: out += "\n"; break;
      case 0x72: out += "\r"; break;
      case 0x74: out += "\t"; break;
      case 0x75: {
        let r = hex4(p, end);
        p += 4;
        if (r >= 0xd800 && r < 0xe000) {
          let low = r < 0xdc00 && p + 6 <= end && load<u16>(p) == 0x755c ? hex4(p + 2, end) : -1;
          if (low >= 0xdc00 && low < 0xe000) {
            out += String.fromCharCode(r, low);
            p += 6;
          } else {
            out += "\ufffd";
          }
        } else {
          out += String.fromCharCode(r);
        }
        break;
      }
      default: out += String.fromCharCode(c);
    }
    from = p;
  }
  return out + String.UTF8.decodeUnsafe(from, end - from);
}

/** A JSON string with its quotes. */
export function quote(s: string): string {
  let out = '"', from = 0;
  for (let i = 0; i < s.length; i++) {
    let c = s.charCodeAt(i), escaped = "";
    if (c == 0x22) escaped = '\\"';
    else if (c == 0x5c) escaped = "\\\\";
    else if (c == 0x0a) escaped = "\\n";
    else if (c < 0x20) escaped = "\\u00" + (c < 16 ? "0" : "1") + "0123456789abcdef".charAt(c & 15);
    else continue;
    out += s.substring(from, i) + escaped;
    from = i + 1;
  }
  return out + s.substring(from) + '"';
}

/** Writes a name as it stands in a JSON Pointer. */
export function pointerToken(name: string): string { return name.replaceAll("~", "~0").replaceAll("/", "~1"); }

// ---- checking a document

const MAX_DEPTH = 1000;
const open = memory.data(MAX_DEPTH); // the closing bracket of all that is open
let at: usize = 0, limit: usize = 0; // of the scan
let reason = "";                     // why the document is not JSON

function bad(why: string): bool {
  if (reason == "") reason = at >= limit ? "the text ends early" : why;
  return false;
}

function peek(): u8 { return at < limit ? load<u8>(at) : 0; }
function space(): void { at = skipSpace(at, limit); }

/** A loop, not a recursion: the stack of a module is short. */
function scanValue(): bool {
  let depth = 0;
  while (true) {
    space();
    let c = peek();
    if (c == 0x7b || c == 0x5b) {
      let closing: u8 = c + 2; // as ASCII has it, for both kinds
      if (depth == MAX_DEPTH) return bad("nested too deep");
      at++;
      space();
      if (peek() != closing) {
        store<u8>(open + depth++, closing);
        if (closing == 0x7d && !scanName()) return false;
        continue;
      }
      at++;
    } else if (!scanSimple(c)) {
      return false;
    }
    for (; depth; depth--) { // behind a value
      space();
      if (peek() != load<u8>(open + depth - 1)) break;
      at++;
    }
    if (!depth) return true;
    if (peek() != 0x2c) return bad("no comma and no closing bracket");
    at++;
    if (load<u8>(open + depth - 1) == 0x7d && !scanName()) return false;
  }
}

function scanSimple(c: u8): bool {
  switch (c) {
    case 0x22: return scanString();
    case 0x74: return scanWord("true");
    case 0x66: return scanWord("false");
    case 0x6e: return scanWord("null");
  }
  return c == 0x2d || isDigit(c) ? scanNumber() : bad("no value");
}

function scanName(): bool {
  space();
  if (peek() != 0x22) return bad("no name of a member");
  if (!scanString()) return false;
  space();
  if (peek() != 0x3a) return bad("no colon after a name");
  at++;
  return true;
}

function scanString(): bool {
  for (at++; at < limit; at++) {
    let c = load<u8>(at);
    if (c == 0x22) { at++; return true; }
    if (c < 0x20) return bad("a control character in a string");
    if (c != 0x5c) continue;
    at++;
    switch (peek()) {
      case 0x22: case 0x5c: case 0x2f: case 0x62: case 0x66: case 0x6e: case 0x72: case 0x74: continue;
      case 0x75: if (hex4(at + 1, limit) >= 0) { at += 4; continue; }
    }
    return bad("an unknown escape");
  }
  return bad("");
}

function scanNumber(): bool {
  if (peek() == 0x2d) at++;
  if (peek() == 0x30) at++;
  else if (!scanDigits()) return false;
  if (peek() == 0x2e) { at++; if (!scanDigits()) return false; }
  if ((peek() | 0x20) == 0x65) {
    at++;
    if (peek() == 0x2b || peek() == 0x2d) at++;
    return scanDigits();
  }
  return true;
}

function scanDigits(): bool {
  if (!isDigit(peek())) return bad("a digit is missing");
  while (isDigit(peek())) at++;
  return true;
}

function scanWord(w: string): bool {
  for (let i = 0; i < w.length; i++) {
    if (at + i >= limit || <i32>load<u8>(at + i) != w.charCodeAt(i)) return bad("an unknown word");
  }
  at += w.length;
  return true;
}

// ---- the call

let metaValue = MISSING, configValue = MISSING, jsonValue = MISSING;
let bodyPtr: usize = 0, bodyLen: u32 = 0;
let parsed = 0; // 0 not yet, 1 JSON, -1 not

/** The whole meta document: meta().get("task").text */
export function meta(): Value { return metaValue; }

/** The body, of whatever kind. */
export function body(): Value { return new Value(bodyPtr, bodyLen); }

/** The body as JSON; missing when it is something else. */
export function json(): Value {
  if (parsed) return jsonValue;
  at = skipSpace(bodyPtr, bodyPtr + bodyLen);
  limit = bodyPtr + bodyLen;
  reason = "";
  let start = at, ok = scanValue(), end = at;
  if (ok) {
    space();
    if (at < limit) ok = bad("more text after the value");
  }
  parsed = ok ? 1 : -1;
  if (ok) jsonValue = new Value(start, <u32>(end - start));
  return jsonValue;
}

function jsonProblem(): string {
  json();
  return parsed == 1 ? "" : "the body is not JSON: " + reason + " at byte " + (min(at, limit) - bodyPtr).toString();
}

/** Fails unless the body is JSON: for transformers. */
export function needJSON(): bool {
  let text = jsonProblem();
  if (text != "") fail("not_json", text);
  return text == "";
}

/** Notes a problem unless the body is JSON: for validators. */
export function checkJSON(): bool {
  let text = jsonProblem();
  if (text != "") problem("", "not_json", text);
  return text == "";
}

// ---- configuration: a wrong kind is a failure that names the key

/** A key of the configuration; null is as if it were not there. */
export function config(key: string): Value {
  let v = configValue.get(key);
  return v.kind == Kind.Null ? MISSING : v;
}

/** Fails for a key that is not in the list, so that a spelling mistake does not
 * pass for the default. */
export function configKeys(known: string[]): void {
  if (configValue.kind != Kind.Object) {
    if (configValue.kind > Kind.Null) wrong("", "an object", configValue);
    return;
  }
  for (let it = new Entries(configValue); it.next();) {
    if (!known.includes(it.key)) fail("config", "config: unknown key " + it.key + "; known are " + known.join(", "));
  }
}

function wrong(key: string, want: string, have: Value): void {
  let raw = have.kind == Kind.Number || have.kind == Kind.Bool;
  fail("config", "config" + (key == "" ? "" : "." + key) + ": want " + want + ", have " + (raw ? have.raw : have.kindName));
}

export function configText(key: string, otherwise: string): string {
  let v = config(key);
  if (!v.exists) return otherwise;
  if (v.kind != Kind.Text) wrong(key, "a string", v);
  return v.text;
}

export function configBool(key: string, otherwise: bool): bool {
  let v = config(key);
  if (!v.exists) return otherwise;
  if (v.kind != Kind.Bool) wrong(key, "a boolean", v);
  return v.rawIs("true");
}

export function configCount(key: string, otherwise: i32): i32 {
  let v = config(key);
  if (!v.exists) return otherwise;
  let n = v.count(-1);
  if (n < 0) wrong(key, "a whole number", v);
  return n;
}

/** A secret that the flow gives this hook; without it the hook fails, and says
 * how to give it. */
export function secret(name: string): string {
  let v = metaValue.get("secrets").get(name);
  if (v.kind != Kind.Text) {
    fail("no_secret", "the flow does not give this hook the secret " + name + ": name it in the hook's list secrets");
  }
  return v.kind == Kind.Text ? v.text : "";
}

// ---- what a hook answers

let hasFailed = false, wantsRetry = false;
let problems: string[] = [], more = 0;
let failureText = "";
let out: ArrayBuffer = new ArrayBuffer(0); // keeps what the host copies
let outPtr: usize = 0, outLen: u32 = 0;

/** Whether fail was called. */
export function failed(): bool { return hasFailed; }

/** The hook could not do its work. The first one counts. */
export function fail(code: string, message: string): void {
  if (hasFailed) return;
  hasFailed = true;
  failureText = '{"code":' + quote(code) + ',"message":' + quote(cut(message));
}

/** Notes what is wrong with a response; path is a JSON Pointer and may be empty. */
export function problem(path: string, code: string, message: string): void {
  if (problems.length == 31) { more++; return; }
  let doc = '{"code":' + quote(code) + ',"message":' + quote(cut(message));
  problems.push(doc + (path == "" ? "}" : ',"path":' + quote(path) + "}"));
}

/** Another attempt may end better. */
export function retry(): void { wantsRetry = true; }

/** The new body, as a text. */
export function giveText(text: string): void {
  out = String.UTF8.encode(text);
  outPtr = changetype<usize>(out);
  outLen = out.byteLength;
}

/** The new body is what a value was written as. */
export function giveValue(v: Value): void {
  outPtr = v.p;
  outLen = v.n;
}

/** Shortens a message to the 1 KiB that the host keeps. */
function cut(message: string): string {
  if (String.UTF8.byteLength(message) <= 1024) return message;
  let n = 0, end = 0;
  while (end < message.length) {
    let c = message.codePointAt(end);
    n += c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    if (n > 1024 - 3) break;
    end += c < 0x10000 ? 1 : 2;
  }
  return message.substring(0, end) + "...";
}

// ---- log

// @ts-ignore: decorator
@external("qarion", "log")
declare function hostLog(level: u32, p: usize, n: u32): void;

/** Writes a line to the log of the operator: 0 debug, 1 info, 2 warning, 3 error. */
export function log(level: u32, line: string): void {
  let bytes = String.UTF8.encode(line);
  hostLog(level, changetype<usize>(bytes), bytes.byteLength);
}

// ---- what crosses between module and host

let buffer: usize = 0, capacity: u32 = 0;

export function qarion_abi_version(): u32 { return 1 << 16; }

/** The input buffer is no managed object: the collector does not know it. */
export function qarion_alloc(n: u32): usize {
  if (n > capacity || !buffer) {
    if (buffer) heap.free(buffer);
    capacity = max(n, 4096);
    buffer = heap.alloc(capacity);
  }
  return buffer;
}

/** The begin of every call. Nothing of the last one is referred to from the
 * stack now, so what it left can be freed. */
export function begin(p: usize, metaLen: u32, bodyLength: u32): void {
  metaValue = configValue = jsonValue = MISSING;
  problems = [];
  failureText = "";
  out = new ArrayBuffer(0);
  __collect();
  hasFailed = wantsRetry = false;
  more = parsed = 0;
  outPtr = outLen = 0;
  bodyPtr = p + metaLen;
  bodyLen = bodyLength;
  metaValue = new Value(p, metaLen);
  configValue = metaValue.get("config");
}

function result(): u64 { return (<u64>outPtr << 32) | (<u64>hasFailed << 31) | <u64>outLen; }

function close(doc: string): u64 {
  giveText(doc + (wantsRetry ? ',"retry":true}' : "}"));
  return result();
}

/** The end of a validator. */
export function endValidate(): u64 {
  if (hasFailed) return close(failureText);
  if (!problems.length) return 0;
  if (more) problems.push('{"code":"more","message":"and ' + more.toString() + ' more"}');
  return close('{"ok":false,"errors":[' + problems.join(",") + "]");
}

/** The end of a transformer. */
export function endTransform(): u64 { return hasFailed ? close(failureText) : result(); }

// SHA-256 (FIPS 180-4), HMAC (RFC 2104) and base64url (RFC 4648) for hooks.

const K: StaticArray<u32> = [
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
  0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
  0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
  0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
  0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
  0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
  0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
  0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
];
const START: StaticArray<u32> = [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];
const w = new StaticArray<u32>(64), h = new StaticArray<u32>(8);

function block(p: usize): void {
  for (let i = 0; i < 16; i++) unchecked(w[i] = bswap(load<u32>(p + 4 * i)));
  for (let i = 16; i < 64; i++) {
    let x = unchecked(w[i - 15]), y = unchecked(w[i - 2]);
    let s0 = rotr(x, 7) ^ rotr(x, 18) ^ (x >> 3), s1 = rotr(y, 17) ^ rotr(y, 19) ^ (y >> 10);
    unchecked(w[i] = w[i - 16] + s0 + w[i - 7] + s1);
  }
  let a = h[0], b = h[1], c = h[2], d = h[3], e = h[4], f = h[5], g = h[6], last = h[7];
  for (let i = 0; i < 64; i++) {
    let s1 = rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25), s0 = rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22);
    let t1 = last + s1 + ((e & f) ^ (~e & g)) + unchecked(K[i]) + unchecked(w[i]);
    let t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
    last = g; g = f; f = e; e = d + t1;
    d = c; c = b; b = a; a = t1 + t2;
  }
  h[0] += a; h[1] += b; h[2] += c; h[3] += d; h[4] += e; h[5] += f; h[6] += g; h[7] += last;
}

/** Hashes a and then b, as if they were one; a is empty or whole blocks of 64 bytes. */
export function sha256(a: ArrayBuffer, b: ArrayBuffer): ArrayBuffer {
  for (let i = 0; i < 8; i++) h[i] = START[i];
  for (let i = 0; i < a.byteLength; i += 64) block(changetype<usize>(a) + i);
  let whole = b.byteLength & ~63, rest = b.byteLength - whole, size = rest < 56 ? 64 : 128;
  for (let i = 0; i < whole; i += 64) block(changetype<usize>(b) + i);
  let end = new ArrayBuffer(size), p = changetype<usize>(end);
  memory.copy(p, changetype<usize>(b) + whole, rest);
  store<u8>(p + rest, 0x80);
  store<u64>(p + size - 8, bswap((<u64>a.byteLength + <u64>b.byteLength) * 8));
  for (let i = 0; i < size; i += 64) block(p + i);
  let out = new ArrayBuffer(32);
  for (let i = 0; i < 8; i++) store<u32>(changetype<usize>(out) + 4 * i, bswap(h[i]));
  return out;
}

export function hmacSHA256(key: ArrayBuffer, text: ArrayBuffer): ArrayBuffer {
  if (key.byteLength > 64) key = sha256(new ArrayBuffer(0), key);
  let inner = new ArrayBuffer(64), outer = new ArrayBuffer(64);
  for (let i = 0; i < 64; i++) {
    let k = i < key.byteLength ? load<u8>(changetype<usize>(key) + i) : 0;
    store<u8>(changetype<usize>(inner) + i, k ^ 0x36);
    store<u8>(changetype<usize>(outer) + i, k ^ 0x5c);
  }
  return sha256(outer, sha256(inner, text));
}

const SET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/** base64url without padding. */
export function base64url(p: usize, n: u32): string {
  let out = new Uint16Array((n * 4 + 2) / 3), o = 0;
  for (let i: u32 = 0; i < n; i += 3) {
    let left = n - i, v = <i32>load<u8>(p + i) << 16;
    if (left > 1) v |= <i32>load<u8>(p + i + 1) << 8;
    if (left > 2) v |= <i32>load<u8>(p + i + 2);
    out[o++] = <u16>SET.charCodeAt(v >> 18);
    out[o++] = <u16>SET.charCodeAt((v >> 12) & 63);
    if (left > 1) out[o++] = <u16>SET.charCodeAt((v >> 6) & 63);
    if (left > 2) out[o++] = <u16>SET.charCodeAt(v & 63);
  }
  return String.UTF16.decode(out.buffer);
}

/* sha256.h - SHA-256 (FIPS 180-4), HMAC (RFC 2104) and base64url (RFC 4648)
 * for hooks. */
#ifndef QARION_SHA256_H
#define QARION_SHA256_H

#include "qarion_hook.h"

static const qh_u32 sha_k[64] = {
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
  0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
  0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
  0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
  0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
  0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
  0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
  0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static qh_u32 sha_rotr(qh_u32 x, int n) { return x >> n | x << (32 - n); }

static void sha_block(qh_u32 h[8], const qh_u8 *p) {
  qh_u32 w[64], s[8];
  for (int i = 0; i < 16; i++)
    w[i] = (qh_u32)p[4 * i] << 24 | (qh_u32)p[4 * i + 1] << 16 | (qh_u32)p[4 * i + 2] << 8 | p[4 * i + 3];
  for (int i = 16; i < 64; i++) {
    qh_u32 a = w[i - 15], b = w[i - 2];
    w[i] = w[i - 16] + (sha_rotr(a, 7) ^ sha_rotr(a, 18) ^ a >> 3) + w[i - 7] + (sha_rotr(b, 17) ^ sha_rotr(b, 19) ^ b >> 10);
  }
  qh_copy(s, h, sizeof s);
  for (int i = 0; i < 64; i++) {
    qh_u32 e = s[4], a = s[0];
    qh_u32 t1 = s[7] + (sha_rotr(e, 6) ^ sha_rotr(e, 11) ^ sha_rotr(e, 25)) + ((e & s[5]) ^ (~e & s[6])) + sha_k[i] + w[i];
    qh_u32 t2 = (sha_rotr(a, 2) ^ sha_rotr(a, 13) ^ sha_rotr(a, 22)) + ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));
    for (int j = 7; j > 0; j--) s[j] = s[j - 1];
    s[4] += t1;
    s[0] = t1 + t2;
  }
  for (int i = 0; i < 8; i++) h[i] += s[i];
}

/* sha256 hashes first and then text, as if they were one. first is one block
 * of 64 bytes, or 0. */
static void sha256(const qh_u8 *first, qh_str text, qh_u8 out[32]) {
  qh_u32 h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  qh_u8 last[128] = {0};
  qh_u64 bits = ((qh_u64)text.n + (first ? 64 : 0)) * 8;
  qh_u32 at = 0;
  if (first) sha_block(h, first);
  for (; text.n - at >= 64; at += 64) sha_block(h, (const qh_u8 *)text.p + at);
  qh_u32 rest = text.n - at, size = rest < 56 ? 64 : 128;
  qh_copy(last, text.p + at, rest);
  last[rest] = 0x80;
  for (qh_u32 i = 0; i < 8; i++) last[size - 1 - i] = (qh_u8)(bits >> 8 * i);
  for (at = 0; at < size; at += 64) sha_block(h, last + at);
  for (int i = 0; i < 32; i++) out[i] = (qh_u8)(h[i / 4] >> (24 - 8 * (i % 4)));
}

static void hmac_sha256(qh_str key, qh_str text, qh_u8 out[32]) {
  qh_u8 pad[64] = {0}, inner[32];
  if (key.n > 64) sha256(0, key, pad);
  else qh_copy(pad, key.p, key.n);
  for (int i = 0; i < 64; i++) pad[i] ^= 0x36;
  sha256(pad, text, inner);
  for (int i = 0; i < 64; i++) pad[i] ^= 0x36 ^ 0x5c;
  sha256(pad, (qh_str){(const char *)inner, 32}, out);
}

/* base64url writes without padding. */
static qh_str base64url(qh_str in) {
  static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  char *out = qh_take(in.n / 3 * 4 + 4);
  qh_u32 n = 0;
  for (qh_u32 i = 0; i < in.n; i += 3) {
    qh_u32 left = in.n - i;
    qh_u32 v = (qh_u32)(qh_u8)in.p[i] << 16;
    if (left > 1) v |= (qh_u32)(qh_u8)in.p[i + 1] << 8;
    if (left > 2) v |= (qh_u8)in.p[i + 2];
    out[n++] = set[v >> 18];
    out[n++] = set[v >> 12 & 63];
    if (left > 1) out[n++] = set[v >> 6 & 63];
    if (left > 2) out[n++] = set[v & 63];
  }
  return (qh_str){out, n};
}

#endif

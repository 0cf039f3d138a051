//! SHA-256 (FIPS 180-4), HMAC (RFC 2104) and base64url (RFC 4648) for hooks.

const K: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
];

fn block(h: &mut [u32; 8], p: &[u8]) {
    let mut w = [0u32; 64];
    for (word, bytes) in w.iter_mut().zip(p.chunks_exact(4)) {
        *word = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    }
    for i in 16..64 {
        let (a, b) = (w[i - 15], w[i - 2]);
        let s0 = a.rotate_right(7) ^ a.rotate_right(18) ^ a >> 3;
        let s1 = b.rotate_right(17) ^ b.rotate_right(19) ^ b >> 10;
        w[i] = w[i - 16].wrapping_add(s0).wrapping_add(w[i - 7]).wrapping_add(s1);
    }
    let mut s = *h;
    for i in 0..64 {
        let [a, b, c, _, e, f, g, last] = s;
        let s1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let t1 = last.wrapping_add(s1).wrapping_add(e & f ^ !e & g).wrapping_add(K[i]).wrapping_add(w[i]);
        let s0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let t2 = s0.wrapping_add(a & b ^ a & c ^ b & c);
        s.rotate_right(1);
        s[4] = s[4].wrapping_add(t1);
        s[0] = t1.wrapping_add(t2);
    }
    for (sum, part) in h.iter_mut().zip(s) { *sum = sum.wrapping_add(part); }
}

/// Hashes the parts as if they were one.
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut h = [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];
    let mut text = parts.concat();
    let bits = text.len() as u64 * 8;
    text.push(0x80);
    while text.len() % 64 != 56 { text.push(0); }
    text.extend_from_slice(&bits.to_be_bytes());
    for p in text.chunks_exact(64) { block(&mut h, p); }
    let mut out = [0; 32];
    for (bytes, word) in out.chunks_exact_mut(4).zip(h) { bytes.copy_from_slice(&word.to_be_bytes()); }
    out
}

pub fn hmac_sha256(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut pad = [0; 64];
    if key.len() > 64 {
        pad[..32].copy_from_slice(&sha256(&[key]));
    } else {
        pad[..key.len()].copy_from_slice(key);
    }
    let inner = sha256(&[&pad.map(|b| b ^ 0x36), text]);
    sha256(&[&pad.map(|b| b ^ 0x5c), &inner])
}

/// base64url without padding.
pub fn base64url(bytes: &[u8]) -> String {
    const SET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::with_capacity(bytes.len() / 3 * 4 + 4);
    for part in bytes.chunks(3) {
        let v = part.iter().fold(0, |v, b| v << 8 | *b as usize) << (8 * (3 - part.len()));
        for i in 0..=part.len() { out.push(SET[v >> (18 - 6 * i) & 63] as char); }
    }
    out
}

// A hook that signs the body of a request: it becomes a JSON Web Signature (RFC
// 7515) with HMAC and SHA-256 (HS256), which every JOSE library can check.
// Configuration: secret, kid, form.

import { begin, body, configKeys, configText, endTransform, fail, failed, giveText, quote, secret } from "./qarion";
import { base64url, hmacSHA256 } from "./sha256";
export { qarion_abi_version, qarion_alloc } from "./qarion";

export function qarion_transform(p: usize, meta: u32, bodyLen: u32): u64 {
  begin(p, meta, bodyLen);
  sign();
  return endTransform();
}

function sign(): void {
  configKeys(["secret", "kid", "form"]);
  let name = configText("secret", ""), kid = configText("kid", ""), form = configText("form", "json");
  if (form != "json" && form != "compact") fail("config", "config.form: want json or compact, have " + form);
  let key = secret(name);
  if (failed()) return;

  let header = String.UTF8.encode(kid == "" ? '{"alg":"HS256"}' : '{"alg":"HS256","kid":' + quote(kid) + "}");
  let protectedPart = base64url(changetype<usize>(header), header.byteLength);
  let payload = base64url(body().p, body().n);
  let mac = hmacSHA256(String.UTF8.encode(key), String.UTF8.encode(protectedPart + "." + payload));
  let signature = base64url(changetype<usize>(mac), mac.byteLength);
  giveText(form == "compact"
    ? protectedPart + "." + payload + "." + signature
    : '{"protected":"' + protectedPart + '","payload":"' + payload + '","signature":"' + signature + '"}');
}

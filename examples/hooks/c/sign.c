/* sign.c is a hook that signs the body of a request: it becomes a JSON Web
 * Signature (RFC 7515) with HMAC and SHA-256 (HS256), which every JOSE library
 * can check. Configuration: secret, kid, form. */
#include "qarion_hook.h"
#include "sha256.h"

static void sign(void) {
  qh_config_keys("secret, kid, form");
  qh_str name = qh_config_text("secret", ""), kid = qh_config_text("kid", ""), form = qh_config_text("form", "json");
  int compact = qh_is(form, "compact");
  if (!compact && !qh_is(form, "json"))
    qh_fail("config", qh_cat(2, QH_S("config.form: want json or compact, have "), form));
  qh_str key = qh_secret(name);
  if (qh_failed) return;

  qh_str header = QH_S("{\"alg\":\"HS256\"}");
  if (kid.n) header = qh_cat(3, QH_S("{\"alg\":\"HS256\",\"kid\":"), qh_quote(kid), QH_S("}"));
  qh_str protected = base64url(header), payload = base64url(qh_body_text());
  qh_str signed_text = qh_cat(3, protected, QH_S("."), payload);
  qh_u8 mac[32];
  hmac_sha256(key, signed_text, mac);
  qh_str signature = base64url((qh_str){(const char *)mac, 32});

  if (compact)
    qh_body(qh_cat(3, signed_text, QH_S("."), signature));
  else
    qh_body(qh_cat(7, QH_S("{\"protected\":\""), protected, QH_S("\",\"payload\":\""), payload,
                   QH_S("\",\"signature\":\""), signature, QH_S("\"}")));
}

QH_TRANSFORM(sign)

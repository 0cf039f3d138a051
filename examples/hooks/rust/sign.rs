//! A hook that signs the body of a request: it becomes a JSON Web Signature (RFC
//! 7515) with HMAC and SHA-256 (HS256), which every JOSE library can check.
//! Configuration: secret, kid, form.

#[macro_use]
mod qarion_hook;
mod sha256;

use qarion_hook::*;
use sha256::{base64url, hmac_sha256};

transform!(sign);

fn sign(r: &Call) -> Result<Option<Vec<u8>>, Error> {
    r.config_keys(&["secret", "kid", "form"])?;
    let name = r.config_text("secret", "")?;
    let kid = r.config_text("kid", "")?;
    let form = r.config_text("form", "json")?;
    if form != "json" && form != "compact" {
        return Err(failure("config", &format!("config.form: want json or compact, have {form}")));
    }
    let key = r.secret(&name)?;

    let header = match &*kid {
        "" => r#"{"alg":"HS256"}"#.to_string(),
        kid => format!(r#"{{"alg":"HS256","kid":{}}}"#, quote(kid)),
    };
    let (protected, payload) = (base64url(header.as_bytes()), base64url(r.body));
    let signed = [protected.as_str(), ".", &payload].concat();
    let signature = base64url(&hmac_sha256(key.as_bytes(), signed.as_bytes()));
    let out = match &*form {
        "compact" => [signed.as_str(), ".", &signature].concat(),
        _ => format!(r#"{{"protected":"{protected}","payload":"{payload}","signature":"{signature}"}}"#),
    };
    Ok(Some(out.into_bytes()))
}

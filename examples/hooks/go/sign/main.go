// Command sign is a hook that signs the body of a request: it becomes a JSON
// Web Signature (RFC 7515) with HMAC and SHA-256 (HS256), which every JOSE
// library can check.
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"

	"github.com/qarion/qarion/examples/hooks/hookguest"
	"github.com/qarion/qarion/examples/hooks/hookguest/transform"
)

func init() { transform.Request(sign) }

func main() {}

// config is what a flow says under config.
type config struct {
	Secret string // which of the secrets given to the hook is the key
	Kid    string // key id in the protected header
	Form   string // "json" (flattened, RFC 7515 section 7.2.2) or "compact" (section 7.1)
}

func sign(r *hookguest.Request) ([]byte, error) {
	c := config{Form: "json"}
	if err := r.Config.Decode(&c); err != nil {
		return nil, err
	}
	if c.Form != "json" && c.Form != "compact" {
		return nil, hookguest.Fail("config", "config.form: want json or compact, have "+c.Form)
	}
	key, err := r.Secret(c.Secret)
	if err != nil {
		return nil, err
	}
	header := []byte(`{"alg":"HS256"`)
	if c.Kid != "" {
		header = hookguest.AppendQuoted(append(header, `,"kid":`...), c.Kid)
	}
	header = append(header, '}')

	b64 := base64.RawURLEncoding
	signed := b64.AppendEncode(nil, header)
	dot := len(signed)
	signed = b64.AppendEncode(append(signed, '.'), r.Body)
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write(signed)
	signature := b64.AppendEncode(nil, mac.Sum(nil))

	if c.Form == "compact" {
		return append(append(signed, '.'), signature...), nil
	}
	out := append(make([]byte, 0, len(signed)+128), `{"protected":"`...)
	out = append(append(out, signed[:dot]...), `","payload":"`...)
	out = append(append(out, signed[dot+1:]...), `","signature":"`...)
	return append(append(out, signature...), `"}`...), nil
}

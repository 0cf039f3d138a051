package guests

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
)

// What the rows of the conformance table are made of.

func notJSON(reason, at string) string {
	return `{"ok":false,"errors":[{"code":"not_json","message":"the body is not JSON: ` + reason + ` at byte ` + at + `"}]}`
}

func manyProblems(n int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf(`{"code":"wrong_kind","message":"want an object, have a number","path":"/%d"}`, i))
	}
	return strings.Join(list, ",")
}

// numbered is an array of n objects, 26 bytes each.
func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		sep := ','
		if i == 0 {
			sep = '['
		}
		fmt.Fprintf(&b, `%c{"id":"%08d","qty":%d}`, sep, i, i%10)
	}
	return b.String() + "]"
}

func compactJWS(key, header, payload string) string {
	b64 := base64.RawURLEncoding
	signed := b64.EncodeToString([]byte(header)) + "." + b64.EncodeToString([]byte(payload))
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(signed))
	return signed + "." + b64.EncodeToString(mac.Sum(nil))
}

func jws(key, header, payload string) string {
	part := strings.Split(compactJWS(key, header, payload), ".")
	return `{"protected":"` + part[0] + `","payload":"` + part[1] + `","signature":"` + part[2] + `"}`
}

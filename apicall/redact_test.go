package apicall

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"testing"
)

func TestRedactor_HidesByName(t *testing.T) {
	r := newRedactor(nil)
	for in, want := range map[string]string{
		`{"token":"abc","name":"x"}`:                  `{"token":"***","name":"x"}`,
		`{"client_secret": "a\"b", "n": 1}`:           `{"client_secret": "***", "n": 1}`,
		`{"tokens":["abc","def"],"n":1}`:              `{"tokens":***,"n":1}`,
		`{"credentials":{"user":"abc"},"n":1}`:        `{"credentials":***,"n":1}`,
		`a=1&access_token=abc&b=2`:                    `a=1&access_token=***&b=2`,
		"Authorization: Bearer abc.def\nX: 1":         "Authorization: ***\nX: 1",
		`authorization=Basic YTpi end`:                `authorization=*** end`,
		`"X-Api-Key": "abc"`:                          `"X-Api-Key": "***"`,
		`{"refresh_token":"abc`:                       `{"refresh_token":"***"`,
		`{"error":"validation_failed","fields":["a"]`: `{"error":"validation_failed","fields":["a"]`,
	} {
		if got := r.text(in); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", in, got, want)
		}
	}
	for name, want := range map[string]string{
		"Authorization": "Bearer ***", "Set-Cookie": "***", "X-Auth-Token": "***", "Content-Type": "Bearer abc", "Proxy-Authorization": "***",
	} {
		if got := r.header(name, "Bearer abc"); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	u, err := url.Parse("https://a.example/x?q=1&api_key=abc&api%5Fkey=abc&Token=abc")
	if err != nil {
		t.Fatal(err)
	}
	if got := r.url(u); got != "https://a.example/x?q=1&api_key=***&api%5Fkey=***&Token=***" {
		t.Errorf("got %s", got)
	}
}

func TestRedactor_HidesByValueInEveryForm(t *testing.T) {
	const secret = `pä/ss&w"rd<1>`
	r := newRedactor([]string{"short", secret})
	for name, form := range map[string]string{
		"raw": secret, "json": `pä/ss&w\"rd<1>`, "json for html": `pä/ss\u0026w\"rd\u003c1\u003e`, "json in ascii": `p\u00e4/ss&w\"rd<1>`,
		"json with slashes": `pä\/ss&w\"rd<1>`, "query": "p%C3%A4%2Fss%26w%22rd%3C1%3E", "query in lower case": "p%c3%a4%2fss%26w%22rd%3c1%3e",
		"hex": hex.EncodeToString([]byte(secret)), "base64": base64.StdEncoding.EncodeToString([]byte(secret)),
	} {
		if got := r.values("x " + form + " y"); got != "x *** y" {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got := r.values("a short text"); got != "a short text" {
		t.Errorf("a secret of five letters hides %q", got)
	}
}

// TestRedactor_HalfASecretIsHidden: a message may quote a value that was cut in
// the middle of a secret.
func TestRedactor_HalfASecretIsHidden(t *testing.T) {
	r := newRedactor([]string{"abcdefghijklmnop", `quoted"secret"value`})
	for in, want := range map[string]string{
		`"x abcdefgh... does not match`:           `"x ***... does not match`,
		`"x abcdefghijklmnop... does not match`:   `"x ***... does not match`,
		`string ("private=abcdefghi ...")`:        `string ("private=***...")`,
		`{"a":"quoted\"sec... and abcdefg... too`: `{"a":"***... and ***... too`,
		`... ....... abc... x`:                    `... ....... abc... x`,
		`nothing to hide... here`:                 `nothing to hide... here`,
		`abcd...`:                                 `***...`,
		`abcdefgh without dots`:                   `abcdefgh without dots`,
	} {
		if got := r.message(in); got != want {
			t.Errorf("%s\nis   %s\nwant %s", in, got, want)
		}
	}
	if got := newRedactor(nil).message("abcd..."); got != "abcd..." {
		t.Errorf("without secrets: %s", got)
	}
}

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
	"github.com/qarion/qarion/node"
)

// TestAsk_EveryKindOfCredential goes through what people are asked for, and
// whether what they answer makes a credential.
func TestAsk_EveryKindOfCredential(t *testing.T) {
	keyFile := filepath.Join(t.TempDir(), "key.pem")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	keyText := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if err := os.WriteFile(keyFile, []byte(keyText), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		kind  string
		lines string // question: answer; where the question is shorter, it is how it begins
		more  string // prompts that come again
		want  []any
	}{
		"basic": {"basic_auth", "username [empty]: ann, *password [empty]: ", "", []any{"username", "ann", "password", ""}},
		"the type is asked for": {"", "type (: api_key, *api_key: k, header_name [none]: , query_param [none]: key", "",
			[]any{"api_key", "k", "query_param", "key"}},
		"aws": {"aws", "access_key_id: AKID, *secret_access_key: s, *session_token [none]: , region [none]: eu-west-1, service [none]: s3", "",
			[]any{"access_key_id", "AKID", "secret_access_key", "s", "region", "eu-west-1", "service", "s3"}},
		"client_credentials": {"oauth", "grant_type (: , auth_style (: , client_id: me, *client_secret: s, token_url: https://a.example/t, scope [none]: api, " +
			"audience [none]: , *refresh_token [none]: , scheme [none]: , token_path [none]: ", "",
			[]any{"client_id", "me", "client_secret", "s", "token_url", "https://a.example/t", "scope", "api"}},
		"password": {"oauth", "grant_type (: password, auth_style (: none, client_id: me, token_url: https://a.example/t, scope [none]: , audience [none]: , " +
			"username: ann, *password: pw, scheme [none]: , token_path [none]: ", "",
			[]any{"grant_type", "password", "auth_style", "none", "client_id", "me", "token_url", "https://a.example/t", "username", "ann", "password", "pw"}},
		"a service account": {"oauth", "grant_type (: jwt-bearer, auth_style (: , client_id [none]: , *client_secret [none]: , token_url: https://a.example/t, scope [none]: x, " +
			"audience [none]: , private_key (a PEM file): KEY, key_id [none]: k1, issuer: svc@a.example, subject [none]: , assertion_audience [none]: , " +
			"assertion_life [none]: 60s, scheme [none]: , token_path [none]: ", "",
			[]any{"grant_type", "jwt-bearer", "token_url", "https://a.example/t", "scope", "x", "private_key", keyText, "key_id", "k1", "issuer", "svc@a.example", "assertion_life", "60s"}},
		"private_key_jwt": {"oauth", "grant_type (: client_credentials, auth_style (: private_key_jwt, client_id: me, token_url: https://a.example/t, scope [none]: , audience [none]: , " +
			"private_key (a PEM file): KEY, key_id [none]: , certificate (a PEM file) [none]: , assertion_audience [none]: , assertion_life [none]: , scheme [none]: , token_path [none]: ", "",
			[]any{"grant_type", "client_credentials", "auth_style", "private_key_jwt", "client_id", "me", "token_url", "https://a.example/t", "private_key", keyText}},
		"client_secret_jwt": {"oauth", "grant_type (: client_credentials, auth_style (: client_secret_jwt, client_id: me, *client_secret: s, token_url: https://a.example/t, scope [none]: , audience [none]: , " +
			"key_id [none]: , assertion_audience [none]: , assertion_life [none]: , scheme [none]: , token_path [none]: ", "",
			[]any{"grant_type", "client_credentials", "auth_style", "client_secret_jwt", "client_id", "me", "client_secret", "s", "token_url", "https://a.example/t"}},
		"a certificate of the task": {"oauth", "grant_type (: client_credentials, auth_style (: tls_client_auth, client_id: me, token_url: https://a.example/t, scope [none]: , audience [none]: , " +
			"private_key (a PEM file) [none]: , scheme [none]: , token_path [none]: ", "",
			[]any{"grant_type", "client_credentials", "auth_style", "tls_client_auth", "client_id", "me", "token_url", "https://a.example/t"}},
		"answers that cannot be": {"oauth", "grant_type (: jwt, grant_type (: password, auth_style (: none, client_id: , client_id: me, token_url: https://a.example/t, scope [none]: , audience [none]: , " +
			"username: ann, *password: pw, scheme [none]: , token_path [none]: ", "one of these, please; grant_type, it is needed; client_id",
			[]any{"grant_type", "password", "auth_style", "none", "client_id", "me", "token_url", "https://a.example/t", "username", "ann", "password", "pw"}},
		"files that are none": {"oauth", "grant_type (: jwt-bearer, auth_style (: , client_id [none]: me, *client_secret [none]: , token_url: https://a.example/t, scope [none]: , " +
			"audience [none]: , private_key (a PEM file): -----BEGIN PRIVATE KEY-----, private_key (a PEM file): MIGHverysecret, private_key (a PEM file): /, private_key (a PEM file): KEY, key_id [none]: , issuer [none]: , " +
			"subject [none]: , assertion_audience [none]: , assertion_life [none]: , scheme [none]: , token_path [none]: ",
			"the name of the file, not what is in it; private_key, no such file; private_key, that is no PEM file; private_key",
			[]any{"grant_type", "jwt-bearer", "client_id", "me", "token_url", "https://a.example/t", "private_key", keyText}},
	} {
		t.Run(name, func(t *testing.T) {
			lines := strings.Split(c.lines, ", ")
			var again []string
			in := &node.CredentialInput{ID: "c", Type: c.kind}
			data, err := askFields(in, func(prompt string, hide bool) (string, error) {
				if strings.Contains(prompt, "verysecret") {
					t.Errorf("a prompt repeats what was typed: %s", prompt)
				}
				if len(lines) == 0 {
					t.Errorf("asked too much: %s", prompt)
					return "", io.EOF
				}
				want, answer, _ := strings.Cut(lines[0], ": ")
				lines = lines[1:]
				if why, rest, more := strings.Cut(prompt, "; "); more {
					again, prompt = append(again, why+"; "+strings.Fields(rest)[0]), rest
				}
				want, hidden := strings.CutPrefix(want, "*")
				if hidden != hide || prompt != want && !(strings.HasSuffix(want, "(") && strings.HasPrefix(prompt, want)) {
					t.Errorf("asked for %q, hidden: %t; want %q", prompt, hide, want)
				}
				if answer == "KEY" {
					answer = keyFile
				}
				return answer, nil
			})
			if err != nil || len(lines) > 0 || strings.Join(again, ", ") != c.more {
				t.Fatalf("%v, not asked: %q, asked again: %q", err, lines, again)
			}
			got, want := sorted(t, data), sorted(t, value.MapOf(c.want...))
			if got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			if err := (engine.Credential{ID: "c", Type: in.Type, Data: data}).Check(); err != nil {
				t.Error(err)
			}
		})
	}
}

func sorted(t *testing.T, m *value.Map) string {
	t.Helper()
	out := value.NewMap(m.Len())
	for _, k := range slices.Sorted(slices.Values(m.Keys())) {
		v, _ := m.Get(k)
		out.Set(k, v)
	}
	text, err := value.JSON(out)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

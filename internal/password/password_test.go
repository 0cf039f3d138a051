package password_test

import (
	"context"
	"strings"
	"testing"

	"github.com/qarion/qarion/internal/password"
)

func TestIs(t *testing.T) {
	const right = "correct horse battery"
	hash, err := password.Hash(t.Context(), right)
	if err != nil || !strings.HasPrefix(hash, "$argon2id$v=19$m=65536,t=3,p=2$") || strings.Contains(hash, right) {
		t.Fatal(hash, err)
	}
	if again, err := password.Hash(t.Context(), right); err != nil || again == hash {
		t.Errorf("two hashes of a password are the same: %v", err)
	}
	for text, want := range map[string]bool{right: true, right + " ": false, "": false, strings.ToUpper(right): false, strings.Repeat("x", 2000): false} {
		if got, err := password.Is(t.Context(), text, hash); got != want || err != nil {
			t.Errorf("%.30q: %v %v", text, got, err)
		}
	}
	for _, text := range []string{right, ""} {
		if got, err := password.Is(t.Context(), text, ""); got || err != nil {
			t.Errorf("%q is the password of nobody: %v %v", text, got, err)
		}
	}
	for _, damaged := range []string{"x", "$argon2id$v=19$m=65536,t=3,p=2$!$!", "$argon2id$v=19$m=9999999,t=3,p=2$AAAA$AAAA", "$argon2i$v=19$m=65536,t=3,p=2$AAAA$AAAA"} {
		if got, err := password.Is(t.Context(), right, damaged); got || err == nil {
			t.Errorf("%s: %v, no error", damaged, got)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 { // a free place is taken as often as not
		if _, err := password.Is(gone, right, hash); err != nil {
			break
		}
	}
	if password.Check("short") == nil || password.Check(strings.Repeat("x", 2000)) == nil || password.Check(right) != nil {
		t.Error("the bounds of a password")
	}
}

package kvstore_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
	"github.com/qarion/qarion/kvstore"
)

const canary = "canary-5f0c2d9a77"

func openCredentials(t *testing.T, nc *nats.Conn, key kvstore.KeyConfig) *kvstore.Credentials {
	t.Helper()
	c := must[*kvstore.Credentials](t)(kvstore.OpenCredentials(t.Context(), kvstore.CredentialsConfig{Conn: nc, Key: key}))
	t.Cleanup(c.Close)
	return c
}

func basicAuth(id string) engine.Credential {
	return engine.Credential{ID: id, Type: "basic_auth", Data: value.MapOf("username", "ann", "password", canary)}
}

func store(t *testing.T, c *kvstore.Credentials, cred engine.Credential) (replaced bool, made string) {
	t.Helper()
	replaced, made, err := c.Store(t.Context(), cred)
	if err != nil {
		t.Fatal(err)
	}
	return replaced, made
}

func password(t *testing.T, c *kvstore.Credentials, id string) string {
	t.Helper()
	return must[engine.Credential](t)(c.Get(t.Context(), id)).Text("password")
}

func TestCredentials_AreSealedAndSurvive(t *testing.T) {
	nc, key := openBus(t), kvstore.KeyConfig{File: filepath.Join(t.TempDir(), "key")}
	c := openCredentials(t, nc, key)
	if err := c.KeyError(); err != nil {
		t.Errorf("an empty store needs no key: %v", err)
	}
	if replaced, made := store(t, c, basicAuth("shop")); replaced || made != key.File {
		t.Errorf("first: replaced %v, made %q", replaced, made)
	}
	if replaced, made := store(t, c, basicAuth("shop")); !replaced || made != "" {
		t.Errorf("second: replaced %v, made %q", replaced, made)
	}
	if info, err := os.Stat(key.File); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v, %v", info, err)
	}
	e, err := bucket(t, nc, kvstore.BucketCredentials).Get(t.Context(), "credential.shop")
	if err != nil || bytes.Contains(e.Value(), []byte(canary)) || bytes.Contains(e.Value(), []byte("ann")) {
		t.Errorf("the record shows its content: %s, %v", e.Value(), err)
	}
	later := openCredentials(t, nc, key)
	if got := password(t, later, "shop"); got != canary {
		t.Errorf("got %q", got)
	}
	show, err := later.Show(t.Context(), "shop")
	if text, _ := value.JSON(show.Data); err != nil || string(text) != `{"username":"ann","password":"***"}` {
		t.Errorf("shown %s, %v", text, err)
	}
	if list := later.List(t.Context()); len(list) != 1 || list[0].Type != "basic_auth" || list[0].Data != nil || list[0].Error != "" {
		t.Errorf("list %+v", list)
	}
}

func TestCredentials_ChangesReachOtherReaders(t *testing.T) {
	nc, key := openBus(t), kvstore.KeyConfig{Text: strings.Repeat("ab", 32)}
	a, b := openCredentials(t, nc, key), openCredentials(t, nc, key)
	store(t, a, basicAuth("shop"))
	reaches(t, func() bool { _, err := b.Get(t.Context(), "shop"); return err == nil })
	if err := a.Save(t.Context(), "shop", []byte(`{"access":"x"}`)); err != nil {
		t.Fatal(err)
	}
	if err := a.Delete(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Load(t.Context(), "shop"); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("the token outlived its credential: %v", err)
	}
	reaches(t, func() bool { _, err := b.Get(t.Context(), "shop"); return errors.Is(err, engine.ErrNotFound) })
	store(t, a, basicAuth("shop")) // at once, where it was deleted
	if err := a.Delete(t.Context(), "shp"); err == nil || !strings.Contains(err.Error(), `no credential "shp" (did you mean "shop"?)`) {
		t.Errorf("got %v", err)
	}
}

// reaches waits for a state.
func reaches(t *testing.T, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for !ok() {
		if ctx.Err() != nil {
			t.Fatal("the state was not reached")
		}
	}
}

func TestCredentials_CopiedOrDamagedRecordDoesNotOpen(t *testing.T) {
	nc, key := openBus(t), kvstore.KeyConfig{File: filepath.Join(t.TempDir(), "key")}
	c := openCredentials(t, nc, key)
	store(t, c, basicAuth("a"))
	kv := bucket(t, nc, kvstore.BucketCredentials)
	e, err := kv.Get(t.Context(), "credential.a")
	if err != nil {
		t.Fatal(err)
	}
	for id, record := range map[string][]byte{
		"copied":  e.Value(),
		"retyped": bytes.Replace(e.Value(), []byte("basic_auth"), []byte("custom"), 1),
		"cut":     e.Value()[:40],
		"future":  bytes.Replace(e.Value(), []byte(`"format":1`), []byte(`"format":9`), 1),
	} {
		if _, err := kv.Put(t.Context(), "credential."+id, record); err != nil {
			t.Fatal(err)
		}
	}
	later := openCredentials(t, nc, key)
	for _, id := range []string{"copied", "retyped", "cut", "future"} {
		if cred, err := later.Get(t.Context(), id); err == nil || cred.Data != nil {
			t.Errorf("%s opened: %v", id, cred)
		}
	}
	if got := password(t, later, "a"); got != canary {
		t.Errorf("the good one: %q", got)
	}
	if list := later.List(t.Context()); len(list) != 5 || list[0].Error != "" || list[1].Error == "" {
		t.Errorf("list %+v", list)
	}
}

func TestCredentials_Keys(t *testing.T) {
	nc, dir := openBus(t), t.TempDir()
	key := kvstore.KeyConfig{File: filepath.Join(dir, "key")}
	store(t, openCredentials(t, nc, key), basicAuth("shop"))
	kept, err := os.ReadFile(key.File)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		prepare func() error
		key     kvstore.KeyConfig
		want    string
	}{
		"readable": {func() error { return os.Chmod(key.File, 0o644) }, key, "can be read by others; run: chmod 600 " + key.File},
		"no key":   {func() error { return os.WriteFile(key.File, []byte("hello\n"), 0o600) }, key, "is not a key: want 32 bytes as base64 or hex (openssl rand -base64 32)"},
		"lost":     {func() error { return os.Remove(key.File) }, key, "the key file " + key.File + " is not there"},
		"other":    {func() error { return nil }, kvstore.KeyConfig{Text: strings.Repeat("ab", 32)}, "it was sealed with another key"},
		"garbage":  {func() error { return nil }, kvstore.KeyConfig{Text: "verysecret"}, "QARION_KEY is not a key"},
	} {
		if err := c.prepare(); err != nil {
			t.Fatal(err)
		}
		s := openCredentials(t, nc, c.key)
		_, err := s.Get(t.Context(), "shop")
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "verysecret") {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
		if name != "other" {
			if _, _, err := s.Store(t.Context(), basicAuth("new")); err == nil || s.KeyError() == nil {
				t.Errorf("%s: a credential was stored beside one that cannot be opened: %v, %v", name, err, s.KeyError())
			}
		}
		_ = os.Remove(key.File)
		if err := os.WriteFile(key.File, kept, 0o600); err != nil {
			t.Fatal(err)
		}
		if c.key.Text == "" { // what was put right counts at once, for a node that runs
			if got := password(t, s, "shop"); got != canary || s.KeyError() != nil {
				t.Errorf("%s, put right: %q, %v", name, got, s.KeyError())
			}
		}
	}
	if got := password(t, openCredentials(t, nc, key), "shop"); got != canary {
		t.Errorf("with the right key again: %q", got)
	}
}

func TestCredentials_RekeyGoesOnAfterACrash(t *testing.T) {
	nc, dir := openBus(t), t.TempDir()
	key := kvstore.KeyConfig{File: filepath.Join(dir, "key")}
	c := openCredentials(t, nc, key)
	ids := []string{"a", "b", "c", "d"}
	for _, id := range ids {
		store(t, c, basicAuth(id))
	}
	if err := c.Save(t.Context(), "a", []byte(`{"access":"x"}`)); err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(key.File)
	if err != nil {
		t.Fatal(err)
	}
	// Cut off after each number of writes: the context ends under it.
	for n := range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		sub, err := nc.Subscribe("$KV."+kvstore.BucketCredentials+".>", func() func(*nats.Msg) {
			left := n + 1
			return func(*nats.Msg) {
				if left--; left == 0 {
					cancel()
				}
			}
		}())
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = openCredentials(t, nc, key).Rekey(ctx)
		_ = sub.Unsubscribe()
		cancel()
		again := openCredentials(t, nc, key) // the next process
		for _, id := range ids {
			if got := password(t, again, id); got != canary {
				t.Errorf("cut off after %d writes (%v): %s is %q", n+1, err, id, got)
			}
		}
	}
	last := openCredentials(t, nc, key)
	if _, failed, err := last.Rekey(t.Context()); err != nil || failed != 0 {
		t.Fatalf("failed %d, %v", failed, err)
	}
	for _, s := range []*kvstore.Credentials{last, openCredentials(t, nc, key)} {
		for _, id := range ids {
			if got := password(t, s, id); got != canary {
				t.Errorf("%s is %q", id, got)
			}
		}
		if token, err := s.Load(t.Context(), "a"); err != nil || string(token) != `{"access":"x"}` {
			t.Errorf("token %s, %v", token, err)
		}
	}
	if now, err := os.ReadFile(key.File); err != nil || bytes.Equal(now, old) {
		t.Errorf("the key is still the old one: %v", err)
	}
	if left, _ := filepath.Glob(key.File + "?*"); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := os.WriteFile(key.File, old, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openCredentials(t, nc, key).Get(t.Context(), "a"); err == nil {
		t.Error("the old key still opens")
	}
}

func TestCredentials_RekeyFromTheEnvironment(t *testing.T) {
	nc := openBus(t)
	first, second := strings.Repeat("ab", 32), strings.Repeat("cd", 32)
	c := openCredentials(t, nc, kvstore.KeyConfig{Text: first})
	store(t, c, basicAuth("a"))
	if _, _, err := c.Rekey(t.Context()); !errors.Is(err, engine.ErrInvalid) || !strings.Contains(err.Error(), "QARION_NEW_KEY") {
		t.Errorf("got %v", err)
	}
	if done, failed, err := openCredentials(t, nc, kvstore.KeyConfig{Text: first, NewText: second}).Rekey(t.Context()); done != 1 || failed != 0 || err != nil {
		t.Fatal(done, failed, err)
	}
	if got := password(t, openCredentials(t, nc, kvstore.KeyConfig{Text: second}), "a"); got != canary {
		t.Errorf("got %q", got)
	}
}

func BenchmarkCredentials_Get(b *testing.B) {
	nc := openBus(b)
	c, err := kvstore.OpenCredentials(b.Context(), kvstore.CredentialsConfig{Conn: nc, Key: kvstore.KeyConfig{Text: strings.Repeat("ab", 32)}})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	if _, _, err := c.Store(b.Context(), basicAuth("shop")); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Get(b.Context(), "shop"); err != nil {
			b.Fatal(err)
		}
	}
}

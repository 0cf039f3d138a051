package kvstore_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/nats-io/nats.go"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/kvstore"
)

func openSealer(t *testing.T, nc *nats.Conn, key kvstore.KeyConfig) *kvstore.Credentials {
	t.Helper()
	c, err := kvstore.OpenCredentials(t.Context(), kvstore.CredentialsConfig{Conn: nc, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// TestValues_OpenInTheirPlaceAlone: what is sealed shows nothing, opens for the
// place that it was sealed for, also after a rekey and a restart, and nowhere
// else.
func TestValues_OpenInTheirPlaceAlone(t *testing.T) {
	nc := openBus(t)
	key := kvstore.KeyConfig{File: filepath.Join(t.TempDir(), "key")}
	c := openSealer(t, nc, key)
	if err := c.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	const place, plain = "run/login/0/value", `{"token":"verysecret"}`
	sealed, err := c.Seal(t.Context(), place, []byte(plain))
	if err != nil || !engine.IsSealed(sealed) || bytes.Contains(sealed, []byte("verysecret")) {
		t.Fatalf("sealed %q, %v", sealed, err)
	}
	again, err := c.Seal(t.Context(), place, []byte(plain))
	if err != nil || bytes.Equal(sealed, again) {
		t.Error("the same value is sealed the same way twice")
	}
	opens := func(when string, c *kvstore.Credentials) {
		t.Helper()
		if got, err := c.Unseal(t.Context(), place, sealed); err != nil || string(got) != plain {
			t.Errorf("%s: %q, %v", when, got, err)
		}
	}
	opens("at once", c)
	for what, bad := range map[string]struct {
		place  string
		sealed []byte
	}{
		"another place": {"run/other/0/value", sealed}, "a changed byte": {place, append(bytes.Clone(sealed[:len(sealed)-1]), sealed[len(sealed)-1]^1)},
		"cut off": {place, sealed[:len(sealed)-1]}, "nothing": {place, nil}, "plain": {place, []byte(plain)}, "a mark alone": {place, sealed[:1]},
	} {
		if got, err := c.Unseal(t.Context(), bad.place, bad.sealed); err == nil {
			t.Errorf("%s opens: %q", what, got)
		}
	}
	if done, failed, err := c.Rekey(t.Context()); err != nil || done != 1 || failed != 0 {
		t.Errorf("rekey: %d, %d, %v", done, failed, err)
	}
	opens("after a rekey", c)
	opens("after a restart", openSealer(t, nc, key))
	if err := os.Remove(key.File); err != nil {
		t.Fatal(err)
	}
	if _, err := openSealer(t, nc, key).Unseal(t.Context(), place, sealed); err == nil || !strings.Contains(err.Error(), "key") {
		t.Errorf("without the key: %v", err)
	}
	if list := c.List(t.Context()); len(list) != 0 {
		t.Errorf("the key of values is listed as a credential: %v", list)
	}
}

// TestValues_Streams: any length, in any pieces; damage, other places, frames
// that are moved, left out or cut off do not open.
func TestValues_Streams(t *testing.T) {
	c := openSealer(t, openBus(t), kvstore.KeyConfig{File: filepath.Join(t.TempDir(), "key")})
	const place, frame = "run/dl/0/value", 64 << 10
	seal := func(plain []byte) []byte {
		t.Helper()
		r, err := c.SealStream(t.Context(), place, iotest.HalfReader(bytes.NewReader(plain)))
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		return sealed
	}
	unseal := func(place string, sealed []byte) ([]byte, error) {
		r, err := c.UnsealStream(t.Context(), place, iotest.OneByteReader(bytes.NewReader(sealed)))
		if err != nil {
			return nil, err
		}
		return io.ReadAll(r)
	}
	for _, n := range []int{0, 1, frame - 1, frame, frame + 1, 3*frame + 5} {
		plain := noise(n)
		sealed := seal(plain)
		if got, err := unseal(place, sealed); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes: %d came back, %v", n, len(got), err)
		}
		if n > 100 && bytes.Contains(sealed, plain[:100]) {
			t.Errorf("%d bytes lie in the clear", n)
		}
	}
	const head, box = 18, frame + 16
	sealed := seal(noise(3 * frame))
	for what, bad := range map[string][]byte{
		"cut at a frame": sealed[:head+2*box], "cut within one": sealed[:head+2*box+100], "the last byte": sealed[:len(sealed)-1],
		"without the first": append(bytes.Clone(sealed[:head]), sealed[head+box:]...),
		"two exchanged":     append(append(append(bytes.Clone(sealed[:head]), sealed[head+box:head+2*box]...), sealed[head:head+box]...), sealed[head+2*box:]...),
		"more behind":       append(bytes.Clone(sealed), 0), "a head alone": sealed[:head], "nothing": nil,
	} {
		if _, err := unseal(place, bad); err == nil {
			t.Errorf("%s opens", what)
		}
	}
	if _, err := unseal("run/other/0/value", sealed); err == nil {
		t.Error("another place opens")
	}
	broken := errors.New("the line is dead")
	r, err := c.SealStream(t.Context(), place, io.MultiReader(bytes.NewReader(noise(frame)), iotest.ErrReader(broken)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(r); !errors.Is(err, broken) {
		t.Errorf("a broken reader: %v", err)
	}
}

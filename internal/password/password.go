// Package password keeps passwords as argon2id hashes and compares with them.
package password

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// What a hash costs: 64 MiB for a fifth of a second or so, at most two at a
// time, so that nobody who tries many fills the memory.
const (
	memory  = 64 << 10 // KiB
	passes  = 3
	threads = 2
	keySize = 32
	atOnce  = 2
)

// The bounds of a password, in bytes.
const (
	Shortest = 12
	Longest  = 1024
)

var places = make(chan struct{}, atOnce)

// Check says what is wrong with a new password.
func Check(text string) error {
	if len(text) < Shortest || len(text) > Longest {
		return fmt.Errorf("a password has %d to %d bytes, not %d", Shortest, Longest, len(text))
	}
	return nil
}

// Hash is what is kept of a password: $argon2id$v=19$m=65536,t=3,p=2$salt$hash.
// It ends with ctx while it waits for its turn.
func Hash(ctx context.Context, text string) (string, error) {
	salt := make([]byte, 16)
	rand.Read(salt) // never fails since Go 1.24
	key, err := derive(ctx, text, salt, memory, passes, threads)
	if err != nil {
		return "", err
	}
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, memory, passes, threads, b64(salt), b64(key)), nil
}

// nobody is a hash that fits no password: comparing with it takes as long.
var nobody = fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$AAAAAAAAAAAAAAAAAAAAAA$", argon2.Version, memory, passes, threads)

// Is reports whether a password is the one of a hash. An empty hash is nobody's:
// that takes as long to find out, so that the time does not tell who there is.
func Is(ctx context.Context, text, hash string) (bool, error) {
	if hash == "" {
		hash = nobody
	}
	var version int
	var m, t uint32
	var p uint8
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[1] != "argon2id" {
		return false, errors.New("the hash is none of argon2id")
	}
	_, err1 := fmt.Sscanf(parts[2], "v=%d", &version)
	_, err2 := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &m, &t, &p)
	salt, err3 := base64.RawStdEncoding.DecodeString(parts[4])
	want, err4 := base64.RawStdEncoding.DecodeString(parts[5])
	if err := errors.Join(err1, err2, err3, err4); err != nil || version != argon2.Version || m > 4*memory || t > 16 || t == 0 || p == 0 {
		return false, fmt.Errorf("the hash is damaged: %w", err)
	}
	if len(text) > Longest { // which no password is
		text = ""
	}
	got, err := derive(ctx, text, salt, m, t, p)
	return err == nil && subtle.ConstantTimeCompare(got, want) == 1, err
}

func derive(ctx context.Context, text string, salt []byte, m, t uint32, p uint8) ([]byte, error) {
	select {
	case places <- struct{}{}:
		defer func() { <-places }()
		return argon2.IDKey([]byte(text), salt, t, m, p, keySize), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

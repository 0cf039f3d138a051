package web

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/qarion/qarion/engine"
)

// certificate is a certificate that is read again when its files change, so
// that a renewal needs no restart.
type certificate struct {
	cert, key string
	log       *slog.Logger

	mu   sync.Mutex
	made time.Time // of the newer file, when it was read
	tried,
	looked time.Time
	pair *tls.Certificate
}

// lookEvery is how often the files are looked at, at most.
const lookEvery = time.Second

func tlsConfig(cert, key string, log *slog.Logger) (*tls.Config, error) {
	c := &certificate{cert: cert, key: key, log: log}
	made, err := c.changed()
	if err == nil {
		err = c.load(made)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: [http] cert and key: %w", engine.ErrInvalid, err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get}, nil
}

// changed is when the newer of the two files was written.
func (c *certificate) changed() (newest time.Time, err error) {
	for _, path := range []string{c.cert, c.key} {
		info, err := os.Stat(path)
		if err != nil {
			return newest, err
		}
		if info.ModTime().After(newest) {
			newest = info.ModTime()
		}
	}
	return newest, nil
}

func (c *certificate) load(made time.Time) error {
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return err
	}
	c.pair, c.made = &pair, made
	return nil
}

// get is asked for every connection. What cannot be read does not replace what
// could: a renewal may be half way.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.looked) >= lookEvery {
		c.looked = now
		if made, err := c.changed(); err == nil && made.After(c.made) && !made.Equal(c.tried) {
			if err := c.load(made); err != nil {
				c.tried = made
				c.log.Warn("the certificate was changed and cannot be read; the one before goes on", engine.LogErr, err)
			}
		}
	}
	return c.pair, nil
}

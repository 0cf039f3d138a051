package web

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/qarion/qarion/engine"
)

// DefaultListen is where the door is when nothing is said.
const DefaultListen = "127.0.0.1:8080"

// What Config.Login can say.
const (
	LoginAuto   = "auto"   // none on loopback
	LoginAlways = "always" // everywhere
)

// The bounds. Config can only lower some of them, for tests.
const (
	maxHeader      = 32 << 10 // bytes
	headerTime     = 5 * time.Second
	maxBody        = 1 << 20   // bytes
	maxTriggerBody = 272 << 10 // bytes: variables of 256 KiB and what is around them
	bodyTime       = 30 * time.Second
	writeTime      = 30 * time.Second // for a part of an answer to leave
	idleTime       = time.Minute      // between two requests of a connection
	maxConnections = 512
	closeTime      = 3 * time.Second // for answers under way when the door closes
)

// Config is how the door is opened.
type Config struct {
	Listen         string   // host:port
	Cert, Key      string   // files of the certificate and its key, in PEM; read again when they change
	PublicURL      string   // https://..., where a proxy in front is reached
	TrustedProxies []string // addresses and CIDRs whose X-Forwarded-For counts
	Hosts          []string // further names by which the door is asked
	Login          string   // LoginAuto (also "") or LoginAlways
	Version        string   // of the program
	Metrics        *Metrics // nil: a set of its own
	Log            *slog.Logger

	headerTime, bodyTime, idleTime time.Duration // 0: the constants above
	maxConnections                 int
}

// Check says what is wrong with the settings, naming the one to change.
// engine.ErrDenied: strangers would reach the door without a login or in the
// clear; engine.ErrInvalid for the rest.
func (c *Config) Check() error {
	_, err := c.read()
	return err
}

// settings are a Config that was read.
type settings struct {
	local   bool // who asks directly on loopback needs no login
	hosts   map[string]bool
	public  *url.URL
	proxies []netip.Prefix
	tls     *tls.Config
}

func (c *Config) read() (*settings, error) {
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil || port == "" {
		return nil, invalid("listen is %q, want host:port such as %s", c.Listen, DefaultListen)
	}
	s := &settings{hosts: map[string]bool{"localhost": true, "127.0.0.1": true, "::1": true}}
	if err := errors.Join(s.readPublic(c.PublicURL), s.readProxies(c.TrustedProxies), s.readHosts(host, c.Hosts)); err != nil {
		return nil, err
	}
	if (c.Cert == "") != (c.Key == "") {
		return nil, invalid("cert and key go together: one of them is not set")
	}
	if c.Login != "" && c.Login != LoginAuto && c.Login != LoginAlways {
		return nil, invalid("login is %q, want %q or %q", c.Login, LoginAuto, LoginAlways)
	}
	loopback := isLoopback(host)
	if !loopback && c.Cert == "" && s.public == nil {
		return nil, fmt.Errorf("%w: %s is not a loopback address: set [http] cert and key, or public_url behind a proxy", engine.ErrDenied, c.Listen)
	}
	s.local = loopback && s.public == nil && c.Login != LoginAlways
	if c.Cert != "" {
		if s.tls, err = tlsConfig(c.Cert, c.Key, engine.Logger(c.Log)); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: [http] "+format, append([]any{engine.ErrInvalid}, args...)...)
}

func (s *settings) readPublic(text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return invalid("public_url is %q, want an address such as https://qarion.example.com", redacted(u, text))
	}
	if u.Scheme != "https" {
		return fmt.Errorf("%w: [http] public_url begins with %s://: tokens would travel in the clear, want https://", engine.ErrDenied, u.Scheme)
	}
	s.public = u
	s.hosts[strings.ToLower(u.Hostname())] = true
	return nil
}

// redacted is an address for a message: without what may be a password.
func redacted(u *url.URL, text string) string {
	if u == nil {
		return "not an address"
	}
	return u.Redacted()
}

func (s *settings) readProxies(list []string) error {
	for _, text := range list {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			var a netip.Addr
			if a, err = netip.ParseAddr(text); err == nil {
				p = netip.PrefixFrom(a, a.BitLen())
			}
		}
		if err != nil {
			return invalid("trusted_proxies has %q, want an address or a CIDR such as 10.0.0.0/8", text)
		}
		s.proxies = append(s.proxies, p)
	}
	return nil
}

func (s *settings) readHosts(listen string, list []string) error {
	if ip := net.ParseIP(listen); listen != "" && (ip == nil || !ip.IsUnspecified()) {
		s.hosts[strings.ToLower(listen)] = true
	}
	for _, name := range list {
		if name == "" || strings.ContainsAny(name, "/:*@ ") && net.ParseIP(name) == nil {
			return invalid("hosts has %q, want a name such as qarion.example.com, without scheme or port", name)
		}
		s.hosts[strings.ToLower(name)] = true
	}
	return nil
}

// isLoopback reports whether only this machine reaches an address.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

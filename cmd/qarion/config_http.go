package main

import (
	"os"
	"strings"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/web"
)

// httpConfig is the section [http].
type httpConfig struct {
	Listen         *string  `toml:"listen"` // nil: not said, the default
	Cert           string   `toml:"cert"`
	Key            string   `toml:"key"`
	PublicURL      string   `toml:"public_url"`
	TrustedProxies []string `toml:"trusted_proxies"`
	Hosts          []string `toml:"hosts"`
	Login          string   `toml:"login"`
}

// httpKeys are its keys, for suggestions.
var httpKeys = [...]string{"http.listen", "http.cert", "http.key", "http.public_url", "http.trusted_proxies", "http.hosts", "http.login"}

// environment takes QARION_HTTP_<KEY>.
func (c *httpConfig) environment() {
	if v, ok := os.LookupEnv("QARION_HTTP_LISTEN"); ok {
		c.Listen = &v
	}
	for name, field := range map[string]*string{
		"QARION_HTTP_CERT": &c.Cert, "QARION_HTTP_KEY": &c.Key, "QARION_HTTP_PUBLIC_URL": &c.PublicURL, "QARION_HTTP_LOGIN": &c.Login,
	} {
		if v, ok := os.LookupEnv(name); ok {
			*field = v
		}
	}
	for name, field := range map[string]*[]string{"QARION_HTTP_TRUSTED_PROXIES": &c.TrustedProxies, "QARION_HTTP_HOSTS": &c.Hosts} {
		if v, ok := os.LookupEnv(name); ok {
			*field = strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' })
		}
	}
}

// door is the HTTP door that the configuration asks for; nil for none.
// optional: nobody has named its port, and the node is a second one on this
// machine, since it has a NATS port of its own. It then goes on without HTTP
// where the default port is taken.
func (c *config) door() (door *web.Config, optional bool) {
	h := &c.HTTP
	listen := web.DefaultListen
	if h.Listen != nil {
		listen = *h.Listen
	}
	if listen == "" {
		return nil, false
	}
	return &web.Config{
		Listen: listen, Cert: h.Cert, Key: h.Key, PublicURL: h.PublicURL, TrustedProxies: h.TrustedProxies, Hosts: h.Hosts, Login: h.Login,
	}, h.Listen == nil && c.NATS.Listen != bus.DefaultListen
}

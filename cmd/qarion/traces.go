package main

import (
	"cmp"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/qarion/qarion/traces"
)

// otel are the OTEL_ variables, as the specification of OpenTelemetry has them.
type otel func(name string) string

// otlp is a variable of the exporter, for traces alone or for everything.
func (env otel) otlp(name string) string {
	return cmp.Or(env("OTEL_EXPORTER_OTLP_TRACES_"+name), env("OTEL_EXPORTER_OTLP_"+name))
}

// traces is where they say that spans go; nil where they ask for none: neither
// by an address nor by the exporter's name. The error says why what they ask for
// cannot be.
func (env otel) traces() (*traces.Config, error) {
	exporter := strings.ToLower(strings.TrimSpace(env("OTEL_TRACES_EXPORTER")))
	switch {
	case strings.EqualFold(env("OTEL_SDK_DISABLED"), "true"), exporter == "none", exporter == "" && env.otlp("ENDPOINT") == "":
		return nil, nil
	case exporter != "" && exporter != "otlp":
		return nil, fmt.Errorf("OTEL_TRACES_EXPORTER is %.20q, want otlp or none", exporter)
	}
	if p := env.otlp("PROTOCOL"); p != "" && p != "http/protobuf" {
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL is %.20q, want http/protobuf (a collector has it on port 4318)", p)
	}
	to := traces.Collector{
		Endpoint: env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
		CA:       env.otlp("CERTIFICATE"), Cert: env.otlp("CLIENT_CERTIFICATE"), Key: env.otlp("CLIENT_KEY"),
	}
	if base := env("OTEL_EXPORTER_OTLP_ENDPOINT"); to.Endpoint == "" && base != "" {
		to.Endpoint = strings.TrimSuffix(base, "/") + "/v1/traces"
	}
	switch c := env.otlp("COMPRESSION"); c {
	case "", "none":
	case "gzip":
		to.Gzip = true
	default:
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_COMPRESSION is %.20q, want gzip or none", c)
	}
	if t := env.otlp("TIMEOUT"); t != "" {
		ms, err := strconv.Atoi(t)
		if err != nil || ms <= 0 {
			return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_TIMEOUT is %.20q, want milliseconds", t)
		}
		to.Timeout = time.Duration(ms) * time.Millisecond
	}
	var err error
	to.Headers, err = otelHeaders(env.otlp("HEADERS"))
	return &traces.Config{Collector: to}, err
}

// otelHeaders reads name=value,name=value; values may have % before two hex
// digits. What is wrong is not repeated: it may be a secret.
func otelHeaders(text string) (map[string]string, error) {
	if text == "" {
		return nil, nil
	}
	out := map[string]string{}
	for pair := range strings.SplitSeq(text, ",") {
		name, v, found := strings.Cut(pair, "=")
		name = strings.TrimSpace(name)
		v, err := url.PathUnescape(strings.TrimSpace(v))
		if !found || name == "" || err != nil || strings.ContainsAny(name+v, "\r\n") {
			return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_HEADERS is not as it should be, want name=value,name=value")
		}
		out[name] = v
	}
	return out, nil
}

// traces is where the node's spans go; nil for nowhere. What is wrong with the
// variables is told, and keeps no node from starting: they may be meant for
// other programs.
func (a *app) traces() *traces.Config {
	cfg, err := otel(os.Getenv).traces()
	if err != nil {
		a.logger().Warn("no traces: " + err.Error())
		return nil
	}
	return cfg
}

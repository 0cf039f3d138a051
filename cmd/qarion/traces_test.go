package main

import (
	"fmt"
	"strings"
	"testing"
)

func TestTraces_WhatTheVariablesSay(t *testing.T) {
	for vars, want := range map[string]string{
		"":                            "off",
		"OTEL_SERVICE_NAME=shop":      "off",
		"OTEL_TRACES_EXPORTER=otlp":   "  0s false map[]",
		"OTEL_TRACES_EXPORTER=none":   "off",
		"OTEL_TRACES_EXPORTER=zipkin": `OTEL_TRACES_EXPORTER is "zipkin", want otlp or none`,
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318":                                                     "http://c:4318/v1/traces  0s false map[]",
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318/base/":                                               "http://c:4318/base/v1/traces  0s false map[]",
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://x OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://c:4318/in":      "http://c:4318/in  0s false map[]",
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://c OTEL_SDK_DISABLED=true":                                   "off",
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://c OTEL_TRACES_EXPORTER=none":                                "off",
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://c OTEL_EXPORTER_OTLP_PROTOCOL=grpc":                         `OTEL_EXPORTER_OTLP_PROTOCOL is "grpc", want http/protobuf (a collector has it on port 4318)`,
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://c OTEL_EXPORTER_OTLP_TIMEOUT=2500":                          "http://c/v1/traces  2.5s false map[]",
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://c OTEL_EXPORTER_OTLP_TIMEOUT=2s":                            `OTEL_EXPORTER_OTLP_TIMEOUT is "2s", want milliseconds`,
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://c OTEL_EXPORTER_OTLP_COMPRESSION=gzip":                      "http://c/v1/traces  0s true map[]",
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://c OTEL_EXPORTER_OTLP_COMPRESSION=zstd":                      `OTEL_EXPORTER_OTLP_COMPRESSION is "zstd", want gzip or none`,
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://c OTEL_EXPORTER_OTLP_CERTIFICATE=ca.pem":                    "http://c/v1/traces ca.pem 0s false map[]",
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://c OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20x,a=b=": "http://c/v1/traces  0s false map[a:b= authorization:Bearer x]",
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://c OTEL_EXPORTER_OTLP_HEADERS=secret":                        `OTEL_EXPORTER_OTLP_HEADERS is not as it should be, want name=value,name=value`,
	} {
		env := map[string]string{}
		for v := range strings.FieldsSeq(vars) {
			name, value, _ := strings.Cut(v, "=")
			env[name] = value
		}
		got := "off"
		switch cfg, err := otel(func(name string) string { return env[name] }).traces(); {
		case err != nil:
			got = err.Error()
		case cfg != nil:
			got = fmt.Sprintf("%s %s %s %v %v", cfg.Endpoint, cfg.CA, cfg.Timeout, cfg.Gzip, cfg.Headers)
		}
		if got != want {
			t.Errorf("%s:\n got %s\nwant %s", vars, got, want)
		}
	}
}

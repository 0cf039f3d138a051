package apicall_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/qarion/qarion/apicall"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// BenchmarkExecute compares attempts with the same call by a bare client.
func BenchmarkExecute(b *testing.B) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"id":8817,"customer":7,"status":"confirmed","total":129.9}`))
	}))
	defer srv.Close()
	b.Run("bare", func(b *testing.B) {
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, MaxConnsPerHost: 64, DisableCompression: true}}
		benchmark(b, func() error {
			resp, err := client.Get(srv.URL)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			_, err = io.ReadAll(resp.Body)
			return err
		})
	})
	token := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"access_token":"a very secret token","token_type":"bearer","expires_in":3600}`))
	}))
	defer token.Close()
	secret := credential("c", "custom", "token", "a very secret token")
	for _, c := range []struct {
		name  string
		cfg   apicall.Config
		props *value.Map
	}{
		{"literal", apicall.Config{}, value.MapOf()},
		{"breaker", apicall.Config{Breakers: apicall.NewBreakers(apicall.BreakerConfig{})}, value.MapOf()},
		{"auth", apicall.Config{Credentials: secret}, value.MapOf("auth_type", "bearer", "credential_id", "c")},
		{"oauth2", apicall.Config{Credentials: credential("c", "oauth", "client_id", "id", "client_secret", "verysecret", "token_url", token.URL)}, value.MapOf("auth_type", "oauth2", "credential_id", "c")},
		{"post_with_key", apicall.Config{}, value.MapOf("operation", "post", "body", value.MapOf("a", int64(1)), "idempotency_key", true)},
		{"rules", apicall.Config{}, value.MapOf("response_validation", value.MapOf("required_fields", []any{"id", "status"}))},
		{"template", apicall.Config{}, value.MapOf("url", srv.URL+"/{{ batch_id }}")},
		{"hook", hooked(apicall.Config{}, func(*apicall.HookCall) apicall.HookAnswer { return apicall.HookAnswer{} }), value.MapOf()},
	} {
		b.Run(c.name, func(b *testing.B) {
			c.cfg.Slots = 64
			call, err := apicall.New(c.cfg)
			if err != nil {
				b.Fatal(err)
			}
			defer call.Close()
			if _, ok := c.props.Get("url"); !ok {
				c.props.Set("url", srv.URL)
			}
			flow := &engine.Flow{ID: "f", Tasks: []engine.Task{{ID: "t", Type: apicall.Name, Properties: c.props}}}
			if c.cfg.Hooks != nil {
				flow.Tasks[0].Hooks = value.MapOf("validate", value.MapOf("file", "check.wasm", "config", value.MapOf("items", "/items")))
			}
			prog, problems := call.Prepare(flow, &flow.Tasks[0])
			if engine.Refused(problems) != nil {
				b.Fatal(problems)
			}
			benchmark(b, func() error {
				if out := prog.Execute(context.Background(), engine.NewTaskInput(flow, &flow.Tasks[0], nil, nil)); out.Err != nil {
					return out.Err
				}
				return nil
			})
		})
	}
}

// benchmark makes calls from 64 goroutines on two processors.
func benchmark(b *testing.B, call func() error) {
	b.SetParallelism(32)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := call(); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

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

// BenchmarkExecute compares an attempt with the same call by a bare client.
func BenchmarkExecute(b *testing.B) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"id":8817,"customer":7,"status":"confirmed","total":129.9}`))
	}))
	defer srv.Close()
	b.Run("bare", func(b *testing.B) {
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, MaxConnsPerHost: 64, DisableCompression: true}}
		b.SetParallelism(32)
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				resp, err := client.Get(srv.URL)
				if err != nil {
					b.Error(err)
					return
				}
				_, _ = io.ReadAll(resp.Body)
				resp.Body.Close()
			}
		})
	})
	b.Run("api_call", func(b *testing.B) {
		call, err := apicall.New(apicall.Config{Slots: 64})
		if err != nil {
			b.Fatal(err)
		}
		defer call.Close()
		flow := &engine.Flow{ID: "f", Tasks: []engine.Task{{ID: "t", Type: "api_call", Properties: value.MapOf("url", srv.URL)}}}
		prog, problems := call.Prepare(flow, &flow.Tasks[0])
		if len(problems) > 0 {
			b.Fatal(problems)
		}
		b.SetParallelism(32)
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				out := prog.Execute(context.Background(), engine.NewTaskInput(flow, &flow.Tasks[0], nil, nil))
				if out.Err != nil {
					b.Error(out.Err)
					return
				}
			}
		})
	})
}

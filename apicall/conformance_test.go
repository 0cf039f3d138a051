package apicall_test

import (
	"io"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/qarion/qarion/apicall"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/enginetest"
	"github.com/qarion/qarion/internal/value"
)

func TestConformance(t *testing.T) {
	const secret = "a very secret token"
	var effects atomic.Int32
	started := make(chan struct{}, 1)
	s := handler(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		effects.Add(1)
		switch r.URL.Path {
		case "/hang":
			started <- struct{}{}
			<-r.Context().Done()
		case "/fail":
			w.Header().Set("X-Echo", r.Header.Get("Authorization"))
			w.WriteHeader(http.StatusUnprocessableEntity)
			_, _ = io.WriteString(w, "no, "+r.Header.Get("Authorization"))
		default:
			_, _ = io.WriteString(w, `{"id":7}`)
		}
	})
	task := func(path string) *value.Map {
		return value.MapOf("url", s.URL+path, "operation", "post", "body", value.MapOf("a", int64(1)),
			"auth_type", "bearer", "credential_id", "c", "retry_count", int64(2))
	}
	enginetest.Run(t, enginetest.Suite{
		New: func(t *testing.T) (engine.TaskType, func()) {
			kind, err := apicall.New(apicall.Config{Slots: 32, Credentials: credential("c", "custom", "token", secret)})
			if err != nil {
				t.Fatal(err)
			}
			return kind, kind.Close
		},
		Good: task("/good"), Fails: task("/fail"), Bad: value.MapOf("url", "ftp://a", "time_out", int64(1)),
		Hangs: task("/hang"), Started: started,
		Effects: func() int { return int(effects.Load()) }, Secret: secret,
	})
}

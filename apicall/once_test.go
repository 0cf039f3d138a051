package apicall_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/qarion/qarion/apicall"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/runtime"
	"github.com/qarion/qarion/internal/testkit"
	"github.com/qarion/qarion/internal/value"
)

type fullDisk struct{}

func (fullDisk) Put(context.Context, string, []byte) error          { return errors.New("disk full") }
func (fullDisk) Get(context.Context, string, int64) ([]byte, error) { return nil, engine.ErrNotFound }
func (fullDisk) Write(context.Context, string, io.Reader) (engine.Stored, error) {
	return engine.Stored{}, errors.New("disk full")
}
func (fullDisk) Open(context.Context, string) (io.ReadCloser, error) { return nil, engine.ErrNotFound }

// A POST without key that was answered is not sent again because its value
// could not be stored.
func TestOnce_AnAnsweredPostWhoseValueCannotBeStored(t *testing.T) {
	u := testkit.NewUpstream(t)
	u.Handle("/x", testkit.OK(`["`+strings.Repeat("x", 70<<10)+`"]`))
	kind, err := apicall.New(apicall.Config{})
	if err != nil {
		t.Fatal(err)
	}
	rec := &testkit.Recorder{}
	n := testkit.StartNode(t, testkit.NodeConfig{Slots: 2, Types: []engine.TaskType{kind}, Views: rec.Views, Change: func(c *runtime.Config) { c.Blobs = fullDisk{} }})
	flow := &engine.Flow{ID: "f", Timeout: time.Minute, Tasks: []engine.Task{{ID: "t", Type: apicall.Name,
		Properties: value.MapOf("url", u.URL+"/x", "operation", "post", "retry_count", int64(2), "retry_delay", "1ms")}}}
	if wrong := engine.Refused(engine.Compile(flow, map[string]engine.TaskType{apicall.Name: kind}).Problems); wrong != nil {
		t.Fatal(wrong)
	}
	if _, err := n.Engine.PutFlow(t.Context(), flow); err != nil {
		t.Fatal(err)
	}
	doc, err := n.Engine.Start(t.Context(), engine.StartRequest{Flow: "f"})
	if err != nil {
		t.Fatal(err)
	}
	if end := rec.End(t, doc.RunID); end.Status != engine.Failed || u.Count("/x") != 1 {
		t.Errorf("run: %s, %d POSTs", end.Status, u.Count("/x"))
	}
}

// The POST was carried out (303): that the GET of its result is answered 401
// does not make it go a second time.
func TestOnce_APostWhoseResultAsksForANewToken(t *testing.T) {
	u := testkit.NewUpstream(t)
	u.OAuth("/token", testkit.OAuthRules{})
	u.Handle("/x", testkit.Redirect(303, "/result"))
	u.Handle("/result", testkit.First(1, testkit.Status(401), testkit.OK(`{}`)))
	out := once(t, apicall.Config{Credentials: oauthOf(u)}, value.MapOf("url", u.URL+"/x", "operation", "post", "auth_type", "oauth2", "credential_id", "c"))
	if u.Count("/x") != 1 {
		t.Errorf("%v, %d POSTs", out.Err, u.Count("/x"))
	}
}

// A fragment is not sent, and params are no part of it.
func TestParams_AreNoPartOfAFragment(t *testing.T) {
	u := testkit.NewUpstream(t)
	u.Handle("/x", testkit.OK(`{}`))
	once(t, apicall.Config{}, value.MapOf("url", u.URL+"/x#top", "params", value.MapOf("a", int64(1))))
	if got := u.Requests("/x")[0].URI; got != "/x?a=1" {
		t.Errorf("got %s", got)
	}
}

// A whole answer whose gzip is cut short is a damaged answer, and no broken
// connection after which a POST would be sent again.
func TestOnce_APostWhoseGzipEndsTooEarly(t *testing.T) {
	u := testkit.NewUpstream(t)
	u.Handle("/x", testkit.Reply(200, "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\xab\x56", "Content-Encoding", "gzip"))
	outs := tried(t, apicall.Config{}, value.MapOf("url", u.URL+"/x", "operation", "post", "retry_count", int64(2)))
	if len(outs) != 1 || outs[0].Err.Class != "response" {
		t.Errorf("%d POSTs: %+v", len(outs), outs[0].Err)
	}
}

// 999 is not 5xx.
func TestOnce_APostAnsweredBeyond599(t *testing.T) {
	u := testkit.NewUpstream(t)
	if outs := tried(t, apicall.Config{}, value.MapOf("url", u.URL+"/status/999", "operation", "post", "retry_count", int64(2))); len(outs) != 1 {
		t.Errorf("%d attempts", len(outs))
	}
}

// A 401 that the flow expects is an answer, as an expected redirect is.
func TestOnce_APostThatExpects401(t *testing.T) {
	u := testkit.NewUpstream(t)
	u.OAuth("/token", testkit.OAuthRules{})
	once(t, apicall.Config{Credentials: oauthOf(u)}, value.MapOf("url", u.URL+"/status/401", "operation", "post", "auth_type", "oauth2",
		"credential_id", "c", "response_validation", value.MapOf("expected_status_code", int64(401))))
	if n := u.Count("/status/401"); n != 1 {
		t.Errorf("%d requests", n)
	}
}

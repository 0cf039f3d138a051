package jq_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/qarion/qarion/internal/jq"
)

// TestMain makes the test's own binary a worker, as main does.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == jq.Argument {
		os.Exit(jq.Serve(os.Stdin, os.Stdout))
	}
	os.Exit(m.Run())
}

func open(t *testing.T, cfg jq.Config) *jq.Pool {
	t.Helper()
	p := jq.Open(cfg)
	t.Cleanup(p.Close)
	return p
}

var rows = []struct{ doc, expr, want, fails string }{
	{`{"data":{"items":[{"id":7},{"id":8}]}}`, "[.data.items[].id]", "[7,8]", ""},
	{`{"b":1,"a":{"n":123456789012345678901234567890}}`, ".a.n", "123456789012345678901234567890", ""},
	{`{"n":7615917337495251231}`, "{id: .n, more: (.n + 1)}", `{"id":7615917337495251231,"more":7615917337495251232}`, ""},
	{`{"n":9223372036854775807}`, ".n + 1", "9223372036854775808", ""},
	{`{"p":1.50,"e":1e400,"d":12345678901234567890.25,"z":-0}`, "[.p, .e, .d, .z]", "[1.50,1e400,12345678901234567890.25,-0]", ""},
	{`{"p":1.50}`, ".p * 2", "3.0", ""},
	{`{"e":1e400}`, ".e + 1", "", "+Inf cannot be written as JSON"},
	{`{"e":1e400,"a":1}`, ".e > .a", "true", ""},
	{`{"out":"{\"k\":3,\"f\":2.50,\"big\":7615917337495251231,\"n\":null}"}`, ".out | fromjson", `{"big":7615917337495251231,"f":2.50,"k":3,"n":null}`, ""},
	{`{"b":1}`, ".missing", "null", ""},
	{`"a,b"`, `split(",")`, `["a","b"]`, ""},
	{`{}`, "env | length", "0", ""},
	{`{"z":1,"a":2}`, ".", `{"a":2,"z":1}`, ""},
	{`[1,2]`, ".[]", "", "it gave more than one result; write [...] around it for a list"},
	{`[1,2]`, "empty", "", "it gave no result; write (...) // null if that may be"},
	{`{"a":1}`, ".a.b", "", "expected an object but got: number (1)"},
	{`{"a":1}`, `error("x" * 1000)`, "", "error: " + strings.Repeat("x", 293) + "..."},
	{`{`, ".", "", "the response is unexpected end of JSON"},
	{`1`, ".[", "", "unexpected EOF"},
}

func TestApply_GivesOneResult(t *testing.T) {
	for name, in := range map[string]interface {
		Apply(ctx context.Context, source string, doc []byte) ([]byte, error)
	}{"in a worker": open(t, jq.Config{Workers: 1}), "in this process": jq.Local{}} {
		for _, row := range rows {
			got, err := in.Apply(t.Context(), row.expr, []byte(row.doc))
			fails := ""
			if err != nil {
				fails = err.Error()
				var e *jq.Error
				if !errors.As(err, &e) {
					t.Errorf("%s, %s: a %T", name, row.expr, err)
				}
			}
			if string(got) != row.want || fails != row.fails {
				t.Errorf("%s, %s over %s:\n got %s, %q\nwant %s, %q", name, row.expr, row.doc, got, fails, row.want, row.fails)
			}
		}
	}
}

// TestApply_IsBounded: whatever an expression does, its worker ends, the caller
// hears why, and the next expression finds another worker.
func TestApply_IsBounded(t *testing.T) {
	const memory, long = "it took more than 96 MiB of memory", "it did not end within 2s"
	for _, row := range []struct {
		name, expr string
		fails      []string
	}{
		// "long" stands with all that take memory: under the race detector nothing is quick.
		{"a text that doubles", `reduce range(60) as $i ("x"; . + .)`, []string{memory, long}},
		{"a text that is escaped again and again", `reduce range(60) as $i ("\""; tojson)`, []string{memory, long}},
		{"a list that doubles", `reduce range(60) as $i ([1]; . + .)`, []string{memory, long}},
		{"a list without end", `[range(1e12)]`, []string{memory, long}},
		{"objects without end", `[range(1e12) | {a: ., b: [.]}]`, []string{memory, long}},
		{"a place far out in a list", `.[500000000] = 1`, []string{memory, long}},
		{"one text many times in one step", `("x" * 8000000) as $s | [range(100000) | $s] | add`, []string{memory, long}},
		{"the same, joined", `("x" * 8000000) as $s | [range(100000) | $s] | join(",")`, []string{memory, long}},
		{"the same, as a result", `("x" * 8000000) as $s | [range(100000) | $s]`, []string{memory, "it gave more than 64 MiB"}},
		{"a list of itself", `reduce range(60) as $i (["0123456789abcdef"]; [., .])`, []string{memory, "it gave more than 64 MiB"}},
		{"a number that squares", `reduce range(60) as $i (3; . * .)`, []string{memory, long}},
		{"a number of many digits", `reduce range(16) as $i (3; . * .)`, []string{"a number has more than 4300 digits"}},
		{"no end", `last(repeat(1))`, []string{long}},
		{"recursion", `def f: 1 + f; f`, []string{memory, long}},
		{"recursion of a list", `def f: [f]; f`, []string{memory, long}},
		{"a text repeated", `"x" * 1000000000`, []string{memory, "repeat string result too large: \"x\" * 1000000000"}},
		{"a pattern over a long text", `("x" * 1000000) | [match("x"; "g")] | length`, []string{memory, long}},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := open(t, jq.Config{Workers: 1})
			begin := time.Now()
			out, err := p.Apply(t.Context(), row.expr, []byte("null"))
			if err == nil {
				t.Fatalf("gave %d bytes", len(out))
			}
			known := false
			for _, f := range row.fails {
				known = known || err.Error() == f
			}
			if !known || time.Since(begin) > 15*time.Second {
				t.Errorf("%v after %s", err, time.Since(begin))
			}
			if got, err := p.Apply(t.Context(), ".", []byte("1")); err != nil || string(got) != "1" {
				t.Errorf("the next one: %s, %v", got, err)
			}
		})
	}
}

// TestApply_ADocumentTakesItsRoom: the bound grows with what there is to read.
func TestApply_ADocumentTakesItsRoom(t *testing.T) {
	p := open(t, jq.Config{Workers: 1})
	var doc bytes.Buffer
	doc.WriteByte('[')
	for i := 0; doc.Len() < 1<<20; i++ {
		if i > 0 {
			doc.WriteByte(',')
		}
		fmt.Fprintf(&doc, `{"id":%d,"a":[1,2,{"x":null}],"t":"abc"}`, i)
	}
	doc.WriteByte(']')
	got, err := p.Apply(t.Context(), "map({id, last: .a[-1]}) | length", doc.Bytes())
	if err != nil || len(got) < 5 {
		t.Errorf("%s, %v", got, err)
	}
}

func TestPool_ManyCallers(t *testing.T) {
	p := open(t, jq.Config{Workers: 2, Idle: 20 * time.Millisecond})
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			want := fmt.Sprintf("%d", i*2)
			if got, err := p.Apply(t.Context(), ". * 2", []byte(fmt.Sprint(i))); err != nil || string(got) != want {
				t.Errorf("%d: %s, %v", i, got, err)
			}
		})
		if i%10 == 0 {
			wg.Wait() // some workers end for want of work
		}
	}
	wg.Wait()
}

func TestPool_EndsWithItsCallers(t *testing.T) {
	p := open(t, jq.Config{Workers: 1})
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("the run was cancelled")
	time.AfterFunc(50*time.Millisecond, func() { cancel(gone) })
	if _, err := p.Apply(ctx, "last(repeat(1))", []byte("1")); !errors.Is(err, gone) {
		t.Errorf("got %v", err)
	}
	if got, err := p.Apply(t.Context(), ".", []byte("1")); err != nil || string(got) != "1" {
		t.Errorf("after it: %s, %v", got, err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := p.Apply(t.Context(), "last(repeat(1))", []byte("1"))
		done <- err
	}()
	time.AfterFunc(50*time.Millisecond, p.Close)
	if err := <-done; err == nil {
		t.Error("an expression outlived its pool")
	}
	if _, err := p.Apply(t.Context(), ".", []byte("1")); err == nil {
		t.Error("a closed pool works")
	}
}

func TestPool_SaysWhenThereAreNoWorkers(t *testing.T) {
	p := open(t, jq.Config{Command: []string{"/nothing/of/the/kind"}})
	if _, err := p.Apply(t.Context(), ".", []byte("1")); err == nil || !strings.HasPrefix(err.Error(), "start a jq worker: ") {
		t.Errorf("got %v", err)
	}
	p = open(t, jq.Config{Command: []string{"/bin/echo", "something else that is long enough"}})
	var known *jq.Error
	if _, err := p.Apply(t.Context(), ".", []byte("1")); err == nil || errors.As(err, &known) || !strings.Contains(err.Error(), "did not say hello") {
		t.Errorf("got %v", err)
	}
}

func TestError_PlainQuotesNothing(t *testing.T) {
	p := open(t, jq.Config{Workers: 1})
	for expr, want := range map[string]string{
		".a.b": "the expression cannot be applied to this document", "empty": "it gave no result; write (...) // null if that may be", ".[": "unexpected EOF",
	} {
		_, err := p.Apply(t.Context(), expr, []byte(`{"a":"verysecret"}`))
		var e *jq.Error
		if !errors.As(err, &e) || e.Plain() != want {
			t.Errorf("%s: %v", expr, err)
		}
	}
}

func TestCheck(t *testing.T) {
	for expr, want := range map[string]string{".a": "", ".[": "unexpected EOF", "nothing": "function not defined: nothing/0", strings.Repeat("(", 70_000): "the expression has 70000 bytes, at most 65536 are read"} {
		err := jq.Check(expr)
		if got := fmt.Sprint(err); want == "" && err != nil || want != "" && got != want {
			t.Errorf("%.20s: %v", expr, err)
		}
	}
	if err := jq.Check(strings.Repeat("(", 30_000) + "." + strings.Repeat(")", 30_000)); err != nil {
		t.Error(err)
	}
}

func BenchmarkApply(b *testing.B) {
	p := jq.Open(jq.Config{})
	defer p.Close()
	doc := []byte(`{"id":8817,"customer":7,"status":"confirmed","total":129.9}`)
	for name, in := range map[string]interface {
		Apply(ctx context.Context, source string, doc []byte) ([]byte, error)
	}{"worker": p, "local": jq.Local{}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := in.Apply(b.Context(), ".id", doc); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

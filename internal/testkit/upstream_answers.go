package testkit

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Reply answers with a status, a body and headers, given as name and value in
// turn.
func Reply(status int, body string, headers ...string) Answer {
	return Do(func(w http.ResponseWriter, _ *Call) {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

// OK answers 200 with JSON text.
func OK(json string) Answer { return Reply(http.StatusOK, json, "Content-Type", "application/json") }

// Status answers with a status and nothing else.
func Status(status int) Answer { return Reply(status, "") }

// Slow answers after a time.
func Slow(d time.Duration, then Answer) Answer {
	return Answer{unread: then.unread, play: func(w http.ResponseWriter, c *Call) {
		c.Wait(d)
		then.play(w, c)
	}}
}

// Silent takes the request and never answers.
func Silent() Answer { return Do(func(_ http.ResponseWriter, c *Call) { c.Wait(-1) }) }

// Deaf does not even read the body of the request, and never answers.
func Deaf() Answer {
	return Answer{unread: true, play: func(_ http.ResponseWriter, c *Call) { c.Wait(-1) }}
}

// Drop closes the connection before the answer.
func Drop() Answer {
	return Do(func(http.ResponseWriter, *Call) { panic(http.ErrAbortHandler) })
}

// Half begins an answer and closes the connection in the middle of its body.
func Half(status int) Answer {
	return Do(func(w http.ResponseWriter, _ *Call) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", "100")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"half":`)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
}

// Drip answers 200 with a body that comes one byte at a time, without end.
func Drip(every time.Duration) Answer {
	return Do(func(w http.ResponseWriter, c *Call) {
		out := http.NewResponseController(w)
		for {
			if _, err := io.WriteString(w, "x"); err != nil || out.Flush() != nil {
				return
			}
			c.Wait(every)
		}
	})
}

// Stall answers with a status and headers, and then with nothing.
func Stall(status int, headers ...string) Answer {
	return Do(func(w http.ResponseWriter, c *Call) {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.Header().Set("Content-Length", "10")
		w.WriteHeader(status)
		_ = http.NewResponseController(w).Flush()
		c.Wait(-1)
	})
}

// EndlessHeaders answers 200 with headers that never end, one line at a time.
// It needs HTTP/1.1.
func EndlessHeaders(every time.Duration) Answer {
	return raw(func(conn net.Conn, c *Call) {
		_, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\n")
		for i := 0; err == nil; i++ {
			_, err = fmt.Fprintf(conn, "X-%d: %s\r\n", i, strings.Repeat("x", 100))
			if every > 0 {
				c.Wait(every)
			}
		}
	})
}

// Raw answers with bytes as they are and closes the connection. It needs
// HTTP/1.1.
func Raw(answer string) Answer {
	return raw(func(conn net.Conn, _ *Call) { _, _ = io.WriteString(conn, answer) })
}

// raw takes the connection over.
func raw(play func(net.Conn, *Call)) Answer {
	return Do(func(w http.ResponseWriter, c *Call) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		c.up.note(func() { c.up.taken = append(c.up.taken, conn) })
		select {
		case <-c.up.closing: // Close may have looked before
			return
		default:
		}
		play(conn, c)
	})
}

// Bomb answers 200 with zeros in gzip that become size bytes; about a
// thousandth of it is sent.
func Bomb(size int64) Answer {
	return Do(func(w http.ResponseWriter, _ *Call) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		left := size
		for ; left >= mebibyte; left -= mebibyte { // gzip may be several, one after the other
			if _, err := w.Write(packedMebibyte()); err != nil {
				return
			}
		}
		_, _ = w.Write(packed(left))
	})
}

const mebibyte = 1 << 20

var packedMebibyte = sync.OnceValue(func() []byte { return packed(mebibyte) })

// packed is n zeros in gzip.
func packed(n int64) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(make([]byte, n))
	_ = z.Close()
	return b.Bytes()
}

// Redirect answers with a status and a Location: a path of the same server, or
// an address of another one. A path that leads to itself is a loop.
func Redirect(status int, to string) Answer { return Reply(status, "", "Location", to) }

// First answers the first n tries of a request in one way, and the others in
// another.
func First(n int, bad, good Answer) Answer {
	return Answer{unread: bad.unread || good.unread, play: func(w http.ResponseWriter, c *Call) {
		if c.Try <= n {
			bad.play(w, c)
			return
		}
		good.play(w, c)
	}}
}

// Flaky fails n times per request with a status and then answers 200.
func Flaky(n, status int) Answer { return First(n, Status(status), OK(`{}`)) }

// RetryAfter answers with a status and asks for a wait, in seconds.
func RetryAfter(status int, wait time.Duration) Answer {
	return Reply(status, "", "Retry-After", strconv.Itoa(int(wait.Seconds())))
}

// RetryAfterDate answers with a status and asks for a wait, as a date. A date
// has no fractions: the wait is rounded up.
func RetryAfterDate(status int, wait time.Duration) Answer {
	return Do(func(w http.ResponseWriter, _ *Call) {
		at := time.Now().Add(wait + time.Second - time.Nanosecond)
		w.Header().Set("Retry-After", at.UTC().Format(http.TimeFormat))
		w.WriteHeader(status)
	})
}

// Effects counts what requests bring about: one effect per idempotency key,
// and one per request without.
type Effects struct {
	mu    sync.Mutex
	byKey map[string]int
}

// Once has an effect, unless it was had for the same key, and then answers. An
// answer to a key that was seen before says so in Idempotency-Replayed.
func (e *Effects) Once(then Answer) Answer {
	return Answer{unread: then.unread, play: func(w http.ResponseWriter, c *Call) {
		e.mu.Lock()
		if e.byKey == nil {
			e.byKey = map[string]int{}
		}
		if key := c.Seen.Key; key == "" || e.byKey[key] == 0 {
			e.byKey[key]++
		} else {
			w.Header().Set("Idempotency-Replayed", "true")
		}
		e.mu.Unlock()
		then.play(w, c)
	}}
}

// Of is how many effects a key had; "" is for requests without.
func (e *Effects) Of(key string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.byKey[key]
}

// Total is how many effects there were.
func (e *Effects) Total() (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, k := range e.byKey {
		n += k
	}
	return n
}

// Scripted reads a behaviour from a path, for callers that can say no more
// than an address:
//
//	/ok  /drop  /half  /silent  /headers  /bomb  /loop
//	/status/422  /slow/200ms  /drip/20ms  /flaky/2/503  /after/503/2  /redirect/302?to=/ok
func Scripted(u *url.URL) (Answer, bool) {
	word, rest, _ := strings.Cut(strings.Trim(u.Path, "/"), "/")
	first, second, _ := strings.Cut(rest, "/")
	n, _ := strconv.Atoi(first)
	m, _ := strconv.Atoi(second)
	d, _ := time.ParseDuration(first)
	switch word {
	case "ok":
		return OK(`{}`), true
	case "drop":
		return Drop(), true
	case "half":
		return Half(http.StatusOK), true
	case "silent":
		return Silent(), true
	case "headers":
		return EndlessHeaders(0), true
	case "bomb":
		return Bomb(1 << 30), true
	case "loop":
		return Redirect(http.StatusFound, u.Path), true
	case "status":
		return Status(n), n >= 200 && n < 1000
	case "slow":
		return Slow(d, OK(`{}`)), d > 0
	case "drip":
		return Drip(d), d > 0
	case "flaky":
		return Flaky(n, m), m >= 200 && m < 1000
	case "after":
		return RetryAfter(n, time.Duration(m)*time.Second), n >= 200 && n < 1000
	case "redirect":
		return Redirect(n, u.Query().Get("to")), n >= 300 && n < 400
	}
	return Answer{}, false
}

package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// benchBody is the target's answer: 200 bytes of JSON.
var benchBody = []byte(`{"id":8817,"customer":7,"status":"confirmed","total":129.9,"currency":"EUR","note":"` + strings.Repeat("x", 113) + `"}`)

// benchList is its answer where a list is asked for: 1 KB of JSON.
var benchList = []byte(`{"items":[` + strings.Repeat(`{"id":8817,"sku":"A-17","qty":41},`, 29) + `{"id":1,"sku":"B-2","qty":7}]}`)

// TargetCommand is the hidden command of this program that serves the target.
const TargetCommand = "bench-target"

// ServeTarget serves the target on a loopback port, prints its address, and
// ends when in does.
func ServeTarget(in io.Reader, out io.Writer) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "http://%s/\n", l.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, in)
		l.Close()
	}()
	var gaps gaps
	_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/object":
			serveObject(w, r)
			return
		case "/rows":
			serveRows(w, r)
			return
		case "/list":
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(benchList)
			return
		case "/slow":
			time.Sleep(slowAnswer)
		case "/gap":
			gaps.came(r.URL.RawQuery == "first")
			defer gaps.answered()
		case "/gaps":
			_ = json.NewEncoder(w).Encode(gaps.take())
			return
		case "/silent":
			<-r.Context().Done()
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(benchBody)
	}))
	return nil
}

// startTarget starts the target server and returns its address.
func startTarget(ctx context.Context) (url string, stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return "", nil, err
	}
	cmd := exec.CommandContext(ctx, self, TargetCommand)
	in, err := cmd.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, fmt.Errorf("start the target server: %w", err)
	}
	stop = func() { in.Close(); _ = cmd.Wait() }
	url, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		stop()
		return "", nil, fmt.Errorf("start the target server: %w", err)
	}
	return strings.TrimSpace(url), stop, nil
}

// gaps are the times between the answer to a task of a chain and the request of
// the next one, in microseconds, as the server sees them. One chain runs at a
// time.
type gaps struct {
	mu   sync.Mutex
	last time.Time
	list []float64
}

func (g *gaps) came(first bool) {
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	if !first && !g.last.IsZero() {
		g.list = append(g.list, float64(now.Sub(g.last).Nanoseconds())/1e3)
	}
}

func (g *gaps) answered() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.last = time.Now()
}

// take returns what was measured, and forgets it.
func (g *gaps) take() []float64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	list := g.list
	if list == nil {
		list = []float64{}
	}
	g.list = nil
	return list
}

package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
)

// DefaultObjectBytes is the size of the object of the part "object".
const DefaultObjectBytes = 1 << 30

// object measures a download into the object store and an upload from it, by a
// node as a process of its own: how fast they are, and how much its memory
// grows over what it was when idle. The store is deleted afterwards.
func (b *bencher) object(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "qarion-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	size := b.cfg.ObjectBytes
	if size <= 0 {
		size = DefaultObjectBytes
	}
	flow := fmt.Sprintf(`[defaults.api_call]
url = "%sobject?bytes=%d"
timeout = 3600
[[tasks]]
id = "down"
type = "api_call"
properties = { store_as = "object" }
[[tasks]]
id = "up"
type = "api_call"
properties = { operation = "put", body_format = "raw", body = "{{ xcom_down }}" }
`, b.target, size)
	if err := os.MkdirAll(filepath.Join(dir, "flows"), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "flows", "object.toml"), []byte(flow), 0o644); err != nil {
		return err
	}
	p, _, err := startServe(ctx, dir)
	if err != nil {
		return err
	}
	defer p.stop()
	pass(ctx, time.Second)
	idle, err := p.rss()
	if err != nil {
		return err
	}
	_ = os.WriteFile(p.proc("clear_refs"), []byte("5"), 0) // the peak counts from here; without it, from the start
	c, err := bus.Dial(p.access, p.access.URL)
	if err != nil {
		return err
	}
	defer c.Close()
	doc := new(engine.RunDoc)
	if err := c.Call(ctx, "run.start", bus.StartRun{Flow: "object", Wait: json.RawMessage("3600")}, doc); err != nil {
		return err
	}
	if doc.Status != engine.Success || len(doc.Tasks) != 2 {
		return fmt.Errorf("the run ended as %s: %+v", doc.Status, doc.Error)
	}
	peak, err := p.peakRSS()
	if err != nil {
		return err
	}
	mib := float64(size) / (1 << 20)
	b.ObjectMiB, b.ObjectRSSMiB = mib, peak-idle
	b.ObjectDown, b.ObjectUp = mib/doc.Tasks[0].DurationMS*1000, mib/doc.Tasks[1].DurationMS*1000
	return nil
}

func (p *servedProcess) proc(name string) string {
	return fmt.Sprintf("/proc/%d/%s", p.cmd.Process.Pid, name)
}

// peakRSS is the most resident memory since it was asked to count, in MiB.
func (p *servedProcess) peakRSS() (float64, error) {
	data, err := os.ReadFile(p.proc("status"))
	if err != nil {
		return 0, err
	}
	_, rest, ok := strings.Cut(string(data), "VmHWM:")
	if !ok {
		return 0, fmt.Errorf("status has no VmHWM")
	}
	kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	return kib / 1024, err
}

// serveObject answers a GET with so many bytes as the query says, and takes
// what is sent.
func serveObject(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		n, err := io.Copy(io.Discard, r.Body)
		if want := r.URL.Query().Get("bytes"); err != nil || strconv.FormatInt(n, 10) != want {
			w.WriteHeader(http.StatusBadRequest)
		}
		return
	}
	left, _ := strconv.ParseInt(r.URL.Query().Get("bytes"), 10, 64)
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(left, 10))
	chunk := make([]byte, 256<<10)
	for i := range chunk {
		chunk[i] = byte(i * 7)
	}
	for left > 0 {
		n, err := w.Write(chunk[:min(left, int64(len(chunk)))])
		if err != nil {
			return
		}
		left -= int64(n)
	}
}

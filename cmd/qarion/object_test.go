package main_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/testkit"
)

// TestObject_MemoryStaysFlat: an object of 128 MiB goes through a node whose
// memory grows by a part of that. `qarion bench --part object` measures 1 GiB.
func TestObject_MemoryStaysFlat(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 128 MiB: left out with -short")
	}
	cmd := exec.Command(testkit.Binary(t), "bench", "--part", "object", "--object-mib", "128", "--output", "json")
	cmd.Dir = t.TempDir()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var got struct {
		MiB    float64 `json:"object_mib"`
		Growth float64 `json:"object_rss_growth_mib"`
	}
	if err := json.Unmarshal(out, &got); err != nil || got.MiB != 128 || got.Growth > 48 {
		t.Errorf("%s (%v)", out, err)
	}
}

// TestCrash_ObjectsAreWholeOrGone kills the node in the middle of downloads
// into the object store and of uploads from it. In the end what was received
// is what was sent, byte by byte, and nothing half written is left.
func TestCrash_ObjectsAreWholeOrGone(t *testing.T) {
	data := make([]byte, 6<<20)
	for i := range data {
		data[i] = byte(i * i >> 8)
	}
	u := testkit.NewUpstream(t)
	half := make(chan struct{}, 100) // a download stands in its middle
	u.Handle("/down", testkit.Do(func(w http.ResponseWriter, c *testkit.Call) {
		w.Header().Set("Content-Type", "application/x-thing")
		w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		_, _ = w.Write(data[:len(data)/2])
		_ = http.NewResponseController(w).Flush()
		if c.Try <= 3 {
			half <- struct{}{}
			c.Wait(-1) // until the node dies
		}
		_, _ = w.Write(data[len(data)/2:])
	}))
	u.Handle("/up", testkit.First(2, testkit.Do(func(_ http.ResponseWriter, c *testkit.Call) {
		half <- struct{}{}
		c.Wait(-1)
	}), testkit.OK(`{}`)))
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "flows"), 0o755); err != nil {
		t.Fatal(err)
	}
	text := upstreamTask(u, "dl", "down", "", "store_as = \"object\"\ntimeout = 60") +
		upstreamTask(u, "up", "up", "", "operation = \"put\"\nbody_format = \"raw\"\nbody = \"{{ xcom_dl }}\"\ntimeout = 60")
	if err := os.WriteFile(filepath.Join(dir, "flows", "objects.toml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	p := testkit.Serve(t, dir)
	run := startObjects(t, p)
	for range 5 { // three downloads and two uploads
		select {
		case <-half:
		case <-time.After(30 * time.Second):
			t.Fatal("the node does not go on")
		}
		if u.Count("/up") == 0 {
			awaitChunks(t, p) // so that there is something to be left behind
		}
		p.Kill()
		p = testkit.Serve(t, dir)
	}
	c, err := bus.Dial(p.Access, p.Access.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	doc := new(engine.RunDoc)
	if err := c.Call(t.Context(), "run.get", bus.RunRef{Run: run, Wait: 25}, doc); err != nil || doc.Status != engine.Success {
		t.Fatalf("%v: %+v", err, doc)
	}
	sent := u.Requests("/up")
	sum := sha256.Sum256(data)
	if got := sent[len(sent)-1]; !bytes.Equal(got.Body, data) || got.Header.Get("Content-Type") != "application/x-thing" {
		t.Errorf("%d bytes of %s were sent on, of %d", len(got.Body), got.Header.Get("Content-Type"), len(data))
	}
	var shown struct{ SHA256 string }
	if err := c.Call(t.Context(), "xcom.get", bus.XComRef{Run: run, Task: "dl"}, &shown); err != nil || shown.SHA256 != hex.EncodeToString(sum[:]) {
		t.Errorf("%+v, %v", shown, err)
	}
	awaitNoStrays(t, p)
	if code := p.Stop(); code != 0 {
		t.Errorf("the node stopped with exit code %d", code)
	}
}

func startObjects(t *testing.T, p *testkit.Process) string {
	t.Helper()
	c, err := bus.Dial(p.Access, p.Access.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	doc := new(engine.RunDoc)
	if err := c.Call(t.Context(), "run.start", bus.StartRun{Flow: "objects"}, doc); err != nil {
		t.Fatal(err)
	}
	return string(doc.RunID)
}

// objects lists the parts in the object store, and the names.
func objects(t *testing.T, p *testkit.Process) (parts, names int) {
	t.Helper()
	nc, err := nats.Connect(p.Access.URL, nats.UserInfo(p.Access.User, p.Access.Password), nats.CustomInboxPrefix("_QARION"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(t.Context(), "OBJ_qarion_blobs")
	if err != nil {
		t.Fatal(err)
	}
	info, err := s.Info(t.Context(), jetstream.WithSubjectFilter(">"))
	if err != nil {
		t.Fatal(err)
	}
	for subject := range info.State.Subjects {
		if strings.Contains(subject, ".C.") {
			parts++
		} else {
			names++
		}
	}
	return parts, names
}

// awaitChunks waits until the object that is being written has a part that no
// name knows.
func awaitChunks(t *testing.T, p *testkit.Process) {
	t.Helper()
	await(t, p, func(parts, names int) bool { return parts > names })
}

func awaitNoStrays(t *testing.T, p *testkit.Process) {
	t.Helper()
	await(t, p, func(parts, names int) bool { return parts == names && names == 1 })
}

func await(t *testing.T, p *testkit.Process, good func(parts, names int) bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		parts, names := objects(t, p)
		if good(parts, names) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d objects have parts, %d have names", parts, names)
		}
		<-time.After(10 * time.Millisecond)
	}
}

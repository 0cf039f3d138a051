package node

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/flowfile"
	"github.com/qarion/qarion/flows"
	"github.com/qarion/qarion/internal/testkit"
	"github.com/qarion/qarion/kvstore"
	"github.com/qarion/qarion/wasmhooks"
)

// endless is a module whose functions loop without end, but for those that the host
// asks before.
const endless = "0061736d010000000118046000017f60017f017f60037f7f7f017e60037f7f7f017e0305040001020305040101021007530512716172696f6e5f6162695f" +
	"76657273696f6e00000c716172696f6e5f616c6c6f6300010f716172696f6e5f76616c6964617465000210716172696f6e5f7472616e73666f726d0003066d656d6f7279" +
	"02000a26040600418080040b05004180200b0b01027f03400c000b42000b0b01027f03400c000b42000b"

// hookedNode is a node with folders for flows and hooks that it follows.
type hookedNode struct {
	*Node
	t   *testing.T
	dir string
	up  *testkit.Upstream
	c   *bus.Client
	mu  sync.Mutex
	log map[engine.RunID][]loggedHook

	close func()
}

// loggedHook is what the operation log says of a hook.
type loggedHook struct {
	Hook, SHA256, Verdict, Error string
}

func openHooked(t *testing.T) *hookedNode { return openHookedIn(t, t.TempDir()) }

// openHookedIn opens it in a folder that an earlier one may have left.
func openHookedIn(t *testing.T, dir string) *hookedNode {
	h := &hookedNode{t: t, dir: dir, up: testkit.NewUpstream(t), log: map[engine.RunID][]loggedHook{}}
	h.up.Handle("/list", testkit.OK(`{"items":[{"id":1},{"id":2}]}`))
	for _, folder := range []string{"flows", "hooks"} {
		if err := os.MkdirAll(filepath.Join(h.dir, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	n, err := Open(t.Context(), Config{DataDir: filepath.Join(h.dir, "data"), Flows: filepath.Join(h.dir, "flows"), Hooks: filepath.Join(h.dir, "hooks"), Tables: TablesOff})
	if err != nil {
		t.Fatal(err)
	}
	h.Node = n
	ctx, stop := context.WithCancel(context.Background())
	var watch sync.WaitGroup
	watch.Go(func() {
		if err := n.Flows.Watch(ctx, func(*flowfile.Dir) {}); err != nil {
			t.Error(err)
		}
	})
	h.close = sync.OnceFunc(func() { stop(); watch.Wait(); _ = n.Close() })
	t.Cleanup(h.close)
	if h.c, err = n.Client(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.c.Close)
	if _, err := h.c.Conn().Subscribe("qarion.log.>", h.note); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *hookedNode) note(m *nats.Msg) {
	var op struct {
		ExecutionID engine.RunID                 `json:"execution_id"`
		Details     struct{ Hooks []loggedHook } `json:"operation_details"`
	}
	if err := json.Unmarshal(m.Data, &op); err != nil {
		h.t.Errorf("%s: %v", m.Data, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.log[op.ExecutionID] = append(h.log[op.ExecutionID], op.Details.Hooks...)
}

// hooksOf waits until the operation log has so many hooks of a run.
func (h *hookedNode) hooksOf(run engine.RunID, n int) []loggedHook {
	h.t.Helper()
	var have []loggedHook
	h.until("the operation log has what hooks did", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		have = h.log[run]
		return len(have) >= n
	})
	return have
}

func (h *hookedNode) until(what string, done func() bool) {
	h.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			h.t.Fatalf("it never comes that %s", what)
		}
	}
}

// put writes a file below the node's folder in one step.
func (h *hookedNode) put(path string, content []byte) {
	h.t.Helper()
	to := filepath.Join(h.dir, path)
	if err := os.WriteFile(to+".part", content, 0o600); err != nil {
		h.t.Fatal(err)
	}
	if err := os.Rename(to+".part", to); err != nil {
		h.t.Fatal(err)
	}
}

// flow puts a flow of tasks, one behind the other, with a hook each.
func (h *hookedNode) flow(id, hook string, tasks int) {
	h.t.Helper()
	var text strings.Builder
	for i := range tasks {
		fmt.Fprintf(&text, "[[tasks]]\nid = \"t%d\"\ntype = \"api_call\"\nproperties = { url = %q }\n", i, h.up.URL+"/list")
		if i > 0 {
			fmt.Fprintf(&text, "dependencies = [\"t%d\"]\n", i-1)
		}
		fmt.Fprintf(&text, "[tasks.hooks]\nvalidate = %s\n", hook)
	}
	h.put("flows/"+id+".toml", []byte(text.String()))
}

// run starts a run and waits for its end.
func (h *hookedNode) run(id string) *engine.RunDoc {
	doc := new(engine.RunDoc)
	if err := h.c.Call(h.t.Context(), "run.start", bus.StartRun{Flow: id, Wait: json.RawMessage("120")}, doc); err != nil {
		h.t.Errorf("run %s: %v", id, err)
	}
	return doc
}

// version is the newest version of a flow; "" when there is none.
func (h *hookedNode) version(id engine.FlowID) string {
	list, err := h.Engine.Flows(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	for _, f := range list {
		if f.FlowID == id {
			return f.Version
		}
	}
	return ""
}

// variant is the check of the demo with another hash.
func variant(t *testing.T, n int) (module []byte, hash string) {
	t.Helper()
	module, err := flows.Files.ReadFile("hooks/check.wasm")
	if err != nil {
		t.Fatal(err)
	}
	module = append(module, 0, 3, 1, 'v', byte(n)) // a section that says nothing
	return module, wasmhooks.Hash(module)
}

const checkConfig = `config = { items = "/items", min_items = 1 }`

// TestHooks_AreReloadedUnderLoad: while runs are made without a pause, the module of a
// file and that of a name are replaced, by good ones and by bad ones. Every run succeeds,
// with one version of each module from its begin to its end, and in the end with the last
// good one.
func TestHooks_AreReloadedUnderLoad(t *testing.T) {
	h := openHooked(t)
	push := func(module []byte) error {
		if _, err := h.hooks.open(t.Context()); err != nil {
			return err
		}
		if err := h.hooks.modules.Keep(t.Context(), wasmhooks.Hash(module), module); err != nil {
			return err
		}
		return h.c.Admin(t.Context(), "hook.push", HookPush{Name: "checks/list", SHA256: wasmhooks.Hash(module)}, nil)
	}
	first, hash := variant(t, 0)
	good := map[string]bool{hash: true}
	h.put("hooks/check.wasm", first)
	if err := push(first); err != nil {
		t.Fatal(err)
	}
	h.flow("file", `{ file = "check.wasm", `+checkConfig+` }`, 3)
	h.flow("object", `{ object = "checks/list", `+checkConfig+` }`, 3)
	h.flow("latest", `{ file = "check.wasm", pin = "latest", `+checkConfig+` }`, 3)
	ids := []string{"file", "object", "latest"}
	h.until("the flows are loaded", func() bool { return h.version("file") != "" && h.version("object") != "" && h.version("latest") != "" })

	var done atomic.Bool
	var load sync.WaitGroup
	var mu sync.Mutex
	made := map[engine.RunID]string{}
	for i := range 6 {
		load.Go(func() {
			for !done.Load() {
				doc := h.run(ids[i%len(ids)])
				if doc.Status != engine.Success {
					t.Errorf("%s: %s, %+v", ids[i%len(ids)], doc.Status, doc.Error)
				}
				mu.Lock()
				made[doc.RunID] = ids[i%len(ids)]
				mu.Unlock()
			}
		})
	}
	for i := 1; i <= 5; i++ {
		module, next := variant(t, i)
		good[next], hash = true, next
		before := map[string]string{}
		for _, id := range ids {
			before[id] = h.version(engine.FlowID(id))
		}
		h.put("hooks/check.wasm", module)
		if err := push(module); err != nil {
			t.Error(err)
		}
		h.until("every flow has a version with the new module", func() bool {
			for _, id := range ids {
				if h.version(engine.FlowID(id)) == before[id] {
					return false
				}
			}
			return true
		})
		h.put("hooks/check.wasm", module[:len(module)/2])
		h.until("the bad module is seen", func() bool { return len(h.Flows.Found().Broken) > 0 })
		if err := push([]byte("no module")); err == nil {
			t.Error("what is no module was pushed")
		}
	}
	done.Store(true)
	load.Wait()
	for run, id := range made {
		for i, hook := range h.hooksOf(run, 3) {
			if !good[hook.SHA256] || hook.Verdict != "valid" {
				t.Errorf("%s: %+v", id, hook)
			}
			if one := h.hooksOf(run, 3)[0]; id != "latest" && hook.SHA256 != one.SHA256 {
				t.Errorf("a run of %s had %.8s and in task %d %.8s", id, one.SHA256, i, hook.SHA256)
			}
		}
	}
	for _, id := range ids {
		if got := h.hooksOf(h.run(id).RunID, 3)[0].SHA256; got != hash {
			t.Errorf("in the end %s has %.8s, want %.8s", id, got, hash)
		}
	}
	t.Logf("%d runs", len(made))
}

// TestHooks_LatestReachesOpenRuns: a run that has begun goes on with its module, or with
// the newest one where its flow says so.
func TestHooks_LatestReachesOpenRuns(t *testing.T) {
	h := openHooked(t)
	open := make(chan struct{})
	h.up.Handle("/list", testkit.Do(func(w http.ResponseWriter, _ *testkit.Call) {
		<-open
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"items":[1]}`))
	}))
	module, before := variant(t, 0)
	h.put("hooks/check.wasm", module)
	h.flow("pinned", `"check.wasm"`, 1)
	h.flow("latest", `{ file = "check.wasm", pin = "latest" }`, 1)
	h.until("the flows are loaded", func() bool { return h.version("pinned") != "" && h.version("latest") != "" })
	old := h.version("latest")
	var runs sync.WaitGroup
	got := map[string]engine.RunID{}
	var mu sync.Mutex
	for _, id := range []string{"pinned", "latest"} {
		runs.Go(func() {
			doc := h.run(id)
			mu.Lock()
			defer mu.Unlock()
			got[id] = doc.RunID
		})
	}
	h.up.Await(t, "/list", 2)
	module, after := variant(t, 1)
	h.put("hooks/check.wasm", module)
	h.until("the new module is taken up", func() bool { return h.version("latest") != old })
	close(open)
	runs.Wait()
	for id, want := range map[string]string{"pinned": before, "latest": after} {
		if hook := h.hooksOf(got[id], 1)[0]; hook.SHA256 != want {
			t.Errorf("%s: %.8s, want %.8s", id, hook.SHA256, want)
		}
	}
}

// TestHooks_OldModulesGo: a module stays while a name, a flow or an open run has it, and a
// week longer.
func TestHooks_OldModulesGo(t *testing.T) {
	h := openHooked(t)
	var hashes []string
	for i := range 3 {
		module, hash := variant(t, i)
		hashes = append(hashes, hash)
		before := h.version("file")
		h.put("hooks/check.wasm", module)
		h.flow("file", `"check.wasm"`, 1)
		h.until("the module is taken up", func() bool { return h.version("file") != before })
	}
	if err := h.c.Admin(t.Context(), "hook.push", HookPush{Name: "kept", SHA256: hashes[1]}, nil); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for _, at := range []time.Duration{0, moduleAge - time.Hour, moduleAge + time.Hour} {
		for i, hash := range hashes {
			if _, err := h.hooks.modules.Module(t.Context(), hash); err != nil {
				t.Errorf("module %d is gone after %s: %v", i, at, err)
			}
		}
		h.sweepModules(t.Context(), now.Add(at))
	}
	for i, hash := range hashes {
		if _, err := h.hooks.modules.Module(t.Context(), hash); (err == nil) != (i > 0) {
			t.Errorf("module %d in the end: %v", i, err)
		}
	}
}

// TestHooks_OldModulesGoAfterARestart: also when no flow has a hook any more, and with
// them what a push has left that was cut off.
func TestHooks_OldModulesGoAfterARestart(t *testing.T) {
	h := openHooked(t)
	module, hash := variant(t, 0)
	h.put("hooks/check.wasm", module)
	h.flow("file", `"check.wasm"`, 1)
	h.until("the flow is loaded", func() bool { return h.version("file") != "" })
	if err := os.Remove(filepath.Join(h.dir, "flows", "file.toml")); err != nil {
		t.Fatal(err)
	}
	h.until("the flow is gone", func() bool {
		flows, err := h.Engine.InUse(t.Context())
		return err == nil && len(flows) == 0
	})
	h.c.Close()
	h.close()

	h = openHookedIn(t, h.dir)
	js, err := jetstream.New(h.c.Conn())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	h.sweepModules(t.Context(), now)
	h.sweepModules(t.Context(), now.Add(moduleAge+time.Hour))
	store, err := js.ObjectStore(t.Context(), kvstore.BucketHooks)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.GetInfo(t.Context(), "sha256/"+hash); !errors.Is(err, jetstream.ErrObjectNotFound) {
		t.Errorf("the module that no flow has is there: %v", err)
	}
}

// TestHooks_ModulesThatTheStoreHasLost: a node that had one starts and runs with its copy,
// and the store has it again.
func TestHooks_ModulesThatTheStoreHasLost(t *testing.T) {
	h := openHooked(t)
	module, hash := variant(t, 0)
	h.put("hooks/check.wasm", module)
	h.flow("file", `"check.wasm"`, 1)
	h.until("the flow is loaded", func() bool { return h.version("file") != "" })
	if err := h.c.Admin(t.Context(), "hook.push", HookPush{Name: "checks/list", SHA256: hash}, nil); err != nil {
		t.Fatal(err)
	}
	h.flow("object", `{ object = "checks/list", `+checkConfig+` }`, 1)
	h.until("the flow of the name is loaded", func() bool { return h.version("object") != "" })
	js, err := jetstream.New(h.c.Conn())
	if err != nil {
		t.Fatal(err)
	}
	store, err := js.ObjectStore(t.Context(), kvstore.BucketHooks)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"flows/file.toml", "hooks/check.wasm"} { // or it would be stored anew
		if err := os.Remove(filepath.Join(h.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Delete(t.Context(), "sha256/"+hash); err != nil {
		t.Fatal(err)
	}
	h.c.Close()
	h.close()

	h = openHookedIn(t, h.dir)
	h.until("the flow is loaded again", func() bool { return len(h.Flows.Found().Broken) == 0 && h.version("object") != "" })
	if doc := h.run("object"); doc.Status != engine.Success {
		t.Errorf("%s: %+v", doc.Status, doc.Error)
	}
	if _, err := h.hooks.modules.Module(t.Context(), hash); err != nil {
		t.Errorf("the store: %v", err)
	}
}

// TestHooks_AHostileModuleIsAloneWithIt: while a module that loops uses up its steps
// without a pause, 64 other tasks with a hook each are made, all at their first attempt,
// and none of them has to wait until a loop ends.
func TestHooks_AHostileModuleIsAloneWithIt(t *testing.T) {
	const tasks = 64
	h := openHooked(t)
	loop, err := hex.DecodeString(endless)
	if err != nil {
		t.Fatal(err)
	}
	module, _ := variant(t, 0)
	h.put("hooks/endless.wasm", loop)
	h.put("hooks/check.wasm", module)
	h.flow("hostile", `"endless.wasm"`, 1)
	h.flow("good", `{ file = "check.wasm", `+checkConfig+` }`, 1)
	h.until("the flows are loaded", func() bool { return h.version("hostile") != "" && h.version("good") != "" })

	var done atomic.Bool
	var ended atomic.Int64
	var bad, good sync.WaitGroup
	for range 2 {
		bad.Go(func() {
			for !done.Load() {
				doc := h.run("hostile")
				if doc.Status != engine.Failed || doc.Error == nil || doc.Error.Class != "hook_timeout" && doc.Error.Class != "hook_busy" {
					t.Errorf("hostile: %s, %+v", doc.Status, doc.Error)
				}
				ended.Add(1)
			}
		})
	}
	h.up.Await(t, "/list", 1)
	for range tasks {
		good.Go(func() {
			doc := h.run("good")
			if doc.Status != engine.Success || doc.Calls != 1 {
				t.Errorf("good: %s, %+v", doc.Status, doc)
			}
		})
	}
	good.Wait()
	meanwhile := ended.Load()
	done.Store(true)
	bad.Wait()
	t.Logf("%d good tasks were made while %d loops ended", tasks, meanwhile)
	if meanwhile > tasks/4 {
		t.Errorf("%d loops ended while %d good tasks were made", meanwhile, tasks)
	}
}

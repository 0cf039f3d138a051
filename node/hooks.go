package node

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/qarion/qarion/apicall"
	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/kvstore"
	"github.com/qarion/qarion/wasmhooks"
)

// HookConfig is how hooks are found and run.
type HookConfig struct {
	Dir    string // of module files
	Cache  string // folder for what was compiled; "" keeps it in memory
	Copies string // folder for copies of what lies in the object store; "": there are none
	Limits wasmhooks.Limits
	Log    *slog.Logger
}

// Hooks runs the hooks of API calls. It opens what it needs when the first flow
// that has one is loaded.
type Hooks struct {
	cfg     HookConfig
	conn    *nats.Conn                                     // nil: files alone
	counted func(hook, outcome string, took time.Duration) // nil: nobody counts

	mu      sync.Mutex
	host    *wasmhooks.Host
	modules *kvstore.Modules
	latest  map[newest]string // hashes of the newest good versions
	held    map[named]string  // hashes of what was found since hold; nil: nothing is held
}

// named is how flows name a module, whichever version of it.
type named struct{ file, object string }

// newest names a module and what it is asked.
type newest struct {
	named
	kind wasmhooks.Kind
}

// hold has a name stand for one version of a module until release is called: the tasks
// of a flow that is read must not have several.
func (h *Hooks) hold() (release func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held = map[named]string{}
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.held = nil
	}
}

var _ apicall.Hooks = (*Hooks)(nil)

// NewHooks prepares hooks from files, for those who only look at flows.
func NewHooks(cfg HookConfig) *Hooks { return &Hooks{cfg: cfg} }

// open opens the host at first use.
func (h *Hooks) open(ctx context.Context) (*wasmhooks.Host, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.host != nil {
		return h.host, nil
	}
	conf := wasmhooks.Config{Dir: h.cfg.Dir, Cache: h.cfg.Cache, Copies: h.cfg.Copies, Limits: h.cfg.Limits, Log: h.cfg.Log}
	if h.conn != nil {
		if h.modules == nil {
			modules, err := kvstore.OpenModules(ctx, h.conn)
			if err != nil {
				return nil, err
			}
			h.modules = modules
		}
		conf.Store = h.modules
	}
	host, err := wasmhooks.Open(conf)
	h.host = host
	return host, err
}

// stored is where modules are stored. engine.ErrNotFound: there were never any.
func (h *Hooks) stored(ctx context.Context) (*kvstore.Modules, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.modules == nil {
		modules, err := kvstore.FindModules(ctx, h.conn)
		if err != nil {
			return nil, err
		}
		h.modules = modules
	}
	return h.modules, nil
}

// Close ends every instance.
func (h *Hooks) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.host != nil {
		h.host.Close()
		h.host = nil
	}
}

func hookKind(validate bool) wasmhooks.Kind {
	if validate {
		return wasmhooks.Validate
	}
	return wasmhooks.Transform
}

// Prepare implements apicall.Hooks. Without a node, what was pushed is taken on
// trust: only a node knows it.
func (h *Hooks) Prepare(ctx context.Context, ref apicall.HookRef, validate bool) (string, error) {
	if ref.Object != "" && h.conn == nil {
		return ref.SHA256, nil
	}
	host, err := h.open(ctx)
	if err != nil {
		return "", &apicall.HookError{Class: wasmhooks.ClassLoad, Message: err.Error(), Retry: true}
	}
	want, name := wasmhooks.Ref{File: ref.File, Object: ref.Object, SHA256: ref.SHA256}, named{ref.File, ref.Object}
	if want.SHA256 == "" {
		h.mu.Lock()
		want.SHA256 = h.held[name]
		h.mu.Unlock()
	}
	hash, err := host.Prepare(ctx, want, hookKind(validate))
	if err != nil {
		return hash, hookError(err)
	}
	if ref.SHA256 == "" { // a flow file as it is now; a flow version knows its hash
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.latest == nil {
			h.latest = map[newest]string{}
		}
		h.latest[newest{name, hookKind(validate)}] = hash
		if h.held != nil {
			h.held[name] = hash
		}
	}
	return hash, nil
}

// Call implements apicall.Hooks.
func (h *Hooks) Call(ctx context.Context, call *apicall.HookCall) apicall.HookAnswer {
	kind, hash := hookKind(call.Validate), call.Ref.SHA256
	if hash == "" {
		return apicall.HookAnswer{Err: &apicall.HookError{Class: wasmhooks.ClassLoad, Message: "what was pushed is known to a node alone"}}
	}
	host, err := h.open(ctx)
	if err != nil {
		return apicall.HookAnswer{Err: &apicall.HookError{Class: wasmhooks.ClassLoad, Message: err.Error(), Retry: true}}
	}
	if call.Latest {
		h.mu.Lock()
		hash = cmp.Or(h.latest[newest{named{call.Ref.File, call.Ref.Object}, kind}], hash)
		h.mu.Unlock()
	}
	a := host.Call(ctx, hash, kind, call.Meta, call.Body)
	out := apicall.HookAnswer{SHA256: hash, Changed: a.Changed, Body: a.Body, Retry: a.Verdict.Retry, Took: a.Took}
	for _, v := range a.Verdict.Errors {
		out.Violations = append(out.Violations, v.String())
	}
	for _, l := range a.Lines {
		out.Lines = append(out.Lines, apicall.HookLine{Level: l.Level, Text: l.Text})
	}
	if a.Dropped > 0 {
		out.Lines = append(out.Lines, apicall.HookLine{Level: slog.LevelWarn, Text: fmt.Sprintf("%d more lines were left out", a.Dropped)})
	}
	outcome := "ok"
	switch {
	case a.Err != nil:
		out.Err, outcome = hookError(a.Err), a.Err.Class
	case len(out.Violations) > 0:
		outcome = "invalid"
	}
	if h.counted != nil {
		h.counted(call.Name, outcome, a.Took)
	}
	return out
}

func hookError(err error) *apicall.HookError {
	var e *wasmhooks.Error
	if errors.As(err, &e) {
		return &apicall.HookError{Class: e.Class, Message: e.Message, Retry: e.Retry}
	}
	return &apicall.HookError{Class: wasmhooks.ClassLoad, Message: err.Error()}
}

// File reads a module of the folder.
func (h *Hooks) File(ctx context.Context, name string) ([]byte, error) {
	host, err := h.open(ctx)
	if err != nil {
		return nil, err
	}
	return host.File(name)
}

// Check loads a module and says what it is.
func (h *Hooks) Check(ctx context.Context, module []byte) (wasmhooks.Info, error) {
	host, err := h.open(ctx)
	if err != nil {
		return wasmhooks.Info{}, err
	}
	return host.Check(ctx, module)
}

// Sample makes a call of a module that was checked, and returns how long it took.
func (h *Hooks) Sample(ctx context.Context, info wasmhooks.Info) time.Duration {
	host, err := h.open(ctx)
	if err != nil {
		return 0
	}
	kind := wasmhooks.Transform
	if slices.Contains(info.Exports, string(wasmhooks.Validate)) {
		kind = wasmhooks.Validate
	}
	meta := `{"v":1,"hook":"` + string(kind) + `","phase":"response","flow":"sample","task":"sample","run_id":"","map_index":0,"attempt":1,` +
		`"request":{"method":"GET","url":"https://example.com/"},"response":{"status":200,"duration_ms":1,"headers":{}},"body":{"encoding":"raw","truncated":false,"content_type":"application/json"},"config":{}}`
	return host.Call(ctx, info.Hash, kind, []byte(meta), []byte("{}")).Took
}

// openHooks prepares the node's hooks.
func (n *Node) openHooks() error {
	conn, err := n.connect("hooks")
	if err != nil {
		return err
	}
	n.hooks = &Hooks{cfg: HookConfig{Dir: n.cfg.Hooks, Cache: filepath.Join(n.cfg.DataDir, "hooks"), Copies: filepath.Join(n.cfg.DataDir, "modules"), Log: n.log}, conn: conn}
	if n.metrics != nil {
		n.hooks.counted = n.metrics.HookCalled
	}
	return nil
}

// HookPush is the payload of hook.push: a name for a module that lies in the object
// store already, under the hash of its content.
type HookPush struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
}

var hookName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$`)

const maxHookName = 128

// Check reports what is wrong with the name.
func (p HookPush) Check() error {
	if len(p.Name) > maxHookName || !hookName.MatchString(p.Name) {
		return fmt.Errorf("%w: %q is no name of a hook: up to %d letters, digits, _ - and . with / between parts, each of which begins with a letter, a digit or _", engine.ErrInvalid, p.Name, maxHookName)
	}
	return nil
}

// hookEndpoints are the service's endpoints for hooks.
func (n *Node) hookEndpoints() []bus.Endpoint {
	return []bus.Endpoint{
		{Name: "hook.list", Handle: func(ctx context.Context, _ []byte) (any, error) {
			if _, err := n.hooks.open(ctx); err != nil {
				return nil, err
			}
			list, err := n.hooks.modules.List(ctx)
			if list == nil {
				list = []kvstore.NamedModule{}
			}
			return map[string]any{"hooks": list}, err
		}},
		{Name: "hook.push", Handle: func(ctx context.Context, data []byte) (any, error) {
			var in HookPush
			if err := json.Unmarshal(data, &in); err != nil {
				return nil, fmt.Errorf("%w: %v", engine.ErrInvalid, err)
			}
			if err := in.Check(); err != nil {
				return nil, err
			}
			if _, err := n.hooks.open(ctx); err != nil {
				return nil, err
			}
			module, err := n.hooks.modules.Module(ctx, in.SHA256)
			if err != nil {
				return nil, err
			}
			info, err := n.hooks.Check(ctx, module)
			if err == nil && info.Hash != in.SHA256 {
				err = errors.New("what is stored is something else")
			}
			if err != nil { // a bad version never replaces a good one
				return nil, fmt.Errorf("%w: %v", engine.ErrInvalid, err)
			}
			if err := n.hooks.modules.Name(ctx, in.Name, info.Hash, info.Exports); err != nil {
				return nil, err
			}
			if n.Flows != nil { // flows that name it get a new version
				err = n.Flows.load(ctx)
			}
			return map[string]any{"name": in.Name, "sha256": info.Hash}, err
		}},
	}
}

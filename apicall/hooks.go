package apicall

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// Hooks runs the WebAssembly modules that tasks name, by the interface
// qarion-hook/1 (docs/hooks.md). Both are called by many goroutines at once.
type Hooks interface {
	// Prepare finds, loads and checks a module when a flow is loaded, and returns the
	// hash of its content, to which runs are pinned; "" where only a node can tell. validate: it will be asked for a
	// verdict, else for a body. Errors are *HookError.
	Prepare(ctx context.Context, ref HookRef, validate bool) (sha256 string, err error)
	// Call asks a module that was prepared, once for each request and response. It
	// ends within the module's limits, whatever the module does. Meta is the caller's
	// again when it has returned.
	Call(ctx context.Context, call *HookCall) HookAnswer
}

// HookRef names a module: a file below the folder of hooks, a name under which one
// was pushed, or nothing but the hash of its content.
type HookRef struct{ File, Object, SHA256 string }

// HookCall is one call of a module.
type HookCall struct {
	Name     string // as the flow names it, for metrics
	Ref      HookRef
	Latest   bool // ask the newest version of what Ref names, if it is known; else that of its hash
	Validate bool
	Meta     []byte // JSON
	Body     []byte
}

// HookAnswer is what a call gave.
type HookAnswer struct {
	Changed    bool // of a transform: Body is the new body
	Body       []byte
	Violations []string // of a validate; none: it is fine
	Retry      bool     // another attempt may give a valid response
	Lines      []HookLine
	Took       time.Duration
	SHA256     string // of the module that was asked
	Err        *HookError
}

// HookLine is what a module has said for the operator's log.
type HookLine struct {
	Level slog.Level
	Text  string
}

// HookError says why a hook did not do its work.
type HookError struct {
	Class   string // "hook_trap" and its like; a row of the table of failures
	Message string // one line that holds nothing of the body
	Retry   bool   // another attempt may help
}

func (e *HookError) Error() string { return e.Message }

// UsesHooks implements engine.HookUser.
func (t *TaskType) UsesHooks() {}

// hookPoints are the places of a call where a hook may stand.
var hookPoints = []string{"transform_request", "transform_response", "validate"}

// hook is a module at a place of a task.
type hook struct {
	point   string
	ref     HookRef
	config  []byte // JSON
	xcom    []engine.TaskID
	secrets []credentialRef
	expose  []string // headers that are given though they are secret
	skips   bool     // on_failure = "skip"
	again   bool     // on_trap = "retry"
	latest  bool     // pin = "latest"
	head    []byte   // of meta: what is the same in every call
	noted   []byte   // of a note in the operation log: the same
	names   sync.Map // of headers, as they stand in meta: nil for those that are left out
	count   atomic.Int32
	absent  atomic.Bool // the module could not be had when the task was read
}

func (h *hook) validates() bool { return h.point == "validate" }

// name is the module as the flow has it.
func (h *hook) name() string {
	switch {
	case h.ref.File != "":
		return h.ref.File
	case h.ref.Object != "":
		return h.ref.Object
	}
	return h.ref.SHA256[:min(12, len(h.ref.SHA256))]
}

var sha256Pattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

// compileHooks reads the hooks of a task, loads their modules and pins the task to
// them: the hash of each stands in the flow version from then on.
func (c *compiler) compileHooks(flow *engine.Flow, task *engine.Task) {
	if task.Hooks.Len() == 0 {
		return
	}
	r := newReader(task.ID, task.Hooks, "hooks")
	r.unknown("hook", hookPoints)
	pinned := value.NewMap(task.Hooks.Len())
	for point, v := range task.Hooks.All() {
		if !slices.Contains(hookPoints, point) {
			continue
		}
		h, table := c.readHook(r, point, v)
		if h == nil {
			continue
		}
		if !c.loadHook(r, h) {
			continue
		}
		if h.ref.SHA256 != "" {
			table.Set("sha256", h.ref.SHA256)
		}
		pinned.Set(point, table)
		h.head, h.noted = hookHead(h, flow.ID, task.ID), noteHead(h)
		if c.prog.hooks == nil {
			c.prog.hooks = map[string]*hook{}
		}
		c.prog.hooks[point] = h
	}
	c.checkHooks(r)
	c.Problems = append(c.Problems, r.Problems...)
	if engine.Refused(r.Problems) == nil {
		task.Hooks = pinned
	}
}

// readHook reads what a task says of one hook: a path, or a table.
func (c *compiler) readHook(r *reader, point string, v any) (*hook, *value.Map) {
	h := &hook{point: point}
	if path, ok := v.(string); ok {
		h.ref.File = path
		return h, value.MapOf("file", path)
	}
	m, ok := v.(*value.Map)
	if !ok {
		r.Problem(point, "wrong-type", "%s is %s, want a path or a table", point, value.Kind(v))
		return nil, nil
	}
	in := newReader(r.Task, m, "hooks", point)
	in.unknown("key of a hook", []string{"file", "object", "sha256", "config", "xcom", "on_failure", "on_trap", "pin", "secrets", "expose_headers"})
	h.ref = HookRef{in.Text("file", ""), in.Text("object", ""), in.Text("sha256", "")}
	h.expose = in.Names("expose_headers")
	h.skips = in.Word("on_failure", "fail", "fail", "skip") == "skip"
	h.again = in.Word("on_trap", "fail", "fail", "retry") == "retry"
	h.latest = in.Word("pin", "run", "run", "latest") == "latest"
	for _, id := range in.Names("xcom") {
		h.xcom = append(h.xcom, engine.TaskID(id))
	}
	for _, s := range in.Names("secrets") {
		id, field, _ := strings.Cut(s, ".")
		if engine.CheckCredentialID(id) != nil {
			in.Problem("secrets", "bad-id", "%s is no credential, want ID.field", value.Quoted(s))
			continue
		}
		h.secrets = append(h.secrets, credentialRef{id: id, field: field, path: []string{"hooks", point, "secrets"}})
	}
	if v, given := in.Get("config"); given {
		text, err := value.JSON(v)
		if err != nil {
			in.Problem("config", "wrong-type", "config cannot be written as JSON: %v", err)
		}
		h.config = text
	}
	switch {
	case !in.Judges("file", "object", "sha256"):
	case h.ref.File != "" && h.ref.Object != "":
		in.Problem("object", "unused", "a hook is a file or an object, not both")
	case h.ref == HookRef{}:
		in.Problem("file", "missing", "a hook names its module: file, or object")
	case h.latest && h.ref.File == "" && h.ref.Object == "":
		in.Problem("pin", "unused", "pin = \"latest\" asks for the newest version of a file or an object, but there is only a hash")
	case h.ref.SHA256 != "" && !sha256Pattern.MatchString(h.ref.SHA256):
		in.Problem("sha256", "bad-hash", "sha256 is no hash of 64 hexadecimal digits")
	}
	r.Problems = append(r.Problems, in.Problems...)
	if engine.Refused(in.Problems) != nil {
		return nil, nil
	}
	table := value.NewMap(m.Len() + 1)
	for k, v := range m.All() {
		table.Set(k, v)
	}
	return h, table
}

// loadHook loads a module. One that is pinned and cannot be had just now is an error
// of the attempts that need it: another may find it.
func (c *compiler) loadHook(r *reader, h *hook) bool {
	hooks := c.prog.t.cfg.Hooks
	if hooks == nil {
		r.Problem(h.point, "hook", "there is nothing here that runs hooks")
		return false
	}
	hash, err := hooks.Prepare(context.Background(), h.ref, h.validates())
	if err == nil {
		h.ref.SHA256 = hash
		return true
	}
	if sha256Pattern.MatchString(h.ref.SHA256) {
		var e *HookError
		if errors.As(err, &e) && e.Retry {
			h.absent.Store(true)
			return true
		}
	}
	r.Problem(h.point, "hook", "%s: %v", h.name(), err)
	return false
}

// ready asks once more for a module that could not be had when the task was read.
func (h *hook) ready(ctx context.Context, hooks Hooks) *HookError {
	if !h.absent.Load() {
		return nil
	}
	if _, err := hooks.Prepare(ctx, h.ref, h.validates()); err != nil {
		return &HookError{"hook_load", err.Error(), true}
	}
	h.absent.Store(false)
	return nil
}

// checkHooks holds hooks against the properties of their task.
func (c *compiler) checkHooks(r *reader) {
	p := c.prog.props
	for point := range c.prog.hooks {
		switch {
		case point == "transform_request" && c.prog.multipart != nil:
			r.Problem(point, "unused", "a multipart body is sent while it is read, and does not go through a hook")
		case point == "transform_request" && (p.operation == "get" || p.operation == "head"):
			r.Problem(point, "unused", "a %s request has no body that a hook could change", p.operation)
		case point != "transform_request" && p.storeAs == "object":
			r.Problem(point, "unused", "store_as = \"object\" stores the response unread, but the hook reads it")
		case point != "transform_request" && p.handling == "ignore":
			r.Problem(point, "unused", "response_handling is \"ignore\", but the hook reads the response")
		}
	}
}

// hookNeeds are the tasks and credentials that hooks read.
func (p *program) hookNeeds(n *engine.Needs) {
	for _, point := range hookPoints {
		h := p.hooks[point]
		if h == nil {
			continue
		}
		for _, id := range h.xcom {
			n.Pulls = append(n.Pulls, engine.NameUse{Name: string(id), Path: []string{"hooks", point, "xcom"}})
		}
		for _, s := range h.secrets {
			n.Credentials = append(n.Credentials, engine.NameUse{Name: s.id, Path: s.path})
		}
	}
}

// hookHead is the part of meta that is the same in every call.
func hookHead(h *hook, flow engine.FlowID, task engine.TaskID) []byte {
	kind, phase := "transform", "response"
	if h.validates() {
		kind = "validate"
	}
	if h.point == "transform_request" {
		phase = "request"
	}
	head := fmt.Sprintf(`{"v":1,"hook":"%s","phase":"%s","flow":"%s","task":"%s"`, kind, phase, flow, task)
	if h.config != nil {
		head += `,"config":` + string(h.config)
	}
	return []byte(head)
}

package engine

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/qarion/qarion/internal/jinja"
	"github.com/qarion/qarion/internal/value"
)

// MaxTemplateValue is the largest XCom value that a template may read, in
// bytes.
const MaxTemplateValue = 10 << 20

// inputValues is where a TaskInput finds its values: as they came with the
// ready task, decoded when first asked for.
type inputValues struct {
	variables []byte
	parsed    *value.Map
	inputs    []ReadyInput
	cache     map[string]any
	store     ValueStore
	rare      *rareValues // nil for most
}

// rareValues are what few tasks have.
type rareValues struct {
	jar       []Pos // of the records that hold the task's cookie jar
	turn      Turning
	wake      *Wake      // what ended its wait
	soFar     []byte     // how the run stands, JSON text
	item      *ItemInput // nil: it is of no item
	answerers []string   // origins that have answered, and were trusted, of the resp_ documents that were read
}

// more makes room for what few tasks have.
func (v *inputValues) more() *rareValues {
	if v.rare == nil {
		v.rare = &rareValues{}
	}
	return v.rare
}

// NewTaskInput is an input made by hand, for rendering without a run and for
// tests: variables override the flow's defaults, xcom holds values by task.
func NewTaskInput(f *Flow, task *Task, variables *value.Map, xcom map[TaskID]any) *TaskInput {
	in := &TaskInput{Flow: f, Task: task}
	in.Key.Task, in.Key.Attempt = task.ID, 1
	in.values.parsed = variables
	in.values.cache = map[string]any{}
	for id, v := range xcom {
		in.values.cache["xcom_"+id.TemplateName()] = v
	}
	return in
}

// SetValues gives the input what a ready task brought: the trigger's variables
// (JSON object), the upstream values, and how to read those that are elsewhere.
func (in *TaskInput) SetValues(variables []byte, inputs []ReadyInput, store ValueStore) {
	in.values.variables, in.values.inputs, in.values.store = variables, inputs, store
}

// IdempotencyKey is the key that the engine derives for the request of a turn: the
// same in every attempt.
func (in *TaskInput) IdempotencyKey() string {
	key := in.Key
	key.Run = cmp.Or(in.KeyRun, key.Run)
	return IdempotencyKey(in.Installation, key)
}

// SetRunSoFar gives the input what it reads as run, a JSON object.
func (in *TaskInput) SetRunSoFar(text []byte) {
	if len(text) > 0 {
		in.values.more().soFar = text
	}
}

// runSoFar returns run: how the run stands, for tasks of on_failure and finally.
func (in *TaskInput) runSoFar() (jinja.Var, bool, error) {
	v, ok := in.values.cache["run"]
	if !ok {
		var err error
		if v, err = value.ParseJSON(in.values.rare.soFar); err != nil {
			return jinja.Var{}, false, fmt.Errorf("read run: %w", err)
		}
		if in.values.cache == nil {
			in.values.cache = make(map[string]any, 2)
		}
		in.values.cache["run"] = v
	}
	return jinja.Var{Value: v, Origin: value.Response}, true, nil
}

// OnSending sets what Sending calls.
func (in *TaskInput) OnSending(fn Sending) { in.sending = fn }

// Lookup returns a name of the template context with its origin.
func (in *TaskInput) Lookup(ctx context.Context, name string) (jinja.Var, bool, error) {
	switch name {
	case "batch_id":
		return jinja.Var{Value: in.BatchID, Origin: value.Trigger}, true, nil
	case "execution_date":
		return jinja.Var{Value: FormatTime(in.ExecutionDate), Origin: value.Trigger}, true, nil
	case "flow_id":
		return jinja.Var{Value: string(in.Flow.ID), Origin: value.Engine}, true, nil
	case "node_id":
		return jinja.Var{Value: string(in.Task.ID), Origin: value.Engine}, true, nil
	case "run_id":
		return jinja.Var{Value: string(in.Key.Run), Origin: value.Engine}, true, nil
	case "attempt":
		return jinja.Var{Value: int64(in.Key.Attempt), Origin: value.Engine}, true, nil
	case "item", "index", "items_total":
		if v, ok := in.itemName(name); ok {
			return v, true, nil
		}
	case "run":
		if in.values.rare != nil && in.values.rare.soFar != nil {
			return in.runSoFar()
		}
	}
	if strings.HasPrefix(name, "xcom_") || strings.HasPrefix(name, "resp_") {
		v, ok, err := in.upstream(ctx, name)
		origin := value.Response
		if in.Sensitive(name) {
			origin |= value.Sensitive
		}
		return jinja.Var{Value: v, Origin: origin}, ok, err
	}
	return in.variable(name)
}

func (in *TaskInput) variable(name string) (jinja.Var, bool, error) {
	v := &in.values
	if v.parsed == nil && len(v.variables) > 0 {
		v.parsed = new(value.Map)
		if err := v.parsed.UnmarshalJSON(v.variables); err != nil {
			return jinja.Var{}, false, fmt.Errorf("read the run's variables: %w", err)
		}
	}
	if given, ok := v.parsed.Get(name); ok {
		return jinja.Var{Value: given, Origin: value.Trigger}, true, nil
	}
	if def, ok := in.Flow.Default(name); ok {
		return jinja.Var{Value: def, Origin: value.Variable}, true, nil
	}
	if layout := dateNames[name]; layout != "" {
		return jinja.Var{Value: in.ExecutionDate.UTC().Format(layout), Origin: value.Trigger}, true, nil
	}
	return jinja.Var{}, false, nil
}

// Sensitive reports whether xcom_<task> or resp_<task> is what a sensitive task
// has left.
func (in *TaskInput) Sensitive(name string) bool {
	for _, id := range in.Task.Secrets {
		if id.TemplateName() == name[len("xcom_"):] {
			return true
		}
	}
	return false
}

// upstream returns xcom_<task> or resp_<task>.
func (in *TaskInput) upstream(ctx context.Context, name string) (any, bool, error) {
	if v, ok := in.values.cache[name]; ok {
		return v, true, nil
	}
	kind, task := name[:5], name[5:]
	for _, input := range in.values.inputs {
		if input.Task.TemplateName() != task {
			continue
		}
		v, ok, err := in.decode(ctx, name, input, kind == "resp_")
		if err != nil {
			return nil, false, fmt.Errorf("read %s: %w", name, err)
		}
		if ok {
			if in.values.cache == nil {
				in.values.cache = make(map[string]any, 2)
			}
			in.values.cache[name] = v
		}
		return v, ok, nil
	}
	return nil, false, nil
}

func (in *TaskInput) decode(ctx context.Context, name string, input ReadyInput, response bool) (any, bool, error) {
	up, err := in.left(ctx, input)
	if err != nil {
		return nil, false, err
	}
	if up.Blob != nil && !response {
		v, err := in.decodeBlob(ctx, name, up.Blob)
		return v, err == nil, err
	}
	text := up.Value
	if response {
		text = up.Response
	}
	if len(text) == 0 {
		return nil, false, nil
	}
	v, err := value.ParseJSON(text)
	if err != nil {
		return nil, false, err
	}
	if m, ok := v.(*value.Map); ok && response {
		m.Set("attempts", int64(input.Attempts))
		name := "resp_" + input.Task.TemplateName()
		withhold(m, name)
		if len(up.Cookies) > 0 {
			if c, err := value.ParseJSON(up.Cookies); err == nil {
				set, _ := c.(*value.Map)
				m.Set("cookies", jinja.HiddenSecrets(name+".cookies", "cookies are as good as passwords: read one by its name", set))
			}
		}
		if origin, ok := m.Get(Answerer); ok {
			m.Delete(Answerer)
			text, _ := origin.(string)
			more := in.values.more()
			more.answerers = append(more.answerers, text)
		}
	}
	return v, true, nil
}

// left is what an upstream task has left: it came along, or its record says it.
// What is sealed is opened here.
func (in *TaskInput) left(ctx context.Context, input ReadyInput) (up Upstream, err error) {
	if up = (Upstream{Value: input.Value, Response: input.Response}); input.At.Seq != 0 {
		if up, err = in.values.store.Load(ctx, input); err != nil {
			return up, err
		}
	}
	if up.Value, err = in.unseal(ctx, up.Run, input.Task, PartValue, up.Value); err == nil {
		up.Response, err = in.unseal(ctx, up.Run, input.Task, PartResponse, up.Response)
	}
	if err == nil {
		up.Cookies, err = in.unseal(ctx, up.Run, input.Task, PartCookies, up.Cookies)
	}
	return up, err
}

// unseal opens what a sensitive task has left in a run, by default in this one.
func (in *TaskInput) unseal(ctx context.Context, run RunID, task TaskID, part string, text []byte) ([]byte, error) {
	if !IsSealed(text) {
		return text, nil
	}
	item := 0 // what another task has left is its own, not that of an item
	if task == in.Task.ID {
		item = in.Key.Item
	}
	plain, err := in.values.store.Unseal(ctx, SealPlace(cmp.Or(run, in.Key.Run), task, item, part), text)
	if err != nil {
		return nil, fmt.Errorf("what is sealed of task %s cannot be opened: %w", task, err)
	}
	return plain, nil
}

// decodeBlob is a value from the object store: JSON parsed, other text as a
// string, bytes as what they are, without reading them.
func (in *TaskInput) decodeBlob(ctx context.Context, name string, ref *BlobRef) (any, error) {
	if ref.Bytes {
		return in.bytesOf(name, ref), nil
	}
	data, err := ReadValue(ctx, in.values.store, ref, MaxTemplateValue)
	if err != nil {
		return nil, err
	}
	if ref.ContentType == TypeJSON {
		return value.ParseJSON(data)
	}
	return string(data), nil
}

func (in *TaskInput) bytesOf(name string, ref *BlobRef) *value.Bytes {
	b := ref.bytes()
	b.Name = name
	b.Open = func(ctx context.Context) (io.ReadCloser, error) { return in.values.store.Open(ctx, ref) }
	return b
}

// Store puts a value of any length into the object store while it comes, as
// bytes of a content type. The program returns what it gets in
// TaskOutput.Stored. An error of the reader is returned as it is.
func (in *TaskInput) Store(ctx context.Context, contentType string, from io.Reader) (*BlobRef, error) {
	if in.values.store == nil {
		return nil, fmt.Errorf("%w: there is no object store", ErrUnavailable)
	}
	ref, err := in.values.store.Store(ctx, in.Key, in.Task.Sensitive, from)
	if err == nil {
		ref.ContentType, ref.Bytes = contentType, true
	}
	return ref, err
}

// Content is what an upstream task has left, byte by byte as it was stored: the
// text of a string, JSON as it came, an object of any size. ok is false when
// the task left nothing, or the value was given by hand.
func (in *TaskInput) Content(ctx context.Context, name string) (b *value.Bytes, ok bool, err error) {
	task, isXCom := strings.CutPrefix(name, "xcom_")
	for _, input := range in.values.inputs {
		if !isXCom || input.Task.TemplateName() != task {
			continue
		}
		up, err := in.left(ctx, input)
		switch {
		case err != nil:
			return nil, false, fmt.Errorf("read %s: %w", name, err)
		case up.Blob != nil:
			return in.bytesOf(name, up.Blob), true, nil
		case len(up.Value) == 0 || string(up.Value) == "null": // an answer without a body
			return nil, false, nil
		case up.Value[0] != '"':
			return value.NewBytes(up.Value, TypeJSON), true, nil
		}
		v, err := value.ParseJSON(up.Value)
		text, _ := v.(string)
		return value.NewBytes([]byte(text), ""), err == nil, err
	}
	return nil, false, nil
}

// Withheld is the key of a response document that lists what of it was not
// kept, since it is as good as a password: "url", or "headers.set-cookie".
const Withheld = "withheld"

// Answerer is the key of a response document that has the origin (see OriginOf)
// which answered, where the flow may go there: an address of that origin in the
// document is as good as its own.
const Answerer = "answerer"

// AnsweredFrom reports whether an origin has answered a task whose resp_
// document this attempt has read, and was trusted.
func (in *TaskInput) AnsweredFrom(origin string) bool {
	return in.values.rare != nil && origin != "" && slices.Contains(in.values.rare.answerers, origin)
}

// withhold lets a template that reads such a part hear why it cannot. It must
// not get a mask in its place: that would be sent.
func withhold(doc *value.Map, name string) {
	parts, _ := doc.Get(Withheld)
	list, _ := parts.([]any)
	doc.Delete(Withheld)
	headers, _ := doc.Get("headers")
	for _, part := range list {
		at, _ := part.(string)
		if header, ok := strings.CutPrefix(at, "headers."); ok {
			why := "there is a secret in it, and it was not kept"
			if strings.HasPrefix(header, "set-cookie") {
				why = "a session cookie is as good as a password and is not kept"
			}
			if m, ok := headers.(*value.Map); ok {
				m.Set(header, jinja.Hidden(name+".headers["+strconv.Quote(header)+"]", why))
			}
			continue
		}
		doc.Set(at, jinja.Hidden(name+"."+at, "there is a secret in it, and it was not kept"))
	}
}

// Now is when the attempt began, for templates that ask for the time: the same
// at every place of them.
func (in *TaskInput) Now() time.Time {
	if in.Started.IsZero() {
		return time.Now()
	}
	return in.Started
}

// XCom returns the value that an upstream task left; ok is false when it left
// none.
func (in *TaskInput) XCom(ctx context.Context, task TaskID) (v any, ok bool, err error) {
	return in.upstream(ctx, "xcom_"+task.TemplateName())
}

// Missing says why the value of an upstream task is not there; "" when it is not
// known. Templates ask for it (jinja.Explainer).
func (in *TaskInput) Missing(name string) string {
	if !strings.HasPrefix(name, "xcom_") && !strings.HasPrefix(name, "resp_") {
		return ""
	}
	for _, input := range in.values.inputs {
		if input.Task.TemplateName() == name[len("xcom_"):] {
			return input.Lacks
		}
	}
	return ""
}

// Names lists the names of the context, for messages.
func (in *TaskInput) Names() []string {
	names := append([]string(nil), contextNames...)
	if in.values.rare != nil && in.values.rare.item != nil {
		names = append(names, itemNames...)
	}
	names = append(names, in.Flow.Variables.Keys()...)
	names = append(names, in.values.parsed.Keys()...)
	for _, input := range in.values.inputs {
		names = append(names, "xcom_"+input.Task.TemplateName())
	}
	return names
}

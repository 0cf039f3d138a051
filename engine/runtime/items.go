package runtime

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/failpoint"
	"github.com/qarion/qarion/internal/value"
)

// A task with for_each takes two turns of its own: the first records its list, the
// last joins what the items have left. In between its items are attempts as any.

// listOf makes the first turn or the last of a task with for_each; items is the list
// that follows the first.
func (w *worker) listOf(ctx context.Context, rt *engine.ReadyTask, prog *taskProgram, in *engine.TaskInput) (out engine.TaskOutput, items *engine.Items) {
	if rt.ItemsEnd != nil {
		return w.join(ctx, rt, in), nil
	}
	items, err := w.expand(ctx, prog, in)
	switch {
	case err == nil && items.N == 0:
		return engine.TaskOutput{Value: []byte("[]"), Response: itemsResponse(&engine.ItemsEnd{})}, nil
	case err == nil:
		return engine.TaskOutput{}, items
	case errors.Is(err, engine.ErrUnavailable):
		return engine.TaskOutput{Err: &engine.TaskError{Class: "store", Message: err.Error(), Retryable: true}}, nil
	}
	message := err.Error()
	if len(in.Task.Secrets) > 0 {
		message = "for_each: it cannot be evaluated, and reads what a sensitive task has left"
	}
	return engine.TaskOutput{Err: &engine.TaskError{Class: "template", Message: message}}, nil
}

// expand evaluates for_each and stores the list.
func (w *worker) expand(ctx context.Context, prog *taskProgram, in *engine.TaskInput) (*engine.Items, error) {
	out := &itemWriter{w: w, in: in}
	if name, bare := prog.each.Bare(); bare {
		whole, ok, err := in.Content(ctx, name)
		if err != nil {
			return nil, err
		}
		if ok && whole.Size > engine.MaxTemplateValue && whole.ContentType == engine.TypeJSON {
			out.seal = in.Sensitive(name)
			out.items.Origin = uint8(value.Response)
			err := out.stream(ctx, name, whole)
			return &out.items, err
		}
	}
	list, err := engine.EachItem(ctx, prog.each, in)
	if err != nil {
		return nil, err
	}
	n := in.Task.Batches(list.Len())
	if err := engine.CheckItemCount(n); err != nil {
		return nil, err
	}
	out.items.Origin = uint8(list.Origin)
	out.seal = list.Origin.Sensitive()
	for i := range n {
		v, _ := list.Item(i, in.Task.Batch)
		text, err := value.JSON(v)
		if err == nil {
			err = out.add(ctx, text)
		}
		if err != nil {
			return nil, fmt.Errorf("for_each: item %d: %w", i+1, err)
		}
	}
	return &out.items, out.close(ctx)
}

// itemWriter collects items, a line each: what is small stands in the record, the
// rest in objects that are stored before it.
type itemWriter struct {
	w     *worker
	in    *engine.TaskInput
	items engine.Items
	seal  bool
	buf   []byte
	n     int // items in buf
	total int64
}

func (o *itemWriter) add(ctx context.Context, text []byte) error {
	if o.items.N++; o.items.N > engine.MaxItems {
		return engine.CheckItemCount(o.items.N)
	}
	if o.total += int64(len(text)); o.total > engine.MaxItemList {
		return fmt.Errorf("the list has more than %d MiB", engine.MaxItemList>>20)
	}
	if len(o.buf) > 0 && len(o.buf)+len(text) > engine.MaxItemChunk {
		if err := o.flush(ctx); err != nil {
			return err
		}
	}
	o.buf = append(append(o.buf, text...), '\n')
	o.n++
	return nil
}

func (o *itemWriter) flush(ctx context.Context) (err error) {
	if o.n == 0 {
		return nil
	}
	place := len(o.items.Chunks)
	chunk := engine.ItemChunk{Object: fmt.Sprintf("%s.items.%d", blobName(o.in.Key), place), Items: o.n, Size: int64(len(o.buf))}
	data := o.buf
	if o.seal {
		if data, err = o.sealed(ctx, place, data); err != nil {
			return err
		}
	}
	if err := o.w.cfg.Blobs.Put(ctx, chunk.Object, data); err != nil {
		return err
	}
	failpoint.Here("items.chunk")
	o.items.Chunks = append(o.items.Chunks, chunk)
	o.buf, o.n = o.buf[:0], 0
	return nil
}

func (o *itemWriter) close(ctx context.Context) (err error) {
	if len(o.items.Chunks) > 0 || len(o.buf) > engine.MaxInlineValue {
		err = o.flush(ctx)
	} else if o.items.List = bytes.Clone(o.buf); o.seal {
		o.items.List, err = o.sealed(ctx, 0, o.buf)
	}
	failpoint.Here("items.stored")
	return err
}

func (o *itemWriter) sealed(ctx context.Context, chunk int, data []byte) ([]byte, error) {
	if o.w.cfg.Sealer == nil {
		return nil, errNoSealer
	}
	o.items.Sealed = true
	return o.w.cfg.Sealer.Seal(ctx, itemsPlace(o.in.Key, chunk), data)
}

func itemsPlace(k engine.AttemptKey, chunk int) string {
	return engine.SealPlace(k.Run, k.Task, chunk, engine.PartItems)
}

// stream reads a list that is larger than what templates may read, item by item.
func (o *itemWriter) stream(ctx context.Context, name string, whole *value.Bytes) error {
	if whole.Size > engine.MaxItemList {
		return fmt.Errorf("for_each: %s has %d MiB, at most %d", name, whole.Size>>20, engine.MaxItemList>>20)
	}
	r, err := whole.Open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	dec := json.NewDecoder(r)
	if first, err := dec.Token(); err != nil || first != json.Delim('[') {
		return cmp.Or(err, fmt.Errorf("for_each: %s is no list", name))
	}
	var batch [][]byte
	put := func() error {
		if len(batch) == 0 {
			return nil
		}
		text := bytes.Join(batch, []byte{','})
		if o.in.Task.Batch > 0 {
			text = append(append([]byte{'['}, text...), ']')
		}
		batch = batch[:0]
		return o.add(ctx, text)
	}
	for dec.More() {
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return fmt.Errorf("for_each: %s: %w", name, err)
		}
		var line bytes.Buffer
		if err := json.Compact(&line, raw); err != nil {
			return fmt.Errorf("for_each: %s: %w", name, err)
		}
		if batch = append(batch, line.Bytes()); len(batch) >= max(1, o.in.Task.Batch) {
			if err := put(); err != nil {
				return err
			}
		}
	}
	if err := put(); err != nil {
		return err
	}
	return o.close(ctx)
}

// itemOf gives an input the item that it is of.
func (w *worker) itemOf(ctx context.Context, rt *engine.ReadyTask, in *engine.TaskInput) error {
	if rt.ItemsAt.Seq == 0 {
		return nil
	}
	it, err := w.item(ctx, rt.ItemsAt, rt.Item)
	if err != nil {
		return fmt.Errorf("read item %d: %w", rt.Item, err)
	}
	in.SetItem(it)
	return nil
}

// item reads an item of the list that the record at a place has.
func (w *worker) item(ctx context.Context, at engine.Pos, number int) (it engine.ItemInput, err error) {
	rec, err := w.cfg.Ledger.Read(ctx, at)
	if err != nil {
		return it, err
	}
	list, ok := rec.(*engine.AttemptRecord)
	if !ok || list.Items == nil {
		return it, fmt.Errorf("%w: the list at %d.%d", engine.ErrNotFound, at.Seq, at.N)
	}
	it = engine.ItemInput{Index: number, Total: list.Items.N, Origin: value.Origin(list.Items.Origin)}
	chunk, in := 0, number-1
	for chunk < len(list.Items.Chunks) && in >= list.Items.Chunks[chunk].Items {
		in -= list.Items.Chunks[chunk].Items
		chunk++
	}
	lines, err := w.lines(ctx, at, list, chunk)
	if err != nil {
		return it, err
	}
	if in < 0 || in >= len(lines) {
		return it, fmt.Errorf("%w: the list has %d items", engine.ErrNotFound, list.Items.N)
	}
	it.Value, err = value.ParseJSON(lines[in])
	return it, err
}

// lines are the items of a chunk, as JSON text.
func (w *worker) lines(ctx context.Context, at engine.Pos, list *engine.AttemptRecord, chunk int) ([][]byte, error) {
	key := fmt.Sprintf("%d.%d.%d", at.Seq, at.N, chunk)
	if lines := w.lists.get(key); lines != nil {
		return lines, nil
	}
	data := list.Items.List
	if len(list.Items.Chunks) > 0 {
		if chunk >= len(list.Items.Chunks) {
			return nil, nil
		}
		var err error
		c := &list.Items.Chunks[chunk]
		if data, err = w.cfg.Blobs.Get(ctx, c.Object, c.Size+1<<16); err != nil {
			return nil, err
		}
	}
	if list.Items.Sealed {
		var err error
		if data, err = w.Unseal(ctx, itemsPlace(list.AttemptKey, chunk), data); err != nil {
			return nil, err
		}
	}
	lines := bytes.Split(bytes.TrimSuffix(data, []byte{'\n'}), []byte{'\n'})
	w.lists.put(key, lines, len(data)+24*len(lines))
	return lines, nil
}

// maxLists bounds the items that a worker keeps in memory, in bytes.
const maxLists = 16 << 20

// itemLists are the chunks that were read last.
type itemLists struct {
	mu    sync.Mutex
	order []string // the oldest first
	held  map[string]heldList
	size  int
}

type heldList struct {
	lines [][]byte
	size  int
}

func (l *itemLists) get(key string) [][]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held[key].lines
}

func (l *itemLists) put(key string, lines [][]byte, size int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.held[key]; known || size > maxLists {
		return
	}
	if l.held == nil {
		l.held = map[string]heldList{}
	}
	l.held[key] = heldList{lines, size}
	l.order = append(l.order, key)
	for l.size += size; l.size > maxLists; l.order = l.order[1:] {
		l.size -= l.held[l.order[0]].size
		delete(l.held, l.order[0])
	}
}

// itemPlaces asks the scheduler where the records of items stand, so many at once.
const itemPlaces = 10_000

// join makes the task's own value of what its items have left, in their order: null
// for one that failed, was skipped or has left nothing.
func (w *worker) join(ctx context.Context, rt *engine.ReadyTask, in *engine.TaskInput) (out engine.TaskOutput) {
	failpoint.Here("items.join")
	end := rt.ItemsEnd
	if end.Fails {
		run := string(rt.Run)
		out.Err = &engine.TaskError{Class: "items", Message: fmt.Sprintf("%d of %d items failed (first: item %d: %s); only these: qarion runs rerun %s --from failed",
			end.Failed, end.N, end.First, cut(end.Error, 1<<10), run[max(0, len(run)-8):])}
		if rec, err := w.cfg.Ledger.Read(ctx, end.FirstAt); err == nil && !in.Task.Sensitive {
			if first, ok := rec.(*engine.AttemptRecord); ok {
				_ = json.Unmarshal(first.Details, &out.Details) // what was wrong with it, for people
				out.Details.StatusCode = 0
			}
		}
		return out
	}
	list := &joinedItems{ctx: ctx, w: w, key: rt.AttemptKey, total: end.N}
	head := make([]byte, engine.MaxInlineValue+1)
	n, err := io.ReadFull(list, head)
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		out.Value, err = head[:n], nil
	case err == nil:
		if out.Stored, err = in.Store(ctx, engine.TypeJSON, io.MultiReader(bytes.NewReader(head), list)); err == nil {
			out.Stored.Bytes = false
		}
	}
	if err != nil {
		return engine.TaskOutput{Err: &engine.TaskError{Class: "store", Message: fmt.Sprintf("join %d items: %v", end.N, err), Retryable: true}}
	}
	out.Response = itemsResponse(end)
	out.Details.Note = itemsNote(end)
	return out
}

// itemsResponse is resp_<task> of a task with for_each.
func itemsResponse(end *engine.ItemsEnd) []byte {
	text, err := value.JSON(value.MapOf("items", int64(end.N), "success", int64(end.Success), "failed", int64(end.Failed), "skipped", int64(end.Skipped)))
	if err != nil {
		return nil // never: it holds numbers
	}
	return text
}

func itemsNote(end *engine.ItemsEnd) string {
	if end.Failed == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d items failed (first: item %d: %s)", end.Failed, end.N, end.First, cut(end.Error, 128))
}

// joinedItems reads what items have left as a list in JSON.
type joinedItems struct {
	ctx    context.Context // of the attempt that reads
	w      *worker
	key    engine.AttemptKey
	total  int
	next   int // from 0
	places []engine.ItemPlace
	buf    bytes.Buffer
	ended  bool
}

// Read implements io.Reader.
func (j *joinedItems) Read(p []byte) (int, error) {
	for j.buf.Len() == 0 {
		if j.ended {
			return 0, io.EOF
		}
		if err := j.more(); err != nil {
			return 0, err
		}
	}
	return j.buf.Read(p)
}

func (j *joinedItems) more() (err error) {
	if j.next == 0 {
		j.buf.WriteByte('[')
	}
	if j.next == j.total {
		j.ended = true
		return j.buf.WriteByte(']')
	}
	if len(j.places) == 0 {
		if j.places, err = j.w.ask.itemPlaces(j.ctx, j.key, j.next+1, itemPlaces); err != nil {
			return err
		}
		if len(j.places) == 0 {
			return fmt.Errorf("%w: the places of items from %d on", engine.ErrNotFound, j.next+1)
		}
	}
	if j.next > 0 {
		j.buf.WriteByte(',')
	}
	j.next++
	text, err := j.w.leftBy(j.ctx, j.key.Task, j.next, j.places[0])
	j.places = j.places[1:]
	j.buf.Write(text)
	return err
}

// leftBy is what an item has left, as JSON text.
func (w *worker) leftBy(ctx context.Context, task engine.TaskID, item int, place engine.ItemPlace) ([]byte, error) {
	null := []byte("null")
	if place.How != engine.ItemSuccess {
		return null, nil
	}
	up, err := w.Load(ctx, engine.ReadyInput{Task: task, At: place.At})
	if err != nil {
		return nil, fmt.Errorf("item %d: %w", item, err)
	}
	switch {
	case up.Blob != nil && up.Blob.Described():
		return up.Blob.JSON(nil), nil
	case up.Blob != nil:
		data, err := engine.ReadValue(ctx, w, up.Blob, engine.MaxPart)
		if err != nil {
			return nil, fmt.Errorf("item %d: %w", item, err)
		}
		return up.Blob.JSON(data), nil
	case engine.IsSealed(up.Value):
		plain, err := w.Unseal(ctx, engine.SealPlace(up.Run, task, item, engine.PartValue), up.Value)
		if err != nil {
			return nil, fmt.Errorf("item %d: %w", item, err)
		}
		return plain, nil
	case len(up.Value) == 0:
		return null, nil
	}
	return up.Value, nil
}

// itemPlaces implements stillOpen.
func (e *Engine) itemPlaces(ctx context.Context, key engine.AttemptKey, from, most int) (places []engine.ItemPlace, err error) {
	err = e.sched.ask(ctx, func() {
		if r := e.sched.state.Run(key.Run); r != nil {
			if i, ok := r.Graph.Index[key.Task]; ok {
				places = r.ItemPlaces(i, from, most)
			}
		}
	})
	return places, err
}

// ItemValue is what an item of a task has left, as JSON text; null when it has left
// nothing. ErrNotFound: there is no such item, or it is not kept any more.
func (e *Engine) ItemValue(ctx context.Context, id engine.RunID, task engine.TaskID, item int) ([]byte, error) {
	places, sensitive, err := e.placesOf(ctx, id, task, item)
	switch {
	case err != nil:
		return nil, err
	case len(places) == 0:
		return nil, fmt.Errorf("%w: task %s of run %s has no item %d", engine.ErrNotFound, task, id, item)
	case places[0].How == engine.ItemOpen:
		return nil, fmt.Errorf("%w: item %d of task %s has not ended", engine.ErrNotFound, item, task)
	case places[0].How != engine.ItemSuccess:
		return nil, fmt.Errorf("%w: item %d of task %s did not succeed: qarion logs %s --task %s", engine.ErrNotFound, item, task, id, task)
	case sensitive:
		return []byte(engine.SealedValue), nil
	}
	text, err := e.worker.leftBy(ctx, task, item, places[0])
	if err == nil && len(text) > engine.MaxTemplateValue/16 {
		return nil, fmt.Errorf("%w: item %d of task %s has left %d bytes, more than an answer can carry", engine.ErrInvalid, item, task, len(text))
	}
	return text, err
}

// placesOf finds an item of a run that is open, or has ended.
func (e *Engine) placesOf(ctx context.Context, id engine.RunID, task engine.TaskID, item int) (places []engine.ItemPlace, sensitive bool, err error) {
	open := false
	err = e.sched.ask(ctx, func() {
		if r := e.sched.state.Run(id); r != nil {
			open = true
			if i, ok := r.Graph.Index[task]; ok {
				places, sensitive = r.ItemPlaces(i, item, 1), r.Graph.Flow.Tasks[i].Sensitive
			}
		}
	})
	if open || err != nil {
		return places, sensitive, err
	}
	if e.cfg.Seeds == nil || e.cfg.Runs == nil {
		return nil, false, fmt.Errorf("%w: this node keeps nothing of closed runs", engine.ErrUnavailable)
	}
	p := &rerunPlan{engine: e, req: engine.RerunRequest{Run: id}, out: &engine.Rerunning{}}
	if err := p.find(ctx); err != nil {
		return nil, false, err
	}
	if p.seeds == nil {
		return nil, false, nil
	}
	if err := p.mapTasks(); err != nil {
		return nil, false, err
	}
	at, ok := p.old[task]
	if !ok || p.seeds.Tasks[at].ItemsAt.Seq == 0 {
		return nil, false, nil
	}
	all, err := engine.DecodeItemPlaces(p.seeds.Tasks[at].Items)
	if err != nil || item < 1 || item > len(all) {
		return nil, false, err
	}
	t := p.flow.Task(task)
	return all[item-1 : item], t != nil && t.Sensitive, nil
}

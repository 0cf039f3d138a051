package bus

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/qarion/qarion/engine"
)

// list is the CBOR of a list of so many zeros.
func list(n int) []byte {
	head := []byte{0x9a, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
	return append(head, bytes.Repeat([]byte{0}, n)...)
}

func TestDecoders_TakeWhatTheirLimitsSayAndNoMore(t *testing.T) {
	for name, c := range map[string]struct {
		dec   cbor.DecMode
		limit int
	}{
		"messages":    {messageDec, maxMessageElements},
		"checkpoints": {checkpointDec, maxPartElements},
	} {
		var out []int8
		if err := c.dec.Unmarshal(list(c.limit), &out); err != nil || len(out) != c.limit {
			t.Errorf("%s: a list of %d: %v", name, c.limit, err)
		}
		if err := c.dec.Unmarshal(list(c.limit+1), &out); err == nil {
			t.Errorf("%s: a list of %d was taken", name, c.limit+1)
		}
		pairs := map[int]int{}
		for i := range maxPairs + 1 {
			pairs[i] = i
		}
		data, _ := cbor.Marshal(pairs)
		if err := c.dec.Unmarshal(data, &pairs); err == nil {
			t.Errorf("%s: a map of %d was taken", name, len(pairs))
		}
	}
	for what, longest := range map[string]int{"tasks of a run": engine.MaxTasks, "attempts of a task": 1001} {
		if longest > maxPartElements {
			t.Errorf("a checkpoint may hold %d %s, its decoder takes %d", longest, what, maxPartElements)
		}
	}
}

// TestCodec_TakesTheFullestMessage: a bundle as large as a message can be, of
// the smallest records.
func TestCodec_TakesTheFullestMessage(t *testing.T) {
	c, err := newCodec("test")
	if err != nil {
		t.Fatal(err)
	}
	small, err := cbor.Marshal(&engine.InstallRecord{})
	if err != nil {
		t.Fatal(err)
	}
	records := make([]cbor.RawMessage, (maxPayload-100)/len(small))
	for i := range records {
		records[i] = small
	}
	data, err := c.bundle(records)
	if err != nil || len(data) > maxPayload {
		t.Fatalf("%d bytes, %v", len(data), err)
	}
	got, err := c.read(subjectInstall, nil, data)
	if err != nil || len(got) != len(records) {
		t.Fatalf("%d records, want %d: %v", len(got), len(records), err)
	}
	if bad, isBad := got[0].(*engine.BadRecord); isBad {
		t.Fatal(bad.Problem)
	}
}

// TestReady_TheLargestTasksFit: tasks that read as many values as a flow can
// have tasks, with the longest names, many in one bundle.
func TestReady_TheLargestTasksFit(t *testing.T) {
	b, err := Open(t.Context(), Config{Dir: t.TempDir(), SyncInterval: DefaultSyncInterval})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	q, err := b.ReadyQueue(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rt := engine.ReadyTask{
		AttemptKey: engine.AttemptKey{Run: "01M84BFBV1N8Q6D2T4XW9B7C5E", Task: engine.TaskID(strings.Repeat("t", engine.MaxID)), Attempt: 1000, Dispatch: 1000},
		Flow:       engine.FlowID(strings.Repeat("f", engine.MaxID)), Version: strings.Repeat("0", 32), Variables: make([]byte, 16<<10),
	}
	for i := range engine.MaxTasks {
		rt.Inputs = append(rt.Inputs, engine.ReadyInput{
			Task: engine.TaskID(fmt.Sprintf("%064d", i)), At: engine.Pos{Seq: 1 << 40, N: 511}, Attempts: 1000,
		})
	}
	rt.Inputs[0].Value = make([]byte, 4<<10)
	const tasks = 5
	stored := make(chan error, tasks)
	bundle := make([]engine.ReadyTask, tasks)
	for i := range bundle {
		bundle[i] = rt
		bundle[i].Generation = i
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	q.Push(ctx, bundle, func(_ uint64, err error) { stored <- err })
	for range tasks {
		select {
		case err := <-stored:
			if err != nil {
				t.Fatal(err)
			}
		case <-ctx.Done():
			t.Fatal("the tasks were not stored")
		}
	}
	pulling, stop := context.WithCancel(ctx)
	defer stop()
	seen := map[int]bool{}
	err = q.Pull(pulling, tasks, func(d engine.Delivery) {
		for _, task := range d.Tasks() {
			if len(task.Inputs) == engine.MaxTasks {
				seen[task.Generation] = true
			}
		}
		d.Done()
		if len(seen) == tasks {
			stop()
		}
	})
	if err != nil || len(seen) != tasks {
		t.Errorf("%d of %d tasks came: %v", len(seen), tasks, err)
	}
}

package bus_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/testkit"
)

// BenchmarkService_SingleTaskRuns is a whole run, with every view and synced
// writes, asked for and answered through the service.
func BenchmarkService_SingleTaskRuns(b *testing.B) {
	n := startFull(b, testkit.NodeConfig{Sync: true, Types: []engine.TaskType{testkit.TaskFunc{
		Do: func(context.Context, *engine.TaskInput) engine.TaskOutput {
			return engine.TaskOutput{Value: []byte(`{"id":1}`), Details: engine.Details{Method: "GET", StatusCode: 200}}
		},
	}}})
	put(b, n.Node, flow("f", nil, "a"))
	b.SetParallelism(128)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			doc := new(engine.RunDoc)
			if err := n.client.Call(b.Context(), "run.start", bus.StartRun{Flow: "f", Wait: json.RawMessage("60")}, doc); err != nil {
				b.Error(err)
				return
			}
			if doc.Status != engine.Success {
				b.Errorf("run %s is %s", doc.RunID, doc.Status)
				return
			}
		}
	})
}

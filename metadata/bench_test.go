//go:build unix

package metadata

import (
	"context"
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/qarion/qarion/engine"
)

// made are the changes of runs of one task, one ledger entry each, as a loaded
// node makes them.
func made(from, runs int) []engine.Change {
	details := []byte(`{"method":"GET","url":"http://127.0.0.1:41234/","status_code":200,"response_bytes":200,"content_type":"application/json","timeout_ms":30000}`)
	ids := engine.RunIDs()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Add(time.Duration(from) * time.Millisecond)
	var out []engine.Change
	for i := range runs {
		now := at.Add(time.Duration(i) * time.Millisecond)
		run, seq := ids(now), uint64(from+i+1)
		doc := engine.RunDoc{RunID: run, FlowID: "single", FlowVersion: "1234567890abcdef", Status: engine.Running, BatchID: int64(from + i),
			ExecutionDate: engine.FormatTime(now), StartTime: engine.FormatTime(now), TriggerType: "api"}
		done := doc
		done.Status, done.Final, done.EndTime = engine.Success, true, engine.FormatTime(now.Add(3*time.Millisecond))
		rec := &engine.AttemptRecord{
			AttemptKey: engine.AttemptKey{Run: run, Task: "call", Attempt: 1}, Flow: "single", Outcome: engine.OutcomeSuccess,
			Start: engine.At(now), End: engine.At(now) + 1234, Type: "api_call", Subtype: "get", Details: details, Worker: "local", BatchID: doc.BatchID,
		}
		for n, c := range []engine.Change{
			{Kind: engine.RunStarted, Doc: &doc}, {Kind: engine.TaskReady, Task: "call", BatchID: doc.BatchID},
			{Kind: engine.AttemptDone, Task: "call", BatchID: doc.BatchID, Attempt: rec}, {Kind: engine.RunDone, Doc: &done},
		} {
			c.Pos, c.Run, c.Flow = engine.Pos{Seq: seq, N: n}, run, "single"
			out = append(out, c)
		}
	}
	return out
}

func installed(context.Context) (string, error) { return "01M84BFBV1N8Q6D2T4XW9B7C5E", nil }

func processorTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkTables_Project is the time per run of one task: three rows.
func BenchmarkTables_Project(b *testing.B) {
	for _, size := range []int{64, 256, 1024} {
		b.Run(fmt.Sprint("batch=", size), func(b *testing.B) {
			t, err := Open(Config{Database: filepath.Join(b.TempDir(), DefaultFile), Installation: installed})
			if err != nil {
				b.Fatal(err)
			}
			defer t.Close()
			spent := time.Duration(0)
			for at := 0; at < b.N; at += size {
				b.StopTimer()
				changes := made(at, size)
				b.StartTimer()
				before := processorTime()
				if err := t.Project(b.Context(), changes); err != nil {
					b.Fatal(err)
				}
				spent += processorTime() - before
			}
			b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N), "cpu-ns/run")
			b.ReportMetric(3*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/metadata"
	"github.com/qarion/qarion/node"
)

// historyWait is how long the bench waits for the views.
const historyWait = 20 * time.Minute

// tellEvery is how often somebody is told how far something is.
const tellEvery = 10 * time.Second

// historyTurns is how often each command is run; the median counts.
const historyTurns = 9

// history measures what people ask of a node with a long history: how fast the
// tables are made from the ledger, and how long commands take, each a process
// of its own, from its start to its end.
func (b *bencher) history(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "qarion-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	runs := b.cfg.HistoryRuns
	if runs <= 0 {
		runs = DefaultHistoryRuns
	}
	began := time.Now()
	b.tell("writing %d runs of %d calls into the ledger", runs, historyTasks)
	if b.HistoryOperations, err = b.writeHistory(ctx, dir, runs); err != nil {
		return err
	}
	b.HistoryRuns, b.HistoryWriteS = runs, time.Since(began).Seconds()
	b.tell("a node makes every view of %d calls", b.HistoryOperations)
	if b.HistoryViewsS, _, err = b.onHistory(ctx, dir, nil); err != nil { // every view, for the first time
		return err
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(filepath.Join(dir, "data", metadata.DefaultFile+suffix)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	b.tell("a node makes the SQL tables again")
	if b.HistoryRebuildS, b.HistoryRebuildCPU, err = b.onHistory(ctx, dir, nil); err != nil { // the tables alone
		return err
	}
	rows := b.HistoryOperations + runs*(1+historyTasks)
	b.HistoryRowsPS = float64(rows) / b.HistoryRebuildS
	b.tell("a node rests for %v, then commands ask it", storeIdle)
	_, _, err = b.onHistory(ctx, dir, b.askHistory)
	return err
}

// onHistory runs fn on a serving node that has shown everything, and returns how
// long that took from the start of its process, in seconds.
func (b *bencher) onHistory(ctx context.Context, dir string, fn func(context.Context, string, *servedProcess, *bus.Client) error) (shown, cpu float64, err error) {
	began := time.Now()
	p, _, err := startServe(ctx, dir)
	if err != nil {
		return 0, 0, err
	}
	defer p.stop()
	c, err := bus.Dial(p.access, p.access.URL)
	if err != nil {
		return 0, 0, err
	}
	defer c.Close()
	if err := b.waitShown(ctx, c); err != nil {
		return 0, 0, err
	}
	shown = time.Since(began).Seconds()
	used, err := p.cpu()
	if err == nil && fn != nil {
		err = fn(ctx, dir, p, c)
	}
	return shown, used.Seconds(), err
}

// waitShown waits until no view is behind.
func (b *bencher) waitShown(ctx context.Context, c *bus.Client) error {
	said := time.Now()
	for began := time.Now(); time.Since(began) < historyWait && ctx.Err() == nil; pass(ctx, 50*time.Millisecond) {
		var st struct {
			Engine engine.NodeStatus `json:"engine"`
		}
		err := c.Call(ctx, "node.status", nil, &st)
		if errors.Is(err, engine.ErrUnavailable) {
			continue // it has its hands full
		}
		if err != nil {
			return err
		}
		if len(st.Engine.Views) > 0 && st.Engine.ProjectedSeq == st.Engine.LedgerSeq {
			return nil
		}
		if time.Since(said) >= tellEvery {
			said = time.Now()
			var behind []string
			for _, v := range st.Engine.Views {
				if v.Behind > 0 {
					behind = append(behind, fmt.Sprintf("%s %d", v.View, v.Behind))
				}
			}
			b.tell("ledger entries to go: %s", strings.Join(behind, ", "))
		}
	}
	return errors.New("the views did not show everything")
}

func (b *bencher) askHistory(ctx context.Context, dir string, p *servedProcess, c *bus.Client) (err error) {
	pass(ctx, storeIdle)
	if b.HistoryRSSMiB, err = p.rss(); err != nil {
		return err
	}
	var list bus.RunList
	if err := c.Call(ctx, "run.list", bus.ListRuns{Flow: historyFlows[2], Limit: 1}, &list); err != nil || len(list.Runs) == 0 {
		return errors.Join(errors.New("there is no run to show"), err)
	}
	run := string(list.Runs[0].RunID)
	for _, q := range []struct {
		figure *float64
		args   []string
	}{
		{&b.HistoryListMS, []string{"runs", "list"}},
		{&b.HistoryFailedMS, []string{"runs", "list", "--status", "failed"}},
		{&b.HistoryFlowMS, []string{"runs", "list", "--flow", historyFlows[2]}},
		{&b.HistoryNoneMS, []string{"runs", "list", "--flow", historyFlows[2], "--status", "cancelled"}},
		{&b.HistoryShowMS, []string{"runs", "show", run}},
		{&b.HistoryShowEndMS, []string{"runs", "show", run[len(run)-8:]}},
		{&b.HistoryLogsMS, []string{"logs", "--run", run}},
		{&b.HistoryLastMS, []string{"logs", "--flow", historyFlows[0], "--limit", "100"}},
		{&b.HistoryStatusMS, []string{"status"}},
	} {
		if *q.figure, err = command(ctx, dir, q.args...); err != nil {
			return err
		}
	}
	if b.HistoryLast100MS, err = last100(ctx, c); err != nil {
		return err
	}
	return b.historyPages(ctx, c)
}

// command is the median of the time that a command takes, in milliseconds.
func command(ctx context.Context, dir string, args ...string) (float64, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	var took []float64
	for range historyTurns {
		began := time.Now()
		cmd := exec.CommandContext(ctx, self, append(args, "--data-dir", filepath.Join(dir, "data"))...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return 0, fmt.Errorf("qarion %v: %w: %.300s", args, err, out)
		}
		took = append(took, float64(time.Since(began).Microseconds())/1000)
	}
	return median(took), nil
}

// last100 is the median of the time that the node takes for the newest hundred
// operations of a flow, asked for and answered, in milliseconds.
func last100(ctx context.Context, c *bus.Client) (float64, error) {
	var took []float64
	for range historyTurns {
		began := time.Now()
		var page struct {
			Operations []json.RawMessage `json:"operations"`
		}
		if err := c.Call(ctx, "log.list", node.ListLog{Flow: historyFlows[0], Limit: 100}, &page); err != nil {
			return 0, err
		}
		if len(page.Operations) != 100 {
			return 0, fmt.Errorf("%d operations instead of 100", len(page.Operations))
		}
		took = append(took, float64(time.Since(began).Microseconds())/1000)
	}
	return median(took), nil
}

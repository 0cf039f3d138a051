package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/node"
	"github.com/qarion/qarion/web"
)

// PageFigures are those of the parts "pages" and "history": what browsers cost,
// and how long pages take, asked for over HTTP on loopback and read whole.
type PageFigures struct {
	PagesRatio float64 `json:"pages_ratio,omitempty"`           // with 50 streams and the pages of as many tabs, of without
	PagesCPU   float64 `json:"pages_cpu_us_per_task,omitempty"` // that they cost
	RunTasks   int     `json:"pages_run_tasks,omitempty"`       // of the large run
	RunTasksMS float64 `json:"pages_run_ms,omitempty"`          // its page
	RunGraphMS float64 `json:"pages_run_graph_ms,omitempty"`
	RunLineMS  float64 `json:"pages_run_timeline_ms,omitempty"`
	RunLogMS   float64 `json:"pages_run_log_ms,omitempty"`

	HistoryPageP99   float64 `json:"history_page_p99_ms,omitempty"`        // of the list of runs
	HistoryFlowP99   float64 `json:"history_page_flow_p99_ms,omitempty"`   // of one flow
	HistoryStatusP99 float64 `json:"history_page_status_p99_ms,omitempty"` // in one state
	HistoryBackP99   float64 `json:"history_page_older_p99_ms,omitempty"`  // somewhere in the past
}

// What the part "pages" does.
const (
	pageStreams = 50     // each a browser of its own
	pageTabs    = 50     // of one browser: one is looked at, the others hidden
	pageRun     = 10_000 // tasks of a large run
	pageTurns   = 9      // the median of so many counts
	listTurns   = 200    // of the lists, whose p99 counts
)

// pages measures what 50 streams and 50 tabs that follow the list of runs cost a
// loaded node, and how fast the pages of a run of 10,000 tasks come.
func (b *bencher) pages(ctx context.Context) (err error) {
	with, without := b.cfg.Node, b.cfg.Node
	with.HTTP, without.HTTP = &web.Config{Listen: "127.0.0.1:0"}, &web.Config{Listen: "127.0.0.1:0"}
	if b.PagesRatio, b.PagesCPU, err = b.paired(ctx, with, without, browse); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "qarion-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	with.DataDir = dir
	var text strings.Builder
	for i := range pageRun {
		deps := ""
		if i >= 100 { // a hundred chains
			deps = fmt.Sprintf("dependencies = [%q]\n", fmt.Sprintf("t%d", i-100))
		}
		text.WriteString(b.task(fmt.Sprintf("t%d", i), deps))
	}
	return b.with(ctx, with, map[string]string{"large": text.String()}, func(n *node.Node, c *bus.Client) error {
		var doc engine.RunDoc
		patient, cancel := context.WithTimeout(ctx, historyWait)
		defer cancel()
		if err := c.Call(patient, "run.start", bus.StartRun{Flow: "large", Wait: json.RawMessage("900")}, &doc); err != nil {
			return err
		}
		if doc.Status != engine.Success {
			return fmt.Errorf("the run of %d tasks is %s", pageRun, doc.Status)
		}
		if err := b.waitShown(ctx, c); err != nil {
			return err
		}
		b.RunTasks = pageRun
		for query, figure := range map[string]*float64{"": &b.RunTasksMS, "?view=graph": &b.RunGraphMS, "?view=timeline": &b.RunLineMS, "?view=log": &b.RunLogMS} {
			took, err := pageTimes(ctx, n.URL(), pageTurns, func(int) string { return "/runs/" + string(doc.RunID) + query })
			if err != nil {
				return err
			}
			*figure = median(took)
		}
		return nil
	})
}

// browse is what browsers do to a node: 50 of them hold a stream of its runs, and
// the tabs of one ask for the list of runs, the one that is looked at twice a
// second, the others every five.
func browse(ctx context.Context, n *node.Node) {
	var all sync.WaitGroup
	defer all.Wait()
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: pageStreams + 6}}
	for range pageStreams {
		all.Go(func() {
			for ctx.Err() == nil {
				_, _ = readPage(ctx, client, n.URL()+"/api/v1/events?topics=runs,node")
			}
		})
	}
	every := time.Second / (2 + pageTabs/5)
	for tick := time.NewTicker(every); ; {
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
			_, _ = readPage(ctx, client, n.URL()+"/runs")
		}
	}
}

func readPage(ctx context.Context, c *http.Client, url string) (int64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Accept", "text/html")
	res, err := c.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	size, err := io.Copy(io.Discard, res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, res.Status)
	}
	return size, err
}

// pageTimes are how long pages take, in milliseconds.
func pageTimes(ctx context.Context, base string, turns int, path func(turn int) string) (took []float64, err error) {
	for turn := range turns {
		began := time.Now()
		if _, err := readPage(ctx, http.DefaultClient, base+path(turn)); err != nil {
			return nil, err
		}
		took = append(took, float64(time.Since(began).Microseconds())/1000)
	}
	return took, nil
}

// historyPages measures the list of runs as a page, with a long history.
func (b *bencher) historyPages(ctx context.Context, c *bus.Client) error {
	var st struct {
		HTTP string `json:"http"`
	}
	if err := c.Call(ctx, "node.status", nil, &st); err != nil {
		return err
	}
	var list bus.RunList
	if err := c.Call(ctx, "run.list", bus.ListRuns{Limit: 1000}, &list); err != nil || len(list.Runs) == 0 {
		return fmt.Errorf("no runs to list: %w", err)
	}
	states := []string{"failed", "success"}
	for figure, path := range map[*float64]func(int) string{
		&b.HistoryPageP99:   func(int) string { return "/runs" },
		&b.HistoryFlowP99:   func(turn int) string { return "/runs?flow=" + historyFlows[turn%len(historyFlows)] },
		&b.HistoryStatusP99: func(turn int) string { return "/runs?status=" + states[turn%len(states)] },
		&b.HistoryBackP99:   func(turn int) string { return "/runs?before=" + string(list.Runs[turn%len(list.Runs)].RunID) },
	} {
		took, err := pageTimes(ctx, st.HTTP, listTurns, path)
		if err != nil {
			return err
		}
		slices.Sort(took)
		*figure = took[len(took)*99/100]
	}
	return nil
}

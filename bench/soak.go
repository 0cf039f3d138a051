package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"

	"github.com/qarion/qarion/bus"
)

const (
	// DefaultSoakRuns is how many runs the part "soak" makes.
	DefaultSoakRuns = 1_000_000

	soakTurns = 12 // looks at the memory, at equal distances
)

// SoakFigures are those of the part "soak": the memory of one process while it
// makes many single-task runs. It must not grow with what has ended.
type SoakFigures struct {
	SoakRuns   int     `json:"soak_runs,omitempty"`
	SoakTPS    float64 `json:"soak_tps,omitempty"`
	SoakThird  float64 `json:"soak_rss_third_mib,omitempty"`      // after a third of them
	SoakThirds float64 `json:"soak_rss_two_thirds_mib,omitempty"` // after two thirds
	SoakRSS    float64 `json:"soak_rss_mib,omitempty"`            // after all
	SoakMax    float64 `json:"soak_rss_max_mib,omitempty"`        // the most that was seen
	SoakLive   float64 `json:"soak_live_third_mib,omitempty"`     // what the collector found in use after a third
	SoakEnd    float64 `json:"soak_live_mib,omitempty"`           // and after all
}

// soak makes runs of one task in one process, and looks at its memory from time
// to time. With a folder for profiles each look leaves one of the heap.
func (b *bencher) soak(ctx context.Context) error {
	runs := b.cfg.Runs
	if runs <= 0 {
		runs = DefaultSoakRuns
	}
	setup := engineSetup{Slots: b.cfg.Node.Slots, Flows: map[string]string{"single": b.task("call", "")}}
	return b.withEngine(ctx, setup, func(e *engineProcess) error {
		in := bus.StartRun{Flow: "single", Wait: json.RawMessage("60")}
		seconds := 0.0
		for turn := 1; turn <= soakTurns; turn++ {
			made, took, err := drive(ctx, e.client, in, benchOpen, runs*turn/soakTurns-b.SoakRuns, 0)
			if err != nil {
				return err
			}
			b.SoakRuns += made
			seconds += took.Seconds()
			ask := engineAsk{}
			if b.cfg.Profile != "" {
				ask.Heap = filepath.Join(b.cfg.Profile, fmt.Sprintf("heap-%d.pprof", b.SoakRuns))
			}
			use, err := e.ask(ask)
			if err != nil {
				return err
			}
			rss, live := float64(use.RSS)/(1<<20), float64(use.Live)/(1<<20)
			b.tell("%d runs: %.0f MiB resident, %.0f MiB in use, %.0f runs/s", b.SoakRuns, rss, live, float64(made)/took.Seconds())
			b.SoakMax = max(b.SoakMax, rss)
			switch turn {
			case soakTurns / 3:
				b.SoakThird, b.SoakLive = rss, live
			case soakTurns * 2 / 3:
				b.SoakThirds = rss
			case soakTurns:
				b.SoakRSS, b.SoakEnd = rss, live
			}
		}
		b.SoakTPS = float64(b.SoakRuns) / seconds
		return nil
	})
}

//go:build failpoints

package main_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/internal/testkit"
)

// TestFailpoints_Ticks stops the program around a time of a schedule, and lets it
// sleep as a laptop does. Whatever happens, each time has one run.
func TestFailpoints_Ticks(t *testing.T) {
	for name, points := range map[string]string{
		"due":                  "tick.due=kill@3",
		"before it is stored":  "tick.before=kill@3",
		"stored, not yet seen": "tick.stored=kill@3",
		"asleep":               "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			flow := "[[triggers]]\ntype = \"schedule\"\nevery = 1\ncatchup = \"all\"\n\n[[tasks]]\nid = \"a\"\ntype = \"log\"\nproperties = { message = \"here\" }\n"
			if err := os.MkdirAll(filepath.Join(dir, "flows"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "flows", "tick.toml"), []byte(flow), 0o644); err != nil {
				t.Fatal(err)
			}
			p := testkit.Serve(t, dir, "QARION_FAILPOINTS="+points)
			if points != "" {
				p.Ended(t)
				p = testkit.Serve(t, dir)
			} else if err := p.Suspend(3 * time.Second); err != nil {
				t.Skip(err)
			}
			c, err := bus.Dial(p.Access, p.Access.URL)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			var out bus.RunList
			for len(out.Runs) < 8 {
				if err := c.Call(t.Context(), "run.list", bus.ListRuns{Flow: "tick", Limit: 1000}, &out); err != nil {
					t.Fatal(err)
				}
			}
			var ticks []time.Time
			for _, r := range out.Runs {
				at, err := time.Parse(time.RFC3339Nano, r.ExecutionDate)
				if err != nil {
					t.Fatal(err)
				}
				ticks = append(ticks, at)
			}
			slices.SortFunc(ticks, time.Time.Compare)
			for i := range ticks[1:] {
				if d := ticks[i+1].Sub(ticks[i]); d != time.Second {
					t.Errorf("after %s comes %s, %s later", ticks[i], ticks[i+1], d)
				}
			}
		})
	}
}

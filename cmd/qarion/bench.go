package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/qarion/qarion/bench"
)

func (a *app) benchCommand() *cobra.Command {
	var parts []string
	var length time.Duration
	var runs, storeRuns, objectMiB, historyRuns int
	var profile string
	all := bench.Parts()
	c := &cobra.Command{
		Use: "bench", Short: "Measure the engine against a bare HTTP client",
		Long: `Starts a target HTTP server as a process of its own (200-byte JSON), measures a
bare net/http client against it, and then the engine with sync = "always",
XCom and events on. Ratios are of one run on this machine. The part sql holds
transformation tasks against the same statements by database/sql.

Parts: ` + strings.Join(all, ", ") + `.
The last ones are not measured by themselves. lists, chains, slots, crowd and
loaded say how close the engine comes to what its surroundings allow: runs
submitted in lists, 64 chains at once, full slots at a server that takes 20 ms, a
small flow beside a large one, many flows. object streams an object of --object-mib
through the store and needs that much room on the disk; burst, memory, soak, store
and history fill stores with runs and take minutes. soak looks at the memory of one
process while it makes a million runs. history writes the records of finished
runs into the ledger, without calls, and asks commands of the node on it.`,
		Example: "  qarion bench --part single --part chain\n  qarion bench --output json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			for _, p := range parts {
				if !slices.Contains(all, p) {
					return usageError(fmt.Errorf("--part is %q, want one of %s", p, strings.Join(all, ", ")))
				}
			}
			return a.bench(c.Context(), bench.Config{
				Parts: parts, Length: length, Runs: runs, Profile: profile,
				StoreRuns: storeRuns, ObjectBytes: int64(objectMiB) << 20, HistoryRuns: historyRuns,
			})
		},
	}
	c.Flags().StringArrayVar(&parts, "part", bench.UsualParts(), "what to measure; may be repeated")
	c.Flags().DurationVar(&length, "time", 4*time.Second, "how long each rate is measured")
	c.Flags().IntVar(&runs, "runs", 0, "so many runs in the parts single, user, lists, chains, loaded and soak, instead of --time")
	c.Flags().StringVar(&profile, "profile", "", "write profiles of the engine in those parts into folders of this one: cpu, allocs, block; of soak the heap")
	c.Flags().IntVar(&objectMiB, "object-mib", bench.DefaultObjectBytes>>20, "size of the object, for the part object")
	c.Flags().IntVar(&storeRuns, "store-runs", 100_000, "finished runs in the store, for the part store")
	c.Flags().IntVar(&historyRuns, "history-runs", bench.DefaultHistoryRuns, "runs of five calls each in the history, for the part history")
	return c
}

// bench measures the parts and prints the figures.
func (a *app) bench(ctx context.Context, cfg bench.Config) (err error) {
	if cfg.Node, err = a.cfg.node("", quietLogger(a)); err != nil {
		return err
	}
	cfg.Begin = func(part string) {
		if !a.flags.quiet {
			fmt.Fprintf(a.ui.err, "measuring %s ...\n", part)
		}
	}
	cfg.Tell = func(text string) {
		if !a.flags.quiet {
			fmt.Fprintf(a.ui.err, "  %s\n", text)
		}
	}
	f, err := bench.Run(ctx, cfg)
	if err != nil {
		return err
	}
	if a.json() {
		return a.printJSON(f)
	}
	return a.printFigures(f)
}

// benchTargetCommand is the target server, started by the bench as a process
// of its own; it ends when its standard input does.
func (a *app) benchTargetCommand() *cobra.Command {
	return &cobra.Command{
		Use: bench.TargetCommand, Hidden: true, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return bench.ServeTarget(a.ui.in, a.ui.out) },
	}
}

// benchEngineCommand is the node that is measured, started by the bench as a
// process of its own.
func (a *app) benchEngineCommand() *cobra.Command {
	return &cobra.Command{
		Use: bench.EngineCommand, Hidden: true, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := a.cfg.node("", quietLogger(a))
			if err != nil {
				return err
			}
			return bench.ServeEngine(c.Context(), cfg, a.ui.in, a.ui.out)
		},
	}
}

func (a *app) printFigures(f *bench.Figures) error {
	data, err := json.Marshal(f)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	t := newTable("FIGURE", "VALUE").alignRight(1)
	name := ""
	var within []string // the objects that a figure stands in, each with its name before it
	for {
		token, err := d.Token()
		switch v := token.(type) {
		case nil:
			if err != io.EOF {
				return err
			}
			a.ui.printTable(t)
			return nil
		case json.Delim:
			if v == '{' {
				within = append(within, name)
			} else {
				within = within[:len(within)-1]
			}
			name = ""
		case string:
			name = v
		case float64:
			t.add(strings.TrimPrefix(strings.Join(append(within[:len(within):len(within)], name), "_"), "_"), strings.TrimSuffix(fmt.Sprintf("%.2f", v), ".00"))
			name = ""
		}
	}
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/qarion/qarion/bench"
)

func (a *app) benchCommand() *cobra.Command {
	var parts []string
	var length time.Duration
	var storeRuns, objectMiB, historyRuns int
	all := bench.Parts()
	c := &cobra.Command{
		Use: "bench", Short: "Measure the engine against a bare HTTP client",
		Long: `Starts a target HTTP server as a process of its own (200-byte JSON), measures a
bare net/http client against it, and then the engine with sync = "always",
XCom and events on. Ratios are of one run on this machine.

Parts: ` + strings.Join(all, ", ") + `.
Four are not measured by themselves: object streams an object of --object-mib
through the store and needs that much room on the disk; memory, store and history
fill stores with runs and take minutes. history writes the records of finished
runs into the ledger, without calls, and asks commands of the node on it.`,
		Example: "  qarion bench --part single --part chain\n  qarion bench --output json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			for _, p := range parts {
				if !slices.Contains(all, p) {
					return usageError(fmt.Errorf("--part is %q, want one of %s", p, strings.Join(all, ", ")))
				}
			}
			return a.bench(c.Context(), bench.Config{Parts: parts, Length: length, StoreRuns: storeRuns, ObjectBytes: int64(objectMiB) << 20, HistoryRuns: historyRuns})
		},
	}
	c.Flags().StringArrayVar(&parts, "part", all[:len(all)-5], "what to measure; may be repeated")
	c.Flags().DurationVar(&length, "time", 4*time.Second, "how long each rate is measured")
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

func (a *app) printFigures(f *bench.Figures) error {
	data, err := json.Marshal(f)
	if err != nil {
		return err
	}
	d := json.NewDecoder(strings.NewReader(string(data)))
	t := newTable("FIGURE", "VALUE").alignRight(1)
	if _, err := d.Token(); err != nil {
		return err
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		v, err := d.Token()
		if err != nil {
			return err
		}
		n, _ := v.(float64)
		t.add(fmt.Sprint(name), strings.TrimSuffix(fmt.Sprintf("%.2f", n), ".00"))
	}
	a.ui.printTable(t)
	return nil
}

package bench

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/node"
)

// tablesPairs is how often a rate with the SQL tables is held against one
// without.
const tablesPairs = 8

// tables measures what the SQL tables cost a loaded node: short turns on two
// nodes, one with and one without, and the median of their ratios.
func (b *bencher) tables(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "qarion-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	flows := map[string]string{"single": b.task("call", "")}
	with, without := b.cfg.Node, b.cfg.Node
	with.DataDir, with.Tables = filepath.Join(dir, "with"), node.TablesSQLite
	without.DataDir, without.Tables = filepath.Join(dir, "without"), node.TablesOff
	return b.with(ctx, with, flows, func(_ *node.Node, on *bus.Client) error {
		return b.with(ctx, without, flows, func(_ *node.Node, off *bus.Client) error {
			return b.tablesTurns(ctx, on, off)
		})
	})
}

func (b *bencher) tablesTurns(ctx context.Context, on, off *bus.Client) error {
	var ratios, costs []float64
	for i := range tablesPairs {
		var tps, cpu [2]float64 // with, without
		order := []int{0, 1}
		if i%2 == 1 {
			slices.Reverse(order)
		}
		for _, which := range order {
			var err error
			before := processorTime()
			began := time.Now()
			if tps[which], err = b.rate(ctx, []*bus.Client{on, off}[which], "single", b.length/2); err != nil {
				return err
			}
			cpu[which] = float64((processorTime() - before).Microseconds()) / (tps[which] * time.Since(began).Seconds())
		}
		ratios, costs = append(ratios, tps[0]/tps[1]), append(costs, cpu[0]-cpu[1])
	}
	b.TablesRatio, b.TablesCPU = median(ratios), median(costs)
	return nil
}

func median(list []float64) float64 {
	slices.Sort(list)
	n := len(list)
	return (list[(n-1)/2] + list[n/2]) / 2
}

package dag

import (
	"math/rand/v2"
	"testing"
)

func TestLay_WhatDependsStandsToTheRight(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		n := 1 + rng.IntN(60)
		g := Graph{After: make([][]int, n)}
		edges := 0
		for i := 1; i < n; i++ {
			for range rng.IntN(3) {
				g.After[i] = append(g.After[i], rng.IntN(i))
				edges++
			}
		}
		l := Lay(g)
		if len(l.Lines) != edges {
			t.Fatalf("%d lines of %d edges", len(l.Lines), edges)
		}
		taken := map[Place]int{}
		for i, p := range l.Places {
			if other, twice := taken[p]; twice {
				t.Fatalf("nodes %d and %d stand both at %+v", i, other, p)
			}
			taken[p] = i
			if p.Layer >= l.Layers || p.Row < 0 || p.Row > l.Rows-1 {
				t.Fatalf("node %d stands outside, at %+v of %d layers and %g rows", i, p, l.Layers, l.Rows)
			}
		}
		for _, line := range l.Lines {
			if line.Points[0] != l.Places[line.From] || line.Points[len(line.Points)-1] != l.Places[line.To] {
				t.Fatalf("line %+v does not join its nodes", line)
			}
			for i := 1; i < len(line.Points); i++ {
				if line.Points[i].Layer != line.Points[i-1].Layer+1 {
					t.Fatalf("line %+v jumps", line)
				}
			}
		}
	}
}

func TestLay_TwoChainsDoNotCross(t *testing.T) {
	// a(0) -> d(3), b(1) -> c(2): in the order of the list the lines cross.
	l := Lay(Graph{After: [][]int{{}, {}, {1}, {0}}})
	if (l.Places[0].Row < l.Places[1].Row) != (l.Places[3].Row < l.Places[2].Row) {
		t.Errorf("the lines cross: %+v", l.Places)
	}
}

func TestLay_TakesWhatIsNoGraph(t *testing.T) {
	l := Lay(Graph{After: [][]int{{1}, {0}, {2, 9, -1}}})
	if len(l.Places) != 3 {
		t.Errorf("%d places of 3 nodes", len(l.Places))
	}
	if l := Lay(Graph{}); l.Layers != 0 || len(l.Places) != 0 {
		t.Errorf("nothing is %+v", l)
	}
}

func BenchmarkLay(b *testing.B) {
	for name, n := range map[string]int{"tasks=100": 100, "tasks=1000": 1000, "tasks=10000": 10_000} {
		g := Graph{After: make([][]int, n)}
		rng := rand.New(rand.NewPCG(1, 2))
		for i := 10; i < n; i++ {
			g.After[i] = []int{i - 1 - rng.IntN(10), i - 1 - rng.IntN(10)}
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				Lay(g)
			}
		})
	}
}

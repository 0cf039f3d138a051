// Package dag lays out directed acyclic graphs in layers, for people to look
// at: what depends on something stands to the right of it, and lines cross
// little. The way is that of Sugiyama, Tagawa and Toda (1981): layers by the
// longest path, invisible nodes where an edge passes a layer, then sweeps that
// order every layer by the mean place of its neighbours.
package dag

import (
	"cmp"
	"slices"
)

// Graph is what to lay out. Nodes are known by their index.
type Graph struct {
	// After lists for every node the nodes that it depends on. What is out of
	// range, itself or part of a cycle is passed over.
	After [][]int
}

// Place is where a node stands: its layer, from 0, and its row within it.
// Rows are in units of a node's height and may be halves.
type Place struct {
	Layer int
	Row   float64
}

// Line is an edge as the points it passes: the node it leaves, one for each
// layer between, the node it enters.
type Line struct {
	From, To int
	Points   []Place
}

// Layout is a graph with places.
type Layout struct {
	Places []Place // by node
	Lines  []Line
	Layers int
	Rows   float64 // the height of the picture
}

// sweeps is how often the layers are ordered: more gains next to nothing.
const sweeps = 8

// Lay lays out a graph. It takes time in proportion to nodes and edges, an edge
// counted once for each layer that it passes.
func Lay(g Graph) *Layout {
	l := &layers{graph: g}
	l.levels()
	l.fill()
	for i := range sweeps {
		l.sweep(i%2 == 0)
	}
	return l.layout()
}

// Levels are the layers of the nodes alone.
func Levels(g Graph) []int {
	l := &layers{graph: g}
	l.levels()
	out := make([]int, len(l.nodes))
	for i := range l.nodes {
		out[i] = l.nodes[i].layer
	}
	return out
}

// node is a node of the graph, or a bend of an edge on its way.
type node struct {
	layer    int
	at       float64 // its place within the layer
	up, down []int   // neighbours in the layers beside it
}

type layers struct {
	graph Graph
	nodes []node  // those of the graph first
	rows  [][]int // layer -> nodes, in order
	paths [][]int // an edge's nodes, from end to end
}

// levels puts every node one layer behind the last that it depends on.
func (l *layers) levels() {
	n := len(l.graph.After)
	l.nodes = make([]node, n)
	state := make([]int8, n) // 1: being placed, 2: placed
	type frame struct{ node, next int }
	for start := range n {
		if state[start] != 0 {
			continue
		}
		state[start] = 1
		stack := []frame{{start, 0}} // by hand: chains are ten thousand long
		for len(stack) > 0 {
			f := &stack[len(stack)-1]
			after := l.graph.After[f.node]
			if f.next < len(after) {
				up := after[f.next]
				f.next++
				if up >= 0 && up < n && state[up] == 0 {
					state[up] = 1
					stack = append(stack, frame{up, 0})
				}
				continue
			}
			for _, up := range after {
				if up >= 0 && up < n && state[up] == 2 {
					l.nodes[f.node].layer = max(l.nodes[f.node].layer, l.nodes[up].layer+1)
				}
			}
			state[f.node] = 2
			stack = stack[:len(stack)-1]
		}
	}
}

// fill orders the layers as the nodes are given, and bends long edges.
func (l *layers) fill() {
	deepest := 0
	for i := range l.nodes {
		deepest = max(deepest, l.nodes[i].layer)
	}
	l.rows = make([][]int, deepest+1)
	for i := range l.nodes {
		l.add(i)
	}
	for to, after := range l.graph.After {
		for _, from := range after {
			if from < 0 || from >= len(l.graph.After) || l.nodes[from].layer >= l.nodes[to].layer {
				continue
			}
			path := []int{from}
			for layer := l.nodes[from].layer + 1; layer < l.nodes[to].layer; layer++ {
				l.nodes = append(l.nodes, node{layer: layer})
				l.add(len(l.nodes) - 1)
				path = append(path, len(l.nodes)-1)
			}
			path = append(path, to)
			for i := 1; i < len(path); i++ {
				l.nodes[path[i-1]].down = append(l.nodes[path[i-1]].down, path[i])
				l.nodes[path[i]].up = append(l.nodes[path[i]].up, path[i-1])
			}
			l.paths = append(l.paths, path)
		}
	}
}

func (l *layers) add(i int) {
	row := &l.rows[l.nodes[i].layer]
	l.nodes[i].at = float64(len(*row))
	*row = append(*row, i)
}

// sweep orders every layer by the mean place of the neighbours on one side.
func (l *layers) sweep(down bool) {
	for k := range l.rows {
		row := l.rows[k]
		if !down {
			row = l.rows[len(l.rows)-1-k]
		}
		mean := make(map[int]float64, len(row))
		for _, i := range row {
			beside := l.nodes[i].up
			if !down {
				beside = l.nodes[i].down
			}
			mean[i] = l.nodes[i].at
			if len(beside) > 0 {
				sum := 0.0
				for _, j := range beside {
					sum += l.nodes[j].at
				}
				mean[i] = sum / float64(len(beside))
			}
		}
		slices.SortStableFunc(row, func(a, b int) int { return cmp.Compare(mean[a], mean[b]) })
		for at, i := range row {
			l.nodes[i].at = float64(at)
		}
	}
}

// layout gives every layer the same middle.
func (l *layers) layout() *Layout {
	out := &Layout{Places: make([]Place, len(l.graph.After)), Layers: len(l.rows)}
	if len(l.nodes) == 0 {
		out.Layers = 0
	}
	for _, row := range l.rows {
		out.Rows = max(out.Rows, float64(len(row)))
	}
	place := func(i int) Place {
		n := &l.nodes[i]
		return Place{n.layer, n.at + (out.Rows-float64(len(l.rows[n.layer])))/2}
	}
	for i := range out.Places {
		out.Places[i] = place(i)
	}
	for _, path := range l.paths {
		line := Line{From: path[0], To: path[len(path)-1]}
		for _, i := range path {
			line.Points = append(line.Points, place(i))
		}
		out.Lines = append(out.Lines, line)
	}
	return out
}

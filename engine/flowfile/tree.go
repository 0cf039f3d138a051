package flowfile

import (
	"errors"
	"math"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/qarion/qarion/internal/value"
)

// position is a place in the file; both count from 1, columns in characters.
type position struct{ line, column int }

// node is a TOML value with the places of its parts: exactly one of table,
// list and scalar is what it is.
type node struct {
	at     position // of the value
	key    position // of the key that it stands under
	table  *table
	list   []*node
	isList bool
	scalar any
}

// table keeps its keys in the order of the file.
type table struct {
	keys []string
	vals map[string]*node
}

func newTable() *table { return &table{vals: map[string]*node{}} }

func (t *table) set(key string, n *node) {
	if t.vals[key] == nil {
		t.keys = append(t.keys, key)
	}
	t.vals[key] = n
}

// errDepth is a file whose values nest too deeply.
var errDepth = errors.New("nests too deeply")

// treeBuilder walks the syntax tree of a file that the decoder has accepted,
// so that only order and places are left to find.
type treeBuilder struct {
	p    unstable.Parser
	root *node
	at   *table // where key-values of the present section go
	deep int
}

// parseTree reads a valid document into a tree.
func parseTree(data []byte, maxDepth int) (*node, error) {
	b := &treeBuilder{root: &node{at: position{1, 1}, key: position{1, 1}, table: newTable()}, deep: maxDepth}
	b.at = b.root.table
	b.p.Reset(data)
	for b.p.NextExpression() {
		e := b.p.Expression()
		switch e.Kind {
		case unstable.Table:
			b.at = b.section(e, false)
		case unstable.ArrayTable:
			b.at = b.section(e, true)
		case unstable.KeyValue:
			if err := b.keyValue(b.at, e, 1); err != nil {
				return nil, err
			}
		}
	}
	return b.root, b.p.Error()
}

func (b *treeBuilder) where(r unstable.Range) position {
	s := b.p.Shape(r)
	return position{s.Start.Line, s.Start.Column}
}

// section finds or makes the table of a [a.b] or [[a.b]] header.
func (b *treeBuilder) section(e *unstable.Node, array bool) *table {
	t := b.root.table
	it := e.Key()
	for it.Next() {
		key, place := string(it.Node().Data), b.where(it.Node().Raw)
		next := t.vals[key]
		switch {
		case array && it.IsLast():
			if next == nil {
				next = &node{at: place, key: place, isList: true}
				t.set(key, next)
			}
			element := &node{at: place, key: place, table: newTable()}
			next.list = append(next.list, element)
			next = element
		case next == nil:
			next = &node{at: place, key: place, table: newTable()}
			t.set(key, next)
		case next.isList && len(next.list) > 0:
			next = next.list[len(next.list)-1]
		}
		if next.table == nil {
			next.table = newTable() // cannot be: the decoder refuses it
		}
		t = next.table
	}
	return t
}

// keyValue puts a (dotted) key with its value into a table.
func (b *treeBuilder) keyValue(t *table, e *unstable.Node, depth int) error {
	it := e.Key()
	for it.Next() {
		key, place := string(it.Node().Data), b.where(it.Node().Raw)
		if !it.IsLast() {
			next := t.vals[key]
			if next == nil || next.table == nil {
				next = &node{at: place, key: place, table: newTable()}
				t.set(key, next)
			}
			t, depth = next.table, depth+1
			continue
		}
		n, err := b.value(e.Value(), depth+1, place)
		if err != nil {
			return err
		}
		n.key = place
		t.set(key, n)
	}
	return nil
}

func (b *treeBuilder) value(v *unstable.Node, depth int, key position) (*node, error) {
	if depth > b.deep {
		return nil, errDepth
	}
	n := &node{at: key}
	if v.Raw.Length > 0 {
		n.at = b.where(v.Raw)
	}
	var err error
	switch v.Kind {
	case unstable.InlineTable:
		n.table = newTable()
		for it := v.Children(); it.Next() && err == nil; {
			err = b.keyValue(n.table, it.Node(), depth)
		}
	case unstable.Array:
		n.isList = true
		for it := v.Children(); it.Next() && err == nil; {
			if it.Node().Kind == unstable.Comment {
				continue
			}
			var element *node
			element, err = b.value(it.Node(), depth+1, n.at)
			n.list = append(n.list, element)
		}
	case unstable.String:
		n.scalar = string(v.Data)
	case unstable.Bool:
		n.scalar = string(v.Data) == "true"
	case unstable.Integer:
		n.scalar = integer(string(v.Data))
	case unstable.Float:
		n.scalar = float(string(v.Data))
	default: // dates and times travel as RFC 3339 text
		n.scalar = strings.Replace(strings.ToUpper(string(v.Data)), " ", "T", 1)
	}
	return n, err
}

func integer(s string) int64 {
	i, _ := strconv.ParseInt(strings.ReplaceAll(strings.TrimPrefix(s, "+"), "_", ""), 0, 64)
	if strings.TrimLeft(s, "+-0123456789_") == "" { // a leading zero is not octal here
		i, _ = strconv.ParseInt(strings.ReplaceAll(strings.TrimPrefix(s, "+"), "_", ""), 10, 64)
	}
	return i
}

func float(s string) float64 {
	s = strings.ReplaceAll(s, "_", "")
	switch strings.TrimLeft(s, "+-") {
	case "inf":
		if strings.HasPrefix(s, "-") {
			return math.Inf(-1)
		}
		return math.Inf(1)
	case "nan":
		return math.NaN()
	}
	f, _ := strconv.ParseFloat(s, 64)
	return f
}

// plain turns a node into a value without places.
func (n *node) plain() any {
	switch {
	case n.table != nil:
		return n.table.plain()
	case n.isList:
		list := make([]any, len(n.list))
		for i, e := range n.list {
			list[i] = e.plain()
		}
		return list
	}
	return n.scalar
}

func (t *table) plain() *value.Map {
	m := value.NewMap(len(t.keys))
	for _, k := range t.keys {
		m.Set(k, t.vals[k].plain())
	}
	return m
}

// find follows keys and list indexes as far as they lead.
func (n *node) find(path []string) *node {
	for _, step := range path {
		var next *node
		if n.table != nil {
			next = n.table.vals[step]
		} else if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < len(n.list) {
			next = n.list[i]
		}
		if next == nil {
			return n
		}
		n = next
	}
	return n
}

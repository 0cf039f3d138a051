package flowfile

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/qarion/qarion/internal/value"
)

// node is a TOML value with the places of its parts: exactly one of table,
// list and scalar is what it is.
type node struct {
	place  span // of the value; of the whole value, as far as the parser says
	key    span // of the key that it stands under
	how    origin
	table  *table
	list   []*node
	isList bool
	scalar any
}

// origin is how a value came to be, which decides whether more may be added.
type origin uint8

const (
	written origin = iota // as a value: complete
	dotted                // a table by a dotted key: a.b = 1
	implied               // a table by a longer header: [a.b]
	headed                // a table by its own header: [a]
	tables                // a list of tables: [[a]]
)

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

// mistake is something wrong in the text itself.
type mistake struct {
	place   span
	code    string
	message string
}

func (m *mistake) Error() string { return m.message }

// treeBuilder makes the tree of a document, expression by expression, and
// checks what TOML asks of keys: the parser below it knows nothing but syntax.
// The library's decoder would check the same, but looks each key up in a list
// of all, and takes minutes for what fits into a flow file.
type treeBuilder struct {
	p      unstable.Parser
	data   []byte
	places *places
	base   int // of what the parser was given, in data
	root   *node
	at     *table // where key-values of the present section go
	deep   int
	colons []span // ":" that were read as "="
	work   int    // bytes that were read again because of them
	wrong  []*mistake
}

// Bounds of what is repaired: the ":" in one file, and the bytes that are
// parsed again because of them.
const (
	maxRepairs    = 1000
	maxRepairWork = 16 << 20
)

// parseTree reads a document into a tree. data is changed where a ":" is read
// as "=". What is wrong with keys and values is noted in the builder; an error
// is a *mistake after which nothing more can be read.
func parseTree(data []byte, places *places, maxDepth int) (*treeBuilder, error) {
	b := &treeBuilder{data: data, places: places, root: &node{how: headed, table: newTable()}, deep: maxDepth}
	b.at = b.root.table
	for {
		err := b.expressions()
		if err == nil {
			return b, nil
		}
		if err := b.repair(err); err != nil {
			return b, err
		}
	}
}

// expressions reads from base on. After a syntax error base is where the
// expression begins that has it.
func (b *treeBuilder) expressions() error {
	b.p.Reset(b.data[b.base:])
	start := b.base
	for b.p.NextExpression() {
		e := b.p.Expression()
		var err error
		switch e.Kind {
		case unstable.Table, unstable.ArrayTable:
			err = b.section(e)
		case unstable.KeyValue:
			err = b.keyValue(b.at, e, 1)
		}
		if err != nil {
			return err
		}
		b.base = start + b.expressionEnd(e)
	}
	var syntax *unstable.ParserError
	if err := b.p.Error(); errors.As(err, &syntax) {
		return &mistake{span{start + int(b.p.Range(syntax.Highlight).Offset), 1}, "syntax", syntax.Message}
	} else if err != nil {
		return &mistake{span{start, 1}, "syntax", err.Error()}
	}
	return nil
}

// expressionEnd is where an expression ends, in what the parser was given.
func (b *treeBuilder) expressionEnd(e *unstable.Node) int {
	if e.Kind == unstable.KeyValue {
		return int(e.Raw.Offset + e.Raw.Length)
	}
	end := 0
	for it := e.Key(); it.Next(); {
		raw := it.Node().Raw
		end = int(raw.Offset + raw.Length)
	}
	data := b.p.Data()
	for data[end] != ']' { // only blanks stand between
		end++
	}
	if e.Kind == unstable.ArrayTable {
		end++
	}
	return end + 1
}

// repair reads a ":" as "=" where the parser wanted one, as JSON has it.
func (b *treeBuilder) repair(err error) error {
	var m *mistake
	if !errors.As(err, &m) {
		return err
	}
	at := m.place.at
	if at >= len(b.data) || b.data[at] != ':' || !strings.HasPrefix(m.message, "expected '='") {
		return err
	}
	b.work += at - b.base
	if len(b.colons) == maxRepairs || b.work > maxRepairWork {
		return &mistake{m.place, "syntax", `use "=" in TOML tables: there are too many ":"`}
	}
	b.data[at] = '='
	b.colons = append(b.colons, span{at, 1})
	return nil
}

func (b *treeBuilder) where(r unstable.Range) span {
	return span{cap(b.data) - cap(b.p.Data()) + int(r.Offset), int(r.Length)}
}

func (b *treeBuilder) note(place span, code, format string, args ...any) {
	b.wrong = append(b.wrong, &mistake{place, code, fmt.Sprintf(format, args...)})
}

// section finds or makes the table of a [a.b] or [[a.b]] header. Of one that
// cannot be, the content is read into a table that nobody sees.
func (b *treeBuilder) section(e *unstable.Node) error {
	t, depth := b.root.table, 0
	for it := e.Key(); it.Next(); {
		key, place := string(it.Node().Data), b.where(it.Node().Raw)
		if depth++; depth > b.deep {
			return b.tooDeep(place)
		}
		next := t.vals[key]
		switch {
		case it.IsLast() && e.Kind == unstable.ArrayTable:
			next = b.element(t, key, next, place)
		case it.IsLast():
			next = b.headed(t, key, next, place)
		case next == nil:
			next = &node{place: place, key: place, how: implied, table: newTable()}
			t.set(key, next)
		case next.how == tables:
			next = next.list[len(next.list)-1]
		case next.how == written:
			b.note(place, "twice", "%q is a value already, see line %d; it cannot become a table", key, b.line(next.key))
			next = nil
		}
		if next == nil {
			b.at = newTable()
			return nil
		}
		t = next.table
	}
	b.at = t
	return nil
}

// element begins the next table of a list.
func (b *treeBuilder) element(t *table, key string, have *node, place span) *node {
	switch {
	case have == nil:
		have = &node{place: place, key: place, how: tables, isList: true}
		t.set(key, have)
	case have.how != tables:
		b.note(place, "twice", "%q is no list of tables, see line %d; [[%s]] cannot add to it", key, b.line(have.key), key)
		return nil
	}
	n := &node{place: place, key: place, how: headed, table: newTable()}
	have.list = append(have.list, n)
	return n
}

// headed is the table of a [header].
func (b *treeBuilder) headed(t *table, key string, have *node, place span) *node {
	switch {
	case have == nil:
		have = &node{place: place, key: place, how: headed, table: newTable()}
		t.set(key, have)
	case have.how == implied:
		have.how = headed
	case have.how == tables:
		b.note(place, "twice", "%q is a list of tables, see line %d; write [[%s]]", key, b.line(have.key), key)
		return nil
	default:
		b.note(place, "twice", "%q is there already, see line %d", key, b.line(have.key))
		return nil
	}
	return have
}

// line is where something stands, for messages.
func (b *treeBuilder) line(s span) int { return b.places.of(s.at).line }

// keyValue puts a (dotted) key with its value into a table.
func (b *treeBuilder) keyValue(t *table, e *unstable.Node, depth int) error {
	for it := e.Key(); it.Next(); {
		key, place := string(it.Node().Data), b.where(it.Node().Raw)
		have := t.vals[key]
		if !it.IsLast() {
			if depth++; depth > b.deep {
				return b.tooDeep(place)
			}
			switch {
			case have == nil:
				have = &node{place: place, key: place, how: dotted, table: newTable()}
				t.set(key, have)
			case have.how != dotted:
				b.note(place, "twice", "%q is there already, see line %d", key, b.line(have.key))
				have = &node{table: newTable()}
			}
			t = have.table
			continue
		}
		n, err := b.value(e.Value(), depth+1, place)
		if err != nil {
			return err
		}
		n.key = place
		if have != nil {
			b.note(place, "twice", "%q is there already, see line %d", key, b.line(have.key))
			continue
		}
		t.set(key, n)
	}
	return nil
}

func (b *treeBuilder) value(v *unstable.Node, depth int, key span) (*node, error) {
	if depth > b.deep {
		return nil, b.tooDeep(key)
	}
	n := &node{place: key}
	if v.Raw.Length > 0 {
		n.place = b.where(v.Raw)
	}
	var err error
	switch v.Kind {
	case unstable.InlineTable:
		n.table = newTable()
		for it := v.Children(); it.Next() && err == nil; {
			err = b.keyValue(n.table, it.Node(), depth)
		}
		for _, k := range n.table.keys {
			n.place.reach(n.table.vals[k].place)
		}
	case unstable.Array:
		n.isList = true
		for it := v.Children(); it.Next() && err == nil; {
			var element *node
			if element, err = b.value(it.Node(), depth+1, n.place); err == nil {
				element.key = element.place
				n.list = append(n.list, element)
				n.place.reach(element.place)
			}
		}
	case unstable.String:
		n.scalar = string(v.Data)
	case unstable.Bool:
		n.scalar = string(v.Data) == "true"
	default:
		n.scalar = b.scalar(v, n.place)
	}
	return n, err
}

func (b *treeBuilder) tooDeep(at span) error {
	return &mistake{at, "too-deep", fmt.Sprintf("values nest deeper than %d levels", b.deep)}
}

// reach lengthens a span to the end of another.
func (s *span) reach(other span) { s.length = max(s.length, other.end()-s.at) }

// scalar reads a number or a time. The parser only finds where one ends: what
// it says is checked by the library's decoder. Times travel as RFC 3339 text.
func (b *treeBuilder) scalar(v *unstable.Node, place span) any {
	text := string(v.Data)
	if plainNumber(text) { // most: the decoder is slow for a single value
		if v.Kind == unstable.Integer {
			i, _ := strconv.ParseInt(text, 10, 64)
			return i
		}
		f, _ := strconv.ParseFloat(text, 64)
		return f
	}
	var into struct{ X any }
	if err := toml.Unmarshal([]byte("X = "+text), &into); err != nil {
		b.note(place, "syntax", "%s", strings.TrimPrefix(err.Error(), "toml: "))
	}
	switch x := into.X.(type) {
	case int64, float64:
		return x
	}
	return strings.Replace(strings.ToUpper(text), " ", "T", 1)
}

// plainNumber reports whether a number is one in TOML and in Go alike: no
// underscores, signs, exponents or leading zeros, and within every range.
func plainNumber(s string) bool {
	whole, fraction, isFloat := strings.Cut(s, ".")
	digits := func(s string) bool { return s != "" && len(s) <= 15 && strings.Trim(s, "0123456789") == "" }
	return digits(whole) && (len(whole) == 1 || whole[0] != '0') && (!isFloat || digits(fraction))
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

// placeOf is where a key's value stands, or else the table that should have it.
func (n *node) placeOf(key string) span {
	if v := n.table.vals[key]; v != nil {
		return v.place
	}
	return n.key
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

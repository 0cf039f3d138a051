package jinja

import "strings"

// Part is a piece of a template as written: literal text, or a hole into which
// an expression is written.
type Part struct {
	Text   string // of literal text
	Hole   bool
	Filter string // of a hole: the last filter of its expression
	Block  string // of a hole: its expression is this name, which a {% set %} block has filled with text
	at     int
}

// Parts gives a template's text and holes in order. ok is false when what is
// written depends on data: there are conditions, loops, calls or filters of
// blocks.
func (t *Template) Parts() (parts []Part, ok bool) {
	if t.plain {
		return []Part{{Text: t.text}}, true
	}
	return partsOf(t.body, map[string]bool{})
}

func partsOf(body []stmt, blocks map[string]bool) (parts []Part, ok bool) {
	for _, st := range body {
		switch st := st.(type) {
		case *text:
			parts = append(parts, Part{Text: st.s, at: st.at})
		case *output:
			if st.fixed {
				return nil, false
			}
			part, ok := holeOf(st.x, blocks)
			if !ok {
				return nil, false
			}
			parts = append(parts, part)
		case *setBlock:
			blocks[st.target.name] = st.target.attr == ""
		case *withStmt:
			inner, ok := partsOf(st.body, blocks)
			if !ok {
				return nil, false
			}
			parts = append(parts, inner...)
		case *setStmt:
			for _, target := range st.targets {
				delete(blocks, target.name)
			}
		case *macroStmt, *doStmt:
		default:
			return nil, false
		}
	}
	return parts, true
}

func holeOf(x expr, blocks map[string]bool) (p Part, ok bool) {
	p.Hole = true
	switch x := x.(type) {
	case *name:
		if blocks[x.id] {
			p.Block = x.id
		}
	case *filterExpr:
		p.Filter = x.name
	case *callExpr:
		if n, named := x.fn.(*name); named && !n.free { // it may be a macro, which writes text of its own
			_, global := known().globals[n.id]
			return p, global
		}
	}
	return p, true
}

// Place names line and column of a byte of a literal part, both from 1 and in
// characters.
func (t *Template) Place(p Part, offset int) (line, column int) {
	before := t.source[:min(p.at+offset, len(t.source))]
	line = 1 + strings.Count(before, "\n")
	return line, 1 + len([]rune(before[strings.LastIndexByte(before, '\n')+1:]))
}

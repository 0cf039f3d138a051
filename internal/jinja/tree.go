package jinja

import "github.com/qarion/qarion/internal/value"

// expr is an expression of the tree. eval panics with a *failure when it fails
// (see eval.go).
type expr interface{ eval(s *state) val }

// stmt is a statement: it writes to the state's output.
type stmt interface{ exec(s *state) }

// The expressions.
type (
	literal struct{ v any } // a constant of the template

	name struct {
		id   string
		slot int // in Template.names, of the context's variable
		free bool
	}

	listExpr  struct{ items []expr }
	tupleExpr struct{ items []expr }
	dictExpr  struct{ keys, values []expr }

	unary struct {
		op string // "-", "+"
		x  expr
	}
	not    struct{ x expr }
	binary struct {
		op   string
		a, b expr
	}
	logical struct { // and, or
		and  bool
		a, b expr
	}
	concat  struct{ parts []expr }
	compare struct { // a < b <= c
		first expr
		ops   []string
		rest  []expr
	}
	conditional struct{ cond, yes, no expr } // no may be nil

	attr struct {
		x    expr
		name string
	}
	index struct{ x, key expr }
	slice struct{ x, from, to, step expr } // all but x may be nil

	callExpr struct {
		fn   expr
		args *arguments
	}
	filterExpr struct {
		x    expr // nil: the content of a filter block
		name string
		fn   filterFunc
		args *arguments
	}
	testExpr struct {
		x    expr
		name string
		fn   testFunc
		args *arguments
	}
)

// arguments are those of a call, as written.
type arguments struct {
	pos      []expr
	names    []string
	named    []expr
	star     expr // *list, may be nil
	starStar expr // **map, may be nil
}

// The statements.
type (
	text struct {
		s  string
		at int // in the source, in bytes
	}
	output struct {
		x     expr
		path  bool // ends with the filter path
		fixed bool // a text of the template, or one of two
	}
	ifStmt struct {
		conds  []expr
		bodies [][]stmt
		orElse []stmt
	}
	forStmt struct {
		target    target
		iter      expr
		cond      expr // may be nil
		recursive bool
		body      []stmt
		orElse    []stmt
	}
	doStmt  struct{ x expr } // evaluated for what it changes
	setStmt struct {
		targets []setTarget
		unpack  bool
		x       expr
	}
	setBlock struct {
		target  setTarget
		filters []*filterExpr
		body    []stmt
	}
	withStmt struct {
		targets []target
		values  []expr
		body    []stmt
	}
	filterStmt struct {
		filters []*filterExpr
		body    []stmt
	}
	macroStmt struct {
		name     string
		params   []string
		defaults []expr // of the last params
		body     []stmt
		varargs  bool // the body reads them
		kwargs   bool
		caller   bool
	}
	callStmt struct { // {% call %}: the macro gets the body as its caller
		call *callExpr
		body *macroStmt
	}
)

// target is a name, or several that a value is unpacked into.
type target struct {
	name  string
	parts []target
}

// setTarget is a name, or an attribute of a namespace.
type setTarget struct {
	name string
	attr string
	slot int // of the namespace's name
}

// val is a value with where it comes from.
type val struct {
	v any
	o value.Origin
}

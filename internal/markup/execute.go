package markup

import (
	"bytes"
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"sync"
)

// execution is a template being written.
type execution struct {
	set       *Set
	out       *bytes.Buffer
	dot       reflect.Value
	variables []bound
	depth     int
}

type bound struct {
	name  string
	value reflect.Value
}

// maxDepth bounds templates that use themselves.
const maxDepth = 100

type node interface{ write(x *execution) }

type (
	text  string
	print struct {
		value  expression
		escape escaper
	}
	declare struct {
		name   string
		assign bool // an older one changes
		value  expression
	}
	branch struct {
		condition       expression
		dot             bool // {{with}}
		variable        string
		then, otherwise []node
	}
	loop struct {
		over            expression
		key, element    string
		body, otherwise []node
	}
	use struct {
		name string
		data expression
	}
)

func (x *execution) list(nodes []node) {
	known := len(x.variables)
	for _, n := range nodes {
		n.write(x)
	}
	x.variables = x.variables[:known]
}

func (x *execution) call(name string, data reflect.Value) {
	nodes, found := x.set.templates[name]
	if !found {
		failf("there is no template %q", name)
	}
	if x.depth++; x.depth > maxDepth {
		failf("template %q uses itself", name)
	}
	dot, variables := x.dot, x.variables
	x.dot, x.variables = data, append(make([]bound, 0, 8), bound{"$", data})
	x.list(nodes)
	x.dot, x.variables = dot, variables
	x.depth--
}

func (t text) write(x *execution) { x.out.WriteString(string(t)) }

func (p *print) write(x *execution) { p.escape(x.out, textOf(p.value.value(x))) }

func (d *declare) write(x *execution) {
	v := d.value.value(x)
	if d.assign {
		for i := len(x.variables) - 1; i >= 0; i-- {
			if x.variables[i].name == d.name {
				x.variables[i].value = v
				return
			}
		}
	}
	x.variables = append(x.variables, bound{d.name, v})
}

func (b *branch) write(x *execution) {
	v := b.condition.value(x)
	known := len(x.variables)
	if b.variable != "" {
		x.variables = append(x.variables, bound{b.variable, v})
	}
	switch {
	case !truth(v):
		x.list(b.otherwise)
	case b.dot:
		dot := x.dot
		x.dot = v
		x.list(b.then)
		x.dot = dot
	default:
		x.list(b.then)
	}
	x.variables = x.variables[:known]
}

func (l *loop) write(x *execution) {
	over := indirect(l.over.value(x))
	dot, known, any := x.dot, len(x.variables), false
	turn := func(key, element reflect.Value) {
		any = true
		if l.key != "" {
			x.variables = append(x.variables, bound{l.key, key})
		}
		if l.element != "" {
			x.variables = append(x.variables, bound{l.element, element})
		}
		x.dot = element
		x.list(l.body)
		x.variables = x.variables[:known]
	}
	switch {
	case !over.IsValid():
	case over.Kind() == reflect.Slice || over.Kind() == reflect.Array:
		for i := range over.Len() {
			turn(reflect.ValueOf(i), over.Index(i))
		}
	case over.Kind() == reflect.Map:
		keys := over.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return cmp.Compare(textOf(a), textOf(b)) })
		for _, k := range keys {
			turn(k, over.MapIndex(k))
		}
	default:
		failf("a %s cannot be gone through", over.Type())
	}
	if x.dot = dot; !any {
		x.list(l.otherwise)
	}
}

func (u *use) write(x *execution) {
	var data reflect.Value
	if u.data != nil {
		data = u.data.value(x)
	}
	x.call(u.name, data)
}

// expression is what has a value.
type expression interface {
	value(x *execution) reflect.Value
}

type (
	dot      struct{}
	variable string
	constant reflect.Value
	fields   struct {
		of    expression
		names []string
	}
	call struct {
		name string
		do   Func
		args []expression
	}
	logic struct { // and, or: the first that decides
		args []expression
		or   bool
	}
)

func (dot) value(x *execution) reflect.Value      { return x.dot }
func (c constant) value(*execution) reflect.Value { return reflect.Value(c) }
func (v variable) value(x *execution) reflect.Value {
	for i := len(x.variables) - 1; i >= 0; i-- {
		if x.variables[i].name == string(v) {
			return x.variables[i].value
		}
	}
	failf("there is no variable %s", string(v))
	return reflect.Value{}
}

func (f *fields) value(x *execution) reflect.Value {
	v := f.of.value(x)
	for _, name := range f.names {
		v = field(v, name)
	}
	return v
}

func (c *call) value(x *execution) reflect.Value {
	args := make([]reflect.Value, len(c.args))
	for i := range args {
		args[i] = c.args[i].value(x)
	}
	v, err := c.do(args)
	if err != nil {
		failf("%s: %w", c.name, err)
	}
	return v
}

func (l *logic) value(x *execution) (v reflect.Value) {
	for _, a := range l.args {
		if v = a.value(x); truth(v) == l.or {
			break
		}
	}
	return v
}

func valueOf(v any) reflect.Value { return reflect.ValueOf(v) }

// indirect follows pointers and interfaces; of nil it is no value.
func indirect(v reflect.Value) reflect.Value {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	return v
}

type fieldOf struct {
	of   reflect.Type
	name string
}

var known sync.Map // fieldOf -> []int

// field is a field of a struct, or what a map has under a name.
func field(v reflect.Value, name string) reflect.Value {
	v = indirect(v)
	switch v.Kind() {
	case reflect.Struct:
		index, found := known.Load(fieldOf{v.Type(), name})
		if !found {
			f, has := v.Type().FieldByName(name)
			if !has || !f.IsExported() {
				failf("a %s has no field %s", v.Type(), name)
			}
			index = f.Index
			known.Store(fieldOf{v.Type(), name}, index)
		}
		got, err := v.FieldByIndexErr(index.([]int))
		if err != nil {
			failf("%w", err)
		}
		return got
	case reflect.Map:
		if v.Type().Key().Kind() == reflect.String {
			return v.MapIndex(reflect.ValueOf(name).Convert(v.Type().Key()))
		}
	case reflect.Invalid:
		failf("nothing has no field %s", name)
	}
	failf("a %s has no field %s", v.Type(), name)
	return v
}

// truth is what a condition takes for true: what is not zero and not empty.
func truth(v reflect.Value) bool {
	if v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.Invalid:
		return false
	case reflect.Slice, reflect.Map, reflect.String, reflect.Array:
		return v.Len() > 0
	case reflect.Struct:
		return true
	}
	return !v.IsZero()
}

// textOf is how a value is written.
func textOf(v reflect.Value) string {
	v = indirect(v)
	if !v.IsValid() {
		return ""
	}
	says := false
	if v.Type().PkgPath() != "" { // the types of the language have no words of their own
		switch v.Interface().(type) {
		case fmt.Stringer, error:
			says = true
		}
	}
	if !says {
		switch v.Kind() {
		case reflect.String:
			return v.String()
		case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
			return strconv.FormatInt(v.Int(), 10)
		}
	}
	return fmt.Sprint(v.Interface())
}

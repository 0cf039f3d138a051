package markup

import (
	"cmp"
	"fmt"
	"reflect"
)

// Func is a function of templates. Func1, Func2 and FuncN make one.
type Func func(args []reflect.Value) (reflect.Value, error)

// Funcs are functions by name.
type Funcs map[string]Func

// Func1 is a function of one argument.
func Func1[A, R any](do func(A) R) Func {
	return func(args []reflect.Value) (reflect.Value, error) {
		if len(args) != 1 {
			return reflect.Value{}, fmt.Errorf("%d arguments, want 1", len(args))
		}
		a, err := as[A](args[0])
		if err != nil {
			return reflect.Value{}, err
		}
		return reflect.ValueOf(do(a)), nil
	}
}

// Func2 is a function of two arguments.
func Func2[A, B, R any](do func(A, B) R) Func {
	return func(args []reflect.Value) (reflect.Value, error) {
		if len(args) != 2 {
			return reflect.Value{}, fmt.Errorf("%d arguments, want 2", len(args))
		}
		a, err := as[A](args[0])
		if err != nil {
			return reflect.Value{}, err
		}
		b, err := as[B](args[1])
		if err != nil {
			return reflect.Value{}, err
		}
		return reflect.ValueOf(do(a, b)), nil
	}
}

// FuncN is a function of any number of arguments.
func FuncN[R any](do func(args ...any) R) Func {
	return func(args []reflect.Value) (reflect.Value, error) {
		list := make([]any, len(args))
		for i, a := range args {
			if a.IsValid() {
				list[i] = a.Interface()
			}
		}
		return reflect.ValueOf(do(list...)), nil
	}
}

// as is a value as an argument of a type: itself, or what has the same kind.
func as[T any](v reflect.Value) (out T, err error) {
	want := reflect.TypeFor[T]()
	if v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	if !v.IsValid() {
		if want.Kind() == reflect.Interface {
			return out, nil
		}
		return out, fmt.Errorf("nothing is given for a %s", want)
	}
	if same, ok := v.Interface().(T); ok {
		return same, nil
	}
	if v.Kind() != want.Kind() || !v.CanConvert(want) {
		return out, fmt.Errorf("a %s is given for a %s", v.Type(), want)
	}
	return v.Convert(want).Interface().(T), nil
}

// builtins are the functions that every set has; and and or are no functions,
// since they do not look at all of their arguments.
var builtins = Funcs{
	"not": func(args []reflect.Value) (reflect.Value, error) {
		if len(args) != 1 {
			return reflect.Value{}, fmt.Errorf("%d arguments, want 1", len(args))
		}
		return reflect.ValueOf(!truth(args[0])), nil
	},
	"len": func(args []reflect.Value) (reflect.Value, error) {
		if len(args) != 1 {
			return reflect.Value{}, fmt.Errorf("%d arguments, want 1", len(args))
		}
		switch v := indirect(args[0]); v.Kind() {
		case reflect.Slice, reflect.Map, reflect.String, reflect.Array:
			return reflect.ValueOf(v.Len()), nil
		case reflect.Invalid:
			return reflect.ValueOf(0), nil
		default:
			return reflect.Value{}, fmt.Errorf("a %s has no length", v.Type())
		}
	},
	"print":  FuncN(func(args ...any) string { return fmt.Sprint(args...) }),
	"printf": FuncN(func(args ...any) string { return fmt.Sprintf(fmt.Sprint(args[0]), args[1:]...) }),
	"eq":     comparison(func(c int) bool { return c == 0 }),
	"ne":     comparison(func(c int) bool { return c != 0 }),
	"lt":     comparison(func(c int) bool { return c < 0 }),
	"gt":     comparison(func(c int) bool { return c > 0 }),
	"ge":     comparison(func(c int) bool { return c >= 0 }),
}

// comparison compares two texts, two numbers or two truths.
func comparison(holds func(c int) bool) Func {
	return func(args []reflect.Value) (reflect.Value, error) {
		if len(args) != 2 {
			return reflect.Value{}, fmt.Errorf("%d arguments, want 2", len(args))
		}
		a, b := indirect(args[0]), indirect(args[1])
		switch {
		case a.Kind() == reflect.String && b.Kind() == reflect.String:
			return reflect.ValueOf(holds(cmp.Compare(a.String(), b.String()))), nil
		case a.CanInt() && b.CanInt():
			return reflect.ValueOf(holds(cmp.Compare(a.Int(), b.Int()))), nil
		case a.CanUint() && b.CanInt():
			if b.Int() < 0 {
				return reflect.ValueOf(holds(1)), nil
			}
			return reflect.ValueOf(holds(cmp.Compare(a.Uint(), uint64(b.Int())))), nil
		case a.CanFloat() && b.CanFloat():
			return reflect.ValueOf(holds(cmp.Compare(a.Float(), b.Float()))), nil
		case a.CanFloat() && b.CanInt():
			return reflect.ValueOf(holds(cmp.Compare(a.Float(), float64(b.Int())))), nil
		case a.Kind() == reflect.Bool && b.Kind() == reflect.Bool && a.Bool() == b.Bool():
			return reflect.ValueOf(holds(0)), nil
		case a.Kind() == reflect.Bool && b.Kind() == reflect.Bool:
			return reflect.ValueOf(holds(1)), nil
		}
		return reflect.Value{}, fmt.Errorf("%s and %s cannot be compared", kindOf(a), kindOf(b))
	}
}

func kindOf(v reflect.Value) string {
	if !v.IsValid() {
		return "nothing"
	}
	return v.Type().String()
}

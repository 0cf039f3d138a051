package hookguest

import "strconv"

// Problem is one thing that is wrong with a response. Returned by a validator
// it becomes one line of the verdict.
type Problem struct {
	Code    string // for programs, such as "too_few_items"; may be empty
	Message string // for people
	Path    string // a JSON Pointer to the place; may be empty
}

func (p Problem) Error() string {
	if p.Path == "" {
		return p.Message
	}
	return p.Path + ": " + p.Message
}

// maxProblems is how many problems a verdict keeps; the host drops what is
// beyond it.
const maxProblems = 32

// Verdict collects problems, so that one run shows all of them.
type Verdict struct {
	problems []Problem
	more     int
	retry    bool
}

// Add notes a problem: where (a JSON Pointer, may be empty), a code for
// programs, a message for people. After 31 problems the others are counted.
func (v *Verdict) Add(path, code, message string) {
	if len(v.problems) == maxProblems-1 {
		v.more++
		return
	}
	v.problems = append(v.problems, Problem{Code: code, Message: message, Path: path})
}

// Retry says that another attempt may end better: the task's own rules decide
// when, and how often.
func (v *Verdict) Retry() { v.retry = true }

// Err is nil when there was no problem: a validator ends with
// return v.Err().
func (v *Verdict) Err() error {
	if len(v.problems) == 0 {
		return nil
	}
	return v
}

func (v *Verdict) Error() string {
	text := v.problems[0].Error()
	if n := len(v.problems) - 1 + v.more; n > 0 {
		text += " and " + strconv.Itoa(n) + " more"
	}
	return text
}

// Failure says that the hook could not do its work: the configuration is
// wrong, or the body is not of the kind that it knows. The task fails with
// it, whatever the response was.
type Failure struct {
	Code    string // for programs, such as "not_json"
	Message string // for people
	Retry   bool   // another attempt may end better
}

func (f *Failure) Error() string { return f.Message }

// Fail makes a [Failure].
func Fail(code, message string) error { return &Failure{Code: code, Message: message} }

// Retry wraps what a hook returns: another attempt may end better. The task's
// own rules decide when, and how often.
func Retry(err error) error {
	if err == nil {
		return nil
	}
	return &retryError{err}
}

type retryError struct{ err error }

func (e *retryError) Error() string { return e.err.Error() }
func (e *retryError) Unwrap() error { return e.err }

// outcome is what an error amounts to.
type outcome struct {
	failure  *Failure
	problems []Problem
	more     int
	retry    bool
}

// collect takes an error apart: what wraps others, one (Unwrap() error) or many
// (errors.Join), is looked through for the types of this package. A text that
// was put around a Problem or a Failure is kept.
func (o *outcome) collect(err error) {
	switch e := err.(type) {
	case *Failure:
		o.fail(*e)
	case Problem:
		o.add(e)
	case *Problem:
		o.add(*e)
	case *Verdict:
		for _, p := range e.problems {
			o.add(p)
		}
		o.more += e.more
		o.retry = o.retry || e.retry
	case *retryError:
		o.retry = true
		o.collect(e.err)
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			o.collect(one)
		}
	case interface{ Unwrap() error }:
		o.wrapped(err, e.Unwrap())
	default:
		o.add(Problem{Message: err.Error()})
	}
}

// wrapped takes what is inside for its code and place, and the text of the
// whole for its message.
func (o *outcome) wrapped(whole, inner error) {
	var in outcome
	if inner != nil {
		in.collect(inner)
	}
	o.retry = o.retry || in.retry
	switch {
	case in.failure != nil:
		o.fail(Failure{Code: in.failure.Code, Message: whole.Error(), Retry: in.failure.Retry})
	case len(in.problems) == 1 && in.more == 0:
		o.add(Problem{Code: in.problems[0].Code, Message: whole.Error(), Path: in.problems[0].Path})
	case len(in.problems) > 1:
		for _, p := range in.problems {
			o.add(p)
		}
		o.more += in.more
	default:
		o.add(Problem{Message: whole.Error()})
	}
}

func (o *outcome) fail(f Failure) {
	if o.failure == nil {
		o.failure = &f
	}
}

func (o *outcome) add(p Problem) {
	if len(o.problems) == maxProblems-1 {
		o.more++
		return
	}
	o.problems = append(o.problems, p)
}

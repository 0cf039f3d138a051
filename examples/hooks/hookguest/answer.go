package hookguest

import "strconv"

// maxMessage is how much of a message is written: the host keeps 1 KiB.
const maxMessage = 1024

// Verdict documents and error documents, as docs/hooks.md has them.

// AnswerValidate writes what a validator returned: nothing when all is well, a
// verdict document, or, with failed, an error document. The packages that
// export the calls use it; a test may.
func AnswerValidate(err error) (doc []byte, failed bool) {
	if err == nil {
		return nil, false
	}
	var o outcome
	o.collect(err)
	if o.failure != nil {
		return o.failureDocument(), true
	}
	doc = append(make([]byte, 0, 256), `{"ok":false,"errors":[`...)
	for i, p := range o.problems {
		if i > 0 {
			doc = append(doc, ',')
		}
		doc = appendProblem(doc, p)
	}
	if o.more > 0 {
		doc = append(doc, ',')
		doc = appendProblem(doc, Problem{Code: "more", Message: "and " + strconv.Itoa(o.more) + " more"})
	}
	doc = append(doc, ']')
	if o.retry {
		doc = append(doc, `,"retry":true`...)
	}
	return append(doc, '}'), false
}

// AnswerTransform writes the error of a transformer as an error document. A
// lone [Problem] keeps its code.
func AnswerTransform(err error) (doc []byte) {
	var o outcome
	o.collect(err)
	if o.failure == nil {
		o.failure = &Failure{Message: err.Error()}
		if len(o.problems) == 1 {
			o.failure.Code = o.problems[0].Code
		}
	}
	return o.failureDocument()
}

func (o *outcome) failureDocument() []byte {
	f := o.failure
	if f.Code == "" {
		f.Code = "failed"
	}
	doc := append(make([]byte, 0, 128), `{"code":`...)
	doc = AppendQuoted(doc, f.Code)
	doc = append(doc, `,"message":`...)
	doc = AppendQuoted(doc, cut(f.Message))
	if o.retry || f.Retry {
		doc = append(doc, `,"retry":true`...)
	}
	return append(doc, '}')
}

func appendProblem(doc []byte, p Problem) []byte {
	doc = append(doc, '{')
	if p.Code != "" {
		doc = append(doc, `"code":`...)
		doc = append(AppendQuoted(doc, p.Code), ',')
	}
	doc = append(doc, `"message":`...)
	doc = AppendQuoted(doc, cut(p.Message))
	if p.Path != "" {
		doc = append(doc, `,"path":`...)
		doc = AppendQuoted(doc, p.Path)
	}
	return append(doc, '}')
}

// cut shortens a message at a border of runes.
func cut(s string) string {
	const dots = "..."
	if len(s) <= maxMessage {
		return s
	}
	n := maxMessage - len(dots)
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n] + dots
}

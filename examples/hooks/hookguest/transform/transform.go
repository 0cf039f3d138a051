// Package transform makes a module a transformer: it exports qarion_transform.
package transform

import "github.com/qarion/qarion/examples/hooks/hookguest"

var (
	onRequest  func(*hookguest.Request) ([]byte, error)
	onResponse func(*hookguest.Response) ([]byte, error)
)

// Request sets the function that changes the body of a request before it is
// sent. It is called from init, once. The function returns the new body, or
// nil to leave the body as it is; an empty slice that is not nil is an empty
// body. The host copies what it gets.
func Request(f func(*hookguest.Request) ([]byte, error)) {
	if onRequest != nil {
		panic("transform.Request was called twice: a module has one of it")
	}
	onRequest = f
}

// Response sets the function that changes the body of a response before it is
// checked and stored; otherwise it is as [Request].
func Response(f func(*hookguest.Response) ([]byte, error)) {
	if onResponse != nil {
		panic("transform.Response was called twice: a module has one of it")
	}
	onResponse = f
}

var (
	request  hookguest.Request
	response hookguest.Response
)

// Call does what a call from the host does, and returns the new body, nil for
// an unchanged one, or an error document. It is there for tests.
func Call(meta, body []byte) (out []byte, failed bool) {
	out, err := call(meta, body)
	if err != nil {
		return hookguest.AnswerTransform(err), true
	}
	return out, false
}

func call(meta, body []byte) ([]byte, error) {
	request.Reset(meta, body)
	if request.Meta().Get("phase").Is("response") {
		if onResponse == nil {
			return nil, missing("responses", "transform.Response")
		}
		response.Reset(meta, body)
		return onResponse(&response)
	}
	if onRequest == nil {
		return nil, missing("requests", "transform.Request")
	}
	return onRequest(&request)
}

func missing(what, function string) error {
	return hookguest.Fail("no_hook", "the module does not transform "+what+
		": it has to call "+function+" from init, since main does not run")
}

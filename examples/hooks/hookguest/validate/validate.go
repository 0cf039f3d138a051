// Package validate makes a module a validator: it exports qarion_validate.
package validate

import "github.com/qarion/qarion/examples/hooks/hookguest"

var check func(*hookguest.Response) error

// Response sets the function that checks responses. It is called from init,
// once. What the function returns becomes the verdict; see package hookguest.
func Response(f func(*hookguest.Response) error) {
	if check != nil {
		panic("validate.Response was called twice: a module has one validator")
	}
	check = f
}

var response hookguest.Response

// Call does what a call from the host does, and returns the document that the
// host gets: nothing when the response is good, a verdict, or an error
// document. It is there for tests.
func Call(meta, body []byte) (doc []byte, failed bool) {
	if check == nil {
		return hookguest.AnswerValidate(hookguest.Fail("no_hook",
			"the module has no validator: call validate.Response from init, since main does not run"))
	}
	response.Reset(meta, body)
	return hookguest.AnswerValidate(check(&response))
}

// Package hookguest is what a hook in Go is written with: it speaks the binary
// interface qarion-hook/1 (docs/hooks.md), so that a hook is one function.
//
//	package main
//
//	import (
//		"errors"
//
//		"github.com/qarion/qarion/examples/hooks/hookguest"
//		"github.com/qarion/qarion/examples/hooks/hookguest/validate"
//	)
//
//	func init() { validate.Response(check) }
//
//	func main() {}
//
//	func check(r *hookguest.Response) error {
//		if r.JSON().Get("items").Len() == 0 {
//			return errors.New("an order without items")
//		}
//		return nil
//	}
//
// It is built with
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -ldflags="-s -w" -o check.wasm .
//
// validate.Response, transform.Request and transform.Response take the
// function; a module exports only what it imports of these, so that a flow that
// uses it for something else is refused when it is loaded. They are called from
// init: the main function of such a module never runs.
//
// # What a function gets
//
// A [Request] or a [Response] is valid until the function returns; what should
// live longer is copied. JSON is read where it lies, without building a tree
// ([Value]), because encoding/json costs seventy times as much inside a module.
// The configuration of the flow is a Value too, and [Value.Decode] fills a
// struct from it and refuses keys that the struct does not have.
//
// # What a function answers
//
// A validator that returns an error says that the response is not as it should
// be. [Problem] adds a code and a place, [Verdict] collects many, [Retry] asks
// for another attempt. A [Failure], in either kind of hook, says that the hook
// itself could not do its work; a transformer turns every error into one.
//
// A panic ends the instance, and the host reports the last lines of its trace.
//
// Goroutines run only while a call runs, and waiting for ever is a trap.
// Nothing here depends on more than the standard library; hooks that keep away
// from fmt and encoding/json stay below 2.5 MB.
//
// The package builds for any system, so a hook is tested with go test:
// [NewRequest] and [NewResponse] make what it gets.
package hookguest

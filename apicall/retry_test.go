package apicall

import (
	"testing"

	"github.com/qarion/qarion/engine"
)

// TestRetryTable_EveryOperationAndFailure walks the whole table. Each row says
// for which of three kinds of request a failure is retried: s, one whose
// operation is safe to repeat; k, a POST or PATCH with a key; p, one without.
func TestRetryTable_EveryOperationAndFailure(t *testing.T) {
	sent := func(class string) failure { return failure{class: class, sent: true} }
	status := func(n int) failure { return failure{class: classStatus, status: n, sent: true} }
	rows := []struct {
		f       failure
		retried string
	}{
		{failure{class: classConnect}, "skp"}, {failure{class: classDNS}, "skp"}, {failure{class: classTimeout}, "skp"},
		{sent(classTimeout), "sk"}, {sent(classClosed), "skp"},
		{status(429), "skp"}, {status(503), "skp"}, {status(408), "skp"}, {status(425), "skp"},
		{status(500), "skp"}, {status(502), "skp"}, {status(504), "skp"}, {status(501), ""}, {status(505), ""}, {status(507), ""}, {status(599), ""},
		{failure{class: classStatus, status: 503, sent: true, done: true}, "sk"}, {failure{class: classConnect, sent: true, done: true}, "sk"},
		{failure{class: classAuth, again: true}, "skp"}, {failure{class: classCredential, again: true}, "skp"},
	}
	for _, n := range []int{300, 304, 400, 401, 402, 403, 404, 405, 409, 410, 412, 413, 415, 422, 423, 428, 431, 451} {
		rows = append(rows, struct {
			f       failure
			retried string
		}{status(n), ""})
	}
	for _, class := range []string{
		classTemplate, classCredential, classAuth, classBreaker, classLedger, classEgress, classTLS, classCancelled,
		classRedirect, classTooLarge, classResponse, classValidation, classSelect,
	} {
		rows = append(rows, struct {
			f       failure
			retried string
		}{sent(class), ""})
	}
	for _, row := range rows {
		for _, op := range operations {
			for _, keyed := range []bool{false, true} {
				p := &props{operation: op, keyed: keyed, retry: engine.RetryPolicy{Count: 3}}
				kind := 's'
				if op == "post" || op == "patch" {
					kind = 'p'
					if keyed {
						kind = 'k'
					}
				}
				want := false
				for _, c := range row.retried {
					want = want || c == kind
				}
				if got := p.retryable(row.f); got != want {
					t.Errorf("%s, key %v, %+v: retried %v, want %v", op, keyed, row.f, got, want)
				}
				if !want && p.whyNot(row.f) == "" {
					t.Errorf("%s %+v: nobody says why not", op, row.f)
				}
			}
		}
	}
}

func TestRetryTable_TheFlowOverridesIt(t *testing.T) {
	p := &props{operation: "get", retryOn: []int{404, 503}, failOn: []int{503, 500}, retryOnValidation: true}
	for status, want := range map[int]bool{404: true, 503: false, 500: false, 502: true, 400: false} {
		if got := p.retryable(failure{class: classStatus, status: status, sent: true}); got != want {
			t.Errorf("%d: %v, want %v", status, got, want)
		}
	}
	if !p.retryable(failure{class: classValidation, sent: true}) {
		t.Error("retry_on_validation does not override")
	}
}

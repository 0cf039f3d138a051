package hookguest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestAnswerValidate(t *testing.T) {
	var many, again Verdict
	for i := range 40 {
		many.Add("", "", fmt.Sprint(i))
	}
	again.Add("/a", "c", "m")
	again.Retry()
	for _, c := range []struct {
		name   string
		err    error
		doc    string
		failed bool
	}{
		{"fine", nil, "", false},
		{"an empty verdict", (&Verdict{}).Err(), "", false},
		{"an error", errors.New("a \"bad\"\tone\xff"), `{"ok":false,"errors":[{"message":"a \"bad\"\u0009one` + "\ufffd" + `"}]}`, false},
		{"a problem", Problem{"c", "m", "/p"}, `{"ok":false,"errors":[{"code":"c","message":"m","path":"/p"}]}`, false},
		{"a pointer to one", &Problem{Message: "m"}, `{"ok":false,"errors":[{"message":"m"}]}`, false},
		{"a wrapped problem keeps its place", fmt.Errorf("order 7: %w", Problem{"c", "m", "/p"}),
			`{"ok":false,"errors":[{"code":"c","message":"order 7: /p: m","path":"/p"}]}`, false},
		{"a wrapped error", fmt.Errorf("a: %w", errors.New("b")), `{"ok":false,"errors":[{"message":"a: b"}]}`, false},
		{"joined", errors.Join(errors.New("a"), Problem{Message: "b"}), `{"ok":false,"errors":[{"message":"a"},{"message":"b"}]}`, false},
		{"another attempt", Retry(errors.New("a")), `{"ok":false,"errors":[{"message":"a"}],"retry":true}`, false},
		{"another attempt, within", fmt.Errorf("x: %w", Retry(errors.New("a"))), `{"ok":false,"errors":[{"message":"x: a"}],"retry":true}`, false},
		{"a verdict that asks for one", again.Err(), `{"ok":false,"errors":[{"code":"c","message":"m","path":"/a"}],"retry":true}`, false},
		{"a failure", Fail("c", "m"), `{"code":"c","message":"m"}`, true},
		{"a failure without code", &Failure{Message: "m", Retry: true}, `{"code":"failed","message":"m","retry":true}`, true},
		{"a wrapped failure", fmt.Errorf("a: %w", Fail("c", "m")), `{"code":"c","message":"a: m"}`, true},
		{"a failure among problems", errors.Join(errors.New("a"), Fail("c", "m")), `{"code":"c","message":"m"}`, true},
		{"a failure, later", Retry(Fail("c", "m")), `{"code":"c","message":"m","retry":true}`, true},
		{"a long message", errors.New(strings.Repeat("ä", 600)), `{"ok":false,"errors":[{"message":"` + strings.Repeat("ä", 510) + `..."}]}`, false},
	} {
		doc, failed := AnswerValidate(c.err)
		if string(doc) != c.doc || failed != c.failed {
			t.Errorf("%s: %s %v", c.name, doc, failed)
		}
	}
	doc, _ := AnswerValidate(many.Err())
	if n := strings.Count(string(doc), "message"); n != maxProblems || !strings.Contains(string(doc), `{"code":"more","message":"and 9 more"}`) {
		t.Errorf("%d problems: %s", n, doc)
	}
	if Retry(nil) != nil {
		t.Error("Retry(nil) is an error")
	}
}

func TestAnswerTransform(t *testing.T) {
	for err, want := range map[error]string{
		errors.New("m"):                     `{"code":"failed","message":"m"}`,
		Problem{"c", "m", ""}:               `{"code":"c","message":"m"}`,
		Fail("c", "m"):                      `{"code":"c","message":"m"}`,
		Retry(errors.New("m")):              `{"code":"failed","message":"m","retry":true}`,
		fmt.Errorf("x: %w", Fail("c", "m")): `{"code":"c","message":"x: m"}`,
	} {
		if doc := AnswerTransform(err); string(doc) != want {
			t.Errorf("%v: %s", err, doc)
		}
	}
}

func TestVerdict_ReadsAsAnError(t *testing.T) {
	var v Verdict
	v.Add("/a", "c", "one")
	if have := v.Err().Error(); have != "/a: one" {
		t.Error(have)
	}
	v.Add("/b", "c", "two")
	if have := v.Err().Error(); have != "/a: one and 1 more" {
		t.Error(have)
	}
}

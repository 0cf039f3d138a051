package hookguest

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

type settings struct {
	MinItems  int
	UserID    string
	Ratio     float64
	Strict    bool
	Names     []string
	ByName    map[string]int
	Inner     *inner
	Anything  Value
	Other     uint8 `json:"other_name"`
	Skipped   int   `json:"-"`
	unnoticed int
}

type inner struct{ Deep []inner }

func TestDecode_FillsWhatThereIs(t *testing.T) {
	c := settings{Ratio: 0.5, Strict: true, unnoticed: 1}
	err := parse(t, `{"min_items":3,"user_id":"u","ratio":null,"names":["a","b"],"by_name":{"x":1},
		"inner":{"deep":[{},{"deep":[]}]},"anything":[1],"other_name":255}`).Decode(&c)
	if err != nil {
		t.Fatal(err)
	}
	want := settings{MinItems: 3, UserID: "u", Ratio: 0.5, Strict: true, Names: []string{"a", "b"}, ByName: map[string]int{"x": 1},
		Inner: &inner{[]inner{{}, {[]inner{}}}}, Anything: c.Anything, Other: 255, unnoticed: 1}
	if !reflect.DeepEqual(c, want) || string(c.Anything.Raw()) != "[1]" {
		t.Errorf("have %+v", c)
	}
	if err := (Value{}).Decode(&c); err != nil {
		t.Error("a missing configuration:", err)
	}
}

func TestDecode_NamesWhatIsWrong(t *testing.T) {
	for doc, want := range map[string]string{
		`{"min_item":1}`:               "config: unknown key min_item; known are min_items, user_id, ratio, strict, names, by_name, inner, anything, other_name",
		`{"":1}`:                       "config: unknown key ; known are min_items",
		`{"skipped":1}`:                "config: unknown key skipped",
		`{"unnoticed":1}`:              "config: unknown key unnoticed",
		`{"min_items":"3"}`:            "config.min_items: want a whole number, have a string",
		`{"min_items":3.5}`:            "config.min_items: want a whole number, have 3.5",
		`{"other_name":256}`:           "config.other_name: want a whole number, have 256",
		`{"other_name":-1}`:            "config.other_name: want a whole number, have -1",
		`{"user_id":7}`:                "config.user_id: want a string, have 7",
		`{"strict":"yes"}`:             "config.strict: want a boolean, have a string",
		`{"ratio":1e999}`:              "config.ratio: want a number, have 1e999",
		`{"names":{}}`:                 "config.names: want an array, have an object",
		`{"names":["a",2]}`:            "config.names.1: want a string, have 2",
		`{"by_name":{"x":"y"}}`:        "config.by_name.x: want a whole number, have a string",
		`{"inner":{"deep":[{"d":1}]}}`: "config.inner.deep.0: unknown key d; known are deep",
		`[]`:                           "config: want an object, have an array",
	} {
		var c settings
		err := parse(t, doc).Decode(&c)
		var f *Failure
		if !errors.As(err, &f) || f.Code != "config" || !strings.HasPrefix(f.Message, want) {
			t.Errorf("%s: %v", doc, err)
		}
	}
	if err := parse(t, `{}`).Decode(settings{}); err == nil {
		t.Error("a struct that cannot be filled is accepted")
	}
}

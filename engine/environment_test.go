package engine_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

func TestEnvironment_StandsInForDefaultsAndIsOverriddenByTriggers(t *testing.T) {
	f := &engine.Flow{
		Variables: value.MapOf("base_url", "http://127.0.0.1:1", "rate", 1.5, "any", nil),
		Input:     value.MapOf("customer", value.MapOf("type", "int", "required", true, "min", int64(10)), "region", value.MapOf("default", "eu")),
	}
	f.Enter(&engine.Environment{Name: "prod", Values: value.MapOf("base_url", "https://api.shop.example", "rate", int64(2), "any", "text", "customer", int64(12), "elsewhere", true)})
	if problems := engine.Compile(f, nil).Problems; len(problems) > 0 {
		t.Fatalf("problems: %+v", problems)
	}
	if f.Environment != "prod" || !slices.Equal(f.Values.Keys(), []string{"base_url", "rate", "any", "customer"}) {
		t.Errorf("environment %q, values %v", f.Environment, f.Values.Keys())
	}
	if want := []string{"https://api.shop.example:443"}; !slices.Equal(f.Origins, want) {
		t.Errorf("origins %v, want %v: what the environment replaces is not trusted", f.Origins, want)
	}
	for name, want := range map[string]any{"base_url": "https://api.shop.example", "customer": int64(12), "region": "eu"} {
		if got, ok := f.Default(name); !ok || got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	// The types are still those of the flow's own defaults, and an input that has a value need not be given.
	for vars, want := range map[string]string{
		`{}`: "", `{"rate": 2.5}`: "", `{"any": 7}`: "", `{"customer": 11}`: "",
		`{"rate": "x"}`:   `variable "rate": got str, want float as its default in the flow`,
		`{"customer": 1}`: `variable "customer": 1 is less than 10`,
	} {
		got := ""
		if err := engine.CheckVariables(f, []byte(vars)); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", vars, got, want)
		}
	}
	definition, hash, err := f.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := engine.DecodeFlow(definition)
	if err != nil || engine.CheckVariables(again, nil) != nil || !reflect.DeepEqual(again.Values.Keys(), f.Values.Keys()) {
		t.Errorf("decoded: %+v, %v", again, err)
	}
	f.Enter(nil)
	engine.Compile(f, nil)
	if _, other, _ := f.Encode(); other == hash || engine.CheckVariables(f, nil) == nil || f.Values != nil {
		t.Error("without an environment it is the same version")
	}
}

func TestEnvironment_WrongValuesAreProblemsOfTheFlow(t *testing.T) {
	f := &engine.Flow{Variables: value.MapOf("rate", 1.5, "zip", ""), Input: value.MapOf("region", value.MapOf("one_of", []any{"eu", "us"}), "zip", value.MapOf("min_length", int64(5)))}
	f.Enter(&engine.Environment{Name: "prod", Values: value.MapOf("rate", "2", "region", "xx", "zip", int64(1))})
	var got []string
	for _, p := range engine.Compile(f, nil).Problems {
		if p.Code == "environment" {
			got = append(got, strings.Join(p.Path, ".")+": "+p.Message)
		}
	}
	slices.Sort(got)
	want := []string{
		`input.region: environment prod: variable "region": "xx" is none of ["eu","us"]`,
		`variables.rate: environment prod: variable "rate": got str, want float as its default here`,
		`variables.zip: environment prod: variable "zip": got int, want str as its default here`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestEnvironment_StraysAreNearWhatHasNoValueThere(t *testing.T) {
	flows := []*engine.Flow{{Variables: value.MapOf("base_url", "", "stock_url", "")}, {Input: value.MapOf("customer", value.MapOf())}}
	e := &engine.Environment{Values: value.MapOf("bas_url", "", "stock_url", "", "stock_url2", "", "customer", int64(1), "anything", true)}
	want := []engine.Stray{{Name: "bas_url", Near: "base_url"}, {Name: "stock_url2"}, {Name: "anything"}}
	if got := e.Strays(flows); !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

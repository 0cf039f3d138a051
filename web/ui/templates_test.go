package ui

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/qarion/qarion/engine"
)

// samples are the data of every page.
var samples = map[string]any{
	"home": &homePage{}, "flows": &flowsPage{}, "flow": &flowPage{}, "runs": &runsPage{}, "run": &runPage{}, "rerun": &rerunPage{}, "bulk": &bulkPage{}, "xcom": &xcomPage{},
	"log": &logPage{}, "query": &queryPage{}, "breakers": &breakersPage{}, "schedules": &schedulesPage{}, "hooks": &[]hook{}, "credentials": &credentialsPage{}, "tokens": &tokensPage{}, "users": &usersPage{},
	"node": &nodeDoc{}, "login": &loginPage{}, "error": &refusal{},
}

// hostile are texts that would be markup, or lead elsewhere, where they are not
// escaped.
var hostile = []string{
	`"><script>alert(1)</script>`, `'><img src=x onerror=alert(2)>`, `</title></textarea></script><svg onload=alert(3)>`, `javascript:alert(4)`, `//evil.example/`,
	"x\x00\xff\r\n", `{{.}}`, "orders", "failed", "tasks", "2026-01-02T03:04:05Z",
}

// fill puts something into a value and all that it holds, or leaves it empty.
func fill(r *rand.Rand, v reflect.Value, depth int) {
	if depth > 9 || !v.CanSet() || r.IntN(6) == 0 {
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(hostile[r.IntN(len(hostile))])
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(r.IntN(40)) - 1)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(r.IntN(40)))
	case reflect.Float64:
		v.SetFloat(r.Float64() * 1e6)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(r, v.Elem(), depth+1)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte(`{"<script>alert(5)</script>": "x"}`))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), r.IntN(3), 3))
		for i := range v.Len() {
			if v.Index(i).Kind() == reflect.Pointer { // a list of documents has them
				v.Index(i).Set(reflect.New(v.Type().Elem().Elem()))
			}
			fill(r, v.Index(i), depth+1)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, element := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(r, key, depth+1)
		fill(r, element, depth+1)
		v.SetMapIndex(key, element)
	case reflect.Interface:
		if v.NumMethod() == 0 {
			v.Set(reflect.ValueOf(hostile[r.IntN(len(hostile))]))
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Now()))
			return
		}
		if strings.HasSuffix(v.Type().PkgPath(), "internal/value") { // has a form of its own
			return
		}
		for i := range v.NumField() {
			fill(r, v.Field(i), depth+1)
		}
	}
}

// TestTemplates_WhateverTheyShow: every page, with anything in any of its fields,
// is written whole; no text of flows, answers or names is markup, and no address
// leads to another site.
func TestTemplates_WhateverTheyShow(t *testing.T) {
	s, err := New()
	if err != nil {
		t.Fatal(err)
	}
	for name := range s.pages {
		if samples[name] == nil {
			t.Errorf("there is no sample for the page %s", name)
		}
	}
	for name, sample := range samples {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			for range 150 {
				data := reflect.New(reflect.TypeOf(sample).Elem())
				fill(r, data.Elem(), 0)
				if p, is := data.Interface().(*runPage); is && p.Doc == nil { // the page is refused before
					p.Doc = &engine.RunDoc{}
				}
				if p, is := data.Interface().(*rerunPage); is && p.Form == nil {
					p.Form = &rerunForm{}
				}
				frame := &page{name: name, Data: data.Interface(), Build: "b", Menu: menu}
				fill(r, reflect.ValueOf(&frame.Title).Elem(), 0)
				fill(r, reflect.ValueOf(&frame.Who).Elem(), 0)
				fill(r, reflect.ValueOf(&frame.At).Elem(), 0)
				fill(r, reflect.ValueOf(&frame.Topics).Elem(), 0)
				var out bytes.Buffer
				if err := s.pages[name].Render(&out, "base", frame); err != nil {
					t.Fatal(err)
				}
				harmless(t, out.String())
			}
		})
	}
}

// harmless holds a page against what the templates may make.
func harmless(t *testing.T, text string) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		if n.Data == "img" || n.Data == "svg" && len(n.Attr) < 4 || n.Data == "script" && (len(n.Attr) != 2 || !strings.HasPrefix(n.Attr[1].Val, "/assets/b/")) {
			t.Fatalf("a <%s> %v is in the page\n%s", n.Data, n.Attr, text)
		}
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" {
				t.Fatalf("<%s> has %s=%q", n.Data, a.Key, a.Val)
			}
			if a.Key == "href" || a.Key == "action" || a.Key == "src" {
				if a.Val != "" && !strings.ContainsRune("/?#", rune(a.Val[0])) || strings.HasPrefix(a.Val, "//") || strings.HasPrefix(a.Val, `/\`) {
					t.Fatalf("<%s> leads to %q", n.Data, a.Val)
				}
			}
		}
	}
}

package engine

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestMergeCookies_TheNewestCounts: records that were written beside each other
// make one jar, in the order of the ledger, whatever order they are read in.
func TestMergeCookies_TheNewestCounts(t *testing.T) {
	cookie := func(name, v string, set Pos) Cookie {
		return Cookie{From: "https://a.example/x/y", Name: name, Value: v, Set: set}
	}
	first := []Cookie{cookie("sid", "1", Pos{Seq: 1}), cookie("lang", "de", Pos{Seq: 1})}
	second := []Cookie{cookie("sid", "1", Pos{Seq: 1}), cookie("lang", "en", Pos{Seq: 3}), cookie("cart", "7", Pos{Seq: 3})}
	third := []Cookie{cookie("sid", "2", Pos{Seq: 2, N: 1}), cookie("lang", "de", Pos{Seq: 1})}
	for _, parts := range [][][]Cookie{{first, second, third}, {third, second, first}, {second, third}} {
		var got []string
		for _, c := range MergeCookies(parts...) {
			got = append(got, c.Name+"="+c.Value)
		}
		if text := strings.Join(got, " "); text != "sid=2 lang=en cart=7" {
			t.Errorf("merged: %s", text)
		}
	}
}

// TestCookie_Identity: name, domain and path make a cookie (RFC 6265, 5.3, 11).
func TestCookie_Identity(t *testing.T) {
	same := [][2]Cookie{
		{{From: "https://a.example/x/y", Name: "n"}, {From: "http://A.example/x/z", Name: "n"}},
		{{From: "https://a.example/x/y", Name: "n", Domain: ".a.example"}, {From: "https://a.example/x/y", Name: "n"}},
		{{From: "https://a.example/x/y", Name: "n", Path: "/"}, {From: "https://a.example/", Name: "n"}},
	}
	for _, p := range same {
		if p[0].ID() != p[1].ID() {
			t.Errorf("%+v and %+v are two", p[0], p[1])
		}
	}
	other := [][2]Cookie{
		{{From: "https://a.example/x/y", Name: "n"}, {From: "https://a.example/x/y/z", Name: "n"}},
		{{From: "https://a.example/", Name: "n"}, {From: "https://b.example/", Name: "n"}},
		{{From: "https://a.example/", Name: "n"}, {From: "https://a.example/", Name: "m"}},
		{{From: "https://w.a.example/", Name: "n"}, {From: "https://w.a.example/", Name: "n", Domain: "a.example"}},
	}
	for _, p := range other {
		if p[0].ID() == p[1].ID() {
			t.Errorf("%+v and %+v are one", p[0], p[1])
		}
	}
}

// TestJarText_HasRoomForTheNewest: a jar that is full loses its oldest cookies.
func TestJarText_HasRoomForTheNewest(t *testing.T) {
	var before []Cookie
	for i := range 30 {
		before = append(before, Cookie{From: "https://a.example/", Name: fmt.Sprint("c", i), Value: strings.Repeat("v", 1000), Set: Pos{Seq: uint64(i + 1)}})
	}
	text, dropped := JarText(before, []Cookie{{From: "https://a.example/", Name: "new", Value: "1"}, {From: "https://a.example/", Name: "c29", Value: "2"}})
	jar, err := readJar(text, Pos{Seq: 40})
	if err != nil || len(text) > maxJar {
		t.Fatalf("%v, %d bytes", err, len(text))
	}
	last := jar[len(jar)-2:]
	if len(jar) < 10 || jar[0].Name == "c0" || last[0].Name != "new" || last[1].Value != "2" || last[1].Set.Seq != 40 || jar[len(jar)-3].Name != "c28" ||
		len(dropped)+len(jar) != 31 || dropped[0] != "c0" {
		t.Errorf("%d cookies, first %s, last %+v", len(jar), jar[0].Name, last)
	}
	if text, dropped := JarText(nil, nil); string(text) != "[]" || dropped != nil {
		t.Errorf("an empty jar is %s", text)
	}
	if _, err := readJar([]byte("{"), Pos{}); err == nil {
		t.Error("a damaged jar is read")
	}
}

// TestCookie_BytesThatAreNoTextSurvive: a value is kept byte by byte, whatever
// it is.
func TestCookie_BytesThatAreNoTextSurvive(t *testing.T) {
	for _, v := range []string{"", "abc", `{"a":"b c"}`, "caf\xe9", "caf\u00e9", "\xff\xfe\x80"} {
		c := Cookie{From: "https://a.example/", Name: "n"}
		c.SetBytes(v)
		text, _ := JarText(nil, []Cookie{c})
		jar, err := readJar(text, Pos{Seq: 1})
		if err != nil || len(jar) != 1 || jar[0].Bytes() != v || !utf8.ValidString(jar[0].Value) {
			t.Errorf("%q came back as %+v, %v", v, jar, err)
		}
	}
}

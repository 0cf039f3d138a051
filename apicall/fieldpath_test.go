package apicall

import (
	"strings"
	"testing"

	"github.com/qarion/qarion/internal/value"
)

func TestFieldPath_FindsWhatIsMeant(t *testing.T) {
	doc, err := value.ParseJSON([]byte(`{
		"@odata.nextLink": "next", "value": [{"@odata.etag": "e", "a.b": {"c": 1}}], "a": {"b": 2, "b.c": {"d": 3}}, "a.b": {"x": 4},
		"/slash": 5, "~t": {"a/b": 6}, "m[0]": 7, "n": null, "": 8, "list": [[1, 2]], "x.y": {"z": 1}, "x": {"y": {"w": 9}}
	}`))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"@odata.nextLink": `"next"`, "value.0.@odata.etag": `"e"`, `value[0]["@odata.etag"]`: `"e"`, "/value/0/@odata.etag": `"e"`,
		"value.0.a.b.c": "1", "a.b": `{"x":4}`, `a["b"]`: "2", `["a.b"]`: `{"x":4}`, `['a.b'].x`: "4", "a.b.x": "4", "a.b.c.d": "3",
		"/a/b": "2", "/a.b/x": "4", "/slash": "5", "/~1slash": "5", "/~0t/a~1b": "6", "~t.a/b": "6", "m[0]": "7", "n": "null",
		"list.0.1": "2", "list[0][1]": "2", "x.y.w": "9", "x.y.z": "1",
	} {
		p, err := parsePath(path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		found, missing := p.find(doc)
		if got, _ := value.JSON(found); missing != "" || string(got) != want {
			t.Errorf("%s: got %s, missing %q; want %s", path, got, missing, want)
		}
	}
	for path, want := range map[string]string{
		"value.1.x": "missing (a list of 1)", "value.x": "missing (a list of 1)", "@odata.count": "missing (keys: @odata.nextLink, value,",
		"@odata.nextLink.x": `missing ("x" is read from a str)`, "/a/b/c": `missing ("c" is read from an int)`, "/a.b/y": "missing (keys: x)",
		`["a.b"].y`: "missing (keys: x)", "a.b.c.e": "missing (keys: x)",
	} {
		p, err := parsePath(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, missing := p.find(doc); !strings.HasPrefix(missing, want) {
			t.Errorf("%s: got %q, want %q", path, missing, want)
		}
	}
	p, err := exactPath([]any{"value", int64(0), "a.b", "c"})
	if found, missing := p.find(doc); err != nil || missing != "" || found != int64(1) || p.text != "value.0.a.b.c" {
		t.Errorf("a list of keys: %v %q %v", found, missing, err)
	}
	for _, path := range []string{"", "[", `["a`, "[x]"} {
		if _, err := parsePath(path); err == nil {
			t.Errorf("%q is taken", path)
		}
	}
}

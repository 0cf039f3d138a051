package jinja_test

import (
	"strings"
	"testing"

	"github.com/qarion/qarion/internal/jinja"
	"github.com/qarion/qarion/internal/value"
)

func dataVars(t *testing.T) jinja.MapVars {
	t.Helper()
	doc, err := value.ParseJSON([]byte(`{"price":1.50,"huge":1e400,"id":7615917337495251231,"d":12345678901234567890.25,"zero":-0,"k":1E3}`))
	if err != nil {
		t.Fatal(err)
	}
	file := value.NewBytes([]byte("\x89PNG"), "image/png")
	file.Name = "xcom_dl"
	return jinja.MapVars{"x": {Value: doc, Origin: value.Response}, "xcom_dl": {Value: file, Origin: value.Response}}
}

// TestData_NumbersAndBytes: what came in a response is shown as it came, and
// calculated with where that can be done.
func TestData_NumbersAndBytes(t *testing.T) {
	vars := dataVars(t)
	for source, want := range map[string]string{
		"{{ x.price }} {{ x.huge }} {{ x.id }} {{ x.d }} {{ x.zero }} {{ x.k }}": "1.50 1e400 7615917337495251231 12345678901234567890.25 -0 1E3",
		"{{ x | tojson }}":     `{"d": 12345678901234567890.25, "huge": 1e400, "id": 7615917337495251231, "k": 1E3, "price": 1.50, "zero": -0}`,
		"{{ [x.price, x.k] }}": "[1.50, 1E3]",
		"{{ x.price * 2 }} {{ x.k + 1 }} {{ x.zero + 1 }} {{ -x.price }}":                                  "3.0 1001.0 1 -1.5",
		"{{ x.price == 1.5 }} {{ x.k > 999 }} {{ x.huge == x.huge }} {{ x.zero == 0 }}":                    "True True True True",
		"{{ x.price is float }} {{ x.zero is integer }} {{ x.huge is number }} {{ x.price is string }}":    "True True True False",
		"{{ x.price | round(1) }} {{ x.k | int }} {{ '%.2f' | format(x.price) }} {{ x.k.is_integer() }}":   "1.5 1000 1.50 True",
		"{{ 'a' if x.zero else 'b' }}{{ 'a' if x.huge else 'b' }}":                                         "ba",
		"{{ [x.k, 5, x.price] | sort | first }}":                                                           "1.50",
		"{{ xcom_dl | b64encode }} {{ 'caf\u00e9' | b64encode }}":                                          "iVBORw== Y2Fmw6k=",
		"{{ xcom_dl.size }} {{ xcom_dl['content_type'] }} {{ xcom_dl.sha256[:8] }} {{ xcom_dl | length }}": "4 image/png 0f4636c7 4",
		"{{ 'there' if xcom_dl }}": "there",
	} {
		if got, err := mustParse(t, source).Text(t.Context(), vars); err != nil || got.Value != want {
			t.Errorf("%s\n got %v (%v)\nwant %s", source, got.Value, err, want)
		}
	}
	const notText = "f: xcom_dl is 4 bytes of image/png, not text"
	for source, want := range map[string]string{
		"{{ x.huge + 1 }}":                  "f: the number 1e400 is out of the range that can be calculated with",
		"{{ x.huge | round }}":              "f: the number 1e400 is out of the range that can be calculated with",
		"{{ xcom_dl }}!":                    notText,
		"{{ xcom_dl ~ 'x' }}":               notText,
		"{{ xcom_dl | upper }}":             notText,
		"{{ xcom_dl | tojson }}":            notText,
		"{{ [xcom_dl] | tojson }}":          notText,
		"{{ [xcom_dl] }}!":                  notText,
		"{{ xcom_dl | replace('a', 'b') }}": notText,
		"{{ xcom_dl.name }}":                "f: xcom_dl.name is undefined",
	} {
		if got, err := mustParse(t, source).Text(t.Context(), vars); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: got %v (%v), want %s", source, got.Value, err, want)
		}
	}
}

func TestData_BytesKeepTheirTypeWhereTheyStandAlone(t *testing.T) {
	got, err := mustParse(t, "{{ xcom_dl }}").Value(t.Context(), dataVars(t))
	b, ok := got.Value.(*value.Bytes)
	if err != nil || !ok || b.Size != 4 || !got.Origin.Secret() && got.Origin != value.Response {
		t.Errorf("got %T (%v)", got.Value, err)
	}
}

func mustParse(t *testing.T, source string) *jinja.Template {
	t.Helper()
	tpl, err := jinja.Parse("f", source)
	if err != nil {
		t.Fatal(err)
	}
	return tpl
}

// TestHiddenSecrets: each can be read by its name and is marked; the whole
// cannot be used.
func TestHiddenSecrets(t *testing.T) {
	doc := value.MapOf("cookies", jinja.HiddenSecrets("resp_a.cookies", "cookies are as good as passwords", value.MapOf("sid", "verysecret")))
	vars := jinja.MapVars{"resp_a": {Value: doc, Origin: value.Response}}
	for source, want := range map[string]string{
		"{{ resp_a.cookies.sid }}":                            "verysecret",
		"{{ resp_a['cookies']['sid'] }}":                      "verysecret",
		"{{ 'a' ~ resp_a.cookies.sid | upper }}":              "aVERYSECRET",
		"{{ resp_a.cookies.lang | default('none') }}":         "none",
		"{{ resp_a.cookies.lang }}":                           "error: f: resp_a.cookies.lang is undefined",
		"{{ resp_a.cookies }}":                                "error: f: resp_a.cookies cannot be read: cookies are as good as passwords",
		"{{ resp_a.cookies | tojson }}":                       "error: f: resp_a.cookies cannot be read: cookies are as good as passwords",
		"{% for c in resp_a.cookies %}{{ c }}{% endfor %}":    "error: f: resp_a.cookies cannot be read: cookies are as good as passwords",
		"{{ resp_a.cookies.items() }}":                        "error: f: resp_a.cookies cannot be read",
		"{{ resp_a | tojson }}":                               "error: ",
		"{{ resp_a }}":                                        "error: ",
		"{% for k, v in resp_a.items() %}{{ v }}{% endfor %}": "error: f: resp_a.cookies cannot be read",
	} {
		tpl, err := jinja.Parse("f", source)
		if err != nil {
			t.Fatal(err)
		}
		r, err := tpl.Text(t.Context(), vars)
		got, _ := r.Value.(string)
		if err != nil {
			got = "error: " + err.Error()
		}
		if !strings.HasPrefix(got, want) || strings.HasPrefix(want, "error") && strings.Contains(got, "verysecret") {
			t.Errorf("%s: %s, want %s", source, got, want)
		}
		if err == nil && strings.Contains(strings.ToLower(got), "verysecret") && !r.Origin.Secret() {
			t.Errorf("%s is not marked as a secret", source)
		}
	}
}

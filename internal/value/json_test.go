package value_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"reflect"
	"strings"
	"testing"

	"github.com/qarion/qarion/internal/value"
)

func TestParseJSON_NumbersAreWrittenAsTheyWereRead(t *testing.T) {
	for _, text := range []string{
		"0", "-0", "7", "-7", "9223372036854775807", "-9223372036854775808", "9223372036854775808", "123456789012345678901234567890",
		"0.0", "-0.0", "1.5", "1.50", "129.9", "0.0001", "0.00001", "1e5", "1E5", "1E+05", "1e-7", "1e400", "-1e400", "1e-400",
		"12345678901234567890.25", "0.1000000000000000055511151231257827", "1e16", "10000000000000000.0", "1.7976931348623157e308",
		strings.Repeat("9", 5000), "1." + strings.Repeat("0", 5000),
	} {
		for _, doc := range []string{text, `{"n":` + text + `,"l":[` + text + `]}`} {
			v, err := value.ParseJSON([]byte(doc))
			if err != nil {
				t.Errorf("%.40s: %v", doc, err)
				continue
			}
			if out, err := value.JSON(v); err != nil || string(out) != doc {
				t.Errorf("%.40s became %.40s (%v)", doc, out, err)
			}
		}
	}
}

func TestParseJSON_TypesOfNumbers(t *testing.T) {
	huge, _ := new(big.Int).SetString("123456789012345678901234567890", 10)
	for text, want := range map[string]any{
		"0": int64(0), "-12": int64(-12), "123456789012345678901234567890": huge, "1.5": 1.5, "0.0": 0.0,
		"1.50": value.Number("1.50"), "1e3": value.Number("1e3"), "-0": value.Number("-0"), "1e400": value.Number("1e400"),
		"10000000000000000.0": value.Number("10000000000000000.0"),
	} {
		if got, err := value.ParseJSON([]byte(text)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %T %v (%v), want %T", text, got, got, err, want)
		}
	}
}

func TestNumber_CanBeCalculatedWithUnlessItIsTooLarge(t *testing.T) {
	for text, want := range map[string]any{"1.50": 1.5, "1e3": 1000.0, "-0": int64(0), "1e-400": 0.0} {
		if got, err := value.Number(text).Plain(); err != nil || got != want {
			t.Errorf("%s: got %v (%v), want %v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"1e400":                        "the number 1e400 is out of the range that can be calculated with",
		strings.Repeat("9", 5000):      "a number has more than 4300 digits",
		"1e" + strings.Repeat("9", 99): "the number 1e" + strings.Repeat("9", 38) + "... is out of the range that can be calculated with",
	} {
		if _, err := value.Number(text).Plain(); err == nil || err.Error() != want {
			t.Errorf("%.40s: got %v, want %s", text, err, want)
		}
	}
}

func TestParseJSON_ErrorsNameThePlace(t *testing.T) {
	for text, want := range map[string]string{
		"": "unexpected end of JSON", "  ": "unexpected end of JSON", `{"a":`: "unexpected end of JSON", `["x`: "unexpected end of JSON",
		`"\u12`: "unexpected end of JSON", "tru": "unexpected end of JSON", "-": "unexpected end of JSON", "1.": "unexpected end of JSON",
		`{"ce":NaN}`: "NaN at offset 6", `[1, Infinity]`: "Infinity at offset 4", `[-Infinity]`: "-Infinity at offset 1",
		"None": "None at offset 0", "nope": "'n' at offset 0", "hello": "'h' at offset 0", "<html>": "'<' at offset 0", "{'a': 1}": `'\'' at offset 1`,
		"[1,]": "']' at offset 3", `{"a" 1}`: "'1' at offset 5", `{"a":1,}`: "'}' at offset 7", "01": "more after the JSON value at offset 1",
		"1 2": "more after the JSON value at offset 2", "1.e": "'e' at offset 2", "+1": "'+' at offset 0", "1ex": "'x' at offset 2",
		"\"a\nb\"": "the control character 0x0a in a string at offset 2", `"\x"`: "'x' at offset 2", `"\u00g0"`: "'g' at offset 5",
		"\"caf\xe9\"": "invalid UTF-8 at offset 4", "\xff": "invalid UTF-8 at offset 0", "\uFEFF1": `'\ufeff' at offset 0`,
		strings.Repeat("[", 600): value.ErrDepth.Error(),
	} {
		_, err := value.ParseJSON([]byte(text))
		if err == nil || err.Error() != want {
			t.Errorf("%.20q: got %v, want %s", text, err, want)
		}
		var syntax *value.SyntaxError
		if want != value.ErrDepth.Error() && !errors.As(err, &syntax) {
			t.Errorf("%.20q: %T names no place", text, err)
		}
	}
}

func TestParseJSON_Texts(t *testing.T) {
	for text, want := range map[string]string{
		`"a\"\\\/\b\f\n\r\tz"`: "a\"\\/\b\f\n\r\tz", `"\u00e9\u20AC"`: "é€", `"\ud83d\ude00"`: "😀", `"\ud83dx"`: "\uFFFDx",
		`"\ud83d\u0041"`: "\uFFFDA", `"ä😀"`: "ä😀", `""`: "", `"\u0000"`: "\x00",
	} {
		if got, err := value.ParseJSON([]byte(text)); err != nil || got != want {
			t.Errorf("%s: got %q (%v), want %q", text, got, err, want)
		}
	}
}

func TestParseJSON_LastOfRepeatedKeysCountsAtTheFirstPlace(t *testing.T) {
	v, err := value.ParseJSON([]byte(`{"a":1,"b":2,"a":3}`))
	if out, _ := value.JSON(v); err != nil || string(out) != `{"a":3,"b":2}` {
		t.Errorf("got %s (%v)", out, err)
	}
}

func TestAppendJSON_WhatIsNoData(t *testing.T) {
	for want, v := range map[string]any{
		"NaN cannot be written as JSON":                   math.NaN(),
		"+Inf cannot be written as JSON":                  []any{math.Inf(1)},
		"xcom_dl is 3 bytes of image/png, not text":       value.MapOf("x", named("xcom_dl", value.NewBytes([]byte("abc"), "image/png"))),
		"the value is 0 bytes of no known type, not text": value.NewBytes(nil, ""),
		"a struct {} is not a value":                      struct{}{},
	} {
		if _, err := value.JSON(v); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func named(name string, b *value.Bytes) *value.Bytes {
	b.Name = name
	return b
}

func TestBytes_AreReadAndShown(t *testing.T) {
	b := value.NewBytes([]byte("abc"), "text/x")
	if got, err := b.Read(t.Context(), 3); err != nil || string(got) != "abc" {
		t.Errorf("got %q (%v)", got, err)
	}
	if _, err := b.Read(t.Context(), 2); err == nil || !strings.Contains(err.Error(), "at most 2 bytes") {
		t.Errorf("got %v", err)
	}
	const sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	shown, _ := value.JSON(b.Shown([]byte("abc")))
	if want := `{"content_type":"text/x","size":3,"sha256":"` + sum + `","base64":"YWJj"}`; string(shown) != want {
		t.Errorf("got %s", shown)
	}
	large := value.NewBytes(make([]byte, value.MaxShownBytes+1), "x/y")
	if _, has := large.Shown(make([]byte, large.Size)).Get("base64"); has {
		t.Error("a large content is shown")
	}
}

// FuzzParseJSON holds the parser against encoding/json: what one takes the
// other takes, with the same meaning, and writing and reading again changes
// nothing, not one digit of a number.
func FuzzParseJSON(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.50,1e400,-0,"x\u00e9\ud83d"],"b":null}`, `[true,false]`, `"`, `{"a":NaN}`, "[[[[1]]]]", " 1 ", `{"":{}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := value.ParseJSON(data)
		if err == value.ErrDepth {
			return
		}
		wantValid := json.Valid(data) && bytes.Equal(bytes.ToValidUTF8(data, nil), data)
		if (err == nil) != wantValid {
			t.Fatalf("%q: %v, but valid is %v", data, err, wantValid)
		}
		if err != nil {
			return
		}
		out, err := value.JSON(v)
		if err != nil {
			t.Fatal(err)
		}
		if a, b := numbersOf(t, data), numbersOf(t, out); !reflect.DeepEqual(a, b) {
			t.Fatalf("%q became %q", data, out)
		}
		again, err := value.ParseJSON(out)
		if err != nil || !reflect.DeepEqual(again, v) {
			t.Fatalf("%q became %#v, then %#v (%v)", data, v, again, err)
		}
	})
}

// numbersOf is a JSON text as encoding/json reads it, numbers as texts.
func numbersOf(t *testing.T, data []byte) (v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%q: %v", data, err)
	}
	return v
}

func TestParseJSON_ShortAndLongTextsReadAlike(t *testing.T) {
	const short = `{"a":"x","n":12.50,"list":["é\n",7,"plain"],"":""}`
	for _, room := range []int{0, 512 - len(short), 513 - len(short), 4096} {
		data := []byte(short + strings.Repeat(" ", room))
		v, err := value.ParseJSON(data)
		if err != nil {
			t.Fatal(err)
		}
		clear(data) // what was read must not change with the buffer
		if got, _ := value.JSON(v); string(got) != `{"a":"x","n":12.50,"list":["é\n",7,"plain"],"":""}` {
			t.Errorf("of %d bytes: %s", len(data), got)
		}
	}
}

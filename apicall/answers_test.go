package apicall_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/qarion/qarion/apicall"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/testkit"
	"github.com/qarion/qarion/internal/value"
)

const (
	latin9 = "{\"name\":\"caf\xe9 5\xa4\"}"
	png    = "\x89PNG\r\n\x1a\n\x00\xff\xfe"
	soap   = "<?xml version='1.0' encoding='UTF-8'?>\n<s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\">\n  <s:Body>\n" +
		"    <r:resp xmlns:r=\"urn:x\" r:id=\"7\" id=\"8\"><r:status>301</r:status><r:item>a</r:item><r:item/></r:resp>\n  </s:Body>\n</s:Envelope>\n"
)

// answer is one row: what a server says, and what is made of it.
type answer struct {
	name, contentType, body string
	more                    []any
	value                   string // stored JSON text; "" when it is not inline
	bytes                   string // stored bytes
	fails                   string // "class: message"
	note                    string
}

// play makes the call of a row and holds what came out against it.
func (row *answer) play(t *testing.T, headers ...string) engine.TaskOutput {
	t.Helper()
	u := testkit.NewUpstream(t)
	if row.contentType != "" {
		headers = append(headers, "Content-Type", row.contentType)
	}
	u.Handle("/x", testkit.Do(func(w http.ResponseWriter, _ *testkit.Call) {
		w.Header()["Content-Type"] = nil // or net/http guesses one
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		_, _ = w.Write([]byte(row.body))
	}))
	out := once(t, apicall.Config{}, plus(value.MapOf("url", u.URL+"/x"), row.more...))
	fails, bytes := "", ""
	if out.Err != nil {
		fails = out.Err.Class + ": " + out.Err.Message
	}
	if out.Large != nil && out.Large.Bytes {
		bytes = string(out.Large.Data)
	}
	if fails != row.fails || row.fails == "" && (string(out.Value) != row.value || bytes != row.bytes) || out.Details.Note != row.note {
		t.Errorf("got %q, bytes %q, failure %q, note %q\nwant %q, %q, %q, %q", out.Value, bytes, fails, out.Details.Note, row.value, row.bytes, row.fails, row.note)
	}
	return out
}

func playAll(t *testing.T, rows []answer) {
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) { row.play(t) })
	}
}

// TestAnswers_Charsets: text is UTF-8 from the moment it is read, or it is
// bytes and says why.
func TestAnswers_Charsets(t *testing.T) {
	as := func(charset string) []any { return []any{"response_charset", charset} }
	playAll(t, []answer{
		{name: "ISO-8859-15 in Content-Type", contentType: "application/json;charset=ISO-8859-15", body: latin9, value: `{"name":"café 5€"}`},
		{name: "the same in quotes, with more behind", contentType: `application/json; charset="iso-8859-15"; x=y`, body: latin9, value: `{"name":"café 5€"}`},
		{name: "Latin-1 is Windows-1252", contentType: "text/plain; charset=ISO-8859-1", body: "5 \x80", value: `"5 €"`},
		{name: "utf8 without a hyphen", contentType: "application/json; charset=utf8", body: `{"a":"é"}`, value: `{"a":"é"}`},
		{name: "Shift_JIS", contentType: "text/plain; charset=Shift_JIS", body: "\x93\xfa\x96\x7b", value: `"日本"`},
		{name: "a name of IANA's alone", contentType: "text/plain; charset=IBM850", body: "\x82", value: `"é"`},
		{name: "UTF-8 with a mark", contentType: "application/json", body: "\uFEFF{\"a\":1}", value: `{"a":1}`},
		{name: "UTF-16 with a mark", contentType: "application/json", body: "\xff\xfe{\x00\"\x00a\x00\"\x00:\x00\"\x00\xac\x20\"\x00}\x00", value: `{"a":"€"}`},
		{name: "UTF-16BE with a mark", contentType: "text/plain", body: "\xfe\xff\x00h\x00i", value: `"hi"`},
		{name: "UTF-16 with a mark and no type", body: "\xff\xfeh\x00i\x00", value: `"hi"`},
		{name: "UTF-16 that is named", contentType: "text/plain; charset=utf-16", body: "h\x00i\x00", value: `"hi"`},
		{name: "a mark and another name: the mark is right", contentType: "text/csv; charset=iso-8859-1", body: "\uFEFFé", value: `"é"`},
		{name: "the XML declaration", contentType: "application/xml", body: "<?xml version=\"1.0\" encoding='ISO-8859-1'?><a>\xe9</a>",
			value: `"<?xml version=\"1.0\" encoding='ISO-8859-1'?><a>é</a>"`},
		{name: "Content-Type before the XML declaration", contentType: "text/xml; charset=utf-8", body: "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a>é</a>",
			value: `"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a>é</a>"`},
		{name: "what HTML says of itself", contentType: "text/html", body: "<!doctype html><meta charset=windows-1252>\x80", value: `"<!doctype html><meta charset=windows-1252>€"`},
		{name: "response_charset", contentType: "application/json", body: latin9, more: as("iso-8859-15"), value: `{"name":"café 5€"}`},
		{name: "response_charset against a wrong name", contentType: "text/plain; charset=utf-8", body: "\xe9", more: as("latin1"), value: `"é"`},
		{name: "unknown charset", contentType: "application/json; charset=x-klingon", body: `{"a":1}`, bytes: `{"a":1}`, note: `the charset "x-klingon" is not known`},
		{name: "not UTF-8 and no name", contentType: "application/json", body: latin9, bytes: latin9, note: "it is not UTF-8 (0xe9 at offset 12) and names no charset"},
		{name: "not the UTF-8 that it names", contentType: "text/plain; charset=utf-8", body: "a\xff", bytes: "a\xff", note: "it is not UTF-8 (0xff at offset 1)"},
		{name: "not the Shift_JIS that it names", contentType: "text/plain; charset=Shift_JIS", body: "\x93", bytes: "\x93", note: `it is not written in the charset that it names, "Shift_JIS"`},
		{name: "half a UTF-16 character", contentType: "text/plain; charset=utf-16le", body: "h\x00i", bytes: "h\x00i", note: `it is not written in the charset that it names, "utf-16le"`},
		{name: "a real replacement character", contentType: "text/plain; charset=utf-16le", body: "\xfd\xff", value: `"` + "\uFFFD" + `"`},
		{name: "response_format = text, but it is none", contentType: "image/png", body: png, more: []any{"response_format", "text"},
			fails: "response: the response is not text: it is not UTF-8 (0x89 at offset 0) and names no charset"},
	})
}

// TestAnswers_Bytes: what is no text is bytes, and stays what it is to the last
// of them.
func TestAnswers_Bytes(t *testing.T) {
	format := func(f string) []any { return []any{"response_format", f} }
	playAll(t, []answer{
		{name: "a picture", contentType: "image/png", body: png, bytes: png},
		{name: "a picture that happens to be text", contentType: "image/png", body: "abc", bytes: "abc"},
		{name: "a spreadsheet", contentType: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", body: "PK", bytes: "PK"},
		{name: "an image of text", contentType: "image/svg+xml", body: "<svg/>", value: `"<svg/>"`},
		{name: "octets that are not text", contentType: "application/octet-stream", body: png, bytes: png},
		{name: "octets that are text", contentType: "application/octet-stream", body: "\uFEFFa\r\n", value: "\"\uFEFFa\\r\\n\""},
		{name: "octets that are JSON", contentType: "application/octet-stream", body: ` {"a":1.0}`, value: ` {"a":1.0}`},
		{name: "octets with a NUL", contentType: "application/octet-stream", body: "a\x00b", bytes: "a\x00b"},
		{name: "no type, not text", body: png, bytes: png},
		{name: "no type, text", body: "hello", value: `"hello"`},
		{name: "JSON taken as bytes", contentType: "application/json", body: `{"a":1}`, more: format("bytes"), bytes: `{"a":1}`},
		{name: "JSON taken as text", contentType: "application/json", body: `{"a":1}`, more: format("text"), value: `"{\"a\":1}"`},
		{name: "nothing taken as bytes", contentType: "image/png", body: "", more: format("bytes"), value: "null"},
	})
}

// TestAnswers_Formats: what response_format makes of a body, and of which
// bodies nothing can be made.
func TestAnswers_Formats(t *testing.T) {
	f := func(format string, more ...any) []any { return append([]any{"response_format", format}, more...) }
	deep := strings.Repeat("<a>", 101) + strings.Repeat("</a>", 101)
	const xml = "response: the response is not XML: "
	playAll(t, []answer{
		{name: "json, whatever the type", contentType: "text/html", body: " 7", more: f("json"), value: " 7"},
		{name: "json that is none", contentType: "application/json", body: `{"ce":NaN}`, more: f("json"), fails: "response: the response is not JSON: NaN at offset 6"},
		{name: "NaN without a format", contentType: "application/json", body: `{"ce":NaN}`, value: `"{\"ce\":NaN}"`, note: "not JSON: NaN at offset 6"},
		{name: "numbers that no float holds", contentType: "application/json", body: `{"e": 1e400, "n": 123456789012345678901234567890}`, value: `{"e": 1e400, "n": 123456789012345678901234567890}`},

		{name: "ndjson by its type", contentType: "application/x-ndjson", body: "{\"a\":1}\n\n{\"a\":2.50}\r\n", value: `[{"a":1},{"a":2.50}]`},
		{name: "jsonl by its type", contentType: "application/jsonl; charset=utf-8", body: "1\n2", value: `[1,2]`},
		{name: "json-seq by its type", contentType: "application/json-seq", body: "\x1e{\"a\":\n1}\n\x1e[2]\n", value: "[{\"a\":\n1},[2]]"},
		{name: "a bad line", contentType: "application/x-ndjson", body: "{}\n{}\n{\"a\":}\n", fails: "response: the response is not JSON in line 3: '}' at offset 5"},
		{name: "a bad text of a sequence", contentType: "application/json-seq", body: "\x1e1\n\x1e{", fails: "response: the response is not JSON in text 2: unexpected end of JSON"},
		{name: "ndjson by format", contentType: "text/plain", body: "1\n\"x\"\n", more: f("ndjson"), value: `[1,"x"]`},

		{name: "csv stays text by itself", contentType: "text/csv", body: "a,b\n1,2\n", value: `"a,b\n1,2\n"`},
		{name: "csv", contentType: "text/csv", body: "id,name\r\n1,\"a \"\"b\"\"\"\r\n2,\"x\r\ny,z\"\r\n", more: f("csv"), value: `[{"id":"1","name":"a \"b\""},{"id":"2","name":"x\r\ny,z"}]`},
		{name: "csv with a mark, and no last line break", contentType: "text/csv", body: "\uFEFFid;n\n1;ä", more: f("csv", "csv_delimiter", ";"), value: `[{"id":"1","n":"ä"}]`},
		{name: "csv with tabs", contentType: "text/tab-separated-values", body: "a\tb\n1\t\n", more: f("csv", "csv_delimiter", "\t"), value: `[{"a":"1","b":""}]`},
		{name: "csv without header", contentType: "text/csv", body: "1,2\n3\n", more: f("csv", "csv_header", false), value: `[["1","2"],["3"]]`},
		{name: "csv with a column without name", contentType: "text/csv", body: "a,,\n1,2,3\n", more: f("csv"), value: `[{"a":"1","column_2":"2","column_3":"3"}]`},
		{name: "csv with a header alone", contentType: "text/csv", body: "a,b\n", more: f("csv"), value: `[]`},
		{name: "csv in Latin-1", contentType: "text/csv; charset=windows-1252", body: "a\n\x80\n", more: f("csv"), value: `[{"a":"€"}]`},
		{name: "csv with a short row", contentType: "text/csv", body: "a,b\n\"x\ny\",2\n1\n", more: f("csv"), fails: "response: the response is not CSV: line 4 has 1 fields, the header has 2"},
		{name: "csv with an open quote", contentType: "text/csv", body: "a\n\"x\n", more: f("csv"), fails: "response: the response is not CSV: a quote that opens in line 2 is not closed"},
		{name: "csv with text behind a quote", contentType: "text/csv", body: "a\n\"x\"y\n", more: f("csv"), fails: "response: the response is not CSV: line 2 has text behind a closing quote"},
		{name: "csv with two columns of a name", contentType: "text/csv", body: "a,a\n1,2\n", more: f("csv"),
			fails: "response: the response is not CSV with distinct names: two columns are called \"a\"; csv_header = false gives lists"},

		{name: "xml stays text by itself", contentType: "application/soap+xml", body: "<a>1</a>", value: `"<a>1</a>"`},
		{name: "xml", contentType: "application/soap+xml", body: soap, more: f("xml"),
			value: `{"Envelope":{"Body":{"resp":{"@id":"8","status":"301","item":["a",""]}}}}`},
		{name: "xml with prefixes", contentType: "text/xml", body: soap, more: f("xml", "xml_prefixes", true), value: `{"s:Envelope":{"@xmlns:s":"http://www.w3.org/2003/05/soap-envelope","s:Body":` +
			`{"r:resp":{"@xmlns:r":"urn:x","@r:id":"7","@id":"8","r:status":"301","r:item":["a",""]}}}}`},
		{name: "xml with lists", contentType: "text/xml", body: "<r><item>1</item><other>2</other></r>", more: f("xml", "xml_lists", []any{"item"}), value: `{"r":{"item":["1"],"other":"2"}}`},
		{name: "xml text and attributes", contentType: "text/xml", body: "<p lang=\"de\"> a &amp; <![CDATA[<b>]]>&#x20AC;</p>", more: f("xml"), value: `{"p":{"@lang":"de","#text":" a & <b>€"}}`},
		{name: "xml in Latin-1", contentType: "application/xml", body: "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a>\xe9</a>", more: f("xml"), value: `{"a":"é"}`},
		{name: "xml with a plain DOCTYPE", contentType: "text/xml", body: "<!DOCTYPE plist PUBLIC \"-//X\" \"http://127.0.0.1:1/x.dtd\"><plist/>", more: f("xml"), value: `{"plist":""}`},
		{name: "xml with an external entity", contentType: "text/xml", body: "<!DOCTYPE r [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><r>&x;</r>", more: f("xml"), fails: xml + "a DOCTYPE with definitions is not read"},
		{name: "xml with an unknown entity", contentType: "text/xml", body: "<r>\n&x;</r>", more: f("xml"), fails: xml + "line 2: invalid character entity &x;"},
		{name: "xml that is not closed", contentType: "text/xml", body: "<r>\n<a>", more: f("xml"), fails: xml + "line 2: <a> is not closed"},
		{name: "xml that is closed wrongly", contentType: "text/xml", body: "<r><a></r></a>", more: f("xml"), fails: xml + "line 1: </r> closes <a>"},
		{name: "xml with two roots", contentType: "text/xml", body: "<r/><r/>", more: f("xml"), fails: xml + "line 1: a second root element"},
		{name: "xml that is none", contentType: "text/xml", body: "hello", more: f("xml"), fails: xml + "line 1: text outside the root element"},
		{name: "xml too deep", contentType: "text/xml", body: deep, more: f("xml"), fails: xml + "it nests deeper than 100 levels"},

		{name: "form", contentType: "application/x-www-form-urlencoded", body: "a=1&b=x+y%26&a=2&c", more: f("form"), value: `{"a":["1","2"],"b":"x y&","c":""}`},
		{name: "a form that is none", contentType: "text/plain", body: "a=%zz", more: f("form"), fails: `response: the response is not a form: invalid URL escape "%zz"`},
		{name: "nothing, whatever the format", contentType: "application/json", body: "", more: f("xml"), value: "null"},
	})
}

// TestAnswers_ContentEncoding: some servers write there that there is none.
func TestAnswers_ContentEncoding(t *testing.T) {
	for _, row := range []struct{ coding, fails string }{
		{"UTF-8", ""}, {"none", ""}, {"identity", ""}, {"ISO-8859-1", ""}, {"binary", ""}, {"identity, none", ""},
		{"br", `response: the response has Content-Encoding "br", which was not asked for`},
		{"gzip, br", `response: the response has Content-Encoding "gzip, br", which was not asked for`},
		{"gzip", "response: the response's gzip data is damaged"},
	} {
		t.Run(row.coding, func(t *testing.T) {
			a := answer{contentType: "application/json", body: `{"id":7, "n": "0123456789"}`, value: `{"id":7, "n": "0123456789"}`, fails: row.fails}
			a.play(t, "Content-Encoding", row.coding)
		})
	}
}

// TestAnswers_HeadersAreText: a header in Latin-1 is no damage.
func TestAnswers_HeadersAreText(t *testing.T) {
	u := testkit.NewUpstream(t)
	u.Handle("/x", testkit.Raw("HTTP/1.1 404 Not Found\r\nX-Name: caf\xe9\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Length: 4\r\n\r\n\xe9t\xe9!"))
	out := once(t, apicall.Config{}, value.MapOf("url", u.URL+"/x"))
	if out.Details.ResponseHeaders["x-name"] != "café" || out.Details.ResponseExcerpt != "été!" {
		t.Errorf("got %+v", out.Details)
	}
}

// TestAnswers_WhatIsNotDataSaysSo: who reads a field of text is told that it is
// text, and why.
func TestAnswers_WhatIsNotDataSaysSo(t *testing.T) {
	for left, want := range map[string]string{
		`{"ce":NaN,"uid":"u7"}`: "url: xcom_a.uid is undefined: xcom_a is text, not JSON: NaN at offset 6",
		"<a><uid>7</uid></a>":   `url: xcom_a.uid is undefined: xcom_a is text, XML: response_format = "xml" makes data of it`,
		"<!DOCTYPE html><p>":    "url: xcom_a.uid is undefined: xcom_a is text, a page of HTML",
		`{"uid":7}`:             `url: xcom_a.uid is undefined: xcom_a is text, which holds JSON: response_format = "json" makes data of it`,
		"":                      "url: xcom_a.uid is undefined: xcom_a is text, and empty",
	} {
		out := callIn(t, &engine.Flow{ID: "f"}, value.MapOf("url", "http://127.0.0.1:1/{{ xcom_a.uid }}"), map[engine.TaskID]any{"a": left})
		if out.Err == nil || out.Err.Message != want {
			t.Errorf("%s: got %+v, want %s", left, out.Err, want)
		}
	}
	out := callIn(t, &engine.Flow{ID: "f"}, value.MapOf("url", "http://127.0.0.1:1/{{ xcom_a['s:Envelope']['s:Body'] }}"), map[engine.TaskID]any{"a": "<a/>"})
	if want := `url: xcom_a.[...] is undefined: xcom_a is text, XML: response_format = "xml" makes data of it`; out.Err == nil || out.Err.Message != want {
		t.Errorf("got %+v, want %s", out.Err, want)
	}
	for _, row := range []struct {
		left any
		want string
	}{
		{nil, "url: xcom_a.uid is undefined: xcom_a is null"},
		{[]any{int64(1)}, "url: xcom_a.uid is undefined: xcom_a is a list of 1: its first is xcom_a[0]"},
		{value.MapOf("id", int64(1)), "url: xcom_a.uid is undefined (a returned: id)"},
	} {
		out := callIn(t, &engine.Flow{ID: "f"}, value.MapOf("url", "http://127.0.0.1:1/{{ xcom_a.uid }}"), map[engine.TaskID]any{"a": row.left})
		if out.Err == nil || out.Err.Message != row.want {
			t.Errorf("%v: got %+v, want %s", row.left, out.Err, row.want)
		}
	}
}

// TestAnswers_WhatFailsIsKept: what was received can be looked at when it is
// not what the flow wants.
func TestAnswers_WhatFailsIsKept(t *testing.T) {
	rules := []any{"response_validation", value.MapOf("required_fields", []any{"id"})}
	for _, row := range []answer{
		{name: "validation", contentType: "application/json", body: `{"a":1}`, more: rules, value: `{"a":1}`,
			fails: "validation: 200 OK, 1 check failed: id: missing (keys: a)"},
		{name: "validation of text", contentType: "application/json", body: `{"a":NaN}`, more: rules, value: `"{\"a\":NaN}"`, note: "not JSON: NaN at offset 5",
			fails: "validation: 200 OK, 1 check failed: the response is not JSON: NaN at offset 5, so its fields cannot be checked"},
		{name: "validation of bytes", contentType: "image/png", body: png, more: rules, bytes: png,
			fails: "validation: 200 OK, 1 check failed: the response is 11 bytes of image/png, so its fields cannot be checked"},
		{name: "select", contentType: "application/json", body: `{"a":1}`, more: []any{"select", ".[]|error"}, value: `{"a":1}`, fails: "select: select: error: 1"},
		{name: "format", contentType: "text/csv", body: "a,b\n1\n", more: []any{"response_format", "csv"}, value: `"a,b\n1\n"`,
			fails: "response: the response is not CSV: line 2 has 1 fields, the header has 2"},
	} {
		t.Run(row.name, func(t *testing.T) {
			out := row.play(t)
			bytes := ""
			if out.Large != nil {
				bytes = string(out.Large.Data)
			}
			if string(out.Value) != row.value || bytes != row.bytes {
				t.Errorf("kept %q, %q; want %q, %q", out.Value, bytes, row.value, row.bytes)
			}
		})
	}
}

// TestAnswers_ChecksOfFields: keys that hold dots, and what must not be there.
func TestAnswers_ChecksOfFields(t *testing.T) {
	const doc = `{"@odata.nextLink":"x","value":[{"@odata.etag":"e"}],"error":null}`
	rules := func(pairs ...any) []any { return []any{"response_validation", value.MapOf(pairs...)} }
	const failed = "validation: 200 OK, 1 check failed: "
	playAll(t, []answer{
		{name: "keys with dots", contentType: "application/json", body: doc, value: doc,
			more: rules("required_fields", []any{"@odata.nextLink", "value.0.@odata.etag", "/value/0/@odata.etag", `value[0]["@odata.etag"]`, []any{"value", int64(0), "@odata.etag"}})},
		{name: "a check of one", contentType: "application/json", body: doc, value: doc, more: rules("field_checks", value.MapOf("@odata.nextLink", value.MapOf("value", "x")))},
		{name: "what is absent", contentType: "application/json", body: doc, value: doc, more: rules("field_checks", value.MapOf("errors", value.MapOf("absent", true), "value.1", value.MapOf("absent", true)))},
		{name: "what should be", contentType: "application/json", body: doc, value: doc, more: rules("field_checks", value.MapOf("error", value.MapOf("absent", true))),
			fails: failed + "error: it is there, expected to be absent"},
		{name: "absent = false is no check", contentType: "application/json", body: doc, value: doc, more: rules("field_checks", value.MapOf("error", value.MapOf("absent", false, "type", "null")))},
		{name: "a key with dots that is missing", contentType: "application/json", body: doc, more: rules("required_fields", []any{"@odata.count"}),
			fails: failed + "@odata.count: missing (keys: @odata.nextLink, value, error)"},
	})
	for _, row := range []struct {
		rules any
		want  string
	}{
		{value.MapOf("required_fields", []any{""}), "required_fields: a path is empty"},
		{value.MapOf("required_fields", []any{"["}), `required_fields: the path "[" has a bracket that is not of the form ["key"] or [0]`},
		{value.MapOf("required_fields", []any{int64(1)}), "required_fields is a list, want a list of strings"},
		{value.MapOf("field_checks", value.MapOf("a", value.MapOf("absent", true, "type", "str"))), "what is absent cannot be checked any further"},
	} {
		if _, problems := prepare(t, with("response_validation", row.rules)); len(problems) != 1 || problems[0].Message != row.want {
			t.Errorf("got %v, want %s", problems, row.want)
		}
	}
}

package hookguest

import "iter"

// Message is what requests and responses have in common.
type Message struct {
	// Body is the body as it is on the wire, decompressed. A hook may read it
	// in place; it must not be changed, and not be kept.
	Body []byte

	// Config is the configuration that the flow gives this hook.
	Config Value

	// XCom has the values of other tasks that the flow gives this hook.
	XCom Value

	meta    Value
	request Value
	secrets Value
	json    Value
	jsonErr error
	parsed  bool
}

// Request is the request that is about to be sent.
type Request struct{ Message }

// Response is the response that came, with its status.
type Response struct {
	Message
	Status int

	response Value
}

// NewRequest makes the request that a call hands to a hook out of its meta
// document (docs/hooks.md) and its body: for tests.
func NewRequest(meta, body []byte) (*Request, error) {
	if _, err := Parse(meta); err != nil {
		return nil, err
	}
	r := &Request{}
	r.Reset(meta, body)
	return r, nil
}

// NewResponse makes the response that a call hands to a hook, as [NewRequest].
func NewResponse(meta, body []byte) (*Response, error) {
	if _, err := Parse(meta); err != nil {
		return nil, err
	}
	r := &Response{}
	r.Reset(meta, body)
	return r, nil
}

// Reset makes r the request of another call.
func (r *Request) Reset(meta, body []byte) { r.reset(meta, body, nil) }

// Reset makes r the response of another call.
func (r *Response) Reset(meta, body []byte) {
	r.response = Value{}
	r.reset(meta, body, &r.response)
	status, _ := r.response.Get("status").Int()
	r.Status = int(status)
}

// reset reads the outer members of the meta document, in one pass. The host
// writes the document, so it is not checked again.
func (m *Message) reset(meta, body []byte, response *Value) {
	start := skipSpace(meta, 0)
	*m = Message{Body: body, meta: Value{meta[start:skip(meta, start)]}}
	for key, val := range m.meta.entries() {
		switch string(key) {
		case `"config"`:
			m.Config = val
		case `"xcom"`:
			m.XCom = val
		case `"request"`:
			m.request = val
		case `"secrets"`:
			m.secrets = val
		case `"response"`:
			if response != nil {
				*response = val
			}
		}
	}
}

// Flow is the id of the flow.
func (m *Message) Flow() string { return m.meta.Get("flow").String() }

// Run is the id of the run.
func (m *Message) Run() string { return m.meta.Get("run_id").String() }

// Task is the id of the task.
func (m *Message) Task() string { return m.meta.Get("task").String() }

// Item is the place of this call among the items that the task is done for; 0
// when it is done once.
func (m *Message) Item() int {
	n, _ := m.meta.Get("map_index").Int()
	return int(n)
}

// Attempt counts the attempts of the task, from 1.
func (m *Message) Attempt() int {
	n, _ := m.meta.Get("attempt").Int()
	return int(n)
}

// Method is the method of the request, such as "GET".
func (m *Message) Method() string { return m.request.Get("method").String() }

// URL is the address of the request.
func (m *Message) URL() string { return m.request.Get("url").String() }

// ContentType is the media type of the body as it was given, such as
// "application/json; charset=utf-8".
func (m *Message) ContentType() string { return m.meta.Get("body", "content_type").String() }

// Meta is the whole meta document, for members that have no method here.
func (m *Message) Meta() Value { return m.meta }

// JSON is the body as a JSON value, missing when the body is none; [Message.JSONError]
// says why.
func (m *Message) JSON() Value {
	m.parse()
	return m.json
}

// JSONError says where the body stops being JSON, as a [Problem] with code
// "not_json"; nil when it is JSON.
func (m *Message) JSONError() error {
	m.parse()
	return m.jsonErr
}

func (m *Message) parse() {
	if m.parsed {
		return
	}
	m.parsed = true
	val, err := Parse(m.Body)
	if err != nil {
		m.jsonErr = Problem{Code: "not_json", Message: "the body is " + err.Error()}
		return
	}
	m.json = val
}

// Secret is a field of a credential that the flow gives this hook, such as
// "shop.key". The error, a [Failure] with code "no_secret", says how to give
// it.
func (m *Message) Secret(name string) (string, error) {
	if s, ok := m.secrets.Get(name).Text(); ok {
		return s, nil
	}
	return "", Fail("no_secret", "the flow does not give this hook the secret "+name+
		": name it in the hook's list secrets")
}

// Header is the first value of a header of the response; the name is in lower
// case, as in "content-type". Headers that carry secrets are not there unless
// the flow exposes them.
func (r *Response) Header(name string) string {
	s, _ := r.response.Get("headers", name).Index(0).Text()
	return s
}

// Headers goes through the headers of the response and all their values.
func (r *Response) Headers() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for name, values := range r.response.Get("headers").Members() {
			for _, v := range values.Items() {
				if !yield(name, v.String()) {
					return
				}
			}
		}
	}
}

// DurationMS is how long the server took, in milliseconds. (Package time would
// make every hook 240 KB larger.)
func (r *Response) DurationMS() float64 {
	ms, _ := r.response.Get("duration_ms").Float()
	return ms
}

package hookguest

import (
	"errors"
	"testing"
)

const responseMeta = `{"v":1,"hook":"validate","phase":"response","flow":"orders","run_id":"01J","task":"fetch","map_index":3,"attempt":2,
 "request":{"method":"GET","url":"https://api.example/x?page=2"},"body":{"content_type":"application/json","encoding":"raw","truncated":false},
 "response":{"status":200,"headers":{"content-type":["application/json"],"link":["one","two"]},"duration_ms":41.5},
 "config":{"min_items":1},"xcom":{"login":{"user":7}},"secrets":{"shop.key":"s3cr3t"},"later":{"status":999}}`

func TestResponse_HasAllOfTheMeta(t *testing.T) {
	r, err := NewResponse([]byte(responseMeta), []byte(`{"a":1}`))
	if err != nil {
		t.Fatal(err)
	}
	key, err := r.Secret("shop.key")
	var links int
	for name := range r.Headers() {
		if name == "link" {
			links++
		}
	}
	user, _ := r.XCom.Get("login", "user").Int()
	if r.Status != 200 || r.Flow() != "orders" || r.Run() != "01J" || r.Task() != "fetch" || r.Item() != 3 || r.Attempt() != 2 ||
		r.Method() != "GET" || r.URL() != "https://api.example/x?page=2" || r.Header("content-type") != "application/json" || links != 2 ||
		r.Header("none") != "" || r.DurationMS() != 41.5 || user != 7 || key != "s3cr3t" || err != nil || r.JSON().Get("a").String() != "1" ||
		r.JSONError() != nil {
		t.Errorf("%+v", r)
	}
	q, err := NewRequest([]byte(responseMeta), nil)
	if err != nil || q.ContentType() != "application/json" || q.Method() != "GET" || q.Config.Get("min_items").String() != "1" {
		t.Errorf("%+v %v", q, err)
	}
	if _, err := NewRequest([]byte(`{`), nil); err == nil {
		t.Error("a broken meta document is accepted")
	}
}

func TestResponse_IsEmptyAgainForTheNextCall(t *testing.T) {
	r, _ := NewResponse([]byte(responseMeta), []byte(`{"a":1}`))
	r.JSON()
	r.Reset([]byte(`{"v":1}`), []byte(`x`))
	if r.Status != 0 || r.Config.Exists() || r.XCom.Exists() || r.Header("content-type") != "" || r.JSON().Exists() {
		t.Errorf("what the last call left: %+v", r)
	}
	var p Problem
	if !errors.As(r.JSONError(), &p) || p.Code != "not_json" || p.Message != "the body is not JSON: no value at byte 0" {
		t.Error(r.JSONError())
	}
	if _, err := r.Secret("shop.key"); err == nil {
		t.Error("the secret of the last call is still there")
	}
}

package ui

import (
	"net/http"

	"github.com/qarion/qarion/engine"
)

// loginPage asks for a code or a token.
type loginPage struct {
	Name  string // that was typed
	Wrong string // why the last one was not taken
	Next  string // where the browser goes on
	Cross bool   // a page from elsewhere has led here: browsers keep the cookie back then
}

// Login shows the page of the login. next is a path of this door.
func (s *Site) Login(w http.ResponseWriter, v *Visit, status int, name, wrong, next string) {
	site := v.Header.Get("Sec-Fetch-Site")
	v.Who = engine.Caller{}
	s.show(w, v, &reply{status: status, page: &page{
		name: "login", Title: "Log in", Secret: true,
		Data: loginPage{Name: name, Wrong: wrong, Next: next, Cross: site == "cross-site" || site == "same-site"},
	}})
}

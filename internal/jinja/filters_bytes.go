package jinja

import (
	"encoding/base64"

	"github.com/qarion/qarion/internal/value"
)

// maxBytes is the largest content of bytes that a template reads.
const maxBytes = 10 << 20

// octets are the bytes of a text, or of a value that is no text.
func (s *state) octets(what string, v any) []byte {
	b, ok := v.(*value.Bytes)
	if !ok {
		return []byte(s.wantText(what, v))
	}
	if b.Size > maxBytes {
		s.fail("%s; a template reads at most %d MiB", b.NotText(), maxBytes>>20)
	}
	s.made(int(b.Size))
	data, err := b.Read(s.ctx, maxBytes)
	if err != nil {
		panic(&failure{&Error{Field: s.tpl.field, Message: err.Error()}})
	}
	return data
}

// b64encodeFilter writes text, as UTF-8, or bytes in base64 (RFC 4648, 4).
func b64encodeFilter(s *state, v any, a *args) any {
	a.bind(s, 0)
	data := s.octets("the filter \"b64encode\"", v)
	s.made(base64.StdEncoding.EncodedLen(len(data)))
	return base64.StdEncoding.EncodeToString(data)
}

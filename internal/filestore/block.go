package filestore

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/minio/highwayhash"
)

// A record: its length (4 bytes, the highest bit says that it has headers),
// sequence (8), time (8), length of the subject (2), subject, with headers
// their length (4) and they, the payload, and a checksum (8) of all but the
// lengths.
const (
	headSize  = 22
	sumSize   = 8
	hasHeader = 1 << 31

	erased    = 1 << 63 // in the sequence: deleted in place, or never used
	tombstone = 1 << 62 // in the sequence: a note that it was deleted elsewhere

	maxRecord = 32 << 20 // as the server has it
)

// Message is a stored message. Its bytes are valid until the next one is read.
type Message struct {
	Seq     uint64
	Nanos   int64 // when it was stored, since 1970
	Subject string
	Header  []byte // as it is sent: "NATS/1.0\r\n..."
	Data    []byte
}

// Get is the first value of a header, "" where there is none.
func (m *Message) Get(name string) string {
	for line := range bytes.SplitSeq(m.Header, []byte("\r\n")) {
		if key, value, ok := bytes.Cut(line, []byte(":")); ok && string(bytes.TrimSpace(key)) == name {
			return string(bytes.TrimSpace(value))
		}
	}
	return ""
}

type record struct {
	Message
	size  int
	flags uint64 // erased, tombstone
}

// read takes the record at the beginning of buf. short: buf may only be too
// short for it.
func read(buf []byte, h *highwayhash.Digest64) (r record, short bool, problem string) {
	if len(buf) < headSize {
		return r, true, "a message is cut off"
	}
	le := binary.LittleEndian
	length := le.Uint32(buf)
	header := length&hasHeader != 0
	size, subject := int(length&^hasHeader), int(le.Uint16(buf[20:]))
	need := subject + sumSize
	if header {
		need += 4
	}
	switch {
	case size < headSize+need || size > maxRecord:
		return r, false, "the length of a message cannot be right"
	case size > len(buf):
		return r, true, "a message is cut off"
	}
	r.size = size
	body, sum := buf[headSize:size-sumSize], buf[size-sumSize:size]
	h.Reset()
	_, _ = h.Write(buf[4:20])
	_, _ = h.Write(body[:subject])
	rest := body[subject:]
	var headers int
	if header {
		headers = int(le.Uint32(rest))
		rest = rest[4:]
	}
	_, _ = h.Write(rest)
	var want [sumSize]byte
	if !bytes.Equal(h.Sum(want[:0]), sum) {
		return r, false, "the checksum of a message does not match"
	}
	// The checksum says nothing of where subject, headers and payload end.
	if headers < 0 || headers > len(rest) || header && !wellFormed(rest[:headers]) {
		return r, false, "the headers of a message do not end where they should"
	}
	seq := le.Uint64(buf[4:])
	r.flags = seq & (erased | tombstone)
	r.Seq, r.Nanos, r.Subject = seq&^(erased|tombstone), int64(le.Uint64(buf[12:])), string(body[:subject])
	r.Header, r.Data = rest[:headers], rest[headers:]
	if r.flags == 0 && !validSubject(r.Subject) {
		return r, false, "the subject of a message does not end where it should"
	}
	return r, false, ""
}

func wellFormed(header []byte) bool {
	return bytes.HasPrefix(header, []byte("NATS/1.0")) && bytes.HasSuffix(header, []byte("\r\n\r\n")) &&
		bytes.Count(header, []byte("\r\n\r\n")) == 1
}

// validSubject: no token is empty, and none has blanks or control characters.
func validSubject(s string) bool {
	if s == "" || s[0] == '.' || s[len(s)-1] == '.' {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f || s[i] == '.' && s[i-1] == '.' {
			return false
		}
	}
	return true
}

func putLength(buf []byte, length uint32) { binary.LittleEndian.PutUint32(buf, length) }

// maxJump is how far the sequence of a record that is found behind damaged
// bytes may be from the one before them.
const maxJump = 1 << 24

// resume finds the next record behind bytes that are none: with a checksum that
// is right, and a sequence that may follow.
func resume(buf []byte, last uint64, h *highwayhash.Digest64) (at int, ok bool) {
	for at = 1; at+headSize+sumSize <= len(buf); at++ {
		seq := binary.LittleEndian.Uint64(buf[at+4:])
		if plain := seq &^ (erased | tombstone); plain > last+maxJump || seq&tombstone == 0 && plain <= last && plain != 0 {
			continue
		}
		if r, _, problem := read(buf[at:], h); problem == "" && r.size > 0 {
			return at, true
		}
	}
	return 0, false
}

// place says where in a file something is.
func place(offset int, problem string) string { return fmt.Sprintf("%s (at byte %d)", problem, offset) }

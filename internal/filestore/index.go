package filestore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"

	"github.com/nats-io/nats-server/v2/server/avl"
)

const (
	indexMagic      = 11
	indexMaxVersion = 4
)

// index is what the server knew of a stream when it wrote index.db.
type index struct {
	msgs, first, last uint64
	blocks            []indexBlock
	subjects          map[string]bool // nil where there are too many
	lastBlock         uint32
	lastSum           [sumSize]byte // of the last record in that block
}

type indexBlock struct {
	number      uint32
	first, last uint64
	deleted     *avl.SequenceSet
}

func (b *indexBlock) has(seq uint64) bool { return b.deleted == nil || !b.deleted.Exists(seq) }

// maxSubjects is how many subjects of a stream are held in memory.
const maxSubjects = 10_000

var errIndex = errors.New("it cannot be read")

// readIndex reads index.db. fs.ErrNotExist: a server that did not stop in good
// order has not written one.
func (s *Stream) readIndex() (*index, error) {
	buf, err := os.ReadFile(filepath.Join(s.Dir, msgsDir, indexFile))
	if err != nil {
		return nil, err
	}
	if len(buf) < 32 {
		return nil, errIndex
	}
	end := len(buf) - sumSize
	h := hasher(s.Name)
	_, _ = h.Write(buf[:end])
	if !bytes.Equal(h.Sum(nil), buf[end:]) {
		return nil, errors.New("it does not match its checksum")
	}
	r := &indexReader{buf: buf[2:end]}
	version := buf[1]
	if buf[0] != indexMagic || version > indexMaxVersion {
		return nil, errIndex
	}
	x := &index{msgs: r.uint()}
	r.uint() // bytes
	x.first = r.uint()
	r.int() // time of the first
	x.last = r.uint()
	r.int() // time of the last
	subjects := r.uint()
	if subjects <= maxSubjects {
		x.subjects = make(map[string]bool, subjects)
	}
	for n := subjects; n > 0 && !r.bad; n-- {
		subject := r.bytes(r.uint())
		if x.subjects != nil {
			x.subjects[string(subject)] = true
		}
		total := r.uint()
		r.uint() // first block
		if total > 1 || version >= 4 {
			r.uint() // last block
		}
	}
	for n := r.uint(); n > 0 && !r.bad; n-- {
		b := indexBlock{number: uint32(r.uint())}
		r.uint() // bytes
		b.first = r.uint()
		r.int()
		b.last = r.uint()
		r.int()
		deleted := r.uint()
		if version >= 2 {
			r.uint() // messages with a time to live
		}
		if version >= 3 {
			r.uint() // schedules
		}
		if deleted > 0 && !r.bad {
			set, n, err := avl.Decode(r.buf)
			if err != nil {
				return nil, errIndex
			}
			b.deleted = set
			r.bytes(uint64(n))
		}
		x.blocks = append(x.blocks, b)
	}
	x.lastBlock = uint32(r.uint())
	if r.bad || len(r.buf) < sumSize {
		return nil, errIndex
	}
	copy(x.lastSum[:], r.buf)
	return x, nil
}

type indexReader struct {
	buf []byte
	bad bool
}

func (r *indexReader) uint() uint64 {
	v, n := binary.Uvarint(r.buf)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.buf = r.buf[n:]
	return v
}

func (r *indexReader) int() int64 {
	v, n := binary.Varint(r.buf)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.buf = r.buf[n:]
	return v
}

func (r *indexReader) bytes(n uint64) (b []byte) {
	if n > uint64(len(r.buf)) {
		r.bad = true
		return nil
	}
	b, r.buf = r.buf[:n], r.buf[n:]
	return b
}

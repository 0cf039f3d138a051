package filestore

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// blockSize is how large a file of messages becomes, in bytes.
const blockSize = 4 << 20

// Writer writes a stream's folder, for a server to open. The messages come in
// the order of their sequences, which may have gaps: what is not written was
// deleted.
type Writer struct {
	stream Stream
	number uint32
	file   *os.File
	out    *bufio.Writer
	size   int
	last   uint64
	nanos  int64 // when the last one was stored
	buf    []byte
}

// Create begins a stream's folder, which must not be there. meta is what the
// server keeps of its configuration, as JSON.
func Create(dir string, meta []byte) (*Writer, error) {
	w := &Writer{stream: Stream{Name: filepath.Base(dir), Dir: dir}}
	if err := os.MkdirAll(filepath.Join(dir, msgsDir), 0o700); err != nil {
		return nil, err
	}
	h := hasher(w.stream.Name)
	_, _ = h.Write(meta)
	for name, data := range map[string][]byte{metaFile: meta, sumFile: []byte(hex.EncodeToString(h.Sum(nil)))} {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return nil, err
		}
		_, err = f.Write(data)
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// Add writes a message.
func (w *Writer) Add(m *Message) error {
	if m.Seq <= w.last {
		return fmt.Errorf("message %d comes after %d", m.Seq, w.last)
	}
	w.last, w.nanos = m.Seq, m.Nanos
	return w.record(m.Seq, m)
}

// Close ends the folder of a stream whose next message gets the sequence after
// last.
func (w *Writer) Close(last uint64) error {
	var err error
	if last > w.last { // the last ones were deleted
		err = w.record(last|erased, &Message{Nanos: w.nanos})
	}
	return errors.Join(err, w.next())
}

// next ends the block.
func (w *Writer) next() error {
	if w.file == nil {
		return nil
	}
	err := errors.Join(w.out.Flush(), w.file.Close())
	w.file = nil
	return err
}

func (w *Writer) record(seq uint64, m *Message) error {
	size := headSize + len(m.Subject) + len(m.Header) + len(m.Data) + sumSize
	if len(m.Header) > 0 {
		size += 4
	}
	if w.file == nil || w.size+size > blockSize && w.size > 0 {
		if err := w.next(); err != nil {
			return err
		}
		w.number++
		f, err := os.OpenFile(w.stream.file(fmt.Sprintf("%d%s", w.number, blockExt)), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		w.file, w.out, w.size = f, bufio.NewWriter(f), 0
	}
	w.size += size
	le, length := binary.LittleEndian, uint32(size)
	if len(m.Header) > 0 {
		length |= hasHeader
	}
	b := le.AppendUint32(w.buf[:0], length)
	b = le.AppendUint64(b, seq)
	b = le.AppendUint64(b, uint64(m.Nanos))
	b = le.AppendUint16(b, uint16(len(m.Subject)))
	b = append(b, m.Subject...)
	h := hasher(fmt.Sprintf("%s-%d", w.stream.Name, w.number))
	_, _ = h.Write(b[4:20])
	_, _ = h.Write([]byte(m.Subject))
	if len(m.Header) > 0 {
		b = le.AppendUint32(b, uint32(len(m.Header)))
	}
	b = append(append(b, m.Header...), m.Data...)
	_, _ = h.Write(m.Header)
	_, _ = h.Write(m.Data)
	w.buf = h.Sum(b)
	_, err := w.out.Write(w.buf)
	return err
}

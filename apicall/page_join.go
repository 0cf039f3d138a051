package apicall

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// lastPage makes the value of all parts, in order. What is small stands in the
// record; the rest is streamed to the object store, one part after another, so
// that memory does not grow with the list.
func (a *attempt) lastPage(ctx context.Context, wrong func(string, error) *unfit, part []byte, done *pageState) *unfit {
	g := a.props().paging
	a.out.Value, a.out.Large = nil, nil
	a.pages, a.items = done.Pages, done.Items
	lines := a.props().storeAs == "object" && g.format == "ndjson"
	list := joinPages(a.in.Parts(ctx), part, lines)
	defer list.stop()
	contentType := engine.TypeJSON
	if lines {
		contentType = "application/x-ndjson"
	}
	var err error
	if a.props().storeAs == "object" || done.Bytes > engine.MaxInlineValue {
		if a.out.Stored, err = a.in.Store(ctx, contentType, list); err == nil {
			a.out.Stored.Bytes = a.props().storeAs == "object"
		}
	} else {
		a.out.Value, err = io.ReadAll(list)
	}
	if err != nil {
		return wrong(classStore, fmt.Errorf("join %d pages: %w", done.Pages, err))
	}
	return nil
}

// joinedPages reads lists, each of them JSON text, as one: as JSON, or an item per
// line.
type joinedPages struct {
	next  func() ([]byte, error, bool)
	stop  func()
	last  []byte
	lines bool
	buf   bytes.Buffer
	any   bool // an item was written
	state int  // 0: nothing was read, 1: within the parts, 2: the end is written
}

func joinPages(parts iter.Seq2[[]byte, error], last []byte, lines bool) *joinedPages {
	j := &joinedPages{last: last, lines: lines}
	j.next, j.stop = iter.Pull2(parts)
	return j
}

// Read implements io.Reader.
func (j *joinedPages) Read(p []byte) (int, error) {
	for j.buf.Len() == 0 {
		if j.state == 2 {
			return 0, io.EOF
		}
		if err := j.more(); err != nil {
			return 0, err
		}
	}
	return j.buf.Read(p)
}

// more writes the next part into the buffer.
func (j *joinedPages) more() error {
	if j.state == 0 {
		j.state = 1
		j.edge('[')
	}
	part, err, ok := j.next()
	if ok {
		if err == nil {
			err = j.add(part)
		}
		return err
	}
	j.state = 2
	err = j.add(j.last)
	j.edge(']')
	return err
}

func (j *joinedPages) edge(c byte) {
	if !j.lines {
		j.buf.WriteByte(c)
	}
}

// add writes the items of one list.
func (j *joinedPages) add(part []byte) error {
	part = bytes.TrimSpace(part)
	if len(part) <= 2 { // "" or []
		return nil
	}
	if !j.lines {
		if j.any {
			j.buf.WriteByte(',')
		}
		j.any = true
		j.buf.Write(part[1 : len(part)-1])
		return nil
	}
	v, err := value.ParseJSON(part)
	if err != nil {
		return err
	}
	items, _ := v.([]any)
	for _, item := range items {
		text, err := value.JSON(item)
		if err != nil {
			return err
		}
		j.buf.Write(text)
		j.buf.WriteByte('\n')
	}
	return nil
}

package metadata

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// Bounds of a query that somebody asks.
const (
	DefaultQueryLimit = 10_000 // rows
	MaxQueryLimit     = 1_000_000
	DefaultQueryTime  = 10 * time.Second
	MaxQueryTime      = 25 * time.Second // a request is answered within thirty

	maxSQL     = 64 << 10         // bytes of a statement
	partBytes  = 512 << 10        // of rows in one answer
	rowBytes   = 900 << 10        // of one row: an answer is one message
	openAnswer = 10 * time.Second // an answer whose next part nobody fetches is closed
	maxQueries = 8                // that run or are being fetched
	maxAnswers = 4                // of those, that wait for somebody to fetch more
)

// Question is a query and its bounds, or the wish for the next part of an
// answer: the payload of the endpoint query.
type Question struct {
	SQL     string  `json:"sql,omitempty"`
	Limit   int     `json:"limit,omitempty"`   // rows; default 10,000, at most 1,000,000
	Timeout float64 `json:"timeout,omitempty"` // seconds for all parts together; default 10, at most 25
	Next    string  `json:"next,omitempty"`    // of the part before; alone
}

// Answer is rows, or a part of them. A value is null, true, false, a number or
// a text; a column of JSON holds JSON.
type Answer struct {
	Columns   []string            `json:"columns"`
	Rows      [][]json.RawMessage `json:"rows"`
	Next      string              `json:"next,omitempty"`   // there is another part: ask for it within ten seconds
	More      bool                `json:"more,omitempty"`   // rows were left out: the limit is reached
	Behind    uint64              `json:"behind,omitempty"` // ledger entries that the tables did not show yet
	ElapsedMS float64             `json:"elapsed_ms"`
}

// answer is rows as the database gives them, one after another.
type answer interface {
	columns() []string
	// next is the next row, io.EOF after the last. A value is nil, bool, int64,
	// float64, string or json.RawMessage.
	next() ([]any, error)
	close()
}

// cursors are the answers that are being fetched.
type cursors struct {
	tables *Tables
	places chan struct{}
	mu     sync.Mutex
	open   map[string]*cursor
	closed bool
}

// cursor is an answer of which rows are left.
type cursor struct {
	answer
	left    int // rows that may still be given
	ahead   []json.RawMessage
	began   time.Time
	cancel  context.CancelFunc
	leave   func() // gives its place back
	expires *time.Timer
}

func newCursors(t *Tables) *cursors {
	return &cursors{tables: t, open: map[string]*cursor{}, places: make(chan struct{}, maxQueries)}
}

// Query runs a SELECT that somebody wrote, read-only, or gives the next part of
// an answer. ErrInvalid: the statement is wrong, not allowed, or took too long;
// its text says which. ErrUnavailable: the database cannot be asked now, or too
// many ask.
func (t *Tables) Query(ctx context.Context, q Question) (*Answer, error) {
	if q.Next != "" {
		c, err := t.queries.take(q.Next)
		if err != nil {
			return nil, err
		}
		return t.queries.part(ctx, c)
	}
	if err := q.check(); err != nil {
		return nil, err
	}
	limit := q.Limit
	if limit == 0 {
		limit = DefaultQueryLimit
	}
	within := DefaultQueryTime
	if q.Timeout > 0 {
		within = time.Duration(q.Timeout * float64(time.Second))
	}
	select {
	case t.queries.places <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %d queries are running already", engine.ErrUnavailable, maxQueries)
	}
	// The rows outlive the request that asked for the first of them.
	running, cancel := context.WithTimeout(context.WithoutCancel(ctx), within)
	c := &cursor{left: limit, began: time.Now(), cancel: cancel, leave: func() { <-t.queries.places }}
	stop := context.AfterFunc(ctx, cancel)
	defer stop()
	var err error
	if c.answer, err = t.db.ask(running, q.SQL); err != nil {
		err = t.asked(running, err, within)
		cancel()
		c.leave()
		return nil, err
	}
	return t.queries.part(ctx, c)
}

func (q *Question) check() error {
	switch {
	case len(q.SQL) > maxSQL:
		return fmt.Errorf("%w: a query of %d bytes is longer than %d", engine.ErrInvalid, len(q.SQL), maxSQL)
	case q.Limit < 0 || q.Limit > MaxQueryLimit:
		return fmt.Errorf("%w: limit is %d, want 1 to %d rows", engine.ErrInvalid, q.Limit, MaxQueryLimit)
	case !(q.Timeout >= 0 && q.Timeout <= MaxQueryTime.Seconds()):
		return fmt.Errorf("%w: timeout is %v seconds, want at most %v", engine.ErrInvalid, q.Timeout, MaxQueryTime.Seconds())
	}
	return oneStatement(q.SQL)
}

// asked puts an error of a query into words.
func (t *Tables) asked(running context.Context, err error, within time.Duration) error {
	switch {
	case errors.Is(err, engine.ErrInvalid), errors.Is(err, engine.ErrDenied):
		return err
	case errors.Is(running.Err(), context.DeadlineExceeded):
		return fmt.Errorf("%w: the query took longer than %v and was stopped; ask for less, or give it more time", engine.ErrInvalid, within)
	case running.Err() != nil:
		return running.Err()
	}
	return t.unavailable(err)
}

// part fetches rows up to an answer's size, and keeps the cursor where some are
// left.
func (cs *cursors) part(ctx context.Context, c *cursor) (*Answer, error) {
	stop := context.AfterFunc(ctx, c.cancel)
	defer stop()
	out := &Answer{Columns: c.columns(), Rows: [][]json.RawMessage{}}
	size, more, err := 0, true, error(nil)
	for size < partBytes && more && err == nil {
		row := c.ahead
		if c.ahead = nil; row == nil {
			row, more, err = c.row()
		}
		if row == nil {
			break
		}
		for _, v := range row {
			size += len(v) + 1
		}
		if size > partBytes && len(out.Rows) > 0 {
			c.ahead = row
			break
		}
		if c.left--; c.left < 0 {
			out.More, more = true, false
			break
		}
		out.Rows = append(out.Rows, row)
	}
	out.ElapsedMS = float64(time.Since(c.began).Microseconds()) / 1000
	if err != nil {
		c.end()
		return nil, err
	}
	if !more {
		c.end()
		return out, nil
	}
	out.Next, err = cs.keep(c)
	return out, err
}

// row reads and encodes one row; more is false after the last.
func (c *cursor) row() (row []json.RawMessage, more bool, err error) {
	values, err := c.next()
	if errors.Is(err, io.EOF) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	row = make([]json.RawMessage, len(values))
	size := 0
	for i, v := range values {
		row[i] = encodeValue(v)
		size += len(row[i])
	}
	if size > rowBytes {
		return nil, false, fmt.Errorf("%w: a row of %d bytes is more than an answer holds: select less of it", engine.ErrInvalid, size)
	}
	return row, true, nil
}

func (c *cursor) end() {
	c.close()
	c.cancel()
	c.leave()
}

// keep stores a cursor until its next part is asked for.
func (cs *cursors) keep(c *cursor) (token string, err error) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.closed || len(cs.open) >= maxAnswers {
		c.end()
		return "", fmt.Errorf("%w: %d long answers are being fetched already; ask for fewer rows, or again in a while", engine.ErrUnavailable, maxAnswers)
	}
	token = rand.Text()
	cs.open[token] = c
	c.expires = time.AfterFunc(openAnswer, func() {
		if c, err := cs.take(token); err == nil {
			c.end()
		}
	})
	return token, nil
}

func (cs *cursors) take(token string) (*cursor, error) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c := cs.open[token]
	if c == nil {
		return nil, fmt.Errorf("%w: the answer is over, or its next part was not asked for within %v", engine.ErrNotFound, openAnswer)
	}
	delete(cs.open, token)
	c.expires.Stop()
	return c, nil
}

func (cs *cursors) close() {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.closed = true
	for token, c := range cs.open {
		c.expires.Stop()
		c.end()
		delete(cs.open, token)
	}
}

// encodeValue is a value as JSON. What JSON has no number for is a text.
func encodeValue(v any) json.RawMessage {
	switch v := v.(type) {
	case nil:
		return json.RawMessage("null")
	case json.RawMessage:
		if json.Valid(v) {
			return v
		}
		return value.AppendString(nil, string(v))
	case string:
		return value.AppendString(nil, v)
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return value.AppendString(nil, fmt.Sprint(v))
		}
	}
	out, err := json.Marshal(v)
	if err != nil {
		return value.AppendString(nil, fmt.Sprint(v))
	}
	return out
}

// oneStatement refuses what is none, or more than one.
func oneStatement(sql string) error {
	rest, found := skipBlank(sql), false
	for len(rest) > 0 {
		if rest[0] == ';' {
			if rest = skipBlank(rest[1:]); found && rest != "" && rest[0] != ';' {
				return fmt.Errorf("%w: one statement at a time: %.40q follows the first", engine.ErrInvalid, rest)
			}
			continue
		}
		found = true
		rest = skipBlank(rest[token(rest):])
	}
	if !found {
		return fmt.Errorf("%w: there is no SQL in the query", engine.ErrInvalid)
	}
	return nil
}

// skipBlank leaves out blanks and comments.
func skipBlank(s string) string {
	for {
		n := len(s)
		for s != "" && (s[0] == ' ' || s[0] == '\t' || s[0] == '\n' || s[0] == '\r' || s[0] == '\f' || s[0] == '\v') {
			s = s[1:]
		}
		if len(s) > 1 && s[:2] == "--" {
			s = after(s, "\n")
		} else if len(s) > 1 && s[:2] == "/*" {
			s = after(s[2:], "*/")
		}
		if len(s) == n {
			return s
		}
	}
}

func after(s, end string) string {
	for i := 0; i+len(end) <= len(s); i++ {
		if s[i:i+len(end)] == end {
			return s[i+len(end):]
		}
	}
	return ""
}

// token is the length of a quoted text or name, or 1.
func token(s string) int {
	end := s[0]
	switch end {
	case '\'', '"', '`':
	case '[':
		end = ']'
	default:
		return 1
	}
	for i := 1; i < len(s); i++ {
		if s[i] == end {
			return i + 1 // a doubled quote starts another that follows at once
		}
	}
	return len(s)
}

package transform

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/qarion/qarion/internal/failpoint"
	"github.com/qarion/qarion/transform/sqltext"
)

// postgresTx is one transaction.
type postgresTx struct {
	ctx    context.Context
	pg     *pgconn.PgConn
	db     *postgresDB
	broken bool // the connection must not be used again: a request to cancel may still be on its way to it, too
	begun  bool // the transaction is open
}

func (t *postgresTx) run(j *job) (out *outcome, f *failure) {
	out = &outcome{}
	writes := j.writes()
	if writes || len(j.statements) > 1 {
		if err := script(t.ctx, t.pg, t.begin()); err != nil {
			t.broken = true
			return nil, t.db.failure(err)
		}
		t.begun = true
	}
	out, f = t.work(j)
	if !writes && len(j.statements) == 1 {
		t.broken = t.broken || t.pg.IsClosed() || t.ctx.Err() != nil
		return out, f
	}
	if f != nil {
		t.rollback()
		return out, f
	}
	failpoint.Here("sql.executed")
	if out.repeated {
		t.rollback()
		return out, nil
	}
	if f := t.commit(); f != nil {
		return out, f
	}
	failpoint.Here("sql.committed")
	return out, nil
}

// begin opens the transaction. The server ends a statement too that nobody
// waits for any more.
func (t *postgresTx) begin() string {
	sql := "BEGIN"
	if end, ok := t.ctx.Deadline(); ok {
		sql += fmt.Sprintf("; SET LOCAL statement_timeout = %d; SET LOCAL idle_in_transaction_session_timeout = %[1]d", max(1, time.Until(end).Milliseconds()+1000))
	}
	return sql
}

// commit ends the transaction well. It is not cut off: a commit whose answer
// nobody waits for is one of which nobody knows.
func (t *postgresTx) commit() *failure {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), commitWithin)
	defer cancel()
	results, err := t.pg.Exec(ctx, "COMMIT").ReadAll()
	if err == nil {
		if len(results) > 0 && results[0].CommandTag.String() == "ROLLBACK" {
			return failed(classSQL, "the server has rolled the transaction back")
		}
		return nil
	}
	t.broken = true
	f := t.db.failure(err)
	var server *pgconn.PgError
	if !errors.As(err, &server) || server.Code == "57P01" || server.Code == "57P02" {
		f.class, f.unknown = classClosed, true
		f.message = "the connection ended while the transaction was committed: whether it was is not known"
	}
	return f
}

func (t *postgresTx) rollback() {
	if t.pg.IsClosed() || t.broken {
		t.broken = true
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), time.Second)
	defer cancel()
	t.broken = script(ctx, t.pg, "ROLLBACK") != nil || t.ctx.Err() != nil
}

// work runs the statements, unless the mark says that they have been run. The
// mark is claimed first: of two attempts at the same time one waits for the
// other.
func (t *postgresTx) work(j *job) (*outcome, *failure) {
	out := &outcome{}
	if j.mark != nil {
		written, expires := j.mark.times()
		r, err := ask(t.ctx, t.pg, t.db.ofMarks(claimMark), j.mark.key, string(j.mark.run), string(j.mark.flow), string(j.mark.task), written, expires)
		if err != nil {
			var server *pgconn.PgError
			if errors.As(err, &server) && server.Code == "42P01" { // somebody has dropped it
				t.db.mu.Lock()
				t.db.marks = ""
				t.db.mu.Unlock()
			}
			return out, t.db.failure(err)
		}
		if r.CommandTag.RowsAffected() == 0 {
			return t.marked(j)
		}
		failpoint.Here("sql.begun")
	}
	affected := int64(0)
	for i := range j.statements {
		began := time.Now()
		st := &j.statements[i]
		rows, changed, err := t.statement(st, j.args[i], &j.result, i == len(j.statements)-1)
		if err != nil {
			f := t.db.failure(err)
			f.at = i + 1
			if f.offset >= 0 {
				f.offset = characters(st.Query, f.offset)
			}
			f.locate(st)
			return out, f
		}
		affected += changed
		out.note(st, rows, began)
	}
	var err error
	if out.value, err = j.result.value(affected); err == nil && j.mark != nil {
		var v any
		if out.value != nil {
			v = string(out.value)
		}
		_, err = ask(t.ctx, t.pg, t.db.ofMarks(fillMark), v, out.rows, j.mark.key)
	}
	if err != nil {
		f := t.db.failure(err)
		f.at = len(j.statements)
		return out, f
	}
	return out, nil
}

func (t *postgresTx) marked(j *job) (*outcome, *failure) {
	r, err := ask(t.ctx, t.pg, t.db.ofMarks(findMark), j.mark.key)
	if err != nil {
		return nil, t.db.failure(err)
	}
	out := &outcome{repeated: true}
	if len(r.Rows) == 1 {
		out.value = r.Rows[0][0]
		out.rows, _ = strconv.ParseInt(string(r.Rows[0][1]), 10, 64)
	}
	return out, nil
}

// statement runs one. rows is what it read or changed, changed what it changed.
func (t *postgresTx) statement(st *sqltext.Statement, args []any, into *collector, last bool) (rows, changed int64, err error) {
	r := t.pg.ExecParams(t.ctx, st.Query, texts(args), nil, nil, nil)
	c := into
	if !last {
		c = &collector{mode: resultNone}
	}
	fields := r.FieldDescriptions()
	var wrong error
	if len(fields) > 0 {
		names := make([]string, len(fields))
		for i := range fields {
			names[i] = fields[i].Name
		}
		wrong = c.columns(names)
	}
	for wrong == nil && r.NextRow() {
		cells := r.Values()
		wrong = c.row(func(dst []byte, i int) ([]byte, error) { return appendText(dst, cells[i], fields[i].DataTypeOID) })
	}
	if wrong != nil {
		t.broken = true // what the server still has to say is not waited for
		_ = t.pg.Conn().SetDeadline(time.Now())
		_, _ = r.Close()
		return 0, 0, wrong
	}
	tag, err := r.Close()
	if err != nil {
		return 0, 0, err
	}
	if tag.Insert() || tag.Update() || tag.Delete() || strings.HasPrefix(tag.String(), "MERGE") {
		changed = tag.RowsAffected()
	}
	return tag.RowsAffected(), changed, nil
}

// texts are values as the server reads them.
func texts(args []any) [][]byte {
	out := make([][]byte, len(args))
	for i, v := range args {
		switch v := v.(type) {
		case nil:
		case string:
			out[i] = []byte(v)
		case []byte:
			out[i] = fmt.Appendf(nil, `\x%x`, v)
		case bool:
			out[i] = strconv.AppendBool(nil, v)
		case int64:
			out[i] = strconv.AppendInt(nil, v, 10)
		case float64:
			out[i] = strconv.AppendFloat(nil, v, 'g', -1, 64)
		}
	}
	return out
}

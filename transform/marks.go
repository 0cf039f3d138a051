package transform

import (
	"time"

	"github.com/qarion/qarion/engine"
)

// marksTable holds a row for each task whose transaction has been committed:
// what it left, so that an attempt after a crash need not execute it again. The
// row is written in that transaction.
const marksTable = `CREATE TABLE IF NOT EXISTS qarion_task_marks (
	run_key    TEXT NOT NULL PRIMARY KEY,
	run_id     TEXT NOT NULL,
	flow_id    TEXT NOT NULL,
	task_id    TEXT NOT NULL,
	value      TEXT,
	row_count  BIGINT NOT NULL,
	written_at TEXT NOT NULL,
	expires_at TEXT NOT NULL
)`

// Statements on it, with ? for their parameters.
const (
	findMark   = "SELECT value, row_count FROM qarion_task_marks WHERE run_key = ?"
	claimMark  = "INSERT INTO qarion_task_marks (run_key, run_id, flow_id, task_id, row_count, written_at, expires_at) VALUES (?, ?, ?, ?, 0, ?, ?) ON CONFLICT (run_key) DO NOTHING"
	fillMark   = "UPDATE qarion_task_marks SET value = ?, row_count = ? WHERE run_key = ?"
	writeMark  = "INSERT INTO qarion_task_marks (run_key, run_id, flow_id, task_id, value, row_count, written_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
	expireMark = "DELETE FROM qarion_task_marks WHERE expires_at < ?"
)

// KeepMarks is how long marks are kept, at least: as long as the task's run may
// be open and this long after it.
const KeepMarks = 30 * 24 * time.Hour

// expireEvery is how often a node looks for marks that are past their time.
const expireEvery = time.Hour

// mark is the row of one task.
type mark struct {
	key           string
	run           engine.RunID
	flow          engine.FlowID
	task          engine.TaskID
	written, ends time.Time
}

func (m *mark) times() (written, expires string) {
	return engine.FormatTime(m.written), engine.FormatTime(m.ends)
}

// mark is the task's mark; nil where it needs none.
func (p *program) mark(in *engine.TaskInput, writes bool) *mark {
	if !p.props.once || !writes {
		return nil
	}
	now := p.t.cfg.Now()
	return &mark{
		key: (&vars{TaskInput: in}).runKey(), run: in.Key.Run, flow: in.Flow.ID, task: in.Key.Task,
		written: now, ends: now.Add(KeepMarks + in.Flow.Timeout),
	}
}

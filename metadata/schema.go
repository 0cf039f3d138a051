package metadata

import (
	"fmt"
	"strings"

	"github.com/qarion/qarion/engine"
)

// The tables.
const (
	tableFlows = "xt_flow_executions"
	tableTasks = "xt_task_executions"
	tableOps   = "xt_operation_logs"
)

// migrations are the steps from an empty database to the one that this program
// writes, the same for both kinds; the number of steps done is the schema's
// version. A step that was released never changes. Words that start with $ are
// the dialect's.
//
// The indexes serve the lists: an operation is found by flow and time, and what
// else it may be chosen by stands in the index too, so that a task or status of
// which there is little is looked for in the index alone. The last four
// characters of a run's id are what people type of it.
var migrations = []string{`
CREATE TABLE xt_flow_executions (
	execution_id   $ID NOT NULL PRIMARY KEY,
	flow_id        $ID NOT NULL,
	flow_version   TEXT NOT NULL,
	batch_id       BIGINT NOT NULL,
	execution_date $TIME NOT NULL,
	trigger_type   TEXT NOT NULL,
	trigger_id     TEXT,
	start_time     $TIME NOT NULL,
	end_time       $TIME,
	status         $ID NOT NULL,
	success        BOOLEAN,
	rows_loaded    BIGINT,
	rows_processed BIGINT,
	error_message  TEXT,
	variables      $JSON
)$CLUSTERED;
CREATE INDEX xt_flow_executions_flow ON xt_flow_executions (flow_id, execution_id);
CREATE INDEX xt_flow_executions_status ON xt_flow_executions (status, execution_id) WHERE status <> 'success';

CREATE TABLE xt_task_executions (
	execution_id  $ID NOT NULL,
	flow_id       $ID NOT NULL,
	task_id       $ID NOT NULL,
	item_index    BIGINT NOT NULL,
	batch_id      BIGINT NOT NULL,
	status        $ID NOT NULL,
	success       BOOLEAN,
	attempts      BIGINT NOT NULL,
	start_time    $TIME,
	end_time      $TIME,
	duration_ms   DOUBLE PRECISION,
	error_message TEXT,
	PRIMARY KEY (execution_id, task_id, item_index)
)$CLUSTERED;

CREATE TABLE xt_operation_logs (
	ledger_pos        $POSITION NOT NULL PRIMARY KEY,
	operation_id      $ID NOT NULL,
	operation_type    TEXT NOT NULL,
	operation_subtype TEXT,
	execution_id      $ID NOT NULL,
	flow_id           $ID NOT NULL,
	task_id           $ID NOT NULL,
	item_index        BIGINT NOT NULL,
	attempt           BIGINT NOT NULL,
	batch_id          BIGINT NOT NULL,
	status            $ID NOT NULL,
	success           BOOLEAN NOT NULL,
	superseded        BOOLEAN NOT NULL,
	start_time        $TIME NOT NULL,
	end_time          $TIME NOT NULL,
	duration_ms       DOUBLE PRECISION NOT NULL,
	error_message     TEXT,
	operation_details $JSON NOT NULL,
	worker            TEXT NOT NULL
);
CREATE INDEX xt_operation_logs_flow ON xt_operation_logs (flow_id, start_time);
CREATE INDEX xt_operation_logs_run ON xt_operation_logs (execution_id);
CREATE INDEX xt_operation_logs_start ON xt_operation_logs (start_time);
CREATE INDEX xt_operation_logs_failed ON xt_operation_logs (flow_id, start_time) WHERE NOT success;
`, `
DROP INDEX xt_flow_executions_flow;
DROP INDEX xt_operation_logs_flow;
DROP INDEX xt_operation_logs_start;
DROP INDEX xt_operation_logs_failed;
CREATE INDEX xt_flow_executions_flow ON xt_flow_executions (flow_id, execution_id, status);
CREATE INDEX xt_flow_executions_ending ON xt_flow_executions ((substr(execution_id, 23)));
CREATE INDEX xt_operation_logs_flow ON xt_operation_logs (flow_id, start_time, ledger_pos, task_id, status);
CREATE INDEX xt_operation_logs_start ON xt_operation_logs (start_time, ledger_pos, task_id, status);
CREATE INDEX xt_operation_logs_failed ON xt_operation_logs (flow_id, start_time, ledger_pos, task_id, status) WHERE NOT success;
CREATE INDEX xt_operation_logs_any_failed ON xt_operation_logs (start_time, ledger_pos, task_id, status) WHERE NOT success;
`}

// metaTable holds one row: how far the tables are, of which ledger.
const metaTable = `CREATE TABLE IF NOT EXISTS qarion_metadata (
	id           BIGINT NOT NULL PRIMARY KEY,
	schema       BIGINT NOT NULL,
	installation TEXT NOT NULL,
	seq          BIGINT NOT NULL,
	n            BIGINT NOT NULL
)`

// The columns that are written, in the order of the rows that batch makes.
const (
	flowColumns = "execution_id, flow_id, flow_version, batch_id, execution_date, trigger_type, trigger_id, start_time, end_time, status, success, error_message, variables, rows_processed"
	taskColumns = "execution_id, flow_id, task_id, item_index, batch_id, status, success, attempts, start_time, end_time, duration_ms, error_message"
	opColumns   = "ledger_pos, operation_id, operation_type, operation_subtype, execution_id, flow_id, task_id, item_index, attempt, batch_id, status, success, superseded, start_time, end_time, duration_ms, error_message, operation_details, worker"
)

// flowConflict makes a run's row say what the newest document says.
const flowConflict = ` ON CONFLICT (execution_id) DO UPDATE SET batch_id = excluded.batch_id, execution_date = excluded.execution_date,
	start_time = excluded.start_time, end_time = excluded.end_time, status = excluded.status, success = excluded.success,
	error_message = excluded.error_message, variables = excluded.variables, rows_processed = excluded.rows_processed`

// taskConflict adds what happened to a task since its row was written.
const taskConflict = ` ON CONFLICT (execution_id, task_id, item_index) DO UPDATE SET batch_id = excluded.batch_id,
	status = excluded.status, success = excluded.success, attempts = xt_task_executions.attempts + excluded.attempts,
	start_time = COALESCE(xt_task_executions.start_time, excluded.start_time),
	end_time = COALESCE(excluded.end_time, xt_task_executions.end_time),
	duration_ms = COALESCE(excluded.duration_ms, xt_task_executions.duration_ms),
	error_message = excluded.error_message`

// opConflict: a place in the ledger has one row.
const opConflict = " ON CONFLICT (ledger_pos) DO NOTHING"

// dialect is what the kinds of database write differently.
type dialect map[string]string

func (d dialect) sql(text string) string {
	var pairs []string
	for word, is := range d {
		pairs = append(pairs, word, is)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// pending are the steps that a database of a schema version still needs; an
// upgrade is to be made of one that is older, and not new.
func pending(version int64, upgrade bool) ([]string, error) {
	switch {
	case version > 0 && version < int64(len(migrations)) && !upgrade:
		return nil, ErrOlder
	case version > int64(len(migrations)):
		return nil, fmt.Errorf("%w: the tables were made by a newer qarion: schema %d, this one knows %d", engine.ErrConflict, version, len(migrations))
	}
	return migrations[max(0, version):], nil
}

// posBits is how much of a ledger_pos tells changes of one ledger entry apart.
const posBits = 24

// ledgerPos is a place in the ledger as one number.
func ledgerPos(p engine.Pos) int64 { return int64(p.Seq)<<posBits | int64(p.N)&(1<<posBits-1) }

// errForeign says that the tables follow another ledger.
func errForeign(theirs, ours string) error {
	return fmt.Errorf("%w: the tables belong to installation %s, this is %s: give it a database or schema of its own", engine.ErrConflict, theirs, ours)
}

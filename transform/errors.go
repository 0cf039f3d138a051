package transform

import (
	"regexp"
	"slices"

	"github.com/qarion/qarion/transform/sqltext"
)

// Classes of failure, as operation_details name them; see Classes.
const (
	classTemplate   = "template"
	classParameter  = "parameter"
	classCredential = "credential"
	classConnect    = "connect"
	classLocked     = "locked"
	classClosed     = "closed"
	classTimeout    = "timeout"
	classCancelled  = "cancelled"
	classSQL        = "sql"
	classConstraint = "constraint"
	classConflict   = "conflict"
	classFull       = "full"
	classDamaged    = "damaged"
	classTooLarge   = "too_large"
	classResult     = "result"
	classLedger     = "ledger"
)

// Class is a row of the table of failure classes.
type Class struct {
	Name    string
	Retried bool // while attempts are left
	Doc     string
}

var classes = []Class{
	{classTemplate, false, "nothing was run: a template, or the SQL that it gave, cannot be used"},
	{classParameter, false, "nothing was run: a parameter has no value, or one that cannot be bound"},
	{classCredential, false, "nothing was run: the credential is missing or does not fit, or the server refuses it"},
	{classLedger, false, "nothing was run: the ledger did not take the note that it would be"},
	{classConnect, true, "nothing was run: the database is not there"},
	{classLocked, true, "nothing has changed: others hold a lock for too long"},
	{classClosed, true, "the connection ended; nothing has changed, unless the message says that it is not known"},
	{classTimeout, true, "not done within timeout; nothing has changed"},
	{classConflict, true, "nothing has changed: a deadlock, or another transaction came first"},
	{classFull, true, "nothing has changed: the disk, or what the database may use of it, is full"},
	{classDamaged, false, "nothing has changed: the file is damaged, or is no database"},
	{classSQL, false, "the database refuses a statement; nothing has changed"},
	{classConstraint, false, "a statement breaks a constraint; nothing has changed"},
	{classTooLarge, false, "the result has more rows than max_rows, or more bytes than max_bytes; nothing has changed"},
	{classResult, false, "the result is not what result says; nothing has changed"},
	{classCancelled, false, "the run or the node ended it; nothing has changed"},
}

// Classes returns the failure classes, for documentation.
func Classes() []Class { return slices.Clone(classes) }

func retried(class string) bool {
	return slices.ContainsFunc(classes, func(c Class) bool { return c.Name == class && c.Retried })
}

// failure is why a job failed.
type failure struct {
	class   string
	message string
	at      int    // the statement, from 1; 0: none
	offset  int    // in its text, -1 where the database does not say
	code    string // of the database: what may be shown of a sensitive task
	unknown bool   // the transaction may have been committed
}

func failed(class, message string) *failure {
	return &failure{class: class, message: message, offset: -1}
}

// missing matches the name in a message that does not say where it stands.
var missing = regexp.MustCompile(`^no such [a-z ]+: (?:[A-Za-z_]+\.)?([^ ,]+)$`)

// locate turns the place in the query into one in the statement as written. Of
// a name that is not there the first place is taken.
func (f *failure) locate(st *sqltext.Statement) {
	if m := missing.FindStringSubmatch(f.message); m != nil && f.offset < 0 {
		if at := regexp.MustCompile(`(?i)(?:^|[^\w$])(` + regexp.QuoteMeta(m[1]) + `)(?:[^\w$]|$)`).FindStringSubmatchIndex(st.Query); at != nil {
			f.offset = at[2]
		}
	}
	if f.offset >= 0 {
		f.offset = st.Offset(f.offset)
	}
}

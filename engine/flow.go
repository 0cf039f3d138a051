package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/qarion/qarion/internal/value"
)

// Limits of a flow.
const (
	MaxTasks       = 10_000
	MaxFlowNesting = 32
	MaxFlowFile    = 4 << 20 // bytes of the file
)

// DefaultRunTimeout is how long a run may take when its flow does not say.
const DefaultRunTimeout = 86400 * time.Second

// DefaultFinallyTimeout is the same of on_failure and of finally.
const DefaultFinallyTimeout = 300 * time.Second

// The stages of a run. Each begins when the one before it has ended.
const (
	StageTasks     = iota // [[tasks]]
	StageOnFailure        // [[on_failure.tasks]]: when the run has failed
	StageFinally          // [[finally.tasks]]: always
	Stages
)

// StageName is a stage as it stands in a flow file.
func StageName(stage int) string {
	return [Stages]string{"tasks", "on_failure", "finally"}[min(max(stage, 0), Stages-1)]
}

// What happens to a run that starts while MaxActiveRuns others are open.
const (
	OverlapQueue  = "queue"  // it waits
	OverlapSkip   = "skip"   // it is rejected
	OverlapCancel = "cancel" // the oldest is cancelled
)

// Flow is the graph described in a file, as it stands in the ledger: after
// defaults were merged and the dependencies completed (see Compile). It is
// never changed once compiled.
type Flow struct {
	ID            FlowID        `json:"id"`
	Name          string        `json:"name,omitempty"`
	Description   string        `json:"description,omitempty"`
	Namespace     string        `json:"namespace,omitempty"`
	File          string        `json:"file,omitempty"`        // where it was read, for messages
	Variables     *value.Map    `json:"variables,omitempty"`   // with their defaults; of inputs too, but for required ones
	Input         *value.Map    `json:"input,omitempty"`       // name -> what a trigger's variable has to be
	Environment   string        `json:"environment,omitempty"` // that the flow was loaded for
	Values        *value.Map    `json:"values,omitempty"`      // what it has instead of defaults
	Reads         []string      `json:"reads,omitempty"`       // undeclared variables that templates read when they are given
	Origins       []string      `json:"origins,omitempty"`     // scheme, host and port that the file itself names, sorted
	Strict        bool          `json:"strict,omitempty"`      // a variable that is nearly a declared one is refused; false in flows of before there was the rule
	Timeout       time.Duration `json:"timeout"`               // of a whole run
	MaxActiveRuns int           `json:"max_active_runs,omitempty"`
	OnOverlap     string        `json:"on_overlap,omitempty"`
	Priority      string        `json:"priority,omitempty"` // low or high; "": normal
	Database      string        `json:"database,omitempty"` // of tasks that work on one and name none

	// FinallyTimeout is how long on_failure and finally may take, each.
	FinallyTimeout time.Duration `json:"finally_timeout,omitempty"`

	Triggers []TriggerSpec `json:"triggers,omitempty"`
	Tasks    []Task        `json:"tasks"`

	inputs []input // Input, read
}

// TriggerSpec is one [[triggers]] block of a flow file.
type TriggerSpec struct {
	ID          string     `json:"id"`
	Type        string     `json:"type"`
	Enabled     bool       `json:"enabled"`
	Description string     `json:"description,omitempty"`
	Settings    *value.Map `json:"settings,omitempty"` // the keys of its type
}

// Task is one node of a flow.
type Task struct {
	ID          TaskID     `json:"id"`
	Name        string     `json:"name,omitempty"`
	Description string     `json:"description,omitempty"`
	Type        string     `json:"type"`
	Line        int        `json:"line,omitempty"` // in Flow.File
	Properties  *value.Map `json:"properties,omitempty"`
	Config      *value.Map `json:"config,omitempty"`
	Database    string     `json:"database,omitempty"`
	Hooks       *value.Map `json:"hooks,omitempty"`     // modules by their place; pinned to their hashes when the flow is loaded
	Sensitive   bool       `json:"sensitive,omitempty"` // what it leaves is sealed, and shown nowhere

	Stage           int    `json:"stage,omitempty"`             // StageTasks, StageOnFailure, StageFinally
	When            string `json:"when,omitempty"`              // exactly one {{ ... }}: the task is skipped where it is false
	TriggerRule     string `json:"trigger_rule,omitempty"`      // "" for all_success
	ContinueOnError bool   `json:"continue_on_error,omitempty"` // that it fails is no failure of the run, and a success for its dependants

	// Dependencies as written in the file; Compile replaces them by the union
	// with the tasks whose values this one reads.
	Dependencies []TaskID `json:"dependencies,omitempty"`

	// The rest is filled by Compile from what the task type says, so that the
	// fold can plan without knowing any task type.
	Pulls           []TaskID          `json:"pulls,omitempty"`     // tasks whose XCom value it reads
	Responses       []TaskID          `json:"responses,omitempty"` // tasks whose resp_ document it reads
	Secrets         []TaskID          `json:"secrets,omitempty"`   // those of them that are sensitive
	Files           map[string]string `json:"files,omitempty"`     // texts of the files that it names, by name
	Subtype         string            `json:"subtype,omitempty"`   // operation subtype, such as "get"
	Target          string            `json:"target,omitempty"`    // what it talks to, where no property says it
	Unrepeatable    bool              `json:"unrepeatable,omitempty"`
	RepeatableTurns bool              `json:"repeatable_turns,omitempty"` // of an unrepeatable task: only its first turn is
	OnInterrupted   string            `json:"on_interrupted,omitempty"`
	ForEach         string            `json:"for_each,omitempty"`        // exactly one {{ ... }}: the task is done once for each item of it
	MaxParallel     int               `json:"max_parallel,omitempty"`    // items at once; 0 for DefaultMaxParallel
	OnItemFailure   string            `json:"on_item_failure,omitempty"` // "" for ItemsFinish
	Tolerate        int               `json:"tolerate,omitempty"`        // so many items may fail
	TolerateShare   float64           `json:"tolerate_share,omitempty"`  // instead: so many of a hundred
	Batch           int               `json:"batch,omitempty"`           // so many of the list make one item; 0: each is one

	Jar         string   `json:"jar,omitempty"`          // name of the run's cookie jar that it uses
	MaxAttempts int      `json:"max_attempts,omitempty"` // first try included
	Chooses     bool     `json:"chooses,omitempty"`      // which of those that depend on it follow
	Approvers   []string `json:"approvers,omitempty"`    // who may decide about it; none: whoever may at all
	ReadsRun    bool     `json:"reads_run,omitempty"`    // how the run stands; only past StageTasks
	Answers     bool     `json:"-"`                      // some task reads its resp_ document
}

// TalksTo is what the task talks to, for people: a URL as it is written, or a
// database.
func (t *Task) TalksTo() string {
	if url, ok := t.Properties.Get("url"); ok && t.Target == "" {
		return fmt.Sprint(url)
	}
	return t.Target
}

// TypeFlow is the type of tasks that are runs of other flows.
const TypeFlow = "flow"

// Opens is the flow that the task is a run of; "" for tasks of other types.
func (t *Task) Opens() FlowID {
	if t.Type != TypeFlow {
		return ""
	}
	v, _ := t.Properties.Get("flow")
	id, _ := v.(string)
	return FlowID(id)
}

// UnrepeatableIn reports whether a request of a turn must not be sent again by
// itself when its outcome is not known.
func (t *Task) UnrepeatableIn(turn int) bool {
	return t.Unrepeatable && !(turn > 0 && t.RepeatableTurns)
}

// TemplateName is the task's id as it stands in template names: xcom_<name>.
func (id TaskID) TemplateName() string { return strings.ReplaceAll(string(id), "-", "_") }

// Encode returns the flow's canonical JSON and its content hash (32 hex
// digits), which is the name of this flow version.
func (f *Flow) Encode() (definition []byte, hash string, err error) {
	definition, err = json.Marshal(f)
	if err != nil {
		return nil, "", fmt.Errorf("encode flow %s: %w", f.ID, err)
	}
	return definition, FlowHash(definition), nil
}

// FlowHash is the content hash of what Encode wrote.
func FlowHash(definition []byte) string {
	sum := sha256.Sum256(definition)
	return hex.EncodeToString(sum[:16])
}

// DecodeFlow reads what Encode wrote.
func DecodeFlow(definition []byte) (*Flow, error) {
	f := new(Flow)
	if err := json.Unmarshal(definition, f); err != nil {
		return nil, fmt.Errorf("decode flow: %w", err)
	}
	f.link()
	return f, nil
}

// link fills what is not written down: what each task knows of the others, and
// the inputs as they are checked.
func (f *Flow) link() {
	f.inputs = readInputs(f, func(Problem) {}) // Compile has refused what is wrong
	read := map[TaskID]bool{}
	for i := range f.Tasks {
		for _, id := range f.Tasks[i].Responses {
			read[id] = true
		}
	}
	for i := range f.Tasks {
		f.Tasks[i].Answers = read[f.Tasks[i].ID]
	}
}

// Task returns the task with the given id, or nil.
func (f *Flow) Task(id TaskID) *Task {
	for i := range f.Tasks {
		if f.Tasks[i].ID == id {
			return &f.Tasks[i]
		}
	}
	return nil
}

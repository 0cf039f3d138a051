package steps

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// DefaultApprovalTimeout is how long an approval is waited for.
const DefaultApprovalTimeout = 7 * 24 * time.Hour

// Unverified stands for who has decided where no login showed it.
const Unverified = "unverified"

// maxQuestion bounds the message of an approval, in bytes: it stands with the run.
const maxQuestion = 256

// NewApproval makes the type approval: the task waits until somebody approves or
// rejects it. now is the present, nil for the clock.
func NewApproval(now func() time.Time) *TaskType {
	if now == nil {
		now = time.Now
	}
	return &TaskType{
		name: "approval",
		properties: []Property{
			{"message", "string", "required", "what is asked, such as `\"pay {{ xcom_order.total }}?\"`"},
			{"approvers", "list", "", "who may decide, by the names of their logins; without it whoever may resolve tasks"},
			{"timeout", "duration", DefaultApprovalTimeout.String(), "the longest wait"},
			{"on_timeout", "string", "reject", "reject, or approve"},
		},
		words: map[string]string{"msg": "message", "text": "message", "question": "message", "prompt": "message", "users": "approvers", "assignees": "approvers",
			"approver": "approvers", "expires": "timeout", "duration": "timeout", "default": "on_timeout"},
		prepare: func(r *reader) attempt { return prepareApproval(r, now) },
	}
}

func prepareApproval(r *reader, now func() time.Time) attempt {
	if _, ok := r.get("message"); !ok {
		r.problem("", "missing", "approval: message is missing, such as message = \"pay {{ xcom_order.total }}?\"")
		return nil
	}
	message := r.text("message")
	r.needs.Approvers = r.names("approvers")
	r.insensitive("approval", "what comes with a decision")
	timeout := r.span("timeout", DefaultApprovalTimeout)
	onTimeout := r.word("on_timeout", "reject", "approve")
	r.needs.Target = "approval by " + cmp.Or(strings.Join(r.needs.Approvers, ", "), "anybody who may resolve tasks")
	return func(ctx context.Context, in *engine.TaskInput) (out engine.TaskOutput, err error) {
		if w := in.Wake(); w != nil {
			return decided(w, onTimeout == "approve", timeout)
		}
		got, err := message.Text(ctx, in)
		if err != nil {
			return out, err
		}
		if got.Origin.Secret() {
			return out, &stepError{"secret", "message: there is a secret in it, and many read it"}
		}
		text, _ := got.Value.(string)
		if len(text) > maxQuestion {
			text = strings.ToValidUTF8(text[:maxQuestion-len("... (cut)")], "") + "... (cut)"
		}
		out.Details.Note = text
		out.Next = &engine.Next{Carry: startOfWait(now()), After: timeout, Await: engine.AwaitApproval}
		return out, nil
	}
}

// names reads a list of texts without templates.
func (r *reader) names(key string) (names []string) {
	v, ok := r.get(key)
	if !ok {
		return nil
	}
	list, isList := v.([]any)
	for _, e := range list {
		s, isText := e.(string)
		if isList = isList && isText && s != "" && !strings.Contains(s, "{{"); !isList {
			break
		}
		names = append(names, s)
	}
	if !isList || len(names) == 0 {
		r.problem(key, "wrong-type", "%s: want a list of names such as [\"alice\", \"bob\"]", key)
	}
	return names
}

// decided is what an approval leaves: who has approved, or a failure.
func decided(w *engine.Wake, onTimeout bool, timeout time.Duration) (out engine.TaskOutput, err error) {
	by, comment, approved := cmp.Or(w.By, Unverified), w.Comment, w.As == "approve"
	if w.Cause == engine.WakeTime {
		by, comment, approved = "nobody", fmt.Sprintf("no decision within %s", timeout), onTimeout
	}
	if !approved {
		why := "rejected by " + by
		if comment != "" {
			why += ": " + comment
		}
		return out, &stepError{"rejected", why}
	}
	left := value.MapOf("approved", true, "by", by, "comment", comment, "time", engine.FormatTime(w.Time.Time()))
	if len(w.Value) > 0 {
		v, err := value.ParseJSON(w.Value)
		if err != nil {
			return out, err
		}
		left.Set("value", v)
	}
	out.Details.Note = "approved by " + by
	if comment != "" {
		out.Details.Note += ": " + comment
	}
	out.Value, err = value.JSON(left)
	return out, err
}

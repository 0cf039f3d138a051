package ui

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/qarion/qarion/engine"
)

// maxBulk bounds the runs that one action is for.
const maxBulk = 1000

// bulkRun is a run that was chosen, and what will become, or has become, of it.
type bulkRun struct {
	Doc     engine.RunDoc
	Says    string       // what follows, or has followed
	New     engine.RunID // that repeats it
	Command string       // that does the same
	Wrong   string       // why nothing does
}

// bulkPage says what an action on several runs would do, or has done.
type bulkPage struct {
	Action string // cancel, rerun
	From   string // of a rerun: failed, all
	Runs   []bulkRun
	Left   int  // for which there is something to do
	Done   bool // it was done
}

// bulkCancel ends the runs that were chosen, once a person has seen what that
// means: those that were shown, never what a filter finds by then.
func (s *Site) bulkCancel(v *Visit) (*reply, error) {
	return s.bulk(v, &bulkPage{Action: "cancel"}, func(r *bulkRun, sure bool) error {
		r.Command = "qarion runs cancel " + string(r.Doc.RunID)
		if r.Doc.Final {
			return fmt.Errorf("%w: it has ended", engine.ErrConflict)
		}
		if !sure {
			r.Says = "calls in flight are cut off, " + plural(r.Doc.Counts[engine.Pending]+r.Doc.Counts[engine.Ready], "task") + " will not begin"
			return nil
		}
		r.Says = "cancelled"
		return v.ask("run.cancel", fields("run_id", string(r.Doc.RunID), "reason", v.PostForm.Get("reason")), nil)
	})
}

// bulkRerun repeats the runs that were chosen.
func (s *Site) bulkRerun(v *Visit) (*reply, error) {
	p := &bulkPage{Action: "rerun", From: v.PostForm.Get("from")}
	if p.From != engine.RerunAll {
		p.From = engine.RerunFailed
	}
	return s.bulk(v, p, func(r *bulkRun, sure bool) error {
		r.Command = "qarion runs rerun " + string(r.Doc.RunID) + " --from " + p.From
		req := fields("run_id", string(r.Doc.RunID), "from", p.From)
		if !sure {
			req["dry_run"] = true
		}
		var does engine.Rerunning
		if err := v.ask("run.rerun", req, &does); err != nil {
			return err
		}
		r.Says = fmt.Sprintf("%s kept, %s done again", plural(does.Kept, "task"), plural(len(does.Tasks), "task"))
		if does.Run != nil {
			r.New = does.Run.RunID
		}
		return nil
	})
}

// bulk does something to each run that was chosen, or says what that would be. A
// run for which it cannot be done does not keep the others from it.
func (s *Site) bulk(v *Visit, p *bulkPage, do func(r *bulkRun, sure bool) error) (*reply, error) {
	chosen := slices.Compact(slices.Sorted(slices.Values(v.PostForm["run"])))
	slices.Reverse(chosen) // the newest first
	if len(chosen) == 0 || len(chosen) > maxBulk {
		return nil, fmt.Errorf("%w: %d runs are chosen, want 1 to %d", engine.ErrInvalid, len(chosen), maxBulk)
	}
	p.Done = v.PostForm.Get("sure") != ""
	for _, id := range chosen {
		r := bulkRun{Doc: engine.RunDoc{RunID: engine.RunID(id)}}
		err := v.ask("run.get", fields("run_id", id, "brief", true), &r.Doc)
		if err == nil {
			err = do(&r, p.Done)
		}
		if errors.Is(err, engine.ErrDenied) || v.Context().Err() != nil {
			return nil, err
		}
		if err != nil {
			r.Wrong, r.Says, r.Command = engine.ErrorLine(err), "", ""
		} else {
			p.Left++
		}
		p.Runs = append(p.Runs, r)
	}
	title := map[string]string{"cancel": "Cancel ", "rerun": "Run again "}[p.Action] + plural(len(chosen), "run")
	status := 0
	if p.Left == 0 {
		status = http.StatusConflict
	}
	return &reply{status: status, page: &page{name: "bulk", Title: title, Nav: "/runs", Data: p}}, nil
}

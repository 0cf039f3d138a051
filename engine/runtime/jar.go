package runtime

import (
	"context"
	"fmt"
	"strings"

	"github.com/qarion/qarion/engine"
)

// manyJars is how many records of a jar a worker may read before it writes what
// it has read into its own record, though nothing was set.
const manyJars = 8

// sealCookies puts what servers have set into the attempt's record: the whole jar
// for tasks with the same one, and the answer's own cookies for those that read
// resp_<task>. Both are sealed.
func (w *worker) sealCookies(ctx context.Context, rec *engine.AttemptRecord, out *engine.TaskOutput, in *engine.TaskInput) error {
	set := out.Cookies
	if set == nil && in.Task.Jar == "" {
		return nil
	}
	if set == nil {
		set = &engine.SetCookies{}
	}
	read := in.Jar()
	writes := in.Task.Jar != "" && (len(set.Jar) > 0 || len(read) > manyJars)
	if !writes && len(set.Values) == 0 {
		return nil
	}
	ctx = context.WithoutCancel(ctx) // the run may be ending; the record is written all the same
	if w.cfg.Sealer == nil {
		return errNoSealer
	}
	if err := w.cfg.Sealer.Ready(ctx); err != nil {
		return err
	}
	place := func(part string) string { return engine.SealPlace(rec.Run, rec.Task, rec.Item, part) }
	var err error
	if len(set.Values) > 0 && out.Err == nil {
		if rec.Cookies, err = w.cfg.Sealer.Seal(ctx, place(engine.PartCookies), set.Values); err != nil {
			return err
		}
	}
	if !writes {
		return nil
	}
	before, err := in.Cookies(ctx)
	if err != nil {
		return err
	}
	text, dropped := engine.JarText(before, set.Jar)
	if len(dropped) > 0 {
		names := cut(strings.Join(dropped, ", "), 200)
		if in.Task.Sensitive {
			names = fmt.Sprintf("%d cookies", len(dropped))
		}
		noteOf(out, fmt.Sprintf("the cookie jar %s is full, it lost: %s", in.Task.Jar, names))
	}
	if rec.Jar, err = w.cfg.Sealer.Seal(ctx, place(engine.PartJar), text); err != nil {
		return err
	}
	if len(read) > 0 {
		rec.JarRead = read[len(read)-1]
	}
	return nil
}

// noteOf adds to what was noticed about a call.
func noteOf(out *engine.TaskOutput, text string) {
	out.Details.Note = strings.TrimPrefix(out.Details.Note+"; "+text, "; ")
}

// Jar implements engine.ValueStore.
func (w *worker) Jar(ctx context.Context, at engine.Pos) ([]byte, error) {
	rec, err := w.cfg.Ledger.Read(ctx, at)
	if err != nil {
		return nil, err
	}
	attempt, ok := rec.(*engine.AttemptRecord)
	if !ok || len(attempt.Jar) == 0 {
		return nil, fmt.Errorf("%w: the record at %d.%d holds none", engine.ErrNotFound, at.Seq, at.N)
	}
	if w.cfg.Sealer == nil {
		return nil, errNoSealer
	}
	return w.cfg.Sealer.Unseal(ctx, engine.SealPlace(attempt.Run, attempt.Task, attempt.Item, engine.PartJar), attempt.Jar)
}

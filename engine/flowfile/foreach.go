package flowfile

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// itemKeys belong to for_each.
var itemKeys = []string{"max_parallel", "on_item_failure", "tolerate", "batch"}

// forEach reads for_each of a task, and what belongs to it.
func (f *file) forEach(t *table, task *engine.Task) {
	task.ForEach = f.text(t, "for_each", "")
	if t.vals["for_each"] == nil {
		for _, k := range itemKeys {
			if n := t.vals[k]; n != nil {
				f.add(n.key, Error{Key: k, Code: "unused", Width: len(k), Message: k + " belongs to for_each, which the task does not have"})
			}
		}
		return
	}
	if task.ForEach == "" && f.judges(t, "for_each") {
		f.add(t.vals["for_each"].place, Error{Key: "for_each", Code: "no-list", Message: "for_each is empty, want one {{ ... }}, such as \"{{ xcom_list }}\""})
	}
	task.MaxParallel, _ = f.whole(t, "max_parallel", 1, engine.MaxParallelItems)
	task.Batch, _ = f.whole(t, "batch", 1, engine.MaxItems)
	if word := f.text(t, "on_item_failure", ""); word != "" {
		if task.OnItemFailure = word; !slices.Contains(engine.ItemFailureWords, word) {
			f.add(t.vals["on_item_failure"].place, Error{Key: "on_item_failure", Code: "unknown-word", Suggestion: engine.Nearest(word, engine.ItemFailureWords),
				Message: fmt.Sprintf("on_item_failure is %s, want one of %s", value.Quoted(word), strings.Join(engine.ItemFailureWords, ", "))})
		}
	}
	f.tolerate(t, task)
}

// tolerate reads how many items may fail: a number, or a share such as "5%".
func (f *file) tolerate(t *table, task *engine.Task) {
	n := t.vals["tolerate"]
	if n == nil {
		return
	}
	if text, ok := n.scalar.(string); ok {
		share, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
		if err != nil || !strings.HasSuffix(text, "%") || !(share >= 0 && share <= 100) {
			f.add(n.place, Error{Key: "tolerate", Code: "out-of-range", Message: fmt.Sprintf("tolerate is %s, want a number of items, or a share such as \"5%%\"", value.Quoted(text))})
			return
		}
		task.TolerateShare = share
		return
	}
	task.Tolerate, _ = f.whole(t, "tolerate", 0, engine.MaxItems)
}

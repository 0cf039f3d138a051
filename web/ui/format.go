package ui

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/markup"
)

// shapes are the marks of states: a state is a word, a shape and a colour, so
// that none of them has to be seen.
var shapes = map[string]string{
	"success": "✓", "failed": "✕", "interrupted": "▲", "running": "◐", "ready": "◌", "pending": "◌", "waiting": "◌",
	"skipped": "‖", "cancelled": "‖", "retry": "↻", "again": "↻", "deferred": "◌", "open": "▲", "half_open": "◐", "closed": "✓",
	"error": "✕", "warning": "▲", "expired": "‖",
}

// funcs are the functions of the templates.
var funcs = markup.Funcs{
	"shape":        markup.Func1(func(status string) string { return shapes[status] }),
	"ms":           markup.Func1(milliseconds),
	"utc":          markup.Func1(utc),
	"rfc":          markup.Func1(engine.FormatTime),
	"bytes":        markup.Func1(byteCount),
	"pretty":       markup.Func1(pretty),
	"plural":       markup.Func2(plural),
	"short":        markup.Func1(func(version string) string { return version[:min(8, len(version))] }),
	"address":      markup.FuncN(func(args ...any) string { return address(fmt.Sprint(args[0]), args[1:]...) }),
	"list":         markup.FuncN(func(args ...any) []any { return args }),
	"first":        markup.Func1(func(text string) string { line, _, _ := strings.Cut(text, "\n"); return line }),
	"runs":         markup.Func2(func(list []*engine.RunDoc, choose bool) runTable { return runTable{list, choose} }),
	"braces":       markup.Func1(func(text string) string { return "{{ " + text + " }}" }),
	"table":        markup.Func2((*runPage).table),
	"row":          markup.Func2((*runPage).row),
	"view_link":    markup.Func2((*runPage).viewLink),
	"attempt_link": markup.Func2((*runPage).attemptLink),
	"cells":        markup.Func1(rows.cells),
	"talks_to":     markup.Func1(func(t engine.Task) string { return t.TalksTo() }),
	"items_ended":  markup.Func1(func(d *engine.ItemsDoc) int { return d.Success + d.Failed + d.Skipped }),
	"expiry":       markup.Func1(expiry),
	"expired":      markup.Func2(func(t engine.Token, now time.Time) bool { return t.Expired(now) }),
}

// milliseconds writes a duration as people say it.
func milliseconds(ms float64) string {
	d := time.Duration(ms * float64(time.Millisecond))
	switch {
	case d < 0:
		return ""
	case d < time.Millisecond:
		return fmt.Sprintf("%.1f ms", ms)
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm %02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh %02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd %02dh", int(d.Hours())/24, int(d.Hours())%24)
}

// utc writes a document's time for people; the page's script turns it into the
// time of the place.
func utc(text string) string {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return text
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

func byteCount(n any) string {
	var f float64
	switch v := n.(type) {
	case int64:
		f = float64(v)
	case uint64:
		f = float64(v)
	}
	for _, unit := range []string{"B", "KiB", "MiB", "GiB"} {
		if f < 1024 || unit == "GiB" {
			return strings.TrimSuffix(fmt.Sprintf("%.1f", f), ".0") + " " + unit
		}
		f /= 1024
	}
	return ""
}

// pretty lays out JSON; what is none stays as it is.
func pretty(v any) string {
	text, ok := v.(json.RawMessage)
	if !ok {
		var err error
		if text, err = json.Marshal(v); err != nil {
			return fmt.Sprint(v)
		}
	}
	var out bytes.Buffer
	if json.Indent(&out, text, "", "  ") != nil {
		return string(text)
	}
	return out.String()
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// address is a path with a query of pairs, without the empty ones.
func address(path string, pairs ...any) string {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if text := fmt.Sprint(pairs[i+1]); text != "" && text != "0" {
			q.Set(fmt.Sprint(pairs[i]), text)
		}
	}
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// elapsed is how long a run or task has taken, or has been going on.
func elapsed(start, end string, now time.Time) float64 {
	from, err := time.Parse(time.RFC3339, start)
	if err != nil {
		return 0
	}
	if until, err := time.Parse(time.RFC3339, end); err == nil {
		now = until
	}
	return float64(now.Sub(from)) / float64(time.Millisecond)
}

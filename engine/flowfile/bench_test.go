package flowfile_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/qarion/qarion/engine/flowfile"
)

// The shapes of file that once took time by the square of their size: each is
// a flow of n tasks, or of one task with n of something.
var shapes = []struct {
	name string
	good bool
	make func(n int) string
}{
	{"independent", true, func(n int) string { return manyTasks(n, func(int) string { return "" }, callURL) }},
	{"chained", true, func(n int) string { return manyTasks(n, before, callURL) }},
	{"reading the one before", true, func(n int) string {
		return manyTasks(n, func(int) string { return "" }, func(i int) string {
			if i == 0 {
				return callURL(i)
			}
			return fmt.Sprintf("http://api.example.com/items/{{ xcom_t%d.id }}", i-1)
		})
	}},
	{"all read by all resp", true, func(n int) string {
		return manyTasks(n, func(int) string { return "" }, func(i int) string {
			if i == 0 {
				return callURL(i)
			}
			return "http://api.example.com/items?s={{ resp_t0.status_code }}"
		})
	}},
	{"one reads all", true, func(n int) string {
		var b strings.Builder
		b.WriteString(manyTasks(n-1, func(int) string { return "" }, callURL))
		b.WriteString("[[tasks]]\nid = \"join\"\ntype = \"api_call\"\n[tasks.properties]\nurl = \"http://x.example/\"\noperation = \"post\"\nbody = [\n")
		for i := range n - 1 {
			fmt.Fprintf(&b, "  \"{{ xcom_t%d }}\",\n", i)
		}
		return b.String() + "]\n"
	}},
	{"on one line", true, func(n int) string {
		var b strings.Builder
		b.WriteString("tasks = [")
		for i := range n {
			fmt.Fprintf(&b, "{id='t%d',type='api_call',properties={url='http://x.example/%d'}},", i, i)
		}
		return b.String() + "]\n"
	}},
	{"a wide body", true, func(n int) string {
		var b strings.Builder
		b.WriteString("[[tasks]]\nid = \"a\"\ntype = \"api_call\"\n[tasks.properties]\nurl = \"http://x.example/\"\noperation = \"post\"\n[tasks.properties.body]\n")
		for i := range n {
			fmt.Fprintf(&b, "key%d = { a = %d, b = 1.5, c = \"{{ batch_id }}\" }\n", i, i)
		}
		return b.String()
	}},
	{"a ring", false, func(n int) string {
		return manyTasks(n, func(i int) string { return fmt.Sprintf("dependencies = [\"t%d\"]\n", (i+n-1)%n) }, callURL)
	}},
	{"rings everywhere", false, func(n int) string {
		return manyTasks(n, func(i int) string {
			return fmt.Sprintf("dependencies = [\"t%d\", \"t%d\", \"t%d\"]\n", (i+n-1)%n, (i+1)%n, (i+n/2)%n)
		}, callURL)
	}},
	{"unknown tasks", false, func(n int) string {
		return manyTasks(n, func(i int) string { return fmt.Sprintf("dependencies = [\"t%dt\"]\n", i) }, callURL)
	}},
	{"unknown properties", false, func(n int) string {
		return manyTasks(n, func(int) string { return "" }, func(i int) string { return callURL(i) + "\"\ntime_out = \"1" })
	}},
	{"errors on one line", false, func(n int) string {
		var b strings.Builder
		b.WriteString("tasks = [")
		for i := range n {
			fmt.Fprintf(&b, "{id='t%d',type='api_call',dependencies=['nobody'],properties={url='ftp://x.example/%d'}},", i, i)
		}
		return b.String() + "]\n"
	}},
	{"keys twice", false, func(n int) string {
		return manyTasks(n, func(i int) string { return fmt.Sprintf("id = \"u%d\"\n", i) }, callURL)
	}},
}

func callURL(i int) string {
	return fmt.Sprintf("http://api.example.com/items/%d?batch={{ batch_id }}", i)
}

func before(i int) string {
	if i == 0 {
		return ""
	}
	return fmt.Sprintf("dependencies = [\"t%d\"]\n", i-1)
}

// manyTasks is a flow of n tasks with more lines and a URL each.
func manyTasks(n int, more, url func(i int) string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "[[tasks]]\nid = \"t%d\"\ntype = \"api_call\"\n%s[tasks.properties]\nurl = \"%s\"\n\n", i, more(i), url(i))
	}
	return b.String()
}

// TestParse_Shapes: every shape that is measured is what it says.
func TestParse_Shapes(t *testing.T) {
	kinds := types(t)
	for _, s := range shapes {
		_, _, err := flowfile.Parse("f.toml", []byte(s.make(50)), kinds)
		var all flowfile.Errors
		if errors.As(err, &all) {
			err = all[0]
		}
		if s.good != (err == nil) {
			t.Errorf("%s: %v", s.name, err)
		}
	}
}

// BenchmarkParse reports the time per task: it must be the same for 10,000 as
// for 1,000.
//
//	go test ./engine/flowfile -run xxx -bench Parse -benchtime 5x
func BenchmarkParse(b *testing.B) {
	kinds := types(b)
	for _, s := range shapes {
		for _, n := range []int{1_000, 10_000} {
			text := []byte(s.make(n))
			b.Run(fmt.Sprintf("%s/%d", s.name, n), func(b *testing.B) {
				for b.Loop() {
					if _, _, err := flowfile.Parse("f.toml", text, kinds); s.good != (err == nil) {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(n), "us/task")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

package main

import (
	"slices"
	"strings"
	"testing"
)

func TestClip_EndsTheColourThatItCuts(t *testing.T) {
	red := paint("failed", red, true)
	for _, c := range []struct {
		in    string
		width int
		want  string
	}{
		{"short", 5, "short"},
		{"longer", 5, "long…"},
		{red + " x", 8, red + " x"},
		{red + " and more", 8, red + " …"},
		{red, 4, "\x1b[31mfai…" + resetColor},
		{"漢字かな", 5, "漢字…"},
	} {
		if got := clip(c.in, c.width); got != c.want || screenWidth(got) > c.width {
			t.Errorf("clip(%q, %d) = %q, want %q", c.in, c.width, got, c.want)
		}
	}
}

func TestWrapped_KeepsEveryCharacter(t *testing.T) {
	url := "http://127.0.0.1:7001/a/very/long/path/that/goes/on?first=1&second=2&third=3"
	lines := wrapped(url, 30)
	if strings.Join(lines, "") != url || len(lines) != 3 || !strings.HasSuffix(lines[0], "/") {
		t.Errorf("got %q", lines)
	}
	for _, l := range wrapped(strings.Repeat("x", 100), 30) {
		if screenWidth(l) > 30 {
			t.Errorf("too wide: %q", l)
		}
	}
	if got := wrapped("narrow", 3); !slices.Equal(got, []string{"narrow"}) {
		t.Errorf("got %q", got)
	}
}

func TestTable_FitsIntoNarrowTerminals(t *testing.T) {
	list := newTable("RUN", "FLOW", "STATUS", "STARTED", "TIME", "TASKS", "NOTE").alignRight(4, 5).narrow(6, 5, 4).shorten(6, 1)
	list.ids = true
	list.add("01M8DQW7JY2MRTWVSANCNH1219", "orders_of_the_day", "failed", "05:33:01", "2.00s", "2/5", "use: 200 OK, 1 check failed")
	for width, want := range map[int]string{
		120: "RUN FLOW STATUS STARTED TIME TASKS NOTE", 100: "RUN FLOW STATUS STARTED TIME TASKS NOTE", 80: "RUN FLOW STATUS STARTED TIME TASKS",
		60: "RUN FLOW STATUS STARTED TIME TASKS", 40: "RUN FLOW STATUS STARTED",
	} {
		lines := list.lines(true, width)
		if got := strings.Join(strings.Fields(lines[0]), " "); got != want {
			t.Errorf("at %d: %s", width, got)
		}
		if !strings.Contains(lines[1], "failed") || !strings.Contains(lines[1], "05:33:01") || screenWidth(lines[1]) > width {
			t.Errorf("at %d: %q", width, lines[1])
		}
		if whole := strings.Contains(lines[1], "01M8DQW7JY2MRTWVSANCNH1219"); whole != (width >= 80) || !strings.Contains(lines[1], "CNH1219") {
			t.Errorf("at %d: %q", width, lines[1])
		}
	}
	if lines := list.lines(false, 40); !strings.Contains(lines[1], "orders_of_the_day  failed") || !strings.HasSuffix(lines[1], "1 check failed") {
		t.Errorf("in a pipe: %q", lines[1])
	}
}

// A line of the log tells on every terminal when, which task, how it ended and
// how long it took, and is never wider.
func TestLogRow_FitsEveryWidth(t *testing.T) {
	for _, l := range []*logRow{
		{"14:03:05.559", "orders.fetch_customer", "1", "GET", "200", "118ms", "412 B", "api.shop.example/v2/customers/7", green},
		{"Nov 22 14:03:05.559", "a_flow_with_a_long_name.and_a_task_with_one", "12", "PATCH", "-", "5.00s", "0 B", "timeout after 5s; retry in 1.00s", red},
		{"14:03:05.559", "f.t", "1", "GET", "503", "2m05s", "1.2 KB", "漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字", red},
	} {
		for width := 32; width <= 140; width++ {
			for _, color := range []bool{false, true} {
				line := l.fit(width, color)
				when, _, _ := strings.Cut(l.when, ".")
				if n := screenWidth(line); n > width {
					t.Fatalf("%d columns on %d: %q", n, width, line)
				}
				if width < 40 {
					continue
				}
				for _, part := range []string{when, l.task[:3], l.code, l.took} {
					if !strings.Contains(line, part) {
						t.Errorf("on %d columns %q is missing in %q", width, part, line)
					}
				}
			}
		}
	}
}

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
